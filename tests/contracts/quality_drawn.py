"""Suites and rows drawn at random, over every expectation that is compiled."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from pipelines.domain.contract import arrow_type
from tests.contracts.quality_oracle import COLUMNS

WHOLE = [0, 1, 2, -3, 7]
EXTREME = [2**53, -(2**53), 2**63 - 1, -(2**63), 0]
"""Only without a missing value, where pandas keeps integers."""

FEW: Mapping[str, list[Any]] = {
    "i": WHOLE,
    "j": WHOLE,
    "f": [0.0, -0.0, 1.5, -2.25, 3.0, 7.0],
    "g": [0.0, 1.5, 2.0, -9.5],
    "s": ["a", "ab", "ü", "日本", "", "a b", "e\u0301", "it's"],
    "t": ["a", "ab", "zz", "ü"],
    "b": [True, False],
    "d": [date(2013, 1, 1), date(2013, 1, 2), date(1969, 12, 31)],
    "at": [
        datetime(2013, 1, 1, tzinfo=UTC),
        datetime(2013, 1, 1, 10, 0, 0, 1, tzinfo=UTC),
        datetime(1960, 2, 3, 4, 5, 6, tzinfo=UTC),
    ],
}
"""Few values a column, so that they repeat and meet the bounds."""

NUMBERS = ("i", "f", "b")
LIMITS = [0, 0.25, 0.5, 1, 1.5, 2, 3, 100]
OTHER = {"i": "j", "f": "g", "s": "t"}
ROWS_OF_PAIR = ("both_values_are_missing", "either_value_is_missing", "neither")
ROWS_OF_LIST = ("all_values_are_missing", "any_value_is_missing", "never")

Entry = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Drawn:
    """Rows, and the entries of a suite."""

    rows: pa.Table
    entries: list[Entry]


@st.composite
def suites_and_rows(draw: st.DrawFn) -> Drawn:
    """Draw up to nine rows and a suite of eight expectations."""
    count = draw(st.sampled_from([0, 1, 2, 3, 5, 9]))
    missing = draw(st.sampled_from([0, 0, 3, 10]))  # of ten
    columns = {}
    for name, column_type in COLUMNS.items():
        values = FEW[name]
        if name == "i" and not missing and draw(st.integers(0, 3)) == 0:
            values = EXTREME
        if column_type == "double":
            values = [*values, float("nan")]
        drawn = [
            None if draw(st.integers(0, 9)) < missing else draw(st.sampled_from(values))
            for _ in range(count)
        ]
        columns[name] = pa.array(drawn, arrow_type(column_type))
    return Drawn(pa.table(columns), draw(st.lists(entries(), min_size=8, max_size=8)))


@st.composite
def entries(draw: st.DrawFn) -> Entry:
    """Draw one expectation with its keywords, on a part of the rows at times."""
    kind = draw(st.sampled_from(sorted(DRAWN)))
    kwargs = dict(draw(DRAWN[kind]))
    if "_values" in kind and "count" not in kind and kind not in WITHOUT_MOSTLY:
        kwargs |= draw(
            st.sampled_from([{}, {}, {"mostly": 0.5}, {"mostly": 0.9}, {"mostly": 2 / 3}])
        )
    if draw(st.integers(0, 9)) < 4 and kind not in WITHOUT_CONDITION:
        kwargs["row_condition"] = draw(conditions())
    return {"type": kind, "kwargs": kwargs}


def for_pandas(entry: Entry) -> Entry:
    """Return an entry so that pandas reads its row condition as SQL does: missing is unknown."""
    kwargs = entry["kwargs"]
    if "row_condition" in kwargs:
        kwargs = {**kwargs, "row_condition": _excluding_missing(kwargs["row_condition"])}
    return {**entry, "kwargs": kwargs}


def _excluding_missing(condition: Mapping[str, Any]) -> dict[str, Any]:
    if condition["type"] == "comparison" and condition["operator"] in ("!=", "NOT_IN"):
        there = {"type": "nullity", "column": condition["column"], "is_null": False}
        return {"type": "and", "conditions": [there, dict(condition)]}
    if condition["type"] not in ("and", "or"):
        return dict(condition)
    parts: list[dict[str, Any]] = []
    for part in condition["conditions"]:
        found = _excluding_missing(part)
        nested = found["type"] == condition["type"] == "and"
        parts += found["conditions"] if nested else [found]
    return {"type": condition["type"], "conditions": parts}


def as_json(value: object) -> object:
    """Return a drawn value as a suite writes it: a moment in UTC without its zone."""
    if isinstance(value, datetime):
        return value.replace(tzinfo=None).isoformat()
    return value.isoformat() if isinstance(value, date) else value


def _values(column: str) -> st.SearchStrategy[Any]:
    return st.sampled_from([as_json(value) for value in FEW[column]])


@st.composite
def _tests(draw: st.DrawFn) -> dict[str, Any]:
    if draw(st.integers(0, 2)) == 0:
        name, is_null = draw(st.sampled_from(sorted(COLUMNS))), draw(st.booleans())
        return {"type": "nullity", "column": {"name": name}, "is_null": is_null}
    name = draw(st.sampled_from(["i", "f", "s"]))
    ordered = [] if name == "s" else ["<", "<=", ">", ">="]
    operator = draw(st.sampled_from(["==", "!=", "IN", "NOT_IN", *ordered]))
    value = _values(name)
    parameter = draw(st.lists(value, min_size=1, max_size=3) if "IN" in operator else value)
    column = {"name": name}
    return {"type": "comparison", "column": column, "operator": operator, "parameter": parameter}


@st.composite
def conditions(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a row condition: one test, an "and" or "or" of two, or an "or" with an "and" in it."""
    both = [draw(_tests()), draw(_tests())]
    shape = draw(st.sampled_from(["one", "and", "or", "nested"]))
    if shape == "one":
        return both[0]
    if shape == "nested":
        return {"type": "or", "conditions": [draw(_tests()), {"type": "and", "conditions": both}]}
    return {"type": shape, "conditions": both}


