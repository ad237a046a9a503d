"""Business rules: in order, row by row, and refused where they give no probability."""

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.domain import business_rules
from pipelines.domain.business_rules import BusinessRule
from pipelines.errors import DeclarationError
from tests.goldens import assert_golden

ROWS = pa.table(
    {
        "flight": pa.array([1, 2, 3, 4]),
        "origin": pa.array(["EWR", "JFK", "EWR", None]).dictionary_encode(),
        "distance": pa.array([100.0, 200.0, None, 400.0]),
        "sched_at": pa.array([datetime(2026, 3, 1, tzinfo=UTC)] * 4, pa.timestamp("us", tz="UTC")),
    }
)
RAW = np.array([0.5, 0.2, 0.9, 0.4])


def rule(name: str, when: str, then: str) -> BusinessRule:
    return BusinessRule(name, owner="desk", when=when, then=then, reason="agreed")


def ruled(*rules: BusinessRule) -> list[tuple[float | None, str | None, str | None]]:
    """Return prediction (None for NaN), rule and refusal of each of the four rows."""
    found = business_rules.apply(rules, ROWS, RAW)
    values = [None if np.isnan(value) else float(value) for value in found.prediction]
    return list(zip(values, found.rule.to_pylist(), found.refused.to_pylist(), strict=True))


def test_a_rule_changes_the_rows_where_its_condition_is_true_and_names_itself() -> None:
    assert ruled(rule("cap", "origin = 'EWR'", "least(raw_prediction, 0.6)")) == [
        (0.5, None, None),  # true, but the value is the same
        (0.2, None, None),
        (0.6, "cap", None),
        (0.4, None, None),  # an empty origin: neither true nor false
    ]


def test_rules_apply_in_order_and_see_what_those_before_left() -> None:
    first = rule("double", "flight <= 2", "prediction * 2")
    second = rule("cap", "prediction > 0.8", "0.8")
    third = rule("floor", "raw_prediction < 0.3", "greatest(prediction, 0.45)")
    assert ruled(first, second, third) == [
        (0.8, "double,cap", None),
        (0.45, "double,floor", None),
        (0.8, "cap", None),
        (0.4, None, None),
    ]
    assert ruled(second, first)[0][:2] == (1.0, "double")


def test_rows_a_rule_does_not_change_stay_bit_for_bit() -> None:
    odd = np.nextafter(RAW, 1)
    found = business_rules.apply([rule("never", "flight > 9", "0.1")], ROWS, odd)
    assert found.prediction.tobytes() == odd.tobytes()


@pytest.mark.parametrize(
    ("then", "reason"),
    [
        ("null::double", "no value"),
        ("distance / 0 * 0", "not a finite number"),
        ("'inf'::double", "not a finite number"),
        ("'nan'::double", "not a finite number"),
        ("1.0000001", "outside [0, 1]"),
        ("-1e-300", "outside [0, 1]"),
    ],
)
def test_a_value_that_is_no_probability_refuses_the_row_with_the_reason(
    then: str, reason: str
) -> None:
    wrong = rule("wrong", "flight = 2", then)
    later = rule("later", "true", "0.1")
    wrong_too = rule("wrong_too", "flight = 2", "7")
    first, second, *_ = ruled(wrong, later, wrong_too)
    assert first == (0.1, "later", None)
    assert second == (None, None, f"business rule 'wrong': {reason}"), "no later rule heals it"


def test_no_rows_are_no_rows() -> None:
    found = business_rules.apply([rule("cap", "true", "0.1")], ROWS.slice(0, 0), RAW[:0])
    assert (len(found.prediction), len(found.rule), len(found.refused)) == (0, 0, 0)


@given(cuts=st.sets(st.integers(1, 3)), low=st.floats(0, 1), high=st.floats(0, 1))
@settings(deadline=None, max_examples=30)
def test_a_row_gets_the_same_answer_in_any_batch(cuts: set[int], low: float, high: float) -> None:
    rules = [rule("up", f"distance > 150 or prediction < {high!r}", f"{low!r}")]
    rules += [rule("down", "origin = 'EWR'", "prediction / 2")]
    whole = business_rules.apply(rules, ROWS, RAW)
    edges = [0, *sorted(cuts), 4]
    parts = [
        business_rules.apply(rules, ROWS.slice(a, b - a), RAW[a:b]) for a, b in pairwise(edges)
    ]
    assert np.concatenate([p.prediction for p in parts]).tobytes() == whole.prediction.tobytes()
    assert [r for p in parts for r in p.rule.to_pylist()] == whole.rule.to_pylist()


