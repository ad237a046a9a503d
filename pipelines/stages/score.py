"""Score: make the champion's predictions for every scoring time of a window, exactly once."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Unpack

from pipelines.adapters import lake
from pipelines.adapters.failpoints import failpoint
from pipelines.adapters.models import champion as champions
from pipelines.adapters.models import (
    feature_store,
    known,
    part_writer,
    prediction_store,
    standing_rows,
    window_plans,
    window_publisher,
)
from pipelines.adapters.models.champion import Champion
from pipelines.adapters.settings import Settings
from pipelines.domain import promises
from pipelines.domain.features import feature_digest
from pipelines.domain.scoring import (
    Account,
    Asked,
    LateWindow,
    Scored,
    ScoredPart,
    ScorePlan,
    WindowScored,
    account,
)
from pipelines.domain.slots import SLOT
from pipelines.errors import CodeChanged, CommitLost, NotEnoughData, PlanOvertaken, Problem
from pipelines.use_case import TrainedUseCase, UseCase

if TYPE_CHECKING:
    from pipelines.domain.features import KnownTables

__all__ = [
    "SLOT", "Asked", "LateWindow", "ScorePlan", "Scored", "ScoredPart", "WindowScored", "champion_version",
    "plan", "publish", "score", "score_part",
]  # fmt: skip


def score(use_case: UseCase, settings: Settings, **asked: Unpack[Asked]) -> Scored:
    """Score every scoring time asked for with what was known at that time, then the late windows.

    ``plan``, every part and ``publish`` in this process. Raises ChampionUnresolved when there is no
    champion to trust or the pinned version never was one, NotEnoughData when a stale table must
    stop scoring, CommitLost when another run came first, and writes nothing of a window that fails.
    Windows already scored the same way stay as they are.
    """
    planned = plan(use_case, settings, **asked)
    parts = [score_part(use_case, settings, planned, part) for part in range(len(planned.parts))]
    try:
        return publish(use_case, settings, planned, parts)
    except PlanOvertaken as error:
        raise CommitLost(*error.problems) from error  # the next try makes a plan of its own


def plan(use_case: UseCase, settings: Settings, **asked: Unpack[Asked]) -> ScorePlan:
    """Pin what a run scores: champion, table versions, feature rows, and who does which of them.

    Feature rows that no earlier run described are computed and written. Raises as ``score``.
    """
    parts = TrainedUseCase.of(use_case)
    champion = _champion(settings, parts, asked.get("model_version"))
    versions = known.silver_versions(settings, use_case.name, parts.features)
    tables = known.load(settings, use_case.name, parts.features, parts.label, at=versions)
    wanted = _windows(parts, asked)
    stale = {window.as_of: _stale(parts, tables, window.as_of) for window in wanted}
    features = champion.model.tags["headframe.features"]
    folder = lake.features(settings, use_case.name, features)
    feature_store.describe(
        folder,
        parts.features,
        tables,
        [(window.as_of, window.until) for window in wanted],
        since={w.as_of: w.scored_for for w in wanted if w.as_of > w.scored_for},
    )
    feature_version, digests = feature_store.pinned(
        folder, parts.features, [window.as_of for window in wanted]
    )
    pinned = window_plans.Pinned(
        folder=folder,
        features=features,
        feature_version=feature_version,
        digests=digests,
        stale=stale,
        layers=prediction_store.layers(settings, use_case.name),
        tables=versions,
        model_version=champion.model.version,
        declared=use_case.prediction_digest(),
    )
    return window_plans.score_plan(
        pinned,
        wanted,
        use_case=use_case.name,
        declaration=use_case.digest(),
        run=asked["run"],
        parts=parts.scoring.parts,
    )


def score_part(use_case: UseCase, settings: Settings, plan: ScorePlan, part: int) -> ScoredPart:
    """Predict one part of a plan and write it into files that no reader sees before ``publish``.

    Raises CodeChanged when the declaration is not the planned one, ChampionUnresolved when the
    planned model is not to be trusted any more. A part that fails leaves nothing readable, and may
    be made again any number of times.
    """
    parts = TrainedUseCase.of(use_case)
    _refuse_changed(use_case, plan)
    champion = champions.pinned(settings, use_case.name, plan.model_version)
    return part_writer.write_part(
        settings,
        plan,
        part,
        key=parts.features.entity.key,
        champion=champion,
        rules=parts.scoring.rules,
        promises=parts.scoring.promises,
        value=parts.label.value,
    )


def publish(
    use_case: UseCase, settings: Settings, plan: ScorePlan, parts: Sequence[ScoredPart]
) -> Scored:
    """Commit every window of a plan, each once, after every row of it is accounted for.

    Raises LakeError when a part is missing or rows were lost, PromiseBroken when predictions, those
    made before included, break what consumers were promised, PlanOvertaken when another run published
    a window since the plan was made; then that window stays as it was.
    """
    declared = TrainedUseCase.of(use_case)
    _refuse_changed(use_case, plan)
    failpoint("score.after_parts")
    accounts = [_checked(declared, plan, number, parts) for number in range(len(plan.windows))]
    key, promised = declared.features.entity.key, declared.scoring.promises
    valued = declared.label.value is not None
    for name, found in standing_rows.judged(settings, plan, parts, key, promised).items():
        _check(declared, name, [found.broken], rows=found.rows, which=" that stand")
    windows = tuple(
        window_publisher.publish(
            settings, plan, number, key=key, parts=parts, made=made, valued=valued
        )
        for number, made in enumerate(accounts)
    )
    return Scored(model_version=plan.model_version, windows=windows, planned=plan.windows)


def champion_version(use_case: UseCase, settings: Settings) -> str:
    """Return the champion's version, for a run to pin. Raises ChampionUnresolved without one."""
    return _champion(settings, TrainedUseCase.of(use_case)).model.version


