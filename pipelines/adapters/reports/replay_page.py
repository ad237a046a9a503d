"""Replay page: policies over history as one HTML file without a script or anything from elsewhere."""

from dataclasses import dataclass

from pipelines.adapters import page_templates
from pipelines.adapters.reports import replay_chart
from pipelines.adapters.reports.replay_chart import HEIGHT, LANE
from pipelines.domain import replay_words as words
from pipelines.domain.replay_result import PolicyResult, ReplayResult
from pipelines.domain.replay_words import Event

WIDTHS = {"wide": 1002, "middle": 690, "narrow": 312}
"""Widths that the losses are drawn for, each shown where it fits: text is as large in all of them."""

COST = 320
"""Units of the longest bar of CPU seconds."""

STAGES = ("train", "evaluate", "promote", "score", "shadow", "monitor", "probation", "retrain")
"""In the order in which the bars of cost are stacked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A policy, what happened in it, and its cost as (stage, x, width, seconds)."""

    policy: PolicyResult
    events: tuple[Event, ...]
    cost: tuple[tuple[str, float, float, float], ...]


def render(found: ReplayResult) -> str:
    """Return the page; everything that tables hold is escaped."""
    environment = page_templates.environment()
    charts = {name: replay_chart.chart(found, width) for name, width in WIDTHS.items()}
    most = max(sum(one.cpu_s.values()) for one in found.policies) or 1.0
    return environment.get_template("replay.html.j2").render(
        found=found,
        span=words.span(found),
        comparisons=words.comparisons(found),
        told=[
            Told(policy=one, events=tuple(words.events(found, one)), cost=_cost(one, most))
            for one in found.policies
        ],
        charts={name: one for name, one in charts.items() if one is not None},
        height=HEIGHT,
        lane=LANE,
        stages=[s for s in STAGES if any(s in one.cpu_s for one in found.policies)],
        notes=words.notes(found),
        warnings=words.warnings(found),
        mean=words.mean,
        interval=words.interval,
    )


def _cost(policy: PolicyResult, most: float) -> tuple[tuple[str, float, float, float], ...]:
    boxes, x = [], 0.0
    for stage in STAGES:
        seconds = policy.cpu_s.get(stage, 0.0)
        width = COST * seconds / most
        boxes.append((stage, round(x, 1), round(width, 1), seconds))
        x += width
    return tuple(boxes)
