"""Suites of Great Expectations, checked in DuckDB over Parquet files."""

import json
import warnings
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.adapters.suites.gx_suites import Suite, check, load_suite, verify
from pipelines.domain.quality import CheckResult, ExpectationResult, split_rows
from pipelines.errors import SuiteError

# GX imports two modules of regular expressions that the standard library renamed.
pytestmark = pytest.mark.filterwarnings(
    "ignore:module 'sre_(constants|parse)' is deprecated:DeprecationWarning"
)

WEATHER = {"origin": "string", "station": "string", "temp": "double", "wind_speed": "double"}

ROWS = pa.table(
    {
        "_file": ["w.csv"] * 6,
        "_row": [1, 2, 3, 4, 5, 6],
        "origin": ["EWR", "EWR", "JFK", None, "LGA", "ÜBX"],
        "station": ["O'Hare", "EWR's", "100%", None, "L\\d", "plain"],
        "temp": [39.0, 39.0, None, 41.0, 42.0, 999.0],
        "wind_speed": [10.4, 1048.4, None, 0.0, 200.0, 7.0],
    }
)

WIND: dict[str, Any] = {
    "type": "expect_column_values_to_be_between",
    "kwargs": {"column": "wind_speed", "min_value": 0, "max_value": 200},
    "severity": "critical",
    "meta": {"on_fail": "quarantine"},
}


def expectation(kind: str, **kwargs: object) -> dict[str, Any]:
    return {"type": kind, "kwargs": kwargs, "severity": "warning"}


def quarantine(kind: str, **kwargs: object) -> dict[str, Any]:
    return {**expectation(kind, **kwargs), "meta": {"on_fail": "quarantine"}}


def suite_of(folder: Path, *expectations: dict[str, Any]) -> Suite:
    path = folder / "weather.json"
    path.write_text(json.dumps({"name": "weather", "expectations": expectations}), "utf-8")
    return load_suite(path, WEATHER)


def staged(folder: Path, rows: pa.Table) -> Path:
    path = folder / "it's staged.parquet"
    pq.write_table(rows, path)
    return path


def checked(folder: Path, *expectations: dict[str, Any], rows: pa.Table = ROWS) -> CheckResult:
    return check(suite_of(folder, *expectations), [staged(folder, rows)], cache=folder)


def failed(result: CheckResult) -> dict[int, list[str]]:
    return {row["_row"]: row["_failed"] for row in result.failed_rows.to_pylist()}


def test_a_rule_sets_its_failing_row_aside_and_the_rest_is_published(tmp_path: Path) -> None:
    result = checked(tmp_path, WIND)
    assert result.results == (
        ExpectationResult(
            rule="expect_column_values_to_be_between:wind_speed",
            expectation_type="expect_column_values_to_be_between",
            columns=("wind_speed",),
            severity="critical",
            on_fail="quarantine",
            success=False,
            rows_evaluated=5,
            unexpected_count=1,
            observed="1 of 5 rows failed",
        ),
    )
    assert failed(result) == {2: ["expect_column_values_to_be_between:wind_speed"]}
    assert (result.suite, result.rows, result.verdict) == ("weather", 6, "publish_and_flag")
    split = split_rows(ROWS, result.failed_rows)
    assert split.accepted["_row"].to_pylist() == [1, 3, 4, 5, 6]
    assert split.quarantined["_row"].to_pylist() == [2]


NOT_EWR = {
    "type": "comparison",
    "column": {"name": "station"},
    "operator": "!=",
    "parameter": "EWR's",
}


