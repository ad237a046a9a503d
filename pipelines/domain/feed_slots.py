"""Feed slots: when a table's deliveries are expected, and which of them came."""

import math
import statistics
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from typing import Literal, TypeAlias
from zoneinfo import ZoneInfo

from pipelines.domain.contract import Table
from pipelines.domain.windows import local_moment

DAY = timedelta(days=1)

WEEKS = 12
"""Deliveries of the same weekday that a band is made from: a quarter."""

DAYS = 28
"""Deliveries of the same hour that a band is made from: four weeks, so that weekends are in it."""

State: TypeAlias = Literal["arrived", "late", "missing", "nothing_new", "awaited"]


@dataclass(frozen=True, slots=True)
class Arrived:
    """One delivery: when (UTC), and the rows it landed; None where it was not taken in (yet)."""

    delivered_at: datetime
    rows: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """One expected delivery of a feed, of one file or several, and what came of it.

    ``name`` is its local day, or day and time. ``expected_at`` and ``limit`` (grace added) are UTC.
    Slots of one ``season`` are alike. ``complete``: no more of it is expected.
    "nothing_new" is a source that was asked later and had nothing; "awaited" is not late yet.
    """

    name: str
    expected_at: datetime
    limit: datetime
    season: int
    state: State
    arrived: tuple[Arrived, ...]
    complete: bool

    @property
    def rows(self) -> int | None:
        """Rows of all its files; None where nothing came, or a file was not taken in."""
        counts = [delivery.rows for delivery in self.arrived]
        known = [count for count in counts if count is not None]
        return sum(known) if counts and len(known) == len(counts) else None


@dataclass(frozen=True, slots=True)
class _Place:
    """A slot before it is known what came of it."""

    name: str
    expected_at: datetime
    season: int


_Filled: TypeAlias = list[list[Arrived]]


@dataclass(frozen=True, slots=True)
class _Days:
    """The local days of a table with ``arrives_by``, each with the deadline of its delivery."""

    by: time
    zone: ZoneInfo
    grace: timedelta

    @classmethod
    def of(cls, table: Table) -> "_Days":
        """Return the days of a table; one without ``arrives_by`` has them end at midnight."""
        return cls(table.arrives_by or time(0), ZoneInfo(table.arrives_timezone), table.grace)

    def deadline(self, day: date) -> datetime:
        """Return by when the day's delivery is expected, as UTC."""
        return local_moment(day, self.by, self.zone)

    def of_delivery(self, moment: datetime) -> date:
        """Return the day that a delivery at ``moment`` is for: the first one not over its limit."""
        return self.next_due(moment - self.grace)

    def next_due(self, moment: datetime) -> date:
        """Return the first day whose deadline is not before ``moment``."""
        day = moment.astimezone(self.zone).date()
        return day if moment <= self.deadline(day) else day + DAY


def expects(table: Table) -> bool:
    """Tell whether deliveries of the table are expected at all; one that lands once has no slots."""
    return table.arrives_by is not None or table.arrives_every is not None


def is_stale(table: Table, newest: datetime | None, as_of: datetime) -> bool:
    """Tell whether the newest delivery is older than promised; None is no delivery at all."""
    if not expects(table):
        return False
    if newest is None:
        return True
    if table.arrives_every is not None:
        return as_of - newest > table.arrives_every + table.grace
    days = _Days.of(table)
    return days.of_delivery(newest) < days.of_delivery(as_of) - DAY


def history_length(table: Table) -> int:
    """Return how many earlier slots of the same season a band is made from."""
    return DAYS if table.arrives_every is not None and table.arrives_every < DAY else WEEKS


def slots(
    table: Table,
    arrived: Sequence[Arrived],
    *,
    as_of: datetime,
    watched_since: datetime | None = None,
    until: datetime | None = None,
    asked_at: datetime | None = None,
) -> list[Slot]:
    """Return the expected deliveries up to ``as_of``, oldest first, with what is known by then.

    They begin with the first delivery, or ``watched_since`` where none came yet, but no earlier than
    is needed for bands; never after the last delivery. Those whose limit is after ``until`` are not
    expected. ``asked_at`` is when a source was last asked: what is expected by then is not missing.

    With ``arrives_by`` a local day has one slot, from the limit of the day before to its own. The
    first delivery after a missing slot is that slot's, late, when it is nearer to the moment it
    was due than to that of the next (each taken as many hours before its deadline as is usual). With
    ``arrives_every`` each slot follows one period after the delivery before it, and a delivery
    belongs to the nearest slot. In both, deliveries beyond the usual number of a slot fill the
    missing ones just before it, oldest first: a sender that caught up. What cannot be told apart by
    time is a correction that comes the moment after a loss; it fills the slot that was lost.
    """
    known = sorted(
        (delivery for delivery in arrived if delivery.delivered_at <= as_of),
        key=lambda delivery: delivery.delivered_at,
    )
    if not known and (watched_since is None or watched_since > as_of):
        return []
    if table.arrives_by is not None:
        places, filled = _daily(_Days.of(table), known, as_of, watched_since or as_of)
    elif table.arrives_every is not None:
        places, filled = _periodic(table, table.arrives_every, known, as_of, watched_since or as_of)
    else:
        return []
    usual = statistics.median_low([len(files) for files in filled if files] or [1])
    _catch_up(filled, usual)
    found = [
        _settled(table, place, files, usual, as_of)
        for place, files in zip(places, filled, strict=True)
        if files or until is None or place.expected_at + table.grace <= until
    ]
    if asked_at is None:
        return found
    return [
        replace(slot, state="nothing_new")
        if slot.state == "missing" and slot.expected_at <= asked_at
        else slot
        for slot in found
    ]