@st.composite
def _between(draw: st.DrawFn, columns: tuple[str, ...], limits: list[Any] | None = None) -> Entry:
    column = draw(st.sampled_from(columns))
    values = limits if limits is not None or column == "b" else None
    if column == "b":
        values = LIMITS
    if values is None:
        values = [as_json(value) for value in FEW[column]]
        values = [f"{value}T00:00:00" for value in values] if column == "d" else values
    low, high = sorted([draw(st.sampled_from(values)), draw(st.sampled_from(values))])
    sides = draw(
        st.sampled_from(
            [{"min_value": low}, {"max_value": high}, {"min_value": low, "max_value": high}]
        )
    )
    strict = draw(st.sampled_from([{}, {}, {"strict_min": True}, {"strict_max": True}]))
    return {"column": column, **sides, **strict}


@st.composite
def _set(draw: st.DrawFn, columns: tuple[str, ...]) -> Entry:
    column = draw(st.sampled_from(columns))
    return {"column": column, "value_set": draw(st.lists(_values(column), min_size=1, max_size=3))}


@st.composite
def _pair(draw: st.DrawFn, columns: tuple[str, ...], rows: tuple[str, ...] = ROWS_OF_PAIR) -> Entry:
    column = draw(st.sampled_from(columns))
    ignored = draw(st.sampled_from([{}, *({"ignore_row_if": rule} for rule in rows)]))
    return {"column_A": column, "column_B": OTHER[column], **ignored}


@st.composite
def _greater(draw: st.DrawFn) -> Entry:
    or_equal = draw(st.booleans())
    # Two missing values are a difference we chose.
    rows = ROWS_OF_PAIR[:2] if or_equal else ROWS_OF_PAIR
    return {**draw(_pair(("i", "f", "s"), rows)), "or_equal": or_equal}


@st.composite
def _pairs(draw: st.DrawFn) -> Entry:
    pairs = [[draw(_values("i")), draw(_values("s"))], [None, "a"], [1, None]]
    ignored = draw(st.sampled_from([{}, *({"ignore_row_if": rule} for rule in ROWS_OF_PAIR)]))
    return {"column_A": "i", "column_B": "s", "value_pairs_set": pairs, **ignored}


def _several(lists: list[list[str]], **more: list[Any]) -> st.SearchStrategy[Entry]:
    ignored = st.sampled_from([{}, *({"ignore_row_if": rule} for rule in ROWS_OF_LIST)])
    drawn = _one(column_list=lists, **more)
    return st.builds(lambda kwargs, rows: {**kwargs, **rows}, drawn, ignored)


@st.composite
def _quantiles(draw: st.DrawFn) -> Entry:
    values = [None, -3, 0, 1, 2]
    ranges = [
        [draw(st.sampled_from(values)), draw(st.sampled_from([None, 2, 3, 7]))] for _ in "abc"
    ]
    way = draw(st.sampled_from([False, "linear", "lower", "higher", "midpoint", "nearest"]))
    return {
        "column": draw(st.sampled_from(["i", "f"])),
        "quantile_ranges": {"quantiles": [0.1, 0.5, 0.75], "value_ranges": ranges},
        "allow_relative_error": way,
    }