@pytest.mark.parametrize(
    ("when", "found"),
    [
        ("origin::int > 1", "a conversion error of column origin"),
        ("origin::date > date '2013-01-01'", "a conversion error of column origin"),
        ("strptime(origin, '%Y') > sched_at", "an invalid input error"),
        ("regexp_matches('a', '(' || origin)", "an invalid input error"),
        (
            "(distance * 9007199254740991)::bigint * 999999 > 1",
            "an? (out of range|conversion) error( of column \\w+)?",
        ),
    ],
)
def test_a_rule_that_fails_on_a_row_is_named_and_the_row_is_not_quoted(
    when: str, found: str
) -> None:
    with pytest.raises(DeclarationError, match=f"on every row; found {found} in DuckDB") as caught:
        ruled(rule("cast", when, "0.1"))
    said = str(caught.value)
    assert "business rule 'cast'" in said
    assert "EWR" not in said
    assert "9007199254740991" not in said
    assert caught.value.__context__ is None


def test_a_rule_that_nobody_checked_is_refused_before_it_is_applied() -> None:
    with pytest.raises(DeclarationError, match="'orign', which is no column"):
        ruled(rule("typo", "orign = 'EWR'", "0.1"))


WRONG: dict[str, Sequence[BusinessRule]] = {
    "typos": [rule("typo", "orign = 'EWR'", "raw_predicton")],
    "not_of_one_row": [
        rule("aggregate", "distance > avg(distance)", "0.1"),
        rule("window", "row_number() over () > 1", "0.1"),
        rule("subquery", "flight in (select 1)", "(select 0.1)"),
        rule("hidden", "geomean(distance) > 1", "0.1"),
        rule("several", "true), (false", "unnest([0.1, 0.2])"),
    ],
    "not_the_same_each_time": [
        rule("clock", "now() > sched_at", "0.1"),
        rule("today", "current_date > sched_at::date", "0.1"),
        rule("age", "age(sched_at) > interval 1 day", "0.1"),
        rule("chance", "random() > 0.5", "random()"),
    ],
    "no_sql": [
        rule("unfinished", "flight >", "least(0.1"),
        rule("comment", "true /*", "0.1"),
        rule("statement", "true; drop table rows", "0.1"),
        rule("types", "flight", "origin"),
        rule("file", "exists (from read_text('/etc/passwd'))", "0.1"),
    ],
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_sql_is_reported_as_the_golden_text_says(name: str) -> None:
    found = business_rules.problems(WRONG[name], ROWS.schema, "use case 'u', scoring")
    assert {problem.where.split("'")[3] for problem in found} == {r.name for r in WRONG[name]}
    assert_golden(f"declarations/rules_{name}", "\n".join(str(problem) for problem in found))


@pytest.mark.parametrize(
    ("when", "then"),
    [
        ("true", "0.1"),
        ("rows.flight > 1 -- a comment", "rows.raw_prediction / 2 -- too"),
        ("Origin in ('EWR', 'JFK') and distance between 1 and 2", "1"),
        ("hour(sched_at at time zone 'America/New_York') < 6", "nullif(prediction, 0)"),
        ("sched_at > timestamptz '2026-01-01' - interval 1 day", "least(1, prediction + 0.1)"),
        ("case when flight > 2 then true end", "distance::double / 1000"),
    ],
)
def test_plain_sql_over_one_row_is_sound(when: str, then: str) -> None:
    assert business_rules.problems([rule("sound", when, then)], ROWS.schema, "scoring") == []
    business_rules.apply([rule("sound", when, then)], ROWS, RAW)


def test_a_feature_under_the_name_of_the_prediction_is_refused() -> None:
    schema = ROWS.schema.append(pa.field("prediction", pa.float64()))
    (found,) = business_rules.problems([rule("r", "true", "0.1")], schema, "scoring")
    assert "Rename the feature" in found.fix