@pytest.mark.parametrize(
    ("rule", "rows"),
    [
        (quarantine("expect_column_values_to_not_be_null", column="temp"), [3]),
        (quarantine("expect_column_values_to_be_null", column="temp"), [1, 2, 4, 5, 6]),
        (
            quarantine(
                "expect_column_values_to_be_in_set",
                column="station",
                value_set=["O'Hare", "100%", "L\\d"],
            ),
            [2, 6],
        ),
        (
            quarantine("expect_column_values_to_not_be_in_set", column="origin", value_set=["ÜBX"]),
            [6],
        ),
        (
            quarantine("expect_column_values_to_match_regex", column="station", regex="^\\w+'\\w"),
            [3, 5, 6],
        ),
        (
            quarantine(
                "expect_column_values_to_match_like_pattern", column="station", like_pattern="%'%"
            ),
            [3, 5, 6],
        ),
        (
            quarantine(
                "expect_column_values_to_match_like_pattern",
                column="station",
                like_pattern="100!%",
                escape="!",
            ),
            [1, 2, 5, 6],
        ),
        (
            quarantine(
                "expect_column_values_to_not_match_like_pattern",
                column="station",
                like_pattern="%'%",
            ),
            [1, 2],
        ),
        (
            quarantine(
                "expect_column_values_to_match_like_pattern_list",
                column="station",
                like_pattern_list=["%'%", "1%"],
            ),
            [5, 6],
        ),
        (
            quarantine(
                "expect_column_values_to_not_match_like_pattern_list",
                column="station",
                like_pattern_list=["%'%", "p%"],
            ),
            [1, 2, 6],
        ),
        (
            quarantine("expect_column_value_lengths_to_equal", column="station", value=4),
            [1, 2, 5, 6],
        ),
        (quarantine("expect_column_values_to_be_unique", column="temp"), [1, 2]),
        (
            quarantine("expect_column_values_to_be_unique", column="temp", row_condition=NOT_EWR),
            [],
        ),
        (
            quarantine("expect_compound_columns_to_be_unique", column_list=["origin", "temp"]),
            [1, 2],
        ),
        (
            quarantine(
                "expect_column_pair_values_a_to_be_greater_than_b",
                column_A="temp",
                column_B="wind_speed",
                ignore_row_if="either_value_is_missing",
            ),
            [2, 5],
        ),
        (
            quarantine(
                "expect_column_values_to_be_between",
                column="wind_speed",
                max_value=100,
                row_condition=NOT_EWR,
            ),
            [5],
        ),
        (
            quarantine(
                "expect_column_value_z_scores_to_be_less_than",
                column="temp",
                threshold=1.5,
                double_sided=True,
            ),
            [6],
        ),
    ],
)
def test_exactly_the_failing_rows_are_set_aside(
    tmp_path: Path, rule: dict[str, Any], rows: list[int]
) -> None:
    result = checked(tmp_path, rule)
    assert list(failed(result)) == rows
    assert result.results[0].unexpected_count == len(rows)


def test_a_row_names_every_rule_it_failed(tmp_path: Path) -> None:
    cold = quarantine("expect_column_values_to_be_between", column="temp", max_value=40)
    hot = quarantine("expect_column_values_to_be_between", column="temp", max_value=100)
    flagged = expectation("expect_column_values_to_be_between", column="temp", max_value=1)
    result = checked(tmp_path, cold, hot, flagged, hot)
    assert [found.rule for found in result.results] == [
        "expect_column_values_to_be_between:temp",
        "expect_column_values_to_be_between:temp#2",
        "expect_column_values_to_be_between:temp#3",
        "expect_column_values_to_be_between:temp#4",
    ]
    assert [found.unexpected_count for found in result.results] == [3, 1, 5, 1]
    assert failed(result) == {
        4: ["expect_column_values_to_be_between:temp"],
        5: ["expect_column_values_to_be_between:temp"],
        6: [
            "expect_column_values_to_be_between:temp",
            "expect_column_values_to_be_between:temp#2",
            "expect_column_values_to_be_between:temp#4",
        ],
    }


def test_a_tolerant_rule_succeeds_and_still_sets_its_row_aside(tmp_path: Path) -> None:
    tolerant = {**WIND, "kwargs": {**WIND["kwargs"], "mostly": 0.8}}
    (found,) = (result := checked(tmp_path, tolerant)).results
    assert (found.success, found.observed) == (
        True,
        "1 of 5 rows failed; a share of 0.8 must hold",
    )
    assert list(failed(result)) == [2]
    assert result.verdict == "publish_and_flag"


def test_expectations_about_the_whole_table_are_told_without_row_content(tmp_path: Path) -> None:
    result = checked(
        tmp_path,
        expectation("expect_table_row_count_to_be_between", min_value=1),
        expectation("expect_column_mean_to_be_between", column="temp", max_value=100),
        expectation(
            "expect_column_mean_to_be_between",
            column="temp",
            max_value=500,
            row_condition=NOT_EWR,
        ),
        expectation("expect_column_most_common_value_to_be_in_set", column="origin", value_set=[]),
    )
    assert [(r.success, r.rows_evaluated, r.observed) for r in result.results] == [
        (True, 6, "observed 6"),
        (False, 6, "observed 232"),
        (True, 4, "observed 360"),
        (False, 6, "judged as a whole"),
    ]


def test_several_files_are_one_check(tmp_path: Path) -> None:
    for number, part in enumerate([ROWS.slice(0, 2), ROWS.slice(2)]):
        pq.write_table(part, tmp_path / f"{number}.parquet")
    suite = suite_of(tmp_path, WIND)
    result = check(suite, [tmp_path / "0.parquet", tmp_path / "1.parquet"], cache=tmp_path)
    assert (result.rows, list(failed(result))) == (6, [2])


