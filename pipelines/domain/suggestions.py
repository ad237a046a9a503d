"""Suggestions: a starting suite from a profile, each rule with the evidence it rests on."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.domain.contract import Table
from pipelines.domain.profile import MOST_LETTERS, ColumnProfile, Profile, share, shown

LEAST_VALUES = 100
"""Values of a column below which nothing is suggested: too few is no evidence."""

MOST_SET_VALUES = 20
"""Distinct texts up to which they are suggested as a set: a reviewer reads them all."""

LEAST_REPEATS = 10
"""Rows per distinct text on average from which its values look like a set and not like names."""

UNSEEN = 3
"""Rows added to those counted: of what was never seen in n rows, at most 3/n with 95 % confidence
(the rule of three; Hanley and Lippman-Hand, JAMA 1983)."""

DEVIATIONS = 3
"""Standard deviations by which a delivery of usual size may exceed a share."""

TIMES_WORST = 2
"""What is missing comes in bad days rather than by chance, and the worst was hardly seen yet."""

LEAST_MOSTLY = 0.5
"""A rule that would have to allow for more than half of the rows is left out."""

MARGIN = 0.5
"""Share of its range by which a range is widened at each end, at least: with a tenth, a week of
January's weather raised an alarm in every second delivery of the next seven weeks; with half, in
every seventh (docs/profile.md)."""

FAR = 10
"""An extreme so many times the middle 98 % away from them is taken for a mistake, not for a bound."""

FAR_MOSTLY = 0.99
"""Share of the rows that a range without far extremes asks for: it rests on the middle 98 %."""

UNLIMITED = 0.9
"""Distinct values per value from which whole numbers are taken for names, which have no range."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A column that got no rule, and why: too few values is not the same as nothing to say."""

    column: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestions:
    """Expectations in GX's JSON form, by column in the contract's order, and columns without one."""

    name: str
    expectations: tuple[Mapping[str, Any], ...]
    left_out: tuple[LeftOut, ...]

    def suite(self) -> dict[str, Any]:
        """Return the suite in GX's JSON form."""
        return {"name": self.name, "expectations": [dict(entry) for entry in self.expectations]}


def suggest(profile: Profile, table: Table) -> Suggestions:
    """Return rules that the profiled rows keep, with margins, of severity "warning".

    None repeats the contract: not that a required column is filled, not types, not keys. Moments
    and booleans get no bounds: moments grow, and both values of a boolean are sound.
    """
    expectations: list[Mapping[str, Any]] = []
    left_out = []
    for column in profile.columns:
        if column.present < LEAST_VALUES:
            reason = f"too few values to judge: {column.present:,} of at least {LEAST_VALUES}"
            left_out.append(LeftOut(column.name, reason))
            continue
        rules = [*_missing(column, profile), *_values(column, profile, table)]
        expectations += rules
        if not rules:
            left_out.append(LeftOut(column.name, _reason(column, table)))
    return Suggestions(
        name=f"{profile.use_case}.{profile.table}",
        expectations=tuple(expectations),
        left_out=tuple(left_out),
    )


def mostly(deviating: int, rows: int, deliveries: int, worst: float = 0.0) -> float | None:
    """Return the share of rows to ask for where ``deviating`` of ``rows`` did not comply.

    The share that may deviate is the counted one plus the rule of three, plus what chance adds in a
    delivery of usual size; or twice the share of the ``worst`` delivery, where that is more. None
    where a rule would say too little.

    >>> mostly(0, 26_387, 30), mostly(131, 5_166, 6), mostly(131, 5_166, 6, worst=0.1)
    (0.998, 0.957, 0.8)
    """
    expected = min(1.0, (deviating + UNSEEN) / rows)
    usual = rows / max(1, deliveries)
    allowed = expected + DEVIATIONS * math.sqrt(expected * (1 - expected) / usual)
    allowed = max(allowed, TIMES_WORST * worst)
    asked = math.floor((1 - allowed) * 1000) / 1000
    return asked if asked >= LEAST_MOSTLY else None


def widened(column: ColumnProfile) -> tuple[float, float, bool] | None:
    """Return the bounds to ask of a column of numbers, and whether extremes were left outside.

    Each end moves outwards by half of the range, or by its distance to the first or last of a
    hundred values where that is more: a thin tail grows longer. It never crosses zero. An end that
    lies FAR outside is left outside, and the middle 98 % are widened by their own width.
    """
    low, high = column.minimum, column.maximum
    first, last = column.quantile(0.01), column.quantile(0.99)
    numbers = [low, high, first, last]
    if not all(isinstance(n, int | float) and not isinstance(n, bool) for n in numbers):
        return None
    assert isinstance(low, int | float) and isinstance(high, int | float)  # noqa: S101, PT018 - narrows
    assert isinstance(first, int | float) and isinstance(last, int | float)  # noqa: S101, PT018 - narrows
    middle = last - first
    # Few values are seen whole: their quantiles say nothing of how far they reach.
    measured = column.distinct > MOST_SET_VALUES
    below = measured and first - low > FAR * middle > 0
    above = measured and high - last > FAR * middle > 0
    lowest, highest = (first if below else low), (last if above else high)
    margin = MARGIN * (highest - lowest)
    lower = lowest - (middle if below else max(margin, first - lowest))
    upper = highest + (middle if above else max(margin, highest - last))
    if lowest >= 0:
        lower = max(lower, 0)
    if highest <= 0:
        upper = min(upper, 0)
    lower, upper = _outwards(lower, upper)
    return lower, upper, below or above


