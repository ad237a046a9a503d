"""Replay page: policies over history as one HTML file without a script or anything from elsewhere."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.adapters import page_templates
from pipelines.adapters.reports.svg_charts import Scale, line, ticks
from pipelines.domain.replay_result import Figure, PolicyResult, ReplayResult

CHART = (960, 240)
"""Units of the drawing of losses: width, height."""

COST = 320
"""Units of the longest bar of CPU seconds."""

LANE = 26
"""Height of a policy's lane of trainings and alarms."""

STAGES = ("train", "evaluate", "promote", "score", "shadow", "monitor", "probation", "retrain")
"""In the order in which the bars of cost are stacked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Something that happened at a moment: where it is drawn, how, and what it says."""

    x: float
    kind: str
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A policy's path of losses, its marks, and its cost as (stage, x, width, seconds)."""

    policy: PolicyResult
    path: str
    marks: tuple[Mark, ...]
    cost: tuple[tuple[str, float, float, float], ...]


def render(found: ReplayResult) -> str:
    """Return the page; everything that tables hold is escaped."""
    environment = page_templates.environment()
    environment.filters |= {"figure": figure, "signed": signed}
    scale = _scale(found.policies)
    return environment.get_template("replay.html.j2").render(
        found=found,
        drawn=[_drawn(one, found, scale) for one in found.policies],
        size=CHART,
        lane=LANE,
        ticks=[]
        if scale is None
        else [(scale.y(v), f"{v:g}") for v in ticks(scale.low, scale.high)],
        stages=[s for s in STAGES if any(s in one.cpu_s for one in found.policies)],
        best=_best(found.policies),
    )


def figure(one: Figure | None) -> str:
    """Return a mean with its interval."""
    return _told(one, "")


def signed(one: Figure | None) -> str:
    """Return a difference with its interval, and its sign."""
    return _told(one, "+")


def _told(one: Figure | None, sign: str) -> str:
    if one is None:
        return ""
    if one.low is None or one.high is None:
        return f"{one.mean:{sign}.4f} (too few blocks for an interval)"
    return f"{one.mean:{sign}.4f} ({one.low:{sign}.4f} to {one.high:{sign}.4f})"


def _best(policies: Sequence[PolicyResult]) -> str:
    """Return in a sentence what the comparison says; empty for one policy alone."""
    if len(policies) < 2:
        return ""
    first, *others = policies
    sure = [one for one in others if one.gain and one.gain.low is not None and one.gain.low > 0]
    worse = [one for one in others if one.gain and one.gain.high is not None and one.gain.high < 0]
    if sure:
        top = max(sure, key=lambda one: one.gain.mean if one.gain else 0.0)
        return f"{top.policy} is better than {first.policy} beyond doubt: {signed(top.gain)}."
    if worse:
        return (
            f"{first.policy} is better than {', '.join(one.policy for one in worse)} beyond doubt."
        )
    return f"No policy differs from {first.policy} beyond doubt: the cheapest is as good as any."


def _scale(policies: Sequence[PolicyResult]) -> Scale | None:
    known = [one.loss for policy in policies for one in policy.periods if one.loss is not None]
    if not known:
        return None
    room = 0.06 * (max(known) - min(known)) or 0.01
    return Scale(low=min(known) - room, high=max(known) + room, width=CHART[0], height=CHART[1])


def _drawn(policy: PolicyResult, found: ReplayResult, scale: Scale | None) -> Drawn:
    most = max(sum(one.cpu_s.values()) for one in found.policies) or 1.0
    return Drawn(
        policy=policy,
        path="" if scale is None else line([one.loss for one in policy.periods], scale),
        marks=tuple(_marks(policy, found)),
        cost=_cost(policy, most),
    )


def _cost(policy: PolicyResult, most: float) -> tuple[tuple[str, float, float, float], ...]:
    boxes, x = [], 0.0
    for stage in STAGES:
        seconds = policy.cpu_s.get(stage, 0.0)
        width = COST * seconds / most
        boxes.append((stage, round(x, 1), round(width, 1), seconds))
        x += width
    return tuple(boxes)


def _marks(policy: PolicyResult, found: ReplayResult) -> list[Mark]:
    whole = (found.until - found.since).total_seconds()

    def x(seconds: float) -> float:
        return round(CHART[0] * min(1.0, max(0.0, seconds / whole)), 1)

    trained = [
        Mark(
            x=x((one.at - found.since).total_seconds()),
            kind="promoted" if one.promoted else "trained",
            title=f"{one.at:%Y-%m-%d}, {one.cause}: {one.outcome}",
        )
        for one in policy.trainings
    ]
    begin = found.since.date()
    alarmed = [
        Mark(
            x=x((one.day - begin).total_seconds()),
            kind=one.level,
            title=f"{one.level} from {one.block} to {one.last}, {one.test}: {one.reason}",
        )
        for one in policy.alarms
    ]
    return [*trained, *alarmed]
