"""Monitoring page: a monitoring report as one HTML file without a script or anything from elsewhere."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from pipelines.adapters import page_templates
from pipelines.adapters.reports.svg_charts import Scale, line, steps, ticks
from pipelines.domain.block_length import BLOCKS_PER_QUARTER
from pipelines.domain.drift.block_permutation import UNITS
from pipelines.domain.drift.drift_result import ColumnShift
from pipelines.domain.feature_report import FeatureReport
from pipelines.domain.monitored import HARD_RULES, HARM, REALISED, WEEK_TEST
from pipelines.domain.monitoring_report import MonitoringReport, SegmentReport, TimelineBlock
from pipelines.domain.profile import shown

if TYPE_CHECKING:
    from jinja2 import Environment

TIMELINE = (960, 210)
HISTOGRAM = (480, 96)
SPARK = (120, 24)
"""Units of the drawings: width, height."""

LEAST_TOP = 0.1
"""Hellinger distance at the top of a timeline of effects at least: noise must not fill it."""

OPEN_FEATURES = 4
"""Features that are shown unfolded; one that is blamed always is."""

QUESTIONS: Mapping[str, str] = {
    HARD_RULES: "Is the newest block broken?",
    "BlockPermutation 1": "Is the newest block like those it is compared with?",
    WEEK_TEST: "Is the last week like the blocks it is compared with?",
    "SegmentContrast": "Did the last labelled week cost more, overall or in a segment?",
    HARM: "Did the mean loss rise by more than is tolerated?",
    REALISED: "What did the last labelled weeks cost?",
}
"""What each test asks, in the order in which the page tells their answers."""

QUESTIONS_OF_WEEKS: Mapping[str, str] = {
    WEEK_TEST: "Are the last seven weeks like the blocks they are compared with?",
    "SegmentContrast": "Did the last seven labelled weeks cost more, overall or in a segment?",
}
"""What is asked instead where a block is a week."""

LONGEST_NAME = 60
LARGEST_NAME = 72
"""Letters of a name that are shown, and bytes that they take on the page: an escaped one takes six."""

LONGEST_TITLE = 200
"""Letters of what an incident is called that are shown."""

MOST_LISTED = 5
MOST_SEGMENTS = 40
"""Levels that are new or gone, and segments, the most shifted, that are shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A dot, a box or a line of the timeline of losses, and what it stands for."""

    x: float
    y: float
    width: float
    height: float
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LossChart:
    """The timeline of losses in units of TIMELINE; paths of the realised and the expected."""

    realised: str
    expected: str
    dots: tuple[Mark, ...]
    intervals: tuple[tuple[Mark, bool], ...]
    coverage: tuple[Mark, ...]
    promotions: tuple[Mark, ...]
    usual: Mark | None
    harm_y: float | None
    ticks: tuple[tuple[float, str], ...]
    first: str
    last: str


def render(report: MonitoringReport) -> str:
    """Return the page. Everything that tables hold is escaped, and long texts are cut."""
    template = _environment().get_template("monitoring.html.j2")
    weekly = report.watched.block == "week"
    judged = [one for name in QUESTIONS if (one := report.watched.answer(name)) is not None]
    return template.render(
        report=report,
        watched=report.watched,
        chart=loss_chart(report),
        size=TIMELINE,
        histogram_size=HISTOGRAM,
        spark_size=SPARK,
        judged=judged,
        questions={**QUESTIONS, **QUESTIONS_OF_WEEKS} if weekly else QUESTIONS,
        validity=validity(report),
        coverage=coverage(report.timeline),
        open_features=OPEN_FEATURES,
        most_listed=MOST_LISTED,
        most_segments=MOST_SEGMENTS,
        longest_title=LONGEST_TITLE,
        quarter_blocks=BLOCKS_PER_QUARTER[report.watched.block],
    )


def percent(share: float | None) -> str:
    """Return a share in [0, 1] as a person reads it; what is not nothing never looks so.

    >>> percent(0.125), percent(0.0), percent(0.00001), percent(None)
    ('12.5 %', '0 %', '<0.1 %', '')
    """
    if share is None:
        return ""
    if share == 0:
        return "0 %"
    return "<0.1 %" if share < 0.001 else f"{100 * share:.3g} %"


def cut(text: str) -> str:
    """Return at most LONGEST_NAME letters of a text, and no more than take LARGEST_NAME bytes.

    >>> cut("JFK"), len(cut("a" * 61)), len(cut('"' * 60))
    ('JFK', 60, 12)
    """
    if len(text) <= LONGEST_NAME and _written(text) <= LARGEST_NAME:
        return text
    kept = text[: LONGEST_NAME - 1]
    while _written(kept) + _written("…") > LARGEST_NAME:
        kept = kept[:-1]
    return f"{kept}…"


def _written(text: str) -> int:
    """Return how many bytes of the page a text takes."""
    return len(escape(text).encode())


def family(shift: ColumnShift) -> str:
    """Return the family of a shift with the unit of its effect."""
    unit = UNITS.get(shift.family)
    return f"{shift.family} ({unit})" if unit else shift.family


def effect(shift: ColumnShift) -> str:
    """Return how far a family moved, where to, and its p-value alone."""
    alone = "" if shift.p_value is None else f", p = {shift.p_value:.3g}"
    return f"{shift.effect:.3g} {shift.direction}{alone}"


def contrast(segment: SegmentReport) -> str:
    """Return by how much a segment's loss moved against the other rows, signed."""
    return f"{'+' if segment.direction == 'up' else '-'}{segment.effect:.3g}"