def test_bounds_of_a_timestamp_are_in_utc(tmp_path: Path) -> None:
    day = pa.array([1357084799, 1357084800], pa.timestamp("s", tz="UTC"))
    rows = pa.table({"_file": ["w.csv"] * 2, "_row": [1, 2], "observed_at": day})
    rule = quarantine("expect_column_values_to_be_between", column="observed_at")
    rule["kwargs"]["min_value"] = "2013-01-02T00:00:00"
    path = tmp_path / "suite.json"
    path.write_text(json.dumps({"name": "times", "expectations": [rule]}), "utf-8")
    suite = load_suite(path, {"observed_at": "timestamp[UTC]"})
    assert list(failed(check(suite, [staged(tmp_path, rows)], cache=tmp_path))) == [1]


@pytest.mark.parametrize("no_file", [True, False])
def test_no_row_is_an_answer_and_not_an_error(tmp_path: Path, *, no_file: bool) -> None:
    suite = suite_of(
        tmp_path,
        WIND,
        quarantine("expect_compound_columns_to_be_unique", column_list=["origin", "temp"]),
        expectation("expect_column_values_to_match_regex", column="origin", regex="^E"),
        expectation("expect_column_mean_to_be_between", column="temp", max_value=100),
        expectation("expect_table_row_count_to_be_between", min_value=1),
    )
    files = [] if no_file else [staged(tmp_path, ROWS.slice(0, 0))]
    result = check(suite, files, cache=tmp_path)
    assert [(r.success, r.rows_evaluated) for r in result.results] == [
        (True, 0),
        (True, 0),
        (True, 0),
        (False, 0),
        (False, 0),
    ]
    assert result.results[0].observed == "no row to judge; 0 of 0 rows failed"
    assert (result.rows, result.failed_rows.num_rows) == (0, 0)


def problems_of(error: pytest.ExceptionInfo[SuiteError]) -> list[str]:
    return [problem.where.rsplit(": ", 1)[1] for problem in error.value.problems]


def test_what_gx_drops_silently_is_refused_by_name(tmp_path: Path) -> None:
    suite = suite_of(
        tmp_path,
        WIND,
        expectation("expect_colum_values_to_be_unique", column="temp"),
        expectation("expect_column_values_to_be_unique", column="temp", nope=1),
        expectation("expect_column_values_to_be_in_set", column="temp", value_set="EWR"),
        expectation("expect_column_values_to_be_in_set", column="temp"),
    )
    with pytest.raises(SuiteError) as error:
        verify(suite, cache=tmp_path)
    assert problems_of(error) == [
        "expect_colum_values_to_be_unique:temp",
        "expect_column_values_to_be_unique:temp",
        "expect_column_values_to_be_in_set:temp",
        "expect_column_values_to_be_in_set:temp#2",
    ]
    text = str(error.value)
    assert "Did you mean 'expect_column_values_to_be_unique'?" in text
    assert "nope: extra fields not permitted" in text
    assert "value_set: value is not a valid list" in text
    assert "value_set: field required" in text
    with pytest.raises(SuiteError):
        check(suite, [staged(tmp_path, ROWS)], cache=tmp_path)


def test_setting_rows_aside_by_a_whole_table_is_refused(tmp_path: Path) -> None:
    mean = quarantine("expect_column_mean_to_be_between", column="temp", max_value=100)
    suite = suite_of(tmp_path, mean)
    with pytest.raises(SuiteError, match="expected an expectation that judges rows"):
        verify(suite, cache=tmp_path)


def test_an_expectation_that_cannot_run_is_an_error_and_not_bad_data(tmp_path: Path) -> None:
    suite = suite_of(
        tmp_path,
        WIND,
        expectation("expect_column_values_to_be_dateutil_parseable", column="origin"),
        expectation("expect_column_values_to_be_between", column="origin", min_value=3),
        expectation("expect_column_values_to_match_regex", column="origin", regex="(?=E)"),
        expectation("expect_column_mean_to_be_between", column="origin", min_value=3),
    )
    with pytest.raises(SuiteError) as error:
        verify(suite, cache=tmp_path)
    assert problems_of(error) == [
        "expect_column_values_to_be_dateutil_parseable:origin",
        "expect_column_values_to_be_between:origin",
        "expect_column_values_to_match_regex:origin",
        "expect_column_mean_to_be_between:origin",
    ]
    assert [problem.found for problem in error.value.problems] == [
        "No provider found for column_values.dateutil_parseable.unexpected_count",
        "Binder Error: Cannot compare values of type VARCHAR and type DOUBLE"
        " - an explicit cast is required",
        "Invalid Input Error: invalid perl operator: (?=",
        "Binder Error: No function matches the given name and argument types '*(DOUBLE, VARCHAR)'."
        " You might need to add explicit type casts.",
    ]
    with pytest.raises(SuiteError):
        check(suite, [staged(tmp_path, ROWS)], cache=tmp_path)


