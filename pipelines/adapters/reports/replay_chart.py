"""Replay chart: losses of policies over time as an inline drawing, with what happened below them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from pipelines.adapters.reports.svg_charts import Scale, ticks
from pipelines.domain.replay_result import PeriodResult, PolicyResult, ReplayResult
from pipelines.domain.replay_words import events
from pipelines.domain.windows import local_moment

HEIGHT = 230
"""Units of the drawing of losses; all units are pixels where the page has the width drawn for."""

LANE = 34
"""Height of a policy's lane of trainings and alarms."""

MARGIN = 66
"""Width beside the drawing, for ticks and for the longest name of a policy."""

TICK = 80
"""Width that a date takes below the drawing."""

DOTS = 60
"""Periods up to which each has a dot; more would hide the line."""

ROUND = {"day": (1, 7, 14, 28, 56, 91, 182, 364), "week": (1, 2, 4, 8, 13, 26, 52)}
"""Periods between two dates, as near as looks even; months are by their own."""

MONTHS = (1, 2, 3, 6, 12)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Something that happened: where it is drawn, for how long (``width``), how, and what it says."""

    x: float
    width: float
    kind: str
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """A policy: its path of losses, the dots on it as (x, y, title), and what happened."""

    policy: str
    path: str
    dots: tuple[tuple[float, float, str], ...]
    marks: tuple[Mark, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """The drawing for one width: ticks of the loss as (y, text), dates as (x, text), a lane a policy."""

    width: int
    plot: int
    ticks: tuple[tuple[float, str], ...]
    dates: tuple[tuple[float, str], ...]
    lanes: tuple[Lane, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """The history, laid along ``plot`` units from its beginning to its end, by time."""

    since: datetime
    until: datetime
    plot: int

    def x(self, moment: datetime) -> float:
        """Return where a moment is drawn; one beyond the ends at the nearer of them.

        >>> from datetime import UTC
        >>> day = datetime(2026, 3, 1, tzinfo=UTC)
        >>> Span(since=day, until=day + timedelta(days=4), plot=100).x(day + timedelta(days=1))
        25.0
        """
        part = (moment - self.since) / (self.until - self.since)
        return round(self.plot * min(1.0, max(0.0, part)), 1)


def chart(found: ReplayResult, width: int) -> Chart | None:
    """Return the drawing for a page with so much room; None where no period has a loss."""
    known = found.losses()
    if not known:
        return None
    plot = width - MARGIN
    room = 0.06 * (max(known) - min(known)) or 0.01
    scale = Scale(low=min(known) - room, high=max(known) + room, width=plot, height=HEIGHT)
    span = Span(since=found.since, until=found.until, plot=plot)
    return Chart(
        width=width,
        plot=plot,
        ticks=tuple((scale.y(at), f"{at:g}") for at in ticks(scale.low, scale.high)),
        dates=tuple(_dates(found, span)),
        lanes=tuple(_lane(found, one, span, scale) for one in found.policies),
    )


def path(periods: Sequence[PeriodResult], span: Span, scale: Scale) -> str:
    """Return the path through the losses, each in the middle of its period; a gap where there is none.

    A loss without neighbours is a short dash, so that it is seen.
    """
    found, drawing = [], False
    for place, one in enumerate(periods):
        if one.loss is None:
            drawing = False
            continue
        x, y = span.x(_middle(one)), scale.y(one.loss)
        alone = not drawing and all(two.loss is None for two in periods[place + 1 : place + 2])
        found.append(f"M{x - 2:g} {y:g}h4" if alone else f"{'L' if drawing else 'M'}{x:g} {y:g}")
        drawing = True
    return "".join(found)


def _middle(period: PeriodResult) -> datetime:
    return period.begin + (period.until - period.begin) / 2


def _dates(found: ReplayResult, span: Span) -> list[tuple[float, str]]:
    """Return days on which periods begin, evenly apart and as many as are read easily."""
    periods = found.policies[0].periods
    most = max(2, span.plot // TICK)
    steps = ROUND.get(found.every, MONTHS)
    step = next((one for one in steps if len(periods) <= one * most), -(-len(periods) // most))
    return [(span.x(one.begin), f"{found.local(one.begin):%Y-%m-%d}") for one in periods[::step]]


def _lane(found: ReplayResult, policy: PolicyResult, span: Span, scale: Scale) -> Lane:
    dots = [
        (
            span.x(_middle(one)),
            scale.y(one.loss),
            f"{policy.policy}, from {found.local(one.begin):%Y-%m-%d}: {one.loss:.4f}, "
            f"{one.final:,} final labels, version {', '.join(one.versions)}",
        )
        for one in policy.periods
        if one.loss is not None
    ]
    return Lane(
        policy=policy.policy,
        path=path(policy.periods, span, scale),
        dots=tuple(dots) if len(policy.periods) <= DOTS else (),
        marks=(*_alarms(found, policy, span), *_events(found, policy, span)),
    )


def _events(found: ReplayResult, policy: PolicyResult, span: Span) -> list[Mark]:
    return [
        Mark(
            x=span.x(one.at),
            width=0.0,
            kind=one.kind,
            title=f"{one.when}, {one.cause}: {one.outcome}",
        )
        for one in events(found, policy)
    ]


def _alarms(found: ReplayResult, policy: PolicyResult, span: Span) -> list[Mark]:
    zone = ZoneInfo(found.timezone)
    marks = []
    for one in policy.alarms:
        began = span.x(local_moment(one.day, time.min, zone))
        after = date.fromisoformat(one.last) + timedelta(days=1)
        ended = span.x(local_moment(after, time.min, zone))
        marks.append(
            Mark(
                x=began,
                width=round(ended - began, 1),
                kind=one.level,
                title=f"{one.level} from {one.block} to {one.last}, {one.test}: {one.reason}",
            )
        )
    return marks
