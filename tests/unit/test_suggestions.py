"""Suggestions: what is learned from a profile, with which margin, and what is left alone."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pipelines.domain.contract import Column, Files, Table
from pipelines.domain.profile import ColumnProfile, Frequent, Profile
from pipelines.domain.quality import suite_problems
from pipelines.domain.suggestions import LeftOut, mostly, suggest, widened

TABLE = Table(
    name="flights",
    source=Files(pattern="flights/*.csv"),
    columns=[
        Column("flight", "int64"),
        Column("origin", "string"),
        Column("distance", "int64"),
        Column("gust", "double", nullable=True),
        Column("left_at", "timestamp[UTC]", nullable=True),
        Column("late", "bool"),
    ],
    key=("flight",),
)
ORIGIN = ColumnProfile(
    name="origin",
    type="string",
    nullable=False,
    rows=26_387,
    missing=0,
    distinct=3,
    shortest=3,
    longest=3,
    frequent=(
        Frequent(value="LGA", rows=13_000),
        Frequent(value="JFK", rows=13_000),
        Frequent(value="EWR", rows=387),
    ),
    frequent_are_all=True,
)
DISTANCE = ColumnProfile(
    name="distance",
    type="int64",
    nullable=False,
    rows=26_387,
    missing=0,
    distinct=190,
    minimum=17,
    maximum=4983,
    quantiles=((0.01, 96), (0.99, 2586)),
)
GUST = replace(DISTANCE, name="gust", type="double", nullable=True, missing=264, most_missing=0.04)


def profile_of(*columns: ColumnProfile, deliveries: int = 90) -> Profile:
    return Profile(
        use_case="air",
        table="flights",
        source="",
        as_of=None,
        rows=26_387,
        deliveries=deliveries,
        keys=26_387,
        repeated_keys=0,
        most_versions=1,
        known_from=datetime(2013, 1, 1, tzinfo=UTC),
        known_until=datetime(2013, 3, 31, tzinfo=UTC),
        columns=columns,
    )


def rules(*columns: ColumnProfile) -> list[dict[str, Any]]:
    return [dict(rule) for rule in suggest(profile_of(*columns), TABLE).expectations]


def test_a_required_column_of_numbers_gets_a_range_and_its_evidence() -> None:
    assert rules(DISTANCE) == [
        {
            "type": "expect_column_values_to_be_between",
            "kwargs": {"column": "distance", "min_value": 0, "max_value": 7500, "mostly": 0.998},
            "severity": "warning",
            "meta": {
                "evidence": "0 of 26,387 values outside; range 17 to 4,983, 98 % from 96 to 2,586,"
                " over 90 days; each end widened by half of the range, or by its tail where that is"
                " more"
            },
        }
    ]


def test_a_column_that_may_be_empty_gets_a_share_twice_the_worst_deliverys() -> None:
    missing, between = rules(GUST)
    assert missing["type"] == "expect_column_values_to_not_be_null"
    assert missing["kwargs"] == {"column": "gust", "mostly": 0.92}
    assert missing["meta"]["evidence"] == (
        "264 of 26,387 rows empty (1.0 %), 4.0 % in the worst of 90 deliveries, over 90 days"
    )
    assert between["kwargs"]["column"] == "gust"


def test_a_column_that_one_delivery_lacked_altogether_gets_no_such_rule() -> None:
    (only,) = rules(replace(GUST, most_missing=1.0))
    assert only["type"] == "expect_column_values_to_be_between"


def test_few_texts_that_come_again_and_again_are_a_set() -> None:
    (rule,) = rules(ORIGIN)
    assert rule["type"] == "expect_column_values_to_be_in_set"
    assert rule["kwargs"] == {
        "column": "origin", "value_set": ["EWR", "JFK", "LGA"], "mostly": 0.998,
    }  # fmt: skip
    assert rule["meta"]["evidence"] == (
        "3 distinct values in 26,387 rows, 0 of them once, over 90 days"
    )


def test_many_texts_get_their_length() -> None:
    many = replace(ORIGIN, distinct=104, frequent_are_all=False)
    (same,) = rules(many)
    assert same["type"] == "expect_column_value_lengths_to_equal"
    assert same["kwargs"] == {"column": "origin", "mostly": 0.998, "value": 3}
    (different,) = rules(replace(many, shortest=5, longest=6))
    assert different["kwargs"]["min_value"] == 2
    assert different["kwargs"]["max_value"] == 12


def test_a_sentinel_far_away_is_left_outside() -> None:
    sentinel = replace(DISTANCE, maximum=999_999)
    (rule,) = rules(sentinel)
    assert rule["kwargs"]["max_value"] < 6000
    assert rule["kwargs"]["mostly"] == 0.99
    assert "an end lies 10 times that width away" in rule["meta"]["evidence"]


def test_a_range_of_few_values_holds_them_all() -> None:
    engines = replace(DISTANCE, distinct=4, minimum=1, maximum=4, quantiles=((0.01, 2), (0.99, 2)))
    found = widened(engines)
    assert found is not None
    assert found[0] <= 1
    assert found[1] >= 4


@pytest.mark.parametrize(
    ("column", "reason"),
    [
        (
            replace(DISTANCE, missing=26_288),
            "too few values to judge: 99 of at least 100",
        ),
        (replace(DISTANCE, distinct=1), "one value only: it says nothing of the range"),
        (
            replace(DISTANCE, name="flight"),
            "its numbers are names: no bound would hold",
        ),
        (
            replace(DISTANCE, distinct=26_000),
            "its numbers are names: no bound would hold",
        ),
        (
            replace(DISTANCE, name="left_at", type="timestamp[UTC]"),
            "moments move on: no bound would hold",
        ),
        (replace(DISTANCE, name="late", type="bool"), "both values of a boolean are sound"),
    ],
)
def test_a_column_without_a_rule_is_told_with_its_reason(
    column: ColumnProfile, reason: str
) -> None:
    found = suggest(profile_of(column), TABLE)
    assert found.expectations == ()
    assert found.left_out == (LeftOut(column.name, reason),)


def test_no_rule_repeats_the_contract() -> None:
    everything = [
        ORIGIN, DISTANCE, GUST, replace(DISTANCE, name="flight"), replace(DISTANCE, name="late", type="bool"),
    ]  # fmt: skip
    for rule in rules(*everything):
        assert rule["severity"] == "warning"
        assert not rule["type"].startswith("expect_table_column")
        assert "unique" not in rule["type"]
        nulls = rule["type"] == "expect_column_values_to_not_be_null"
        assert not nulls or rule["kwargs"]["column"] == "gust"


def test_a_suite_of_suggestions_is_sound() -> None:
    suite = suggest(profile_of(ORIGIN, DISTANCE, GUST), TABLE).suite()
    assert suite["name"] == "air.flights"
    assert suite_problems("suite", suite, TABLE.types) == []


def test_what_was_never_seen_may_still_come_now_and_then() -> None:
    assert mostly(0, 26_387, 30) == 0.998  # the rule of three says 3 in 26,387
    assert mostly(0, 100, 100) is None  # a delivery of one row fails whole, or not at all
    assert mostly(60, 100, 1) is None


@given(
    low=st.floats(-1e12, 1e12),
    width=st.floats(1e-6, 1e12),
    tails=st.tuples(st.floats(0, 0.49), st.floats(0, 0.49)),
)
def test_a_range_is_widened_and_never_crosses_zero(
    low: float, width: float, tails: tuple[float, float]
) -> None:
    high = low + width
    assume(high > low)
    first, last = low + tails[0] * width, high - tails[1] * width
    found = widened(
        replace(
            DISTANCE,
            type="double",
            minimum=low,
            maximum=high,
            quantiles=((0.01, first), (0.99, last)),
        )
    )
    assert found is not None
    lower, upper, far = found
    assert lower <= first
    assert upper >= last
    assert far or lower <= low < high <= upper
    assert low < 0 or lower >= 0
    assert high > 0 or upper <= 0