def test_a_column_the_files_lack_is_an_error_that_names_every_rule(tmp_path: Path) -> None:
    hot = expectation("expect_column_mean_to_be_between", column="temp", max_value=3)
    with pytest.raises(SuiteError) as error:
        checked(tmp_path, WIND, hot, rows=ROWS.drop(["temp"]))
    assert problems_of(error) == ["expect_column_mean_to_be_between:temp"]
    assert error.value.problems[0].found == "no column temp"


def test_a_rule_that_breaks_on_the_rows_is_named_alone(tmp_path: Path) -> None:
    most = 2**63 - 1
    rows = pa.table({"_file": ["w.csv"], "_row": [1], "a": [most], "b": [most]})
    total = expectation("expect_multicolumn_sum_to_equal", column_list=["a", "b"], sum_total=1)
    count = expectation("expect_table_row_count_to_equal", value=1)
    path = tmp_path / "suite.json"
    path.write_text(json.dumps({"name": "sums", "expectations": [count, total]}), "utf-8")
    suite = load_suite(path, {"a": "int64", "b": "int64"})
    with pytest.raises(SuiteError) as error:
        check(suite, [staged(tmp_path, rows)], cache=tmp_path)
    assert problems_of(error) == ["expect_multicolumn_sum_to_equal:a,b"]
    assert error.value.problems[0].found == (
        "_duckdb.OutOfRangeException (its text may quote rows and is left out)"
    )
    assert str(most) not in str(error.value)


def test_nan_is_a_missing_value(tmp_path: Path) -> None:
    """Also where the file's bounds, which leave NaN out, say that there is none."""
    names = {"_file": ["w.csv"] * 3, "_row": [1, 2, 3], "station": ["a"] * 3, "origin": ["b"] * 3}
    values = pa.array([1.5, float("nan"), 1.5])
    rows = pa.table({**names, "temp": values, "wind_speed": values})
    result = checked(
        tmp_path,
        quarantine("expect_column_values_to_not_be_null", column="temp"),
        quarantine("expect_column_values_to_be_between", column="temp", max_value=100),
        expectation("expect_column_mean_to_be_between", column="temp", max_value=100),
        rows=rows,
    )
    assert failed(result) == {2: ["expect_column_values_to_not_be_null:temp"]}
    assert [(r.rows_evaluated, r.unexpected_count) for r in result.results] == [
        (3, 1),
        (2, 0),
        (3, 0),
    ]
    assert result.results[2].observed == "observed 1.5"


def test_a_row_that_fails_in_both_lanes_names_both_rules(tmp_path: Path) -> None:
    hot = quarantine("expect_column_values_to_be_between", column="temp", max_value=41)
    outlier = quarantine(
        "expect_column_value_z_scores_to_be_less_than",
        column="temp",
        threshold=1.5,
        double_sided=True,
    )
    assert failed(checked(tmp_path, outlier, hot)) == {
        5: ["expect_column_values_to_be_between:temp"],
        6: [
            "expect_column_value_z_scores_to_be_less_than:temp",
            "expect_column_values_to_be_between:temp",
        ],
    }


LISTED = {"column_list": ["origin", "temp"]}


def test_missing_values_repeat_like_any_other_unless_the_row_is_ignored(tmp_path: Path) -> None:
    names = {"_file": ["w.csv"] * 4, "_row": [1, 2, 3, 4], "station": ["a"] * 4}
    wind = pa.array([None] * 4, pa.float64())
    temp = pa.array([1.0, 1.0, None, None])
    rows = pa.table({**names, "origin": [None, None, "a", None], "temp": temp, "wind_speed": wind})
    unique = "expect_compound_columns_to_be_unique"
    every = quarantine(unique, **LISTED, ignore_row_if="never")
    whole = quarantine(unique, **LISTED, ignore_row_if="any_value_is_missing")
    assert list(failed(checked(tmp_path, every, rows=rows))) == [1, 2]
    assert list(failed(checked(tmp_path, whole, rows=rows))) == []