def coverage(timeline: Sequence[TimelineBlock]) -> tuple[int, int, int, int]:
    """Return predictions of the blocks drawn, those with a final label, unlabelled, and pending."""
    known = [one.measured for one in timeline if one.measured is not None]
    return (
        sum(one.predictions for one in known),
        sum(one.final for one in known),
        sum(one.unlabelled for one in known),
        sum(one.pending for one in known),
    )


def validity(report: MonitoringReport) -> str:
    """Say whether the estimates may be believed, and why."""
    if not report.watched.estimates:
        return "No block waits for labels with an estimate."
    newest = report.watched.estimates[-1].estimated
    word = "valid" if newest.valid else "not valid"
    return f"Estimates are {word}: {newest.reason}. They never page and never retrain."


def loss_chart(report: MonitoringReport) -> LossChart | None:
    """Return the timeline of losses; None without any loss to draw."""
    timeline = report.timeline
    values = [one.loss for one in timeline] + [one.expected for one in timeline]
    known = [value for value in values if value is not None]
    if not known:
        return None
    if report.usual:
        known += [report.usual.low, report.usual.high, report.usual.harm_above]
    room = 0.06 * (max(known) - min(known)) or 0.01
    width, height = TIMELINE
    scale = Scale(low=min(known) - room, high=max(known) + room, width=width, height=height)
    number = len(timeline)
    wide = width / number
    return LossChart(
        realised=line([one.loss for one in timeline], scale),
        expected=line([one.expected for one in timeline], scale),
        dots=tuple(
            Mark(x=scale.x(n, number), y=scale.y(one.loss), width=0, height=0, title=_said(one))
            for n, one in enumerate(timeline)
            if one.loss is not None
        ),
        intervals=tuple(
            (_interval(one, scale, scale.x(n, number), wide), one.estimate.estimated.valid)
            for n, one in enumerate(timeline)
            if one.estimate is not None
        ),
        coverage=tuple(
            Mark(
                x=round(n * wide + wide * 0.1, 1),
                y=round(26 * (1 - one.coverage), 1),
                width=round(wide * 0.8, 1),
                height=round(26 * one.coverage, 1),
                title=f"{one.block}: {percent(one.coverage)} of the predictions have a final label",
            )
            for n, one in enumerate(timeline)
        ),
        promotions=tuple(
            Mark(
                x=round(n * wide, 1),
                y=0,
                width=0,
                height=height,
                title=f"version {one.promoted} from {one.block}",
            )
            for n, one in enumerate(timeline)
            if one.promoted
        ),
        usual=_usual(report, scale),
        harm_y=scale.y(report.usual.harm_above) if report.usual else None,
        ticks=tuple((scale.y(value), f"{value:g}") for value in ticks(scale.low, scale.high)),
        first=timeline[0].block,
        last=timeline[-1].block,
    )


def outline(feature: FeatureReport, side: str) -> str:
    """Return the outline of one side of a histogram; both share one scale."""
    top = max((max(one.reference, one.current) for one in feature.bins), default=0.0)
    scale = Scale(low=0, high=top or 1.0, width=HISTOGRAM[0], height=HISTOGRAM[1])
    return steps([getattr(one, side) for one in feature.bins], scale)


def spark(feature: FeatureReport, what: str) -> str:
    """Return the line of a feature's distances, or of its missing share, block by block."""
    values = [float(getattr(one, what)) for one in feature.timeline]
    top = max(LEAST_TOP, *values) if what == "distance" else max(values, default=0) or 1.0
    return line(values, Scale(low=0, high=top, width=SPARK[0], height=SPARK[1]))


def _said(one: TimelineBlock) -> str:
    found = one.measured
    rows = f", {found.final:,} of {found.predictions:,} labels final" if found else ""
    expected = "" if one.expected is None else f"; expected {one.expected:.4f}"
    return f"{one.block}: {one.loss:.4f}{rows}{expected}"


def _interval(one: TimelineBlock, scale: Scale, middle: float, wide: float) -> Mark:
    assert one.estimate is not None  # noqa: S101 - the caller chose blocks that have one
    found = one.estimate.estimated
    top, bottom = scale.y(found.high), scale.y(found.low)
    return Mark(
        x=round(middle - wide * 0.35, 1),
        y=top,
        width=round(wide * 0.7, 1),
        height=round(max(1.0, bottom - top), 1),
        title=f"{one.block}: estimated {found.estimate:.4f}, {found.low:.4f} to {found.high:.4f} "
        f"with {percent(found.coverage)}; {found.reason}",
    )


def _usual(report: MonitoringReport, scale: Scale) -> Mark | None:
    usual = report.usual
    if usual is None:
        return None
    top, bottom = scale.y(usual.high), scale.y(usual.low)
    title = f"middle 90 % of {usual.blocks} held-out blocks: {usual.low:.4f} to {usual.high:.4f}"
    return Mark(x=0, y=top, width=scale.width, height=round(max(1.0, bottom - top), 1), title=title)


def _environment() -> "Environment":
    environment = page_templates.environment()
    environment.filters |= {"shown": shown, "percent": percent, "cut": cut, "effect": effect}
    environment.filters |= {"outline": outline, "spark": spark, "contrast": contrast}
    environment.filters |= {"family": family}
    return environment
