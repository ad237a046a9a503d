"""Scoring times: the moments at which a use case scores, and the blocks that they open."""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args
from zoneinfo import ZoneInfo

from pipelines.domain.block_length import BlockLength
from pipelines.domain.windows import local_moment

if TYPE_CHECKING:
    import pyarrow as pa

Weekday: TypeAlias = Literal[
    "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"
]

WEEKDAYS: tuple[Weekday, ...] = get_args(Weekday)
"""In the order of ``date.weekday()``."""

ONE_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoringTimes:
    """Every day, or every ``weekday``, ``at`` local time in an IANA ``timezone``.

    A block lasts from one scoring time to the next: a local day, or a week of them. So the clock on
    the wall is the same at every scoring time, and a block over a change of the clock is an hour
    shorter or longer. An hour that is skipped or comes twice gives one scoring time all the same.
    Moments are given and returned as UTC; local days are dates.
    """

    at: time
    timezone: str = "UTC"
    weekday: Weekday | None = None

    @property
    def block(self) -> BlockLength:
        """Return how long a block is."""
        return "day" if self.weekday is None else "week"

    @property
    def cron(self) -> str:
        """Return the cron expression of these times in their timezone; a day is 0 (Sunday) to 6.

        >>> ScoringTimes(at=time(9, 30), weekday="monday").cron
        '30 9 * * 1'
        """
        # Cron counts from Sunday, ``date.weekday()`` from Monday.
        day = "*" if self.weekday is None else f"{(WEEKDAYS.index(self.weekday) + 1) % 7}"
        return f"{self.at.minute} {self.at.hour} * * {day}"

    def describe(self) -> str:
        """Return the times in words.

        >>> ScoringTimes(at=time(9), timezone="Europe/London", weekday="monday").describe()
        'every monday at 09:00 Europe/London'
        """
        when = "daily" if self.weekday is None else f"every {self.weekday}"
        return f"{when} at {self.at:%H:%M} {self.timezone}"

    def between(self, since: datetime, until: datetime) -> list[datetime]:
        """Return every scoring time in [since, until), sorted.

        >>> from datetime import UTC
        >>> daily = ScoringTimes(at=time(5), timezone="America/New_York")
        >>> [moment.hour for moment in daily.between(
        ...     datetime(2013, 3, 9, tzinfo=UTC), datetime(2013, 3, 11, tzinfo=UTC))]
        [10, 9]
        """
        first, last = self._local_day(since), self._local_day(until)
        # One day more on both sides: a skipped hour may put a scoring time on the next date.
        times = self.of_days(first - ONE_DAY, last + ONE_DAY)
        return [moment for moment in times if since <= moment < until]

    def of_days(self, first: date, last: date) -> list[datetime]:
        """Return the scoring time of each local day in [first, last] that has one, sorted."""
        zone = ZoneInfo(self.timezone)
        days = (first + timedelta(days=number) for number in range((last - first).days + 1))
        return [local_moment(day, self.at, zone) for day in days if self._scores_on(day)]

    def after(self, moment: datetime) -> datetime:
        """Return the scoring time of the next local day that has one: of a scoring time, the end of its block."""
        day = self._first_day(self._local_day(moment) + ONE_DAY)
        return local_moment(day, self.at, ZoneInfo(self.timezone))

    def last(self, moment: datetime) -> datetime:
        """Return the newest scoring time that is not after ``moment``."""
        # Two blocks back there is one however the clock was changed.
        reach = timedelta(days=2 if self.weekday is None else 14)
        return self.between(moment - reach, moment + timedelta(microseconds=1))[-1]

    def blocks(self, since: datetime, until: datetime) -> list[tuple[datetime, datetime]]:
        """Return (scoring time, end of its block) for every scoring time in [since, until), sorted."""
        times = self.between(since, until)
        return [*pairwise(times), *((start, self.after(start)) for start in times[-1:])]

    def blocks_of(self, first: date, last: date) -> list[tuple[datetime, datetime]]:
        """Return the blocks that open on local days in [first, last], sorted."""
        return [(start, self.after(start)) for start in self.of_days(first, last)]

    def block_name(self, moment: datetime) -> str:
        """Return the ISO date of the local day of a scoring time, which names the block it opens.

        Of any other moment it is its own local day: the last that a block opened by then may have.
        """
        return self._local_day(moment).isoformat()

    def block_names(self, moments: "pa.ChunkedArray") -> list[str]:
        """Return the ``block_name`` of each of a column's moments; of equal ones it is found once."""
        found = moments.combine_chunks().dictionary_encode()
        names = [self.block_name(moment) for moment in found.dictionary.to_pylist()]
        return [names[place] for place in found.indices.to_pylist()]

    def first_block(self, moment: datetime) -> str:
        """Return the name of the first block that opens on the local day of ``moment`` or after it."""
        return self._first_day(self._local_day(moment)).isoformat()

    def _local_day(self, moment: datetime) -> date:
        return moment.astimezone(ZoneInfo(self.timezone)).date()

    def _first_day(self, day: date) -> date:
        """Return ``day`` if there is scored on it, else the next day on which there is."""
        while not self._scores_on(day):
            day += ONE_DAY
        return day

    def _scores_on(self, day: date) -> bool:
        return self.weekday is None or WEEKDAYS[day.weekday()] == self.weekday
