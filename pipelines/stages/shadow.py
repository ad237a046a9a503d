"""Shadow: the version that a champion on probation is compared with scores the same feature rows."""

from collections.abc import Sequence

from pipelines.adapters import lake
from pipelines.adapters.models import champion as champions
from pipelines.adapters.models import (
    paired_predictions,
    part_writer,
    prediction_store,
    probations,
    window_plans,
    window_publisher,
)
from pipelines.adapters.models.champion import Champion
from pipelines.adapters.settings import Settings
from pipelines.domain.scoring import (
    FIRST,
    REPLACED,
    LateWindow,
    Scored,
    ScoredPart,
    ScorePlan,
    WindowPlan,
    account,
)
from pipelines.domain.slots import SHADOW
from pipelines.errors import CommitLost, PlanOvertaken
from pipelines.use_case import TrainedUseCase, UseCase


def asked(use_case: UseCase, settings: Settings, scored: Scored) -> tuple[WindowPlan, ...]:
    """Return the windows of a run that the shadow is to score too, as the run planned them.

    Those of the champion's probation: the first blocks after its promotion, as many as its rule
    says, that both scored or this run asks for. None where nobody is on probation, or the version
    before reads another feature view, or the registry has it no more.
    """
    under = probations.standing(settings, use_case.name)
    if under is None or under.version != scored.model_version:
        return ()
    if probations.obstacle(settings, under):
        return ()
    mine = [
        window
        for window in scored.planned
        if window.scored_for >= under.promoted.as_of and window.rows_digest
    ]
    times = {window.scored_for for window in mine}
    before = paired_predictions.both_scored(settings, under)
    first = sorted(times.union(before))[: under.rule.blocks]
    return tuple(window for window in mine if window.scored_for in first)


def shadow(
    use_case: UseCase, settings: Settings, *, windows: Sequence[WindowPlan], run: str
) -> Scored | None:
    """Score windows of a run in the slot that nobody is given, from the feature rows it had pinned.

    ``windows`` is what ``asked`` returned. Windows scored so already stay as they are; a late one
    lies on what the shadow said before. Returns None when the probation is over meanwhile. Raises
    ChampionUnresolved when the model is not to be trusted any more, CommitLost when another run came
    first; what the champion said stands and is delivered in either case.
    """
    under = probations.standing(settings, use_case.name)
    if under is None or not windows:
        return None
    parts = TrainedUseCase.of(use_case)
    champion = champions.pinned(settings, use_case.name, under.against)
    plan = _plan(use_case, settings, champion, windows, run)
    made = [_scored(settings, parts, plan, champion)] if plan.parts else []
    key = parts.features.entity.key
    try:
        published = tuple(
            window_publisher.publish(
                settings,
                plan,
                number,
                key=key,
                parts=made,
                made=account(plan, number, made),
                valued=parts.label.value is not None,
            )
            for number in range(len(plan.windows))
        )
    except PlanOvertaken as error:
        raise CommitLost(*error.problems) from error  # the next try makes a plan of its own
    return Scored(model_version=plan.model_version, windows=published, planned=plan.windows)


def _plan(
    use_case: UseCase,
    settings: Settings,
    champion: Champion,
    windows: Sequence[WindowPlan],
    run: str,
) -> ScorePlan:
    """Plan the same windows for the shadow: the same rows, on what its own slot holds."""
    features = champion.model.tags["headframe.features"]
    pinned = window_plans.Pinned(
        folder=lake.features(settings, use_case.name, features),
        features=features,
        feature_version=windows[0].feature_version,
        digests={window.as_of: window.rows_digest for window in windows},
        stale={window.as_of: window.stale for window in windows},
        layers=prediction_store.layers(settings, use_case.name, SHADOW),
        tables=windows[0].tables,
        model_version=champion.model.version,
        declared=use_case.prediction_digest(),
        slot=SHADOW,
    )
    return window_plans.score_plan(
        pinned,
        [_wanted(window) for window in windows],
        use_case=use_case.name,
        declaration=use_case.digest(),
        run=run,
        parts=1,
    )


def _wanted(window: WindowPlan) -> LateWindow:
    return LateWindow(
        scored_for=window.scored_for,
        as_of=window.as_of,
        until=window.until,
        reason="" if window.reason in (FIRST, REPLACED) else window.reason,
    )


def _scored(
    settings: Settings, parts: TrainedUseCase, plan: ScorePlan, champion: Champion
) -> ScoredPart:
    """Predict the plan's one part. No promise is checked: nobody was promised anything of these."""
    return part_writer.write_part(
        settings,
        plan,
        0,
        key=parts.features.entity.key,
        champion=champion,
        rules=parts.scoring.rules,
        promises=(),
        value=parts.label.value,
    )