def _missing(column: ColumnProfile, profile: Profile) -> Iterator[Mapping[str, Any]]:
    if not column.nullable:
        return
    # A check sees NaN as missing; infinity, counted here too, only makes the rule more lenient.
    missing = column.missing + column.not_finite
    asked = mostly(missing, column.rows, profile.deliveries, column.most_missing)
    worst = ""
    if profile.deliveries > 1 and missing:
        share_of_one = f"{100 * column.most_missing:.1f} %"
        worst = f", {share_of_one} in the worst of {profile.deliveries:,} deliveries"
    if asked is not None:
        yield _rule(
            "expect_column_values_to_not_be_null",
            {"column": column.name, "mostly": asked},
            f"{missing:,} of {column.rows:,} rows empty ({share(missing, column.rows)})"
            f"{worst}, {_span(profile)}",
        )


def _values(column: ColumnProfile, profile: Profile, table: Table) -> Iterator[Mapping[str, Any]]:
    if column.type == "string":
        yield from _set(column, profile) if _is_set(column) else _lengths(column, profile)
    if column.type in ("int64", "double") and column.distinct > 1 and not _names(column, table):
        yield from _range(column, profile)


def _set(column: ColumnProfile, profile: Profile) -> Iterator[Mapping[str, Any]]:
    once = sum(found.rows == 1 for found in column.frequent)
    asked = mostly(once, column.present, profile.deliveries)
    values = sorted(str(found.value) for found in column.frequent)
    if asked is not None:
        yield _rule(
            "expect_column_values_to_be_in_set",
            {"column": column.name, "value_set": values, "mostly": asked},
            f"{len(values)} distinct values in {column.present:,} rows, {once:,} of them once,"
            f" {_span(profile)}",
        )


def _lengths(column: ColumnProfile, profile: Profile) -> Iterator[Mapping[str, Any]]:
    shortest, longest = column.shortest or 0, column.longest or 0
    asked = mostly(0, column.present, profile.deliveries)
    if asked is None or not longest:
        return
    where, seen = (
        {"column": column.name, "mostly": asked},
        f"0 of {column.present:,} values outside",
    )
    if shortest == longest:
        yield _rule(
            "expect_column_value_lengths_to_equal",
            {**where, "value": longest},
            f"{seen}; {longest} letters each, {_span(profile)}",
        )
        return
    yield _rule(
        "expect_column_value_lengths_to_be_between",
        {**where, "min_value": shortest // 2, "max_value": 2 * longest},
        f"{seen}; {shortest} to {longest} letters, {_span(profile)}; bounds at half and double",
    )


def _range(column: ColumnProfile, profile: Profile) -> Iterator[Mapping[str, Any]]:
    found = widened(column)
    if found is None:
        return
    low, high, far = found
    asked = mostly(0, column.present, profile.deliveries)
    if asked is None:
        return
    bounds = {
        "min_value": low,
        "max_value": high,
        "mostly": min(asked, FAR_MOSTLY) if far else asked,
    }
    first, last = shown(column.quantile(0.01)), shown(column.quantile(0.99))
    seen = f"range {shown(column.minimum)} to {shown(column.maximum)}"
    if far:
        said = f"{seen}, but 98 % of {column.present:,} values from {first} to {last}"
        rule = f"an end lies {FAR} times that width away and was left outside"
    else:
        said = f"0 of {column.present:,} values outside; {seen}, 98 % from {first} to {last}"
        rule = "each end widened by half of the range, or by its tail where that is more"
    yield _rule(
        "expect_column_values_to_be_between",
        {"column": column.name, **bounds},
        f"{said}, {_span(profile)}; {rule}",
    )


def _rule(kind: str, kwargs: Mapping[str, Any], evidence: str) -> Mapping[str, Any]:
    return {
        "type": kind,
        "kwargs": {key: value for key, value in kwargs.items() if (key, value) != ("mostly", 1)},
        "severity": "warning",
        "meta": {"evidence": evidence},
    }


def _is_set(column: ColumnProfile) -> bool:
    return (
        column.frequent_are_all
        and column.distinct <= MOST_SET_VALUES
        and column.present >= LEAST_REPEATS * column.distinct
        and (column.longest or 0) <= MOST_LETTERS
    )


def _names(column: ColumnProfile, table: Table) -> bool:
    """Tell whether a column of whole numbers names things rather than measures them."""
    many = column.distinct >= UNLIMITED * column.present
    return column.type == "int64" and (many or table.key == (column.name,))


def _reason(column: ColumnProfile, table: Table) -> str:
    if column.type in ("date", "timestamp[UTC]"):
        return "moments move on: no bound would hold"
    if column.type == "bool":
        return "both values of a boolean are sound"
    if column.type == "int64" and _names(column, table):
        return "its numbers are names: no bound would hold"
    if column.distinct == 1 and column.type != "string":
        return "one value only: it says nothing of the range"
    return "no rule would allow for what the rows show"


def _span(profile: Profile) -> str:
    """Return over which time the rows came, as evidence ends."""
    return profile.over().split(" rows ", 1)[1]


def _outwards(low: float, high: float) -> tuple[float, float]:
    """Return the bounds moved outwards to two digits of their distance."""
    if high <= low:
        return low, high
    places = 1 - math.floor(math.log10(high - low))
    size = 10.0**-places
    lower = min(low, _plain(round(math.floor(low / size) * size, places)))
    return lower, max(high, _plain(round(math.ceil(high / size) * size, places)))


def _plain(number: float) -> float:
    return int(number) if number.is_integer() and abs(number) < 2**53 else number
