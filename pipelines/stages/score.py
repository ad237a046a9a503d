"""Score: make the champion's predictions for every scoring time of a window, exactly once."""

import json
import os
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from pipelines.adapters import lake
from pipelines.adapters.models import champion as champions
from pipelines.adapters.models import feature_store, known, prediction_store
from pipelines.adapters.models.champion import Champion
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
    no champion to trust or the pinned version never was one, NotEnoughData when a stale table must stop scoring, and writes nothing
    of a window that fails. Windows already scored the same way stay as they are.
    """
    parts = TrainedUseCase.of(use_case)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    champion = _champion(use_case, settings, parts, model_version)
    model = champions.load(settings, use_case.name, champion)
    tables = known.load(settings, use_case.name, parts.features, parts.label)
    blocks = scoring_blocks(parts.scoring.at, parts.scoring.timezone, since=since, until=until)
    pinned = _Pinned(
        parts=parts,
        settings=settings,
        champion=champion,
        model=model,
        tables=tables,
        declaration=use_case.digest(),
        run=run,
    )
    windows = tuple(_score_window(pinned, block) for block in blocks)
    return Scored(model_version=champion.model.version, windows=windows)


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
        champion = champions.pinned(settings, use_case.name, pinned)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pinned:
    """What every window of one run is scored with, resolved once."""

    parts: TrainedUseCase
    settings: Settings
    champion: Champion
    model: Any
    tables: "KnownTables"
    declaration: str
    run: str


def _score_window(pinned: _Pinned, block: tuple[datetime, datetime]) -> WindowScored:
    parts, settings, version = pinned.parts, pinned.settings, pinned.champion.model
    as_of, view = block[0], pinned.parts.features
    stale = tuple(known.stale_tables(pinned.tables, view.tables, as_of))
    if stale and parts.scoring.on_stale == "fail_closed":
        raise NotEnoughData(
            Problem(
                where=f"scoring of {parts.name} for {as_of.isoformat()}",
                expected="every table as fresh as its contract promises",
                found=f"stale: {', '.join(stale)}",
                fix="Deliver and ingest the missing files, then run score again for this time.",
            )
        )
    folder = lake.features(settings, parts.name, version.tags["headframe.features"])
    rows = feature_store.rows_at(folder, view, pinned.tables, [block])
    if rows is None:
        return WindowScored(scored_for=as_of, rows=0, outcome="no_rows", stale=stale, version=-1)
    columns = FeatureColumns(
        numeric=tuple(json.loads(version.tags["headframe.numeric"])),
        categorical=tuple(json.loads(version.tags["headframe.categorical"])),
    )
    probability = positive_probability(pinned.model, rows, columns)
    predicted = _predictions(pinned, rows, stale).append_column("prediction", [probability])
    window = prediction_store.window_name(SLOT, as_of)
    before = prediction_store.current_run_key(settings, parts.name, window)
    commit = prediction_store.publish(
        settings,
        parts.name,
        predicted,
        window=window,
        run_key=digest_of([version.version, rows_digest(rows), pinned.declaration]),
        reason="first" if before is None else "model, features or declaration changed",
        metadata={
            "stage": "score",
            "run": pinned.run,
            "rows": rows.num_rows,
            "model_version": version.version,
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


def _predictions(pinned: _Pinned, rows: "pa.Table", stale: tuple[str, ...]) -> "pa.Table":
    """Return one row per entity: key, times, and everything a prediction is traced by."""
    import pyarrow as pa

    model = pinned.champion.model
    kept = rows.select([*pinned.parts.features.entity.key, AS_OF, EVENT_TIME])
    kept = kept.rename_columns({AS_OF: "scored_for"})
    constants = {
        "slot": SLOT,
        "model_version": model.version,
        "model_run": model.run_id,
        "artifact_sha256": model.artifact_sha256,
        "evidence_digest": pinned.champion.promoted.evidence_digest,
        "feature_digest": model.tags["headframe.features"],
        "declaration_digest": pinned.declaration,
        "stale_tables": ",".join(stale),
    }
    for name, value in constants.items():
        kept = kept.append_column(name, pa.array([value] * rows.num_rows, pa.string()))
    return kept
