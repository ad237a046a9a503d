"""Replay steps: what a use case would have done over a stretch of history, in order of time."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import Literal, TypeAlias, get_args
from zoneinfo import ZoneInfo

from pipelines.domain.retraining import Retraining
from pipelines.domain.schedule_times import schedule_times
from pipelines.domain.windows import local_moment

Every: TypeAlias = Literal["day", "week", "month"]
"""How long a period is, at whose end there is a monitoring."""

RetrainPolicy: TypeAlias = Literal["never", "weekly", "monthly", "declared"]
"""When a challenger is trained after the first: never, by one of two schedules, or as declared."""

EVERY: tuple[Every, ...] = get_args(Every)
POLICIES: tuple[RetrainPolicy, ...] = get_args(RetrainPolicy)

ONE_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing that is done, as of a moment (UTC).

    "first" trains the first champion; "train" a challenger on schedule; "score" makes the
    predictions of [since, at) and finds what came late, "late" scores that again; "monitor" ends
    period number ``period``, then "probation" judges the champion, "retrain" decides and "asked"
    trains what was asked for; "settle" measures once more when every label is final, and decides
    nothing. What one decides another reads, so each is a step: done again, it finds what it found.
    """

    kind: Literal[
        "first", "train", "score", "late", "monitor", "probation", "retrain", "asked", "settle"
    ]
    at: datetime
    since: datetime
    period: int

    @property
    def name(self) -> str:
        """Return what identifies the step within its replay."""
        return f"{self.kind}__{self.at:%Y-%m-%dT%H:%M:%S}"


def retraining_of(policy: RetrainPolicy, declared: Retraining) -> Retraining:
    """Return what a policy declares; "declared" is what the use case does."""
    schedules = {"never": None, "weekly": "@weekly", "monthly": "@monthly"}
    return declared if policy == "declared" else Retraining(schedule=schedules[policy])


def periods(
    since: datetime, until: datetime, every: Every, timezone: str
) -> list[tuple[datetime, datetime]]:
    """Return the periods [begin, end) that [since, until) is made of, in UTC; the last may be cut.

    They begin at the local time of ``since``, so a change of the clock moves none; those of a month
    on the day of the month of ``since``, or on the last one that the month has. A local day that a zone
    left out begins no period.

    >>> from datetime import UTC
    >>> [f"{begin:%m-%d}" for begin, _ in periods(
    ...     datetime(2013, 1, 31, tzinfo=UTC), datetime(2013, 4, 1, tzinfo=UTC), "month", "UTC")]
    ['01-31', '02-28', '03-31']
    """
    zone = ZoneInfo(timezone)
    first = since.astimezone(zone)
    begins: list[datetime] = []
    number = 0
    while (begin := _begin(first.date(), first.time(), number, every, zone)) < until:
        begins.append(max(begin, since.astimezone(UTC)))
        number += 1
    spans = pairwise([*begins, until.astimezone(UTC)])
    return [(begin, end) for begin, end in spans if begin < end]


def steps(
    spans: list[tuple[datetime, datetime]],
    *,
    schedule: str | None,
    settled_at: datetime,
    longest: timedelta,
    late: bool = False,
    probation: bool = False,
    triggered: bool = False,
) -> list[Step]:
    """Return what is done over the periods ``spans``, in order.

    A training on schedule cuts a period in two: what is scored before it has the champion of before.
    Nothing longer than ``longest`` is scored at once, so that late data is looked for while its windows
    may still be scored again, if ``late`` windows are. With ``probation`` the champion's is judged after
    each monitoring; where retraining is ``triggered``, it is decided about then. Not at the very end,
    where no schedule trains either: what was trained there would score nothing.
    """
    if not spans:
        return []
    begin, end = spans[0][0], spans[-1][1]
    found = [Step(kind="first", at=begin, since=begin, period=0)]
    for number, (since, until) in enumerate(spans):
        trained = [] if schedule is None else schedule_times(schedule, since, until)
        for low, high in pairwise([since, *(at for at in trained if at > begin), until]):
            for first, after in _cut(low, high, longest):
                scored = Step(kind="score", at=after, since=first, period=number)
                found += [scored, replace(scored, kind="late")] if late else [scored]
            if high < until:
                found.append(Step(kind="train", at=high, since=high, period=number))
        watched = Step(kind="monitor", at=until, since=since, period=number)
        found.append(watched)
        if probation:
            found.append(replace(watched, kind="probation"))
        if triggered and until < end:
            found += (replace(watched, kind="retrain"), replace(watched, kind="asked"))
    last = found[-1]
    if settled_at > last.at:
        found.append(replace(last, kind="settle", at=settled_at, since=last.at))
    return found


def _cut(low: datetime, high: datetime, longest: timedelta) -> Iterator[tuple[datetime, datetime]]:
    while low < high:
        yield low, min(low + longest, high)
        low += longest


def _begin(first: date, at: time, number: int, every: Every, zone: ZoneInfo) -> datetime:
    if every == "month":
        return local_moment(_months_later(first, number), at, zone)
    days = number * (7 if every == "week" else 1)
    return local_moment(first + timedelta(days=days), at, zone)


def _months_later(first: date, number: int) -> date:
    """Return the same day so many months later, or the last one that the month has."""
    years, month = divmod(first.month - 1 + number, 12)
    year = first.year + years
    after = date(year + (month == 11), (month + 1) % 12 + 1, 1)
    return min(date(year, month + 1, 1) + timedelta(days=first.day - 1), after - ONE_DAY)
