"""Feeds: which deliveries of a table are missing, empty, or of an unusual size, as values."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Literal
from zoneinfo import ZoneInfo

from pipelines.domain.contract import Files, Query, Table
from pipelines.domain.feed_slots import Slot, history_length
from pipelines.domain.volume_bands import Band, band

RECENT = timedelta(days=7)
"""How far back findings reach, or 7 slots where those are longer: what ended earlier is history."""

RECENT_SLOTS = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedFinding:
    """What is wrong with a feed: a missing delivery is never one of no rows.

    ``slot`` is the first that it is about, which stays the same for as long as it lasts, and
    ``since`` when it was expected (UTC).
    """

    table: str
    kind: Literal["missing", "empty", "volume"]
    slot: str
    since: datetime
    text: str


@dataclass(frozen=True, slots=True)
class Volume:
    """The rows of a slot against the band of its season, which is None while it is learned."""

    slot: Slot
    rows: int
    band: Band | None

    @property
    def outcome(self) -> Literal["learning", "usual", "empty", "unusual"]:
        """What the rows are by the band; without one, nothing is said of them."""
        if self.band is None:
            return "learning"
        if self.band.holds(self.rows):
            return "usual"
        return "unusual" if self.rows else "empty"


def volumes(table: Table, slots: Sequence[Slot]) -> list[Volume]:
    """Return the volume of every slot whose delivery is complete, by those of its season before."""
    earlier: dict[int, list[int]] = {}
    found = []
    for slot in slots:
        if slot.rows is None or not slot.complete:
            continue
        history = earlier.setdefault(slot.season, [])
        usual = band(history[-history_length(table) :])
        found.append(Volume(slot, slot.rows, usual and usual.widened(_clock_moved(table, slot))))
        history.append(slot.rows)
    return found


def findings(
    table: Table, slots: Sequence[Slot], *, use_case: str, owner: str, as_of: datetime
) -> tuple[FeedFinding, ...]:
    """Return what is wrong with the feed now or was lately, oldest first.

    Slots that are missing one after the other are one finding.
    """
    return tuple(
        sorted(
            [*_missing(table, slots, use_case, owner, as_of), *_unusual(table, slots, as_of)],
            key=lambda finding: finding.since,
        )
    )


def _clock_moved(table: Table, slot: Slot) -> float:
    """Return the share of a period by which the local clock moved in it; 0 on most days."""
    every = table.arrives_every
    if every is None or every > timedelta(days=1):
        return 0.0
    zone, at = ZoneInfo(table.arrives_timezone), slot.arrived[0].delivered_at
    before, after = ((at - ago).astimezone(zone).utcoffset() for ago in (every, timedelta(0)))
    return abs(after - before) / every if before is not None and after is not None else 0.0


def _missing(
    table: Table, slots: Sequence[Slot], use_case: str, owner: str, as_of: datetime
) -> Iterator[FeedFinding]:
    last = "it never delivered"
    going_on = {slot.name for slot in _trailing(slots)}
    for missing, run in groupby(slots, key=lambda slot: slot.state == "missing"):
        lost = list(run)
        if not missing:
            came = [d.delivered_at for slot in lost for d in slot.arrived]
            last = f"the last delivery before came {_utc(max(came))}" if came else last
            continue
        if lost[-1].name not in going_on and lost[-1].limit < _since(table, as_of):
            continue
        first, count = lost[0], len(lost)
        which = first.name if count == 1 else f"{first.name} to {lost[-1].name}, {count} deliveries"
        yield FeedFinding(
            table=table.name,
            kind="missing",
            slot=first.name,
            since=first.expected_at,
            text=f"MISSING {which}: expected {_when(table)} since {_utc(first.expected_at)}, with "
            f"grace until {_utc(first.limit)}, {_where(table, use_case)}; {last}; owner {owner}",
        )


def _trailing(slots: Sequence[Slot]) -> Iterator[Slot]:
    """Yield the slots after the last one that was filled."""
    for slot in reversed(slots):
        if slot.state not in {"missing", "awaited"}:
            return
        yield slot


def _unusual(table: Table, slots: Sequence[Slot], as_of: datetime) -> Iterator[FeedFinding]:
    for volume in volumes(table, slots):
        slot, usual = volume.slot, volume.band
        if usual is None or volume.outcome == "usual" or slot.limit < _since(table, as_of):
            continue
        empty = volume.outcome == "empty"
        files = f"{len(slot.arrived)} file{'s' if len(slot.arrived) > 1 else ''}"
        yield FeedFinding(
            table=table.name,
            kind="empty" if empty else "volume",
            slot=slot.name,
            since=slot.expected_at,
            text=f"{'EMPTY ' if empty else ''}{slot.name}: delivered, {files} with "
            f"{volume.rows:,} rows; usual are {usual.usual:,.0f}, "
            f"between {max(0, usual.low):,.0f} and {usual.high:,.0f}",
        )


def _since(table: Table, as_of: datetime) -> datetime:
    return as_of - max(RECENT, RECENT_SLOTS * (table.arrives_every or timedelta(0)))


def _where(table: Table, use_case: str) -> str:
    if isinstance(table.source, Files):
        return f"in landing/{use_case}/{table.source.pattern}"
    if isinstance(table.source, Query):
        return f"from connection {table.source.connection}"
    return "from the Delta table it is read from"


def _when(table: Table) -> str:
    if table.arrives_every is not None:
        return f"every {table.arrives_every / timedelta(hours=1):g} hours"
    return f"by {table.arrives_by:%H:%M} {table.arrives_timezone}"


def _utc(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
