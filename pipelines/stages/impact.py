"""Impact: every prediction, model and consumer that a bad file, table version or model reached."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from pipelines.adapters.lineage import affected_models, affected_windows, asked_rows
from pipelines.adapters.lineage.affected_windows import Scored, WindowFindings
from pipelines.adapters.lineage.asked_rows import AskedRows
from pipelines.adapters.lineage.block_differences import BlockDifferences
from pipelines.adapters.lineage.delivered_outputs import carrying
from pipelines.adapters.lineage.file_trail import FileTrails
from pipelines.adapters.lineage.recorded_tables import RecordedTables
from pipelines.adapters.lineage.taken_files import taken_files
from pipelines.adapters.models import mlflow_registry
from pipelines.adapters.settings import Settings
from pipelines.domain.impact import AffectedModel, Impact
from pipelines.domain.provenance import Progress
from pipelines.domain.trace import FileSeen, OutputSeen
from pipelines.use_case import TrainedUseCase, UseCase

if TYPE_CHECKING:
    from pipelines.domain.contract import Table


def _silent(_done: int, _all: int) -> None:
    """Tell nobody how far it is."""


def impact_of_files(
    use_case: UseCase, settings: Settings, *, names: Sequence[str], progress: Progress = _silent
) -> Impact:
    """Return what would be other had these landed files, together, never come; nothing is written.

    Predictions are those whose feature row differs when it is computed again from the recorded
    tables without the files' rows, models those whose training or held-out rows differ, outputs
    those that carried such a prediction. A file whose rows another one told as well changes nothing
    by itself. Raises SettingsError for a file that never was landed.
    """
    taken = [taken_files(settings, use_case.name, table) for table in use_case.tables]
    asked = asked_rows.rows_of_files(settings, use_case.name, taken, names)
    return _of_rows(use_case, settings, f"files {', '.join(names)}", asked, progress)


def impact_of_version(
    use_case: UseCase,
    settings: Settings,
    *,
    table: "Table",
    version: int,
    progress: Progress = _silent,
) -> Impact:
    """Return what would be other had one version of a silver table not brought its rows.

    As ``impact_of_files`` for all rows that this commit added. Raises SettingsError for a version
    that is none, or that replaced rows.
    """
    taken = taken_files(settings, use_case.name, table)
    asked = asked_rows.rows_of_version(settings, use_case.name, table, taken, version)
    about = f"version {version} of silver.{use_case.name}.{table.name}"
    return _of_rows(use_case, settings, about, asked, progress)


def impact_of_model(use_case: UseCase, settings: Settings, *, version: str) -> Impact:
    """Return every prediction that a model version made, current or replaced, and its outputs.

    Raises ChampionUnresolved for a version that is not registered.
    """
    parts = TrainedUseCase.of(use_case)
    mlflow_registry.candidate(settings, parts.name, version)
    found = affected_windows.made_with(_scored(parts, settings), version)
    return _impact(parts, settings, f"model {version}", found)


def _of_rows(
    use_case: UseCase, settings: Settings, about: str, asked: AskedRows, progress: Progress
) -> Impact:
    parts = TrainedUseCase.of(use_case)
    scored = _scored(parts, settings)
    read = {table.name for table in parts.features.tables}
    landed = [rows for rows in asked.landed if rows.table in read]
    found, models = WindowFindings(), []
    if landed:
        recorded = RecordedTables(settings, parts.name, parts.features, parts.label)
        differing = BlockDifferences(recorded, parts.features, landed)
        found = affected_windows.reached_by(scored, differing, progress=progress)
        models = affected_models.trained_on(scored, differing, progress=progress)
    trails = FileTrails(settings, parts.name)
    files = tuple(trails.seen(file) for file in asked.files)
    return _impact(parts, settings, about, found, models=models, files=files)


def _impact(
    parts: TrainedUseCase,
    settings: Settings,
    about: str,
    found: WindowFindings,
    *,
    models: Collection[AffectedModel] = (),
    files: tuple[FileSeen, ...] = (),
) -> Impact:
    return Impact(
        use_case=parts.name,
        about=about,
        files=files,
        windows=tuple(found.windows),
        models=tuple(models),
        outputs=_outputs(parts, settings, found),
        looked_at=found.looked_at,
        uncertain=tuple(found.uncertain),
        unreadable=tuple(dict.fromkeys(found.unreadable)),
        broken=tuple(found.broken),
    )


def _outputs(
    parts: TrainedUseCase, settings: Settings, found: WindowFindings
) -> tuple[OutputSeen, ...]:
    key = list(parts.features.entity.key)
    keys = {(w.window, w.generation): w.affected.select(key) for w in found.windows}
    return carrying(settings, parts.name, keys)


def _scored(parts: TrainedUseCase, settings: Settings) -> Scored:
    return Scored(
        settings=settings,
        use_case=parts.name,
        view=parts.features,
        label=parts.label,
        times=parts.scoring.times,
    )
