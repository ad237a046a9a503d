"""What a suite may ask, what a check decides, and how rows are split."""

import json
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.domain.quality import (
    CheckResult,
    ExpectationResult,
    OnFail,
    Severity,
    no_failed_rows,
    parse_suite,
    rule_names,
    split_rows,
    suite_problems,
)

COLUMNS = ("origin", "wind_speed", "temp")

BETWEEN = {
    "type": "expect_column_values_to_be_between",
    "kwargs": {"column": "temp", "min_value": -40, "max_value": 130},
}


def result(*, success: bool, severity: Severity, on_fail: OnFail = "none") -> ExpectationResult:
    return ExpectationResult(
        rule="expect_column_values_to_be_between:temp",
        expectation_type="expect_column_values_to_be_between",
        columns=("temp",),
        severity=severity,
        on_fail=on_fail,
        success=success,
        rows_evaluated=4,
        unexpected_count=0 if success else 1,
        observed="1 of 4 rows failed",
    )


def check_result(*results: ExpectationResult, failed_rows: pa.Table | None = None) -> CheckResult:
    return CheckResult(
        suite="flight_delays.weather",
        suite_digest="d1f6",
        rows=4,
        results=results,
        failed_rows=no_failed_rows() if failed_rows is None else failed_rows,
    )


ONE_FAILED_ROW = pa.table({"_file": ["w.csv"], "_row": [7], "_failed": [["wind"]]})


@pytest.mark.parametrize(
    ("results", "verdict"),
    [
        ([result(success=True, severity="critical")], "publish"),
        ([result(success=False, severity="warning")], "publish_and_flag"),
        ([result(success=False, severity="critical")], "refuse"),
        ([result(success=False, severity="critical", on_fail="quarantine")], "publish_and_flag"),
        (
            [result(success=False, severity="warning"), result(success=False, severity="critical")],
            "refuse",
        ),
    ],
)
def test_the_worst_failure_decides_the_verdict(
    results: list[ExpectationResult], verdict: str
) -> None:
    assert check_result(*results).verdict == verdict


def test_rows_set_aside_by_a_rule_that_succeeded_are_flagged() -> None:
    tolerant = result(success=True, severity="warning", on_fail="quarantine")
    assert check_result(tolerant, failed_rows=ONE_FAILED_ROW).verdict == "publish_and_flag"


def test_the_json_of_a_check_holds_names_and_counts_only() -> None:
    failed = result(success=False, severity="critical", on_fail="quarantine")
    checked = check_result(failed, failed_rows=ONE_FAILED_ROW).as_json()
    assert json.loads(json.dumps(checked)) == {
        "suite": "flight_delays.weather",
        "suite_digest": "d1f6",
        "verdict": "publish_and_flag",
        "rows": 4,
        "rows_quarantined": 1,
        "expectations": 1,
        "failed_critical": 1,
        "failed_warning": 0,
        "without_rows": 0,
    }


def test_rows_are_split_by_file_and_row_and_keep_their_order() -> None:
    rows = pa.table(
        {
            "_file": ["b.csv", "a.csv", "b.csv", "a.csv"],
            "_row": [2, 1, 1, 2],
            "temp": [None, 39.0, 41.5, 38.0],
        }
    )
    failed = pa.table(
        {
            "_file": ["a.csv", "b.csv", "z.csv"],
            "_row": [2, 2, 9],
            "_failed": [["too_cold"], ["no_temp", "too_cold"], ["elsewhere"]],
        }
    )
    split = split_rows(rows, failed)
    assert split.accepted.to_pydict() == {
        "_file": ["a.csv", "b.csv"],
        "_row": [1, 1],
        "temp": [39.0, 41.5],
    }
    assert split.quarantined.to_pydict() == {
        "_file": ["b.csv", "a.csv"],
        "_row": [2, 2],
        "temp": [None, 38.0],
        "_failed": [["no_temp", "too_cold"], ["too_cold"]],
    }


def test_without_failed_rows_all_rows_are_accepted() -> None:
    rows = pa.table({"_file": ["a.csv"], "_row": [1], "temp": [39.0]})
    split = split_rows(rows, no_failed_rows())
    assert split.accepted.equals(rows)
    assert split.quarantined.to_pydict() == {"_file": [], "_row": [], "temp": [], "_failed": []}


row_keys = st.tuples(st.sampled_from(["a.csv", "ü'.csv"]), st.integers(1, 6))


@given(rows=st.lists(row_keys, max_size=12), failed=st.lists(row_keys, max_size=8))
def test_split_parts_partition_the_rows(
    rows: list[tuple[str, int]], failed: list[tuple[str, int]]
) -> None:
    table = pa.table(
        {
            "_file": pa.array([file for file, _ in rows], pa.string()),
            "_row": pa.array([row for _, row in rows], pa.int64()),
            "place": pa.array(range(len(rows)), pa.int64()),
        }
    )
    failed_rows = pa.table(
        {
            "_file": pa.array([file for file, _ in failed], pa.string()),
            "_row": pa.array([row for _, row in failed], pa.int64()),
            "_failed": pa.array([["rule"] for _ in failed], pa.list_(pa.string())),
        }
    )
    split = split_rows(table, failed_rows)
    bad = [place for place, key in enumerate(rows) if key in failed]
    good = [place for place, key in enumerate(rows) if key not in failed]
    assert split.accepted.schema == table.schema
    assert split.accepted["place"].to_pylist() == good
    assert split.quarantined["place"].to_pylist() == bad
    assert split.quarantined.column_names == ["_file", "_row", "place", "_failed"]