def _one(**values: list[Any]) -> st.SearchStrategy[Entry]:
    return st.fixed_dictionaries({name: st.sampled_from(found) for name, found in values.items()})


EVERY = tuple(COLUMNS)
REGEX = ["^a", "b$", "[a-z]", "日", "^.$", "[0-9]", "ü|it's"]

WITHOUT_CONDITION = ("expect_column_pair_values_to_be_in_set",)
"""Its row condition is a difference we chose."""

WITHOUT_MOSTLY = (
    "expect_column_distinct_values_to_be_in_set",
    "expect_column_distinct_values_to_contain_set",
    "expect_column_distinct_values_to_equal_set",
    "expect_column_proportion_of_non_null_values_to_be_between",
    "expect_column_proportion_of_unique_values_to_be_between",
    "expect_column_quantile_values_to_be_between",
)
"""Expectations on a whole column that have "values" in their name."""

DRAWN: Mapping[str, st.SearchStrategy[Entry]] = {
    "expect_column_distinct_values_to_be_in_set": _set(EVERY),
    "expect_column_distinct_values_to_contain_set": _set(EVERY),
    "expect_column_distinct_values_to_equal_set": _set(EVERY),
    "expect_column_max_to_be_between": _between((*NUMBERS, "d", "at")),
    "expect_column_mean_to_be_between": _between(NUMBERS, LIMITS),
    "expect_column_median_to_be_between": _between(NUMBERS, LIMITS),
    "expect_column_min_to_be_between": _between((*NUMBERS, "d", "at")),
    "expect_column_most_common_value_to_be_in_set": st.builds(
        lambda kwargs, ties: {**kwargs, "ties_okay": ties}, _set(("i", "f", "s")), st.booleans()
    ),
    "expect_column_pair_values_a_to_be_greater_than_b": _greater(),
    "expect_column_pair_values_to_be_equal": _pair(("i", "f", "s")),
    "expect_column_pair_values_to_be_in_set": _pairs(),
    "expect_column_proportion_of_non_null_values_to_be_between": _between(EVERY, LIMITS),
    "expect_column_proportion_of_unique_values_to_be_between": _between(EVERY, LIMITS),
    "expect_column_quantile_values_to_be_between": _quantiles(),
    "expect_column_stdev_to_be_between": _between(NUMBERS, LIMITS),
    "expect_column_sum_to_be_between": _between(("f", "b"), LIMITS),
    "expect_column_unique_value_count_to_be_between": _one(
        column=list(EVERY), max_value=[0, 1, 2, 3]
    ),
    "expect_column_value_lengths_to_be_between": _one(column=["s", "t"], min_value=[0, 1, 2]),
    "expect_column_value_lengths_to_equal": _one(column=["s", "t"], value=[0, 1, 2]),
    "expect_column_values_to_be_between": _between(("i", "f", "d", "at")),
    "expect_column_values_to_be_in_set": _set(("i", "f", "s", "b")),
    "expect_column_values_to_be_null": _one(column=list(EVERY)),
    "expect_column_values_to_be_unique": _one(column=list(EVERY)),
    "expect_column_values_to_match_regex": _one(column=["s"], regex=REGEX),
    "expect_column_values_to_match_regex_list": _one(
        column=["s"], regex_list=[REGEX[:1], REGEX[:2], REGEX[2:5]], match_on=["any", "all"]
    ),
    "expect_column_values_to_not_be_in_set": _set(EVERY),
    "expect_column_values_to_not_be_null": _one(column=list(EVERY)),
    "expect_column_values_to_not_match_regex": _one(column=["s"], regex=REGEX),
    "expect_column_values_to_not_match_regex_list": _one(
        column=["s"], regex_list=[REGEX[:1], REGEX[:2], REGEX[2:5]]
    ),
    "expect_compound_columns_to_be_unique": _several([["i", "j"], ["s", "b"], ["d", "at", "f"]]),
    "expect_multicolumn_sum_to_equal": _several(
        [["j", "g"], ["j", "g", "f"]], sum_total=[0, 1, 3, 1.5]
    ),
    "expect_multicolumn_values_to_be_equal": _several([["s", "t"], ["i", "j"]]),
    "expect_select_column_values_to_be_unique_within_record": _several(
        [["i", "j"], ["i", "j", "f"], ["s", "t"]]
    ),
    "expect_table_row_count_to_be_between": _one(min_value=[0, 1, 3], max_value=[3, 5]),
    "expect_table_row_count_to_equal": _one(value=[0, 1, 3]),
}
"""Keywords of each expectation that is compiled and that pandas can evaluate."""