def test_no_value_of_a_row_is_in_a_message(tmp_path: Path) -> None:
    """A cast that fails on a row: DuckDB's own text quotes the row's value."""
    query = "SELECT * FROM {batch} WHERE CAST(station AS INTEGER) > 0"
    with pytest.raises(SuiteError) as error:
        checked(tmp_path, expectation("unexpected_rows_expectation", unexpected_rows_query=query))
    assert error.value.problems[0].found == (
        "_duckdb.ConversionException (its text may quote rows and is left out)"
    )
    assert "Hare" not in str(error.value)


def test_a_suite_of_broken_structure_is_refused_without_gx(tmp_path: Path) -> None:
    with pytest.raises(SuiteError) as error:
        suite_of(tmp_path, {**WIND, "severity": "info"}, {**WIND, "meta": {"on_fail": "drop"}})
    assert [problem.found for problem in error.value.problems] == [
        "severity 'info'",
        "meta.on_fail 'drop'",
    ]


def test_a_missing_or_garbled_suite_is_told_with_its_path(tmp_path: Path) -> None:
    path = tmp_path / "weather.json"
    with pytest.raises(SuiteError, match=r"weather\.json: .*No such file"):
        load_suite(path, WEATHER)
    path.write_text('{"name": "weather", "expectations": [}', "utf-8")
    with pytest.raises(SuiteError, match="line 1 column 38"):
        load_suite(path, WEATHER)


def test_the_digest_follows_the_content_and_not_the_layout(tmp_path: Path) -> None:
    suite = suite_of(tmp_path, WIND)
    document = json.loads(suite.path.read_text("utf-8"))
    suite.path.write_text(json.dumps(document, indent=8, sort_keys=True), "utf-8")
    assert load_suite(suite.path, WEATHER).digest == suite.digest
    assert suite_of(tmp_path, WIND, WIND).digest != suite.digest


def test_a_check_leaves_no_context_and_no_warning_behind(tmp_path: Path) -> None:
    from great_expectations.data_context.data_context.context_factory import project_manager
    from great_expectations.exceptions import DataContextRequiredError

    first = checked(tmp_path, WIND)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        second = checked(tmp_path, WIND)
    assert [str(warning.message) for warning in caught] == []
    assert first.as_json() == second.as_json()
    with pytest.raises(DataContextRequiredError):
        project_manager.get_current_project()


EXPECTATIONS = Path(__file__).parents[2] / "expectations" / "flight_delays"

FLIGHT = "flight_date:date carrier:string flight:int64 origin:string sched_dep_time:int64"
SHIPPED = {
    "schedule": f"{FLIGHT} tailnum:string dest:string sched_arr_time:int64 distance:int64"
    " sched_dep_at:timestamp[UTC]",
    "arrivals": f"{FLIGHT} dep_time:int64 dep_delay:int64 arr_time:int64 arr_delay:int64"
    " air_time:int64",
    "weather": "origin:string observed_at:timestamp[UTC] temp:double dewp:double humid:double"
    " wind_dir:int64 wind_speed:double wind_gust:double precip:double pressure:double visib:double",
    "planes": "tailnum:string year:int64 type:string manufacturer:string model:string"
    " engines:int64 seats:int64 speed:int64 engine:string",
}


def shipped(name: str) -> Suite:
    columns = dict(column.split(":") for column in SHIPPED[name].split())
    return load_suite(EXPECTATIONS / f"{name}.json", columns)


@pytest.mark.parametrize("name", sorted(path.stem for path in EXPECTATIONS.glob("*.json")))
def test_every_shipped_suite_is_evaluated_whole(name: str, tmp_path: Path) -> None:
    suite = shipped(name)
    assert suite.name == f"flight_delays.{name}"
    assert len(check(suite, [], cache=tmp_path).results) == len(suite.expectations)


def test_the_impossible_wind_of_february_is_set_aside(tmp_path: Path) -> None:
    hours = {
        "observed_at": pa.array([1360652400, 1360656000], pa.timestamp("s", tz="UTC")),
        "temp": [39.02, 39.02],
        "dewp": [26.96, 26.96],
        "humid": [61.63, 61.63],
        "wind_dir": [260, 260],
        "wind_speed": [8.05546, 1048.36058],
        "wind_gust": pa.array([None, None], pa.float64()),
        "precip": [0.0, 0.0],
        "pressure": [1008.3, 1008.3],
        "visib": [10.0, 10.0],
    }
    rows = pa.table({"_file": ["w.csv"] * 2, "_row": [1009, 1010], "origin": ["EWR"] * 2, **hours})
    result = check(shipped("weather"), [staged(tmp_path, rows)], cache=tmp_path)
    assert failed(result) == {1010: ["expect_column_values_to_be_between:wind_speed"]}
    assert result.verdict == "publish_and_flag"