def test_rules_alike_are_numbered_from_the_second() -> None:
    pair = {"type": "expect_compound_columns_to_be_unique", "kwargs": {"column_list": ["a", "b"]}}
    whole = {"type": "expect_table_row_count_to_be_between", "kwargs": {"min_value": 1}}
    assert rule_names([BETWEEN, pair, BETWEEN, whole]) == [
        "expect_column_values_to_be_between:temp",
        "expect_compound_columns_to_be_unique:a,b",
        "expect_column_values_to_be_between:temp#2",
        "expect_table_row_count_to_be_between",
    ]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"severity": "info"}, "found severity 'info'.\n  Known: critical, warning."),
        ({"severity": "critcal"}, "Did you mean 'critical'?"),
        ({"sverity": "warning"}, "found key 'sverity'.\n  Did you mean 'severity'?"),
        ({"meta": {"on_fail": "drop"}}, "found meta.on_fail 'drop'"),
        (
            {"kwargs": {"column": "wind_sped", "min_value": 0}},
            "found column 'wind_sped'.\n  Did you mean 'wind_speed'?",
        ),
        ({"kwargs": {"column": "temp", "min_value": 9, "max_value": 1}}, "found 9 above 1"),
        (
            {"kwargs": {"column": "temp", "min_value": "2013-02-01", "max_value": "2013-01-01"}},
            "found '2013-02-01' above '2013-01-01'",
        ),
        ({"kwargs": {"column": "temp"}}, "expected min_value or max_value; found neither"),
        ({"kwargs": {"column": "temp", "min_value": 0, "mostly": "0.5"}}, "found '0.5'"),
        ({"kwargs": {"column": "temp", "min_value": 0, "mostly": 0}}, "mostly in (0, 1]; found 0."),
        ({"kwargs": {"column": "temp", "min_value": 0, "mostly": 1.5}}, "found 1.5"),
        (
            {"kwargs": {"column": "temp", "min_value": 0, "row_condition": "origin == 'EWR'"}},
            "row_condition as an object; found a JSON str",
        ),
        (
            {
                "kwargs": {
                    "column": "temp",
                    "min_value": 0,
                    "row_condition": {
                        "type": "and",
                        "conditions": [
                            {"type": "nullity", "column": {"name": "orgin"}, "is_null": False}
                        ],
                    },
                }
            },
            "found column 'orgin'.\n  Did you mean 'origin'?",
        ),
        (
            {"kwargs": {"column": "temp", "min_value": 0, "result_format": "COMPLETE"}},
            "found 'result_format'",
        ),
        ({"kwargs": {"column": "temp", "min_value": {"$PARAMETER": "low"}}}, "a $PARAMETER"),
        ({"type": "expect_table_columns_to_match_set"}, "expected rules about rows"),
        ({"type": None}, "expected an object with a type"),
    ],
)
def test_a_broken_expectation_is_told_in_words(changed: dict[str, Any], expected: str) -> None:
    suite = {"name": "weather", "expectations": [BETWEEN, {**BETWEEN, **changed}]}
    problems = suite_problems("weather.json", suite, COLUMNS)
    assert [problem.where.startswith("weather.json: expectation 2") for problem in problems] == [
        True
    ]
    assert expected in str(problems[0])


def test_all_problems_of_a_suite_are_told_at_once() -> None:
    suite = {
        "nme": "weather",
        "expectations": [
            {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "dewp"}},
            {**BETWEEN, "severity": "info", "meta": {"on_fail": "stop"}},
        ],
    }
    found = [problem.found for problem in suite_problems("weather.json", suite, COLUMNS)]
    assert found == [
        "key 'nme'",
        "none",
        "column 'dewp'",
        "severity 'info'",
        "meta.on_fail 'stop'",
    ]


@pytest.mark.parametrize("expectations", [[], {}, None, "all"])
def test_a_suite_without_expectations_is_a_problem(expectations: object) -> None:
    suite = {"name": "weather", "expectations": expectations}
    problems = suite_problems("weather.json", suite, COLUMNS)
    assert [problem.expected for problem in problems] == ["a list of expectations"]


def test_a_sound_suite_has_no_problems() -> None:
    suite: dict[str, Any] = {
        "name": "weather",
        "expectations": [BETWEEN],
        "meta": {},
        "id": None,
        "notes": None,
    }
    assert suite_problems("weather.json", suite, COLUMNS) == []


@pytest.mark.parametrize("text", ["", '{"name": "a", "name": "b"}', '{"min_value": NaN}'])
def test_a_suite_that_is_not_strict_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"Expecting value|given twice|not a JSON number"):
        parse_suite(text)