def _champion(settings: Settings, parts: TrainedUseCase, version: str | None = None) -> Champion:
    features = feature_digest(parts.features, parts.label)
    return champions.to_score_with(settings, parts.name, features=features, version=version)


def _windows(parts: TrainedUseCase, asked: Asked) -> list[LateWindow]:
    """Return what is asked for, in the order it is scored; no reason: a window at its own time."""
    blocks = parts.scoring.times.blocks(asked["since"], asked["until"])
    late = sorted(asked.get("late", ()), key=lambda window: (window.scored_for, window.as_of))
    return [
        *(LateWindow(scored_for=start, as_of=start, until=end, reason="") for start, end in blocks),
        *late,
    ]


def _checked(
    declared: TrainedUseCase, plan: ScorePlan, number: int, parts: Sequence[ScoredPart]
) -> Account:
    """Return the account of a window; raises where rows were lost or promises are broken."""
    made = account(plan, number, parts)
    broken = [share.broken for share in window_publisher.shares(parts, number)]
    _check(declared, plan.windows[number].window, broken, rows=made.scored)
    return made


def _check(
    declared: TrainedUseCase,
    window: str,
    broken: Sequence[Mapping[str, int]],
    *,
    rows: int,
    which: str = "",
) -> None:
    promises.check(
        declared.scoring.promises,
        broken,
        rows=rows,
        where=f"predictions {declared.name}, window {window}",
        consumers=[output.consumer for output in declared.scoring.outputs],
        which=which,
    )


def _stale(parts: TrainedUseCase, tables: "KnownTables", as_of: datetime) -> tuple[str, ...]:
    """Return the tables that are older than promised; raises NotEnoughData where that stops scoring."""
    stale = tuple(known.stale_tables(tables, parts.features.tables, as_of))
    if stale and parts.scoring.on_stale == "fail_closed":
        raise NotEnoughData(
            Problem(
                where=f"scoring of {parts.name} for {as_of.isoformat()}",
                expected="every table as fresh as its contract promises",
                found=f"stale: {', '.join(stale)}",
                fix="Deliver and ingest the missing files, then run score again for this time.",
            )
        )
    return stale


def _refuse_changed(use_case: UseCase, plan: ScorePlan) -> None:
    if use_case.digest() != plan.declaration:
        raise CodeChanged(
            Problem(
                where=f"scoring of {use_case.name}",
                expected=f"the declaration that was planned with ({plan.declaration[:12]})",
                found=f"another ({use_case.digest()[:12]}), deployed since",
                fix="Nothing was published. Start the run anew.",
            )
        )