def _settled(
    table: Table, place: _Place, files: Sequence[Arrived], usual: int, as_of: datetime
) -> Slot:
    limit = place.expected_at + table.grace
    ends = limit
    if table.arrives_every is not None and files:
        ends = files[0].delivered_at + table.arrives_every / 2
    state: State = "missing" if as_of > limit else "awaited"
    if files:
        state = "late" if files[0].delivered_at > limit else "arrived"
    return Slot(
        name=place.name,
        expected_at=place.expected_at,
        limit=limit,
        season=place.season,
        state=state,
        arrived=tuple(files),
        complete=as_of > ends or len(files) >= usual,
    )


def _daily(
    days: _Days, known: Sequence[Arrived], as_of: datetime, watched_since: datetime
) -> tuple[list[_Place], _Filled]:
    first = days.next_due(watched_since)
    if known:
        enough = as_of - 7 * (WEEKS + 2) * DAY
        kept_from = min(enough, known[-1].delivered_at)
        first = days.of_delivery(max(known[0].delivered_at, kept_from))
    count = (days.of_delivery(as_of) - first).days + 1
    expected = [first + number * DAY for number in range(count)]
    places = [_Place(str(day), days.deadline(day), day.weekday()) for day in expected]
    filled: _Filled = [[] for _ in places]
    for delivery in known:
        if (day := days.of_delivery(delivery.delivered_at)) >= first:
            filled[(day - first).days].append(delivery)
    early = [
        place.expected_at - files[0].delivered_at
        for place, files in zip(places, filled, strict=True)
        if files
    ]
    lead = statistics.median_low(early) if early else timedelta(0)
    _move_late(places, filled, lead)
    return places, filled


def _move_late(places: Sequence[_Place], filled: _Filled, lead: timedelta) -> None:
    """Give to each missing slot what came nearer to its usual moment than to that of the next."""
    for number in range(1, len(places)):
        if filled[number - 1]:
            continue
        before, own = (places[n].expected_at - lead for n in (number - 1, number))
        middle = before + (own - before) / 2
        split = bisect_right(filled[number], middle, key=lambda delivery: delivery.delivered_at)
        filled[number - 1] = filled[number][:split]
        filled[number] = filled[number][split:]


def _periodic(
    table: Table,
    every: timedelta,
    known: Sequence[Arrived],
    as_of: datetime,
    watched_since: datetime,
) -> tuple[list[_Place], _Filled]:
    zone = ZoneInfo(table.arrives_timezone)
    moments: list[datetime] = []
    filled: _Filled = []
    anchor = watched_since
    if known:
        per_season = 7 if every == DAY else max(1, round(DAY / every))
        enough = as_of - (history_length(table) * per_season + 2 * per_season + 7) * every
        kept_from = min(enough, known[-1].delivered_at)
        known = [delivery for delivery in known if delivery.delivered_at >= kept_from]
        anchor = known[0].delivered_at
        moments, filled = [anchor], [[]]
    for delivery in known:
        # The nearest slot; of two as near, the earlier one.
        steps = math.ceil((delivery.delivered_at - anchor) / every - 0.5)
        moments += [anchor + step * every for step in range(1, steps + 1)]
        filled += [[] for _ in range(steps)]
        filled[-1].append(delivery)
        if steps > 0:
            anchor = delivery.delivered_at
    overdue = max(0, (as_of - anchor) // every)
    moments += [anchor + step * every for step in range(1, overdue + 1)]
    filled += [[] for _ in range(overdue)]
    came = [
        files[0].delivered_at if files else moment
        for moment, files in zip(moments, filled, strict=True)
    ]
    wall = [moment.astimezone(zone).replace(tzinfo=None) for moment in came]
    form = "%Y-%m-%d" if every >= DAY and every % DAY == timedelta(0) else "%Y-%m-%d %H:%M"
    places = [
        _Place(local.strftime(form), moment, _season(local, wall[0], every))
        for moment, local in zip(moments, wall, strict=True)
    ]
    return places, filled


def _season(local: datetime, first: datetime, every: timedelta) -> int:
    """Return the weekday of a daily feed, the part of the day of one with several a day, else 0."""
    midnight = first.replace(hour=0, minute=0, second=0, microsecond=0)
    # Moved so that the feed's own time lies in the middle of a season, not on its edge.
    middle = local - (first - midnight) + every / 2
    if every == DAY:
        return middle.weekday()
    if every > DAY or DAY % every:
        return 0
    return int((middle - middle.replace(hour=0, minute=0, second=0, microsecond=0)) / every)


def _catch_up(filled: _Filled, usual: int) -> None:
    """Give what a slot holds beyond the usual number of files to the missing ones just before it."""
    for number, files in enumerate(filled):
        if len(files) < 2 * usual:
            continue
        begins = number
        while begins and not filled[begins - 1]:
            begins -= 1
        for missing in range(begins, number):
            if len(files) < 2 * usual:
                break
            filled[missing] = files[:usual]
            files = files[usual:]  # noqa: PLW2901 - what is left of this slot
        filled[number] = files
