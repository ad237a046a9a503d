"""Great Expectations' expectations about a whole table, as aggregates and bounds."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from pipelines.domain.check_plan import STAGED, Bound
from pipelines.domain.sql_text import literal, quoted, typed

NUMBERS = ("int64", "double", "bool")
MOMENTS = ("date", "timestamp[UTC]")
"""Contract types that have an order but no sum; their bounds are microseconds since 1970, UTC."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

NONE_LEFT = Bound(maximum=0)
"""For an aggregate that counts what should not be."""

BETWEEN_NOTHING = {"linear": 0.0, "midpoint": 0.5}
"""pandas' ways of reading a quantile between two values; the others name one of them."""

PLACES = {
    "nearest": "round_even({at}, 0)",
    "lower": "floor({at})",
    "higher": "ceil({at})",
}
"""SQL of the place, from 0, that a quantile at ``at`` reads, by pandas' name of the way."""


class UnlikeColumnError(ValueError):
    """A keyword of another type than the column's: what was ``expected``, and what was ``found``."""

    def __init__(self, expected: str, found: object) -> None:
        self.expected, self.found = expected, f"'{found}'"
        super().__init__(f"expected {self.expected}; found {self.found}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Aggregate:
    """Aggregates over ``source`` (by default the staged rows), and the bound of each."""

    values: tuple[str, ...]
    bounds: tuple[Bound, ...]
    source: str = ""
    shown: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """An expectation's keywords, as GX completed them, its column's type, and its rows.

    ``domain`` is the predicate of the rows that count, "" for all.
    """

    kwargs: Mapping[str, Any]
    column_type: str
    domain: str

    @property
    def column(self) -> str:
        """The column as SQL, a boolean as a number."""
        name = quoted(self.kwargs["column"])
        return f"CAST({name} AS INTEGER)" if self.column_type == "bool" else name

    @property
    def only(self) -> str:
        """The FILTER clause of an aggregate over the staged rows."""
        return f" FILTER (WHERE {self.domain})" if self.domain else ""

    @property
    def counted(self) -> str:
        """A relation of the column's distinct values and the ``rows`` that hold each."""
        name = quoted(self.kwargs["column"])
        where = " AND ".join(part for part in (self.domain, f"{name} IS NOT NULL") if part)
        return (
            f"(SELECT {name} AS value, count(*) AS rows FROM {STAGED} WHERE {where} GROUP BY value)"  # noqa: S608 - the plan's SQL
        )


def aggregate(expectation_type: str, asked: Asked) -> Aggregate | None:
    """Return an expectation about the whole table as SQL; None for one that does not compile.

    Raises UnlikeColumnError for bounds of another type than the column's.
    """
    compiled = COMPILED.get(expectation_type)
    return compiled(asked) if compiled else None


def _between(asked: Asked) -> Bound:
    """Return the bound of a plain number."""
    low, high = asked.kwargs.get("min_value"), asked.kwargs.get("max_value")
    for value in (low, high):
        if not isinstance(value, int | float | None):
            raise UnlikeColumnError("bounds that are numbers", value)
    return Bound(
        minimum=low,
        maximum=high,
        strict_minimum=bool(asked.kwargs.get("strict_min")),
        strict_maximum=bool(asked.kwargs.get("strict_max")),
    )


def _row_count(asked: Asked) -> Aggregate:
    return Aggregate(values=(f"count(*){asked.only}",), bounds=(_between(asked),))


def _row_count_equal(asked: Asked) -> Aggregate:
    value = asked.kwargs["value"]
    bound = Bound(minimum=value, maximum=value)
    return Aggregate(values=(f"count(*){asked.only}",), bounds=(bound,))


def _extreme(function: str) -> Callable[[Asked], Aggregate | None]:
    def compiled(asked: Asked) -> Aggregate | None:
        value = f"{function}({asked.column}){asked.only}"
        if asked.column_type in NUMBERS:
            return Aggregate(values=(value,), bounds=(_between(asked),))
        if asked.column_type not in MOMENTS:
            return None
        limits = {
            key: None if asked.kwargs.get(key) is None else _microseconds(asked.kwargs[key])
            for key in ("min_value", "max_value")
        }
        bound = _between(_with(asked, **limits))
        return Aggregate(values=(f"epoch_us({value})",), bounds=(bound,), shown=False)

    return compiled


def _with(asked: Asked, **kwargs: object) -> Asked:
    return Asked(
        kwargs={**asked.kwargs, **kwargs}, column_type=asked.column_type, domain=asked.domain
    )


def _microseconds(value: object) -> int:
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if not isinstance(value, date):
        raise UnlikeColumnError("bounds that are dates or times", value)
    moment = value if isinstance(value, datetime) else datetime.combine(value, time())
    since = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - EPOCH
    return since // timedelta(microseconds=1)


def _number(template: str) -> Callable[[Asked], Aggregate | None]:
    """Return a compiler of one aggregate over a column of numbers."""

    def compiled(asked: Asked) -> Aggregate | None:
        if asked.column_type not in NUMBERS:
            return None
        value = template.format(column=asked.column, only=asked.only)
        return Aggregate(values=(value,), bounds=(_between(asked),))

    return compiled


def _present(asked: Asked) -> Aggregate:
    total = f"count(*){asked.only}"
    present = f"count({asked.column}){asked.only}"
    share = f"CASE WHEN {total} = 0 THEN 0 ELSE {present} / {total} END"
    return Aggregate(values=(share,), bounds=(_between(asked),))


def _distinct(value: str) -> Callable[[Asked], Aggregate]:
    def compiled(asked: Asked) -> Aggregate:
        return Aggregate(values=(value,), bounds=(_between(asked),), source=asked.counted)

    return compiled


def _distinct_set(*, allowed: bool, required: bool) -> Callable[[Asked], Aggregate]:
    """Return a compiler of a set that holds every value, or of which the column holds every one."""

    def compiled(asked: Asked) -> Aggregate:
        expected = {
            typed(value, asked.column_type) for value in asked.kwargs.get("value_set") or []
        }
        within, values = _within(expected), []
        if allowed:
            values.append(f"count(*) FILTER (WHERE NOT {within})")
        if required:
            # No column holds a missing value, so a set that asks for one is never contained.
            values.append(f"{len(expected)} - count(*) FILTER (WHERE {within})")
        return Aggregate(
            values=tuple(values),
            bounds=(NONE_LEFT,) * len(values),
            source=asked.counted,
            shown=False,
        )

    return compiled


def _within(values: Iterable[object]) -> str:
    known = sorted(literal(value) for value in values if value is not None)
    return f"(value IN ({', '.join(known)}))" if known else "FALSE"


def _mode(asked: Asked) -> Aggregate:
    expected = asked.kwargs.get("value_set") or []
    within = _within(typed(value, asked.column_type) for value in expected)
    hits = f"count(*) FILTER (WHERE {within})"
    ties = "" if asked.kwargs.get("ties_okay") else "count(*) = 1 AND "
    return Aggregate(
        values=(f"CAST({ties}{hits} > 0 AS INTEGER)",),
        bounds=(Bound(minimum=1),),
        source=f"(WITH counted AS MATERIALIZED {asked.counted} SELECT value FROM counted"  # noqa: S608 - the plan's SQL
        " WHERE rows = (SELECT max(rows) FROM counted))",
        shown=False,
    )


def _quantiles(asked: Asked) -> Aggregate | None:
    way = asked.kwargs.get("allow_relative_error") or "nearest"
    ranges = asked.kwargs["quantile_ranges"]
    if asked.column_type not in ("int64", "double") or way not in (*PLACES, *BETWEEN_NOTHING):
        return None
    ranges = ranges if isinstance(ranges, dict) else ranges.dict()
    where = " AND ".join(part for part in (asked.domain, f"{asked.column} IS NOT NULL") if part)
    return Aggregate(
        values=tuple(_quantile(float(quantile), way) for quantile in ranges["quantiles"]),
        bounds=tuple(
            Bound(minimum=low, maximum=high, closely=True) for low, high in ranges["value_ranges"]
        ),
        source=f"(SELECT {asked.column} AS value, count(*) OVER () AS rows,"  # noqa: S608 - the plan's SQL
        f" row_number() OVER (ORDER BY {asked.column}) - 1 AS place FROM {STAGED} WHERE {where})",
        shown=False,
    )


def _quantile(quantile: float, way: str) -> str:
    at = f"({quantile!r}::DOUBLE * (rows - 1))"
    if way in PLACES:
        return f"max(value) FILTER (WHERE place = {PLACES[way].format(at=at)})"
    low = f"max(value::DOUBLE) FILTER (WHERE place = floor({at}))"
    high = f"max(value::DOUBLE) FILTER (WHERE place = ceil({at}))"
    share = "0.5" if way == "midpoint" else f"max({at} - floor({at}))"
    return f"{low} + ({high} - {low}) * {share}"


COMPILED: Mapping[str, Callable[[Asked], Aggregate | None]] = {
    "expect_table_row_count_to_be_between": _row_count,
    "expect_table_row_count_to_equal": _row_count_equal,
    "expect_column_max_to_be_between": _extreme("max"),
    "expect_column_min_to_be_between": _extreme("min"),
    "expect_column_mean_to_be_between": _number("avg({column}){only}"),
    "expect_column_median_to_be_between": _number("median({column}){only}"),
    "expect_column_stdev_to_be_between": _number("stddev_samp({column}){only}"),
    # The sum of nothing is 0, as pandas has it.
    "expect_column_sum_to_be_between": _number("coalesce(sum({column}){only}, 0)"),
    "expect_column_proportion_of_non_null_values_to_be_between": _present,
    "expect_column_unique_value_count_to_be_between": _distinct("count(*)"),
    "expect_column_proportion_of_unique_values_to_be_between": _distinct(
        "coalesce(count(*) / sum(rows), 0)"
    ),
    "expect_column_distinct_values_to_be_in_set": _distinct_set(allowed=True, required=False),
    "expect_column_distinct_values_to_contain_set": _distinct_set(allowed=False, required=True),
    "expect_column_distinct_values_to_equal_set": _distinct_set(allowed=True, required=True),
    "expect_column_most_common_value_to_be_in_set": _mode,
    "expect_column_quantile_values_to_be_between": _quantiles,
}
