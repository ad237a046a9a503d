"""Score: make the champion's predictions for every scoring time of a window, exactly once."""

import json
import os
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from pipelines.adapters import champion as champions
from pipelines.adapters import feature_store, known, mlflow_registry, prediction_store
from pipelines.adapters.champion import Champion
from pipelines.adapters.settings import Settings
from pipelines.domain.digest import digest_of
from pipelines.domain.features import AS_OF, EVENT_TIME, feature_digest, rows_digest
from pipelines.domain.training import FeatureColumns, positive_probability
from pipelines.domain.windows import scoring_blocks
from pipelines.errors import ChampionUnresolved, NotEnoughData, Problem
from pipelines.use_case import TrainedUseCase, UseCase

if TYPE_CHECKING:
    import pyarrow as pa

    from pipelines.domain.features import KnownTables

SLOT = "champion"


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowScored:
    """One scoring time: how many predictions stand, and whether this run wrote them."""

    scored_for: datetime
    rows: int
    outcome: Literal["written", "replaced", "unchanged", "no_rows"]
    stale: tuple[str, ...]
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """Every window of a run and the model that scored it."""

    model_version: str
    windows: tuple[WindowScored, ...]

    @property
    def rows(self) -> int:
        """Predictions that stand for these windows."""
        return sum(window.rows for window in self.windows)

    def describe(self) -> str:
        """Return one line for the log and the terminal."""
        outcomes = [window.outcome for window in self.windows]
        counts = ", ".join(f"{outcomes.count(o)} {o}" for o in dict.fromkeys(outcomes))
        stale = sorted({name for window in self.windows for name in window.stale})
        flag = f"; STALE: {', '.join(stale)}" if stale else ""
        return (
            f"model {self.model_version}: {self.rows:,} predictions for {len(self.windows)} "
            f"scoring times ({counts}){flag}"
        )


def score(
    use_case: UseCase,
    settings: Settings,
    *,
    since: datetime,
    until: datetime,
    run: str,
    model_version: str | None = None,
) -> Scored:
    """Score every scoring time in [since, until) with what was known at that time.

    ``model_version`` pins the champion a run began with. Raises ChampionUnresolved when there is
    no champion to trust, NotEnoughData when a stale table must stop scoring, and writes nothing
    of a window that fails. Windows already scored the same way stay as they are.
    """
    parts = TrainedUseCase.of(use_case)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    champion = _champion(use_case, settings, parts, model_version)
    model = champions.load(settings, use_case.name, champion)
    tables = known.load(settings, use_case.name, parts.features, parts.label)
    blocks = scoring_blocks(parts.scoring.at, parts.scoring.timezone, since=since, until=until)
    windows = [
        _score_window(use_case, settings, parts, champion, model, tables, block, run)
        for block in blocks
    ]
    return Scored(model_version=champion.model.version, windows=tuple(windows))


def champion_version(use_case: UseCase, settings: Settings) -> str:
    """Return the champion's version, for a run to pin. Raises ChampionUnresolved without one."""
    return _champion(use_case, settings, TrainedUseCase.of(use_case), None).model.version


def _champion(
    use_case: UseCase, settings: Settings, parts: TrainedUseCase, pinned: str | None
) -> Champion:
    champion = champions.resolve(settings, use_case.name)
    where = f"scoring of {use_case.name}"
    if champion is None:
        raise ChampionUnresolved(
            Problem(
                where=where,
                expected="a champion",
                found="none: no candidate was promoted yet",
                fix=f"Train and promote one: trigger {use_case.name}__train.",
            )
        )
    if pinned is not None and champion.model.version != pinned:
        model = mlflow_registry.candidate(settings, use_case.name, pinned)
        champion = Champion(model=model, promoted=champion.promoted)
    if champion.model.tags["headframe.features"] != feature_digest(parts.features, parts.label):
        raise ChampionUnresolved(
            Problem(
                where=where,
                expected="the feature view the champion was trained on",
                found="a feature function, contract or label rule that changed since",
                fix=f"Train and promote a model on the new view: trigger {use_case.name}__train.",
            )
        )
    return champion


def _score_window(
    use_case: UseCase,
    settings: Settings,
    parts: TrainedUseCase,
    champion: Champion,
    model: Any,  # noqa: ANN401 - any library's estimator
    tables: "KnownTables",
    block: tuple[datetime, datetime],
    run: str,
) -> WindowScored:
    as_of = block[0]
    stale = tuple(known.stale_tables(tables, parts.features.tables, as_of))
    if stale and parts.scoring.on_stale == "fail_closed":
        raise NotEnoughData(
            Problem(
                where=f"scoring of {use_case.name} for {as_of.isoformat()}",
                expected="every table as fresh as its contract promises",
                found=f"stale: {', '.join(stale)}",
                fix="Deliver and ingest the missing files, then run score again for this time.",
            )
        )
    digest = champion.model.tags["headframe.features"]
    rows = feature_store.rows_at(settings, use_case.name, parts.features, digest, tables, [block])
    if rows is None:
        return WindowScored(scored_for=as_of, rows=0, outcome="no_rows", stale=stale, version=-1)
    columns = FeatureColumns(
        numeric=tuple(json.loads(champion.model.tags["headframe.numeric"])),
        categorical=tuple(json.loads(champion.model.tags["headframe.categorical"])),
    )
    predicted = _predictions(rows, parts, champion, use_case, stale)
    probability = positive_probability(model, rows, columns)
    predicted = predicted.append_column("prediction", [probability])
    window = prediction_store.window_name(SLOT, as_of)
    run_key = digest_of([champion.model.version, rows_digest(rows), use_case.digest()])
    before = prediction_store.current_run_key(settings, use_case.name, window)
    commit = prediction_store.publish(
        settings,
        use_case.name,
        predicted,
        window=window,
        run_key=run_key,
        reason="first" if before is None else "model, features or declaration changed",
        metadata={
            "stage": "score",
            "run": run,
            "rows": rows.num_rows,
            "model_version": champion.model.version,
            "stale": list(stale),
        },
    )
    if not commit.written:
        outcome: Literal["written", "replaced", "unchanged"] = "unchanged"
    else:
        outcome = "written" if before is None else "replaced"
    return WindowScored(
        scored_for=as_of, rows=rows.num_rows, outcome=outcome, stale=stale, version=commit.version
    )


def _predictions(
    rows: "pa.Table",
    parts: TrainedUseCase,
    champion: Champion,
    use_case: UseCase,
    stale: tuple[str, ...],
) -> "pa.Table":
    """Return one row per entity: key, times, and everything a prediction is traced by."""
    import pyarrow as pa

    kept = rows.select([*parts.features.entity.key, AS_OF, EVENT_TIME])
    kept = kept.rename_columns({AS_OF: "scored_for"})
    constants = {
        "slot": SLOT,
        "model_version": champion.model.version,
        "model_run": champion.model.run_id,
        "artifact_sha256": champion.model.artifact_sha256,
        "evidence_digest": champion.promoted.evidence_digest,
        "feature_digest": champion.model.tags["headframe.features"],
        "declaration_digest": use_case.digest(),
        "stale_tables": ",".join(stale),
    }
    for name, value in constants.items():
        kept = kept.append_column(name, pa.array([value] * rows.num_rows, pa.string()))
    return kept
