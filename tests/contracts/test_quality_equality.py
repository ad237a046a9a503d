"""Checks judge as Great Expectations' pandas engine does, but for the differences we chose."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from pipelines.adapters.suites import check_plans
from pipelines.adapters.suites.gx_suites import check, verify
from pipelines.domain.contract import arrow_type
from pipelines.domain.quality import ExpectationResult
from pipelines.errors import SuiteError
from tests.contracts.quality_differences import DIFFERENCES, Difference, rendered
from tests.contracts.quality_drawn import Drawn, for_pandas, suites_and_rows
from tests.contracts.quality_oracle import COLUMNS, Judged, by_pandas, staged, suite_of

# GX imports two modules of regular expressions that the standard library renamed.
pytestmark = pytest.mark.filterwarnings(
    "ignore:module 'sre_(constants|parse)' is deprecated:DeprecationWarning"
)

RANGES = {"quantiles": [0.5], "value_ranges": [[0, 1]]}
PAIR = {"column_A": "i", "column_B": "j"}
LIST = {"column_list": ["i", "j"]}

SAMPLES: dict[str, tuple[str, dict[str, Any]]] = {
    "expect_column_distinct_values_to_be_in_set": ("whole", {"column": "s", "value_set": ["a"]}),
    "expect_column_distinct_values_to_contain_set": ("whole", {"column": "s", "value_set": ["a"]}),
    "expect_column_distinct_values_to_equal_set": ("whole", {"column": "s", "value_set": ["a"]}),
    "expect_column_kl_divergence_to_be_less_than": (
        "great_expectations",
        {
            "column": "s",
            "partition_object": {"values": ["a", "b"], "weights": [0.5, 0.5]},
            "threshold": 0.5,
        },
    ),
    "expect_column_max_to_be_between": ("whole", {"column": "f", "max_value": 1}),
    "expect_column_mean_to_be_between": ("whole", {"column": "f", "max_value": 1}),
    "expect_column_median_to_be_between": ("whole", {"column": "f", "max_value": 1}),
    "expect_column_min_to_be_between": ("whole", {"column": "f", "max_value": 1}),
    "expect_column_most_common_value_to_be_in_set": ("whole", {"column": "s", "value_set": ["a"]}),
    "expect_column_pair_values_a_to_be_greater_than_b": ("rows", PAIR),
    "expect_column_pair_values_to_be_equal": ("rows", PAIR),
    "expect_column_pair_values_to_be_in_set": ("rows", {**PAIR, "value_pairs_set": [[1, 2]]}),
    "expect_column_proportion_of_non_null_values_to_be_between": (
        "whole",
        {"column": "s", "min_value": 0.5},
    ),
    "expect_column_proportion_of_unique_values_to_be_between": (
        "whole",
        {"column": "s", "min_value": 0.5},
    ),
    "expect_column_quantile_values_to_be_between": (
        "whole",
        {"column": "f", "quantile_ranges": RANGES},
    ),
    "expect_column_stdev_to_be_between": ("whole", {"column": "f", "max_value": 1}),
    "expect_column_sum_to_be_between": ("whole", {"column": "f", "max_value": 1}),
    "expect_column_to_exist": ("great_expectations", {"column": "s"}),
    "expect_column_type_to_be": ("refused", {"column": "s", "type_": "VARCHAR"}),
    "expect_column_unique_value_count_to_be_between": ("whole", {"column": "s", "max_value": 1}),
    "expect_column_value_lengths_to_be_between": ("rows", {"column": "s", "max_value": 1}),
    "expect_column_value_lengths_to_equal": ("rows", {"column": "s", "value": 1}),
    "expect_column_value_z_scores_to_be_less_than": (
        "great_expectations",
        {"column": "f", "threshold": 1.5, "double_sided": True},
    ),
    "expect_column_values_to_be_between": ("rows", {"column": "f", "max_value": 1}),
    "expect_column_values_to_be_dateutil_parseable": ("refused", {"column": "s"}),
    "expect_column_values_to_be_decreasing": ("refused", {"column": "i"}),
    "expect_column_values_to_be_in_set": ("rows", {"column": "s", "value_set": ["a"]}),
    "expect_column_values_to_be_in_type_list": (
        "refused",
        {"column": "s", "type_list": ["VARCHAR"]},
    ),
    "expect_column_values_to_be_increasing": ("refused", {"column": "i"}),
    "expect_column_values_to_be_json_parseable": ("refused", {"column": "s"}),
    "expect_column_values_to_be_null": ("rows", {"column": "s"}),
    "expect_column_values_to_be_of_type": (
        "refused",
        {"column": "s", "type_": "VARCHAR"},
    ),
    "expect_column_values_to_be_unique": ("groups", {"column": "s"}),
    "expect_column_values_to_match_json_schema": ("refused", {"column": "s", "json_schema": {}}),
    "expect_column_values_to_match_like_pattern": ("rows", {"column": "s", "like_pattern": "a%"}),
    "expect_column_values_to_match_like_pattern_list": (
        "rows",
        {"column": "s", "like_pattern_list": ["a%"]},
    ),
    "expect_column_values_to_match_regex": ("rows", {"column": "s", "regex": "a"}),
    "expect_column_values_to_match_regex_list": ("rows", {"column": "s", "regex_list": ["a"]}),
    "expect_column_values_to_match_strftime_format": (
        "refused",
        {"column": "s", "strftime_format": "%Y"},
    ),
    "expect_column_values_to_not_be_in_set": ("rows", {"column": "s", "value_set": ["a"]}),
    "expect_column_values_to_not_be_null": ("rows", {"column": "s"}),
    "expect_column_values_to_not_be_outliers": (
        "great_expectations",
        {"column": "f", "method": "std", "multiplier": 3},
    ),
    "expect_column_values_to_not_match_like_pattern": (
        "rows",
        {"column": "s", "like_pattern": "a%"},
    ),
    "expect_column_values_to_not_match_like_pattern_list": (
        "rows",
        {"column": "s", "like_pattern_list": ["a%"]},
    ),
    "expect_column_values_to_not_match_regex": ("rows", {"column": "s", "regex": "a"}),
    "expect_column_values_to_not_match_regex_list": ("rows", {"column": "s", "regex_list": ["a"]}),
    "expect_compound_columns_to_be_unique": ("groups", LIST),
    "expect_multicolumn_sum_to_equal": ("rows", {**LIST, "sum_total": 1}),
    "expect_multicolumn_values_to_be_equal": ("rows", LIST),
    "expect_query_results_to_match_comparison": (
        "refused",
        {
            "base_query": "SELECT 1 FROM {batch}",
            "comparison_data_source_name": "elsewhere",
            "comparison_query": "SELECT 1",
        },
    ),
    "expect_select_column_values_to_be_unique_within_record": ("rows", LIST),
    "expect_table_column_count_to_be_between": ("refused", {"min_value": 1}),
    "expect_table_column_count_to_equal": ("refused", {"value": 1}),
    "expect_table_columns_to_match_ordered_list": ("refused", {"column_list": ["i", "j"]}),
    "expect_table_columns_to_match_set": ("refused", {"column_set": ["i"]}),
    "expect_table_row_count_to_be_between": ("whole", {"min_value": 1}),
    "expect_table_row_count_to_equal": ("whole", {"value": 1}),
    "expect_table_row_count_to_equal_other_table": ("refused", {"other_table_name": "other"}),
    "unexpected_rows_expectation": (
        "great_expectations",
        {"unexpected_rows_query": "SELECT * FROM {batch} WHERE i > 1"},
    ),
}
"""Every expectation GX has: how it is evaluated, and an example. "refused" is by name, at verify."""


def test_the_table_names_every_expectation_that_gx_has() -> None:
    from great_expectations.expectations.registry import list_registered_expectation_implementations

    assert sorted(SAMPLES) == sorted(list_registered_expectation_implementations())


def samples(*, refused: bool) -> dict[str, dict[str, Any]]:
    return {
        kind: {"type": kind, "kwargs": kwargs}
        for kind, (lane, kwargs) in SAMPLES.items()
        if (lane == "refused") == refused
    }


def test_each_expectation_is_evaluated_in_the_lane_the_table_says(tmp_path: Path) -> None:
    plan = check_plans.plan_of(suite_of(tmp_path, [*samples(refused=False).values()]), tmp_path)
    lanes = {rule.expectation_type: rule.lane for rule in plan.rules}
    assert lanes == {kind: lane for kind, (lane, _) in SAMPLES.items() if lane != "refused"}


@pytest.mark.parametrize("kind", samples(refused=True))
def test_an_expectation_that_nothing_can_evaluate_is_refused_by_name(
    kind: str, tmp_path: Path
) -> None:
    with pytest.raises(SuiteError, match=kind):
        verify(suite_of(tmp_path, [samples(refused=True)[kind]]), cache=tmp_path)


def judged(result: ExpectationResult) -> Judged:
    return result.success, result.rows_evaluated, result.unexpected_count


def disagreements(drawn: Drawn) -> list[str]:
    """Return each rule of a drawn suite that we judge otherwise than pandas, with both judgements."""
    with tempfile.TemporaryDirectory() as folder:
        suite = suite_of(Path(folder), drawn.entries)
        found = check(suite, [staged(Path(folder), drawn.rows)], cache=Path(folder))
    theirs = by_pandas(drawn.rows, [for_pandas(entry) for entry in drawn.entries])
    different = []
    for ours, entry in zip(found.results, drawn.entries, strict=True):
        if not agree(ours, theirs[ours.rule]):
            different.append(f"{entry}: {ours} but pandas {theirs[ours.rule]}")
    return different


def agree(ours: ExpectationResult, theirs: Mapping[str, Any]) -> bool:
    if theirs["errors"] or ours.success != theirs["success"]:
        return False
    if "element_count" in theirs:
        evaluated = theirs["element_count"] - (theirs.get("missing_count") or 0)
        return judged(ours)[1:] == (evaluated, theirs["unexpected_count"] or 0)
    seen = ours.observed.rpartition("observed ")[2].replace(",", "")
    value = theirs.get("observed_value")
    if not ours.observed.startswith("observed ") or not isinstance(value, int | float):
        return True
    return float(seen) == pytest.approx(float(value), rel=1e-8, nan_ok=True)


@settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],  # a failure names its rule; to shrink it would take minutes
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(suites_and_rows())
def test_a_drawn_suite_on_drawn_rows_is_judged_as_by_pandas(drawn: Drawn) -> None:
    assert disagreements(drawn) == []


@pytest.mark.prove
@settings(
    max_examples=1_000,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(suites_and_rows())
def test_many_drawn_suites_are_judged_as_by_pandas(drawn: Drawn) -> None:
    assert disagreements(drawn) == []


def rows_of(columns: Mapping[str, list[Any]]) -> pa.Table:
    return pa.table(
        {name: pa.array(values, arrow_type(COLUMNS[name])) for name, values in columns.items()}
    )


NAN, MOST = float("nan"), 2**63 - 1


def quantile(way: str, low: float, high: float) -> dict[str, Any]:
    ranges = {"quantiles": [0.5], "value_ranges": [[low, high]]}
    return {"column": "f", "quantile_ranges": ranges, "allow_relative_error": way}


CORNERS: dict[str, tuple[str, dict[str, Any], dict[str, list[Any]], bool]] = {
    "a sum of nothing is 0": (
        "expect_column_sum_to_be_between",
        {"column": "f", "min_value": 0},
        {"f": [None, None]},
        True,
    ),
    "a mean of nothing is none": (
        "expect_column_mean_to_be_between",
        {"column": "f", "min_value": 0},
        {"f": []},
        False,
    ),
    "one value has no spread": (
        "expect_column_stdev_to_be_between",
        {"column": "f", "min_value": 0},
        {"f": [1.0]},
        False,
    ),
    "NaN is missing": (
        "expect_column_values_to_not_be_null",
        {"column": "f"},
        {"f": [1.5, NAN]},
        False,
    ),
    "NaN is no extreme": (
        "expect_column_max_to_be_between",
        {"column": "f", "max_value": 2},
        {"f": [1.5, NAN]},
        True,
    ),
    "the nearest of two places is the even one, 0": (
        "expect_column_quantile_values_to_be_between",
        quantile("nearest", 0, 1),
        {"f": [1.0, 5.0]},
        True,
    ),
    "the nearest of two places is the even one, 2": (
        "expect_column_quantile_values_to_be_between",
        quantile("nearest", 3, 3),
        {"f": [1.0, 2.0, 3.0, 4.0]},
        True,
    ),
    "a quantile between": (
        "expect_column_quantile_values_to_be_between",
        quantile("linear", 3, 3),
        {"f": [1.0, 5.0]},
        True,
    ),
    "the largest integers differ": (
        "expect_column_values_to_be_unique",
        {"column": "i"},
        {"i": [MOST, MOST - 1, -MOST]},
        True,
    ),
    "a set names the largest integer": (
        "expect_column_values_to_be_in_set",
        {"column": "i", "value_set": [MOST]},
        {"i": [MOST, MOST - 1]},
        False,
    ),
    "a missing value repeats in a key": (
        "expect_compound_columns_to_be_unique",
        {"column_list": ["i", "s"]},
        {"i": [1, 1], "s": [None, None]},
        False,
    ),
    "a missing value is greater than none": (
        "expect_column_pair_values_a_to_be_greater_than_b",
        {"column_A": "i", "column_B": "j"},
        {"i": [None, 2], "j": [1, 1]},
        False,
    ),
    "a missing value adds up to nothing": (
        "expect_multicolumn_sum_to_equal",
        {"column_list": ["i", "j"], "sum_total": 1},
        {"i": [1, 1], "j": [None, 0]},
        False,
    ),
    "a forbidden missing value forbids no other": (
        "expect_column_values_to_not_be_in_set",
        {"column": "s", "value_set": ["a", None]},
        {"s": ["b", None]},
        True,
    ),
    "no column contains a missing value": (
        "expect_column_distinct_values_to_contain_set",
        {"column": "s", "value_set": ["a", None]},
        {"s": ["a", None]},
        False,
    ),
    "two values are as common": (
        "expect_column_most_common_value_to_be_in_set",
        {"column": "s", "value_set": ["a"]},
        {"s": ["a", "b"]},
        False,
    ),
    "a length counts code points": (
        "expect_column_value_lengths_to_equal",
        {"column": "s", "value": 2},
        {"s": ["e\u0301", "日本"]},
        True,
    ),
}
"""Name -> expectation, keywords, rows, and the verdict that both give."""


@pytest.mark.parametrize("name", CORNERS)
def test_a_corner_is_judged_as_by_pandas(name: str, tmp_path: Path) -> None:
    kind, kwargs, columns, success = CORNERS[name]
    rows, entries = rows_of(columns), [{"type": kind, "kwargs": kwargs}]
    suite = suite_of(tmp_path, entries, {column: COLUMNS[column] for column in columns})
    (ours,) = check(suite, [staged(tmp_path, rows)], cache=tmp_path).results
    (theirs,) = by_pandas(rows, entries).values()
    assert ours.success is success
    assert agree(ours, theirs)


@pytest.mark.parametrize("one", DIFFERENCES, ids=lambda one: one.name)
def test_a_chosen_difference_is_as_it_is_told(one: Difference, tmp_path: Path) -> None:
    rows, entries = rows_of(one.rows), [{"type": one.expectation, "kwargs": one.kwargs}]
    columns = {name: COLUMNS[name] for name in one.rows}
    suite = suite_of(tmp_path, entries, columns)
    (ours,) = check(suite, [staged(tmp_path, rows)], cache=tmp_path).results
    (theirs,) = by_pandas(rows, entries, as_it_is=one.as_it_is).values()
    assert judged(ours) == one.ours
    if isinstance(one.theirs, str):
        assert one.theirs in str(theirs["errors"])
    else:
        success, evaluated, failed = one.theirs
        assert theirs["success"] == success
        if "element_count" in theirs:
            missing = theirs.get("missing_count") or 0
            assert theirs["element_count"] - missing == evaluated
            assert theirs["unexpected_count"] == failed


def test_the_documentation_tells_every_difference() -> None:
    text = (Path(__file__).parents[2] / "docs" / "quality.md").read_text("utf-8")
    assert rendered() in text


@pytest.mark.parametrize(
    ("kwargs", "found"),
    [
        ({"column": "i", "value_set": ["1"]}, "'1' for 'i', which is int64"),
        ({"column": "s", "value_set": [1]}, "1 for 's', which is string"),
        ({"column": "i", "value_set": [True]}, "True for 'i', which is int64"),
        (
            {"column": "d", "value_set": ["2013-01-01T10:00:00"]},
            "'2013-01-01T10:00:00' for 'd', which is date",
        ),
    ],
)
def test_a_value_its_column_cannot_hold_is_refused(
    kwargs: dict[str, Any], found: str, tmp_path: Path
) -> None:
    suite = suite_of(tmp_path, [{"type": "expect_column_values_to_be_in_set", "kwargs": kwargs}])
    with pytest.raises(SuiteError) as error:
        verify(suite, cache=tmp_path)
    assert [problem.found for problem in error.value.problems] == [found]


@pytest.mark.parametrize(
    ("kwargs", "expected"),
    [
        ({"column": "d", "max_value": 3}, "bounds that are dates or times"),
        ({"column": "i", "max_value": "2013-01-01"}, "bounds that are numbers"),
    ],
)
def test_a_bound_of_another_type_than_the_column_is_refused(
    kwargs: dict[str, Any], expected: str, tmp_path: Path
) -> None:
    suite = suite_of(tmp_path, [{"type": "expect_column_max_to_be_between", "kwargs": kwargs}])
    with pytest.raises(SuiteError) as error:
        verify(suite, cache=tmp_path)
    assert [problem.expected for problem in error.value.problems] == [expected]
