"""Profile: what the columns of a table hold, as plain values."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TypeAlias

Cell: TypeAlias = bool | int | float | str | date | datetime

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
"""Shares of the values at or below each quantile."""

MOST_BINS = 24
"""Bins of one histogram: as many as are still told apart in a line of a terminal."""

MOST_LETTERS = 60
"""Letters of a text value that a profile keeps; a longer one ends in an ellipsis."""

ELLIPSIS = "…"

MOMENTS = ("date", "timestamp[UTC]")
"""Contract types whose bins are counted in microseconds since 1970, UTC."""

SECOND, HOUR, DAY = 1_000_000, 3_600_000_000, 86_400_000_000
"""Microseconds."""

STEPS_OF_TIME = (
    *(n * SECOND for n in (1, 5, 15, 60, 300, 900)),
    *(n * HOUR for n in (1, 3, 6, 12)),
    *(n * DAY for n in (1, 2, 7, 14, 28, 91, 182, 364, 1820, 3640, 36400)),
)
"""Widths of a bin of time that a reader knows; above a day whole weeks."""

LARGEST_WRITTEN_OUT = 1e15
"""A larger number is shown with an exponent."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

FIRST_SECOND = (datetime(1, 1, 1, tzinfo=UTC) - EPOCH) // timedelta(seconds=1)
LAST_SECOND = (datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC) - EPOCH) // timedelta(seconds=1)
"""Seconds since 1970 of the first and last moment that Python's calendar has."""

BARS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bins:
    """``count`` bins of one ``width`` from ``start``; each holds its lower edge."""

    start: float
    width: float
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """The ``rows`` whose value is in [low, high)."""

    low: Cell
    high: Cell
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Frequent:
    """A value and the exact number of rows that hold it."""

    value: Cell
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnProfile:
    """What one column holds in ``rows`` rows; everything but ``missing`` is about the others.

    ``most_missing`` is the largest share in [0, 1] of one delivery's rows without a finite value.
    ``not_finite`` counts NaN, infinity and moments outside the years 1 to 9999, which no other
    number here includes. ``distinct`` and ``quantiles`` (by share) are estimates unless
    ``distinct_is_exact``; the rest is exact. A column of texts has lengths in place of mean,
    deviation and quantiles; its minimum and maximum are the first and last in the order of code
    points. ``frequent`` is the most frequent first; it is all values where ``frequent_are_all``.
    """

    name: str
    type: str
    nullable: bool
    rows: int
    missing: int
    most_missing: float = 0.0
    not_finite: int = 0
    distinct: int = 0
    distinct_is_exact: bool = True
    minimum: Cell | None = None
    maximum: Cell | None = None
    mean: Cell | None = None
    deviation: float | None = None
    quantiles: tuple[tuple[float, Cell], ...] = ()
    shortest: int | None = None
    longest: int | None = None
    frequent: tuple[Frequent, ...] = ()
    frequent_are_all: bool = False
    bins: tuple[Bin, ...] = ()
    examples: tuple[Cell, ...] = ()

    @property
    def present(self) -> int:
        """Rows that hold a value, finite or not."""
        return self.rows - self.missing

    def quantile(self, share: float) -> Cell | None:
        """Return the value at one of QUANTILES; None for a column without."""
        return dict(self.quantiles).get(share)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What a table, or one file of it, holds: every accepted version of its rows.

    ``keys`` counts the keys; ``repeated_keys`` those with more than one version, of which one has
    ``most_versions``. ``known_from`` and ``known_until`` are the bounds of ``known_at``, None for a
    file, which was not delivered. ``source`` says in words what was read.
    """

    use_case: str
    table: str
    source: str
    as_of: datetime | None
    rows: int
    deliveries: int
    keys: int
    repeated_keys: int
    most_versions: int
    known_from: datetime | None
    known_until: datetime | None
    columns: tuple[ColumnProfile, ...]

    def as_json(self) -> dict[str, object]:
        """Return all of it as JSON holds it: dates and moments are ISO texts."""
        found = _as_json(asdict(self))
        assert isinstance(found, dict)  # noqa: S101 - narrows the type
        return found

    def over(self) -> str:
        """Return in words what the numbers rest on: rows, and the days in which they came."""
        rows = f"{self.rows:,} rows"
        if self.known_from is None or self.known_until is None:
            return f"{rows} of one file"
        days = (self.known_until - self.known_from).days + 1
        return f"{rows} over {days:,} {'day' if days == 1 else 'days'}"


def bins_between(low: float, high: float, column_type: str) -> Bins:
    """Return at most MOST_BINS bins of a round width that hold both ends.

    Ends of MOMENTS are microseconds since 1970.

    >>> bins_between(17, 4983, "int64")
    Bins(start=0, width=250, count=20)
    """
    width = _width(low, high, column_type)
    # Not math.floor of a quotient: whole numbers beyond 2^53 stay whole.
    start = low // width * width
    count = int((high - start) // width) + 1
    return Bins(start=start, width=width, count=max(1, min(count, MOST_BINS)))


def counted(bins: Bins, rows: dict[int, int], column_type: str) -> tuple[Bin, ...]:
    """Return every bin with its rows, by place; a bin that ``rows`` lacks is empty."""
    edges = [bins.start + place * bins.width for place in range(bins.count + 1)]
    cells = [cell_at(edge, column_type) for edge in edges]
    return tuple(
        Bin(low=cells[place], high=cells[place + 1], rows=rows.get(place, 0))
        for place in range(bins.count)
    )


def quantiles_of(rows: Mapping[Cell, int]) -> tuple[tuple[float, Cell], ...]:
    """Return for each of QUANTILES the least value that has this share of all at or below it.

    >>> dict(quantiles_of({1: 98, 7: 1, 9: 1}))[0.99]
    7
    """
    total, below, found = sum(rows.values()), 0, []
    ordered = iter(sorted(rows.items(), key=lambda pair: pair[0]))
    for part in QUANTILES:
        while below < part * total - 1e-9:
            value, count = next(ordered)
            below += count
        found.append((part, value))
    return tuple(found)


def cell_at(number: float, column_type: str) -> Cell:
    """Return a number on a column's axis as a value of its type, to the second for a moment."""
    if column_type not in MOMENTS:
        return round(number) if column_type == "int64" else _plain(number)
    # A bin's edge may lie beyond the calendar.
    seconds = max(FIRST_SECOND, min(LAST_SECOND, round(number / SECOND)))
    moment = EPOCH + timedelta(seconds=seconds)
    return moment.date() if column_type == "date" else moment


