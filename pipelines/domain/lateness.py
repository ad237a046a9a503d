"""Lateness: which windows were scored without rows that were known, or that came while they lasted."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pipelines.domain.contract import Table
from pipelines.domain.feed_slots import DAY, is_stale
from pipelines.domain.scoring import LateWindow

TICK = timedelta(microseconds=1)
"""The resolution of every moment in the lake."""

MOST_MOMENTS = 12
"""Moments at which a window is scored again for one table: a sender that catches up file by file
would otherwise have every file's moment scored."""

UNFINISHED = "late: a rescore of its window was cut off"
"""Reason of predictions that lie on an older generation than the one that stands below them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What was known at ``since`` (UTC) and later was changed by publication ``number`` of a table.

    What was made from the table at such a time before that publication is stale. ``taken_in`` is the
    as_of of the run that published it; None where an earlier release did.
    """

    number: int
    reason: str
    since: datetime
    taken_in: datetime | None = None


Marks = Mapping[str, Sequence[Mark]]
"""Table -> its marks, oldest publication first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Feature rows as of one time, as they were once made: their digest, and what they had seen.

    ``seen`` is the number of the last marked publication of each table that they were made from.
    """

    as_of: datetime
    digest: str
    seen: Mapping[str, int]
    edition: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """The predictions of a window that were made as of one time, from feature rows of one digest.

    They are of entities with event time from ``as_of`` to the window's next segment. ``features``
    is the start of the feature view's digest; ``stale`` names the tables older than promised.
    """

    scored_for: datetime
    as_of: datetime
    features: str
    digest: str
    stale: tuple[str, ...]
    generation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """What came of a table around a window: its newest delivery at the scoring time, and each later.

    ``later`` ends with the window, and is sorted.
    """

    table: Table
    newest: datetime | None
    later: tuple[datetime, ...]

    def is_stale(self, as_of: datetime) -> bool:
        """Tell whether the table was older than promised at a time not before the scoring time."""
        newest = max((m for m in self.later if m <= as_of), default=self.newest)
        return is_stale(self.table, newest, as_of)


def missing_came(feed: Feed, *, scored_for: datetime) -> list[datetime]:
    """Return when what a table lacked at ``scored_for`` came: no moment where it lacked nothing.

    What was missing is the first delivery after and all that follow within half a period: a sender
    that catches up sends the oldest first.
    """
    if not feed.later or not feed.is_stale(scored_for):
        return []
    last = feed.later[0] + (feed.table.arrives_every or DAY) / 2
    burst = [moment for moment in feed.later if moment <= last]
    return [*burst[: MOST_MOMENTS - 1], *burst[MOST_MOMENTS - 1 :][-1:]]


def fresh_from(table: Table, scored_for: datetime) -> datetime:
    """Return a moment before which no delivery leaves a table fresh at ``scored_for``."""
    return scored_for - table.grace - (table.arrives_every or 3 * DAY)


def rescored_at(moment: datetime) -> datetime:
    """Return the as_of at which what came at ``moment`` is known, and which is no scoring time.

    Scoring times are whole seconds; feature rows are told apart by their as_of alone.
    """
    return moment if moment.microsecond else moment + TICK


def late(
    segments: Sequence[Segment],
    blocks: Mapping[datetime, Sequence[Block]],
    marks: Marks,
    came: Mapping[datetime, Sequence[str]],
    *,
    until: datetime,
    as_of: datetime,
) -> list[LateWindow]:
    """Return what of one window is to be scored again, oldest as_of first.

    ``segments`` stand, sorted by as_of; ``blocks`` are by as_of, oldest edition first; ``came`` holds
    the moments at which something missing came, each with the names of its tables. The window ends
    at ``until``. Predictions as of a later time lie on those as of an earlier one, so they follow
    whenever those are made again.
    """
    standing = {segment.as_of: segment for segment in segments}
    wanted = {rescored_at(m): names for m, names in came.items() if m <= as_of}
    begins = sorted({*standing, *(moment for moment in wanted if moment < until)})
    found: list[LateWindow] = []
    below = 0
    for start in begins:
        segment = standing.get(start)
        if segment is None:
            reason = _missing(wanted[start], segments[0].scored_for, start)
        else:
            reason = changed(segment, blocks.get(start, ()), marks)
            if not reason and (found or segment.generation < below):
                reason = found[-1].reason if found else UNFINISHED
            below = max(below, segment.generation)
        if reason:
            found.append(
                LateWindow(
                    scored_for=segments[0].scored_for, as_of=start, until=until, reason=reason
                )
            )
    return found


def late_refused(
    feeds: Sequence[Feed], marks: Marks, *, scored_for: datetime, until: datetime, as_of: datetime
) -> LateWindow | None:
    """Return a window that was refused because a table was stale, once none is; else None.

    It is scored as of its own time where everything was known then and only taken in later, by
    ``as_of``; else as of the first delivery after which nothing was missing any more.
    """
    stale = [feed for feed in feeds if feed.is_stale(scored_for)]
    if not stale:
        late = [
            (table, mark)
            for table, told in marks.items()
            for mark in told
            if mark.since <= scored_for < (mark.taken_in or scored_for) <= as_of
        ]
        if not late:
            return None  # it was not scored yet, or for another reason
        reason = _told(*max(late, key=lambda found: (found[1].since, found[0])))
        return LateWindow(scored_for=scored_for, as_of=scored_for, until=until, reason=reason)
    moments = {m for feed in stale for m in missing_came(feed, scored_for=scored_for)}
    for start in sorted(map(rescored_at, moments)):
        if start <= as_of and start < until and not any(feed.is_stale(start) for feed in feeds):
            reason = _missing([feed.table.name for feed in stale], scored_for, start)
            return LateWindow(scored_for=scored_for, as_of=start, until=until, reason=reason)
    return None


def _missing(names: Sequence[str], scored_for: datetime, came: datetime) -> str:
    tables = ", ".join(names)
    return f"late: {tables} missing at {_utc(scored_for)}, delivered {_utc(came)}"


def changed(segment: Segment, blocks: Sequence[Block], marks: Marks) -> str:
    """Return why the segment's rows are no more what was known at its time; empty when they are.

    ``blocks`` are those of its time and view, oldest edition first; without any nothing is said.
    """
    if not blocks:
        return ""
    newest = blocks[-1]
    made = [block for block in blocks if block.digest == segment.digest] or [newest]
    # Of equal rows the last that were looked at: what came before changed nothing.
    missed = list(_since(made[-1], marks, segment.as_of))
    if newest.digest == segment.digest and not missed:
        return ""
    if not missed:
        return "late: the feature rows of its time were made again since"
    table, mark = min(missed, key=lambda found: (found[1].since, found[0]))
    others = sorted({name for name, _ in missed} - {table})
    return _told(table, mark) + (f"; also {', '.join(others)}" if others else "")


def _since(block: Block, marks: Marks, as_of: datetime) -> Iterator[tuple[str, Mark]]:
    """Yield the publications that the block has not seen and that concern its time."""
    for table, told in marks.items():
        for mark in told:
            if mark.number > block.seen.get(table, 0) and mark.since <= as_of:
                yield table, mark


def _told(table: str, mark: Mark) -> str:
    if mark.reason == "ingest":
        taken_in = f", taken in {_utc(mark.taken_in)}" if mark.taken_in else ""
        return f"late: {table} delivered {_utc(mark.since)}{taken_in}"
    at = f" at {_utc(mark.taken_in)}" if mark.taken_in else ""
    return f"late: {mark.reason} of {table}{at}, from {_utc(mark.since)} on"


def _utc(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
