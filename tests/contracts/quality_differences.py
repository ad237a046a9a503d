"""Where a check judges otherwise than Great Expectations' pandas engine: chosen, each with its case."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from tests.contracts.quality_oracle import Judged

NAN = float("nan")

MOST = 2**63 - 1
"""The largest int64."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One difference: what, why, and a case in which ``check`` finds ``ours`` and pandas ``theirs``.

    A text as ``theirs`` is part of the error that the pandas engine raises. ``as_it_is`` leaves
    dates and moments as pandas has them from Arrow.
    """

    name: str
    what: str
    why: str
    expectation: str
    kwargs: Mapping[str, Any]
    rows: Mapping[str, list[Any]]
    ours: Judged
    theirs: Judged | str
    as_it_is: bool = False


def _comparison(column: str, operator: str, parameter: object) -> dict[str, object]:
    return {
        "type": "comparison",
        "column": {"name": column},
        "operator": operator,
        "parameter": parameter,
    }


DIFFERENCES = (
    Difference(
        name="a condition that excludes",
        what="`row_condition` with `!=` or `NOT_IN` leaves out rows in which the column is missing;"
        " pandas keeps them.",
        why="It is GX's own SQL: a comparison with a missing value is unknown. Add a `nullity`"
        " condition to say otherwise.",
        expectation="expect_column_values_to_not_be_null",
        kwargs={"column": "f", "row_condition": _comparison("s", "!=", "x")},
        rows={"s": ["x", None, "y"], "f": [1.0, None, 2.0]},
        ours=(True, 1, 0),
        theirs=(False, 2, 1),
    ),
    Difference(
        name="two missing values",
        what="`expect_column_pair_values_a_to_be_greater_than_b` with `or_equal` and"
        ' `ignore_row_if: "neither"` holds when both values are missing; in pandas it fails.',
        why="It is GX's own SQL, and what GX does on Spark.",
        expectation="expect_column_pair_values_a_to_be_greater_than_b",
        kwargs={"column_A": "i", "column_B": "j", "or_equal": True, "ignore_row_if": "neither"},
        rows={"i": [2, None], "j": [1, None]},
        ours=(True, 2, 0),
        theirs=(False, 2, 1),
    ),
    Difference(
        name="regular expressions",
        what="`\\w`, `\\d`, `\\s` and `\\b` know ASCII alone, and look-around and back-references are"
        " refused by name.",
        why="DuckDB reads them by RE2, whose time is linear in the text. Write `\\p{L}` for a letter.",
        expectation="expect_column_values_to_match_regex",
        kwargs={"column": "s", "regex": r"^\w+$"},
        rows={"s": ["a", "ü"]},
        ours=(False, 2, 1),
        theirs=(True, 2, 0),
    ),
    Difference(
        name="large integers",
        what="An int64 column is exact beyond 2^53, whatever is missing; pandas makes it a float as"
        " soon as a value is missing.",
        why="A silent loss of digits, which makes two keys equal.",
        expectation="expect_column_values_to_be_unique",
        kwargs={"column": "i"},
        rows={"i": [MOST, MOST - 1, None]},
        ours=(True, 2, 0),
        theirs=(False, 2, 2),
    ),
    Difference(
        name="large sums",
        what="A sum of int64 is exact; pandas wraps around.",
        why="A silent overflow: two large numbers have a negative sum.",
        expectation="expect_column_sum_to_be_between",
        kwargs={"column": "i", "min_value": 0},
        rows={"i": [MOST, MOST]},
        ours=(True, 2, 0),
        theirs=(False, 2, 0),
    ),
    Difference(
        name="moments without a zone",
        what="A bound or a value without a time zone is in UTC; pandas refuses to compare it with a"
        " timestamp that has one.",
        why="JSON has no timestamps, and the lake holds moments in UTC.",
        expectation="expect_column_values_to_be_between",
        kwargs={"column": "at", "min_value": "2013-01-02T00:00:00"},
        rows={"at": [1357084799_000000, 1357084800_000000]},
        ours=(False, 2, 1),
        theirs="Invalid comparison",
        as_it_is=True,
    ),
    Difference(
        name="dates",
        what="A date is compared with moments as its midnight in UTC; pandas refuses to.",
        why="The order is plain, and a declared type should not depend on a bound's form.",
        expectation="expect_column_values_to_be_between",
        kwargs={"column": "d", "max_value": "2013-01-01T10:00:00"},
        rows={"d": [date(2013, 1, 1), date(2013, 1, 2)]},
        ours=(False, 2, 1),
        theirs="can't compare datetime.datetime to datetime.date",
        as_it_is=True,
    ),
    Difference(
        name="sets of moments",
        what="`expect_column_values_to_be_in_set` reads the set of a date or timestamp column as"
        " dates or moments; pandas compares them with the text, and no row is in the set.",
        why="JSON has no dates; `..._to_not_be_in_set` reads them so in pandas too.",
        expectation="expect_column_values_to_be_in_set",
        kwargs={"column": "d", "value_set": ["2013-01-01"]},
        rows={"d": [date(2013, 1, 1), date(2013, 1, 2)]},
        ours=(False, 2, 1),
        theirs=(False, 2, 2),
    ),
    Difference(
        name="pairs in a set, on a part of the rows",
        what="`expect_column_pair_values_to_be_in_set` judges the rows of its `row_condition`; GX's"
        " metric judges every row, and raises when more rows fail than the condition has.",
        why="An omission in GX 1.24; every other expectation keeps its condition.",
        expectation="expect_column_pair_values_to_be_in_set",
        kwargs={
            "column_A": "i",
            "column_B": "s",
            "value_pairs_set": [[1, "a"]],
            "row_condition": _comparison("i", ">", 1),
        },
        rows={"i": [1], "s": ["a"]},
        ours=(True, 0, 0),
        theirs="Invalid result values",
    ),
)

REFUSED_VALUES = (
    'A value that its column can never hold (`"1"` for an int64, a moment for a date) is refused'
    " by name; pandas finds it in no row, and DuckDB alone would read the text as a number."
)
"""What a suite may not ask, where the pandas engine answers."""


def rendered() -> str:
    """Return the differences as the table in docs/quality.md."""
    lines = ["| | Here | Why |", "|---|---|---|"]
    lines += [f"| {one.name} | {one.what} | {one.why} |" for one in DIFFERENCES]
    return "\n".join([*lines, "", REFUSED_VALUES])