def cut(value: Cell) -> Cell:
    """Return a value as a profile keeps it: a text of at most MOST_LETTERS letters."""
    if isinstance(value, str) and len(value) > MOST_LETTERS:
        return value[:MOST_LETTERS] + ELLIPSIS
    return value


def shown(value: Cell | None) -> str:
    """Return a value as a person reads it: four significant digits, seconds.

    >>> shown(1234567.891), shown(0.00012345), shown(None)
    ('1,234,568', '0.0001234', '')
    """
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M" + (":%S" if value.second else ""))
    if isinstance(value, float):
        large = 1000 <= abs(value) < LARGEST_WRITTEN_OUT
        return f"{value:,.0f}" if large else f"{value:.4g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return "" if value is None else str(value)


def share(part: int, whole: int) -> str:
    """Return a share as a person reads it; a part that is not all or nothing never looks so.

    >>> share(1, 100_000), share(99_999, 100_000), share(1, 8), share(0, 0)
    ('<0.1 %', '>99.9 %', '12.5 %', '0 %')
    """
    if part == 0 or whole == 0:
        return "0 %"
    if part == whole:
        return "100 %"
    percent = 100 * part / whole
    if percent < 0.1:
        return "<0.1 %"
    return ">99.9 %" if percent > 99.9 else f"{percent:.1f} %"


def not_finite_name(column: ColumnProfile) -> str:
    """Return what ``not_finite`` counts in a column of this type."""
    return "NaN or infinite" if column.type == "double" else "Outside the calendar"


def bars(rows: Iterable[int]) -> str:
    """Return a histogram as letters, the fullest bin the highest; an empty bin is a blank.

    >>> bars([0, 1, 50, 100])
    ' ▁▄█'
    """
    counts = list(rows)
    top = max(counts, default=0)
    return "".join(BARS[max(0, math.ceil(8 * n / top) - 1)] if n else " " for n in counts)


def _width(low: float, high: float, column_type: str) -> float:
    least = (high - low) / (MOST_BINS - 1)
    if column_type in MOMENTS:
        steps = [step for step in STEPS_OF_TIME if column_type != "date" or step >= DAY]
        return next((step for step in steps if step >= least), max(least, steps[-1]))
    if least <= 0:
        return 1
    size = 10.0 ** math.floor(math.log10(least))
    width = next(size * n for n in (1, 2, 2.5, 5, 10) if size * n >= least * (1 - 1e-9))
    if column_type == "int64":
        return max(1, math.ceil(width))
    return width


def _plain(number: float) -> int | float:
    """Return a bin's edge without the tail of digits that adding up widths leaves."""
    rounded = float(f"{number:.12g}")
    return int(rounded) if rounded.is_integer() and abs(rounded) < 1e15 else rounded


def _as_json(value: object) -> object:
    if isinstance(value, dict):
        return {name: _as_json(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_as_json(part) for part in value]
    return value.isoformat() if isinstance(value, date) else value
