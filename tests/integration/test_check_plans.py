"""Compiled suites: cached, mended when damaged, and run without Great Expectations."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.adapters.suites import check_plans
from pipelines.adapters.suites.gx_suites import check, load_suite, verify
from pipelines.domain.check_plan import CheckPlan, plan_as_json, plan_from_json

# GX imports two modules of regular expressions that the standard library renamed.
pytestmark = pytest.mark.filterwarnings(
    "ignore:module 'sre_(constants|parse)' is deprecated:DeprecationWarning"
)

ROOT = Path(__file__).parents[2]

COLUMNS = {"id": "int64", "temp": "double", "origin": "string"}

EXPECTATIONS: list[dict[str, Any]] = [
    {
        "type": "expect_column_values_to_be_between",
        "kwargs": {"column": "temp", "max_value": 100},
        "meta": {"on_fail": "quarantine"},
    },
    {"type": "expect_column_values_to_be_unique", "kwargs": {"column": "id"}},
    {
        "type": "expect_column_distinct_values_to_be_in_set",
        "kwargs": {"column": "origin", "value_set": ["EWR", "JFK"]},
    },
    {
        "type": "expect_column_quantile_values_to_be_between",
        "kwargs": {
            "column": "temp",
            "quantile_ranges": {"quantiles": [0.5], "value_ranges": [[None, 50]]},
        },
    },
]

CHILD = """
import json, sys
from pathlib import Path
from pipelines.adapters.suites.gx_suites import check, load_suite
folder = Path(sys.argv[1])
suite = load_suite(folder / "suite.json", json.loads(sys.argv[2]))
result = check(suite, [folder / "rows.parquet"], cache=folder / "cache")
heavy = ("great_expectations", "sqlalchemy", "pandas", "scipy")
print(json.dumps([result.as_json(), [name for name in heavy if name in sys.modules]]))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    suite = {"name": "weather", "expectations": EXPECTATIONS}
    (tmp_path / "suite.json").write_text(json.dumps(suite), "utf-8")
    rows = {"id": [1, 2, 2], "temp": [30.0, 40.0, 999.0], "origin": ["EWR", "JFK", "JFK"]}
    names = {"_file": ["w.csv"] * 3, "_row": [1, 2, 3]}
    pq.write_table(pa.table({**rows, **names}), tmp_path / "rows.parquet")
    return tmp_path


def plans(folder: Path) -> list[Path]:
    return sorted((folder / "cache").iterdir())


def in_a_child(folder: Path) -> Any:  # noqa: ANN401 - JSON
    told = subprocess.run(
        [sys.executable, "-c", CHILD, str(folder), json.dumps(COLUMNS)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return json.loads(told.splitlines()[-1])


def test_a_check_with_a_plan_imports_duckdb_and_pyarrow_alone(folder: Path) -> None:
    verify(load_suite(folder / "suite.json", COLUMNS), cache=folder / "cache")
    found, heavy = in_a_child(folder)
    assert heavy == []
    assert (found["rows"], found["rows_quarantined"], found["failed_critical"]) == (3, 1, 2)


def test_a_check_without_a_plan_imports_gx_and_keeps_the_plan(folder: Path) -> None:
    """The control: the list of heavy modules is not empty by itself."""
    cold, heavy = in_a_child(folder)
    assert "great_expectations" in heavy
    assert len(plans(folder)) == 1
    assert in_a_child(folder) == [cold, []]


def test_a_plan_survives_json() -> None:
    plan = CheckPlan(suite="weather", rules=())
    assert plan_from_json(json.loads(json.dumps(plan_as_json(plan)))) == plan


def test_a_kept_plan_is_the_compiled_one(folder: Path) -> None:
    suite, cache = load_suite(folder / "suite.json", COLUMNS), folder / "cache"
    assert check_plans.plan_of(suite, cache) == check_plans.plan_of(suite, cache)
    assert check_plans.plan_of(suite, cache) == check_plans.compile_again(suite, cache)
    assert len(plans(folder)) == 1


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: text.replace("100.0", "900.0"),
        lambda text: "[]",
        lambda text: "{}",
        lambda text: "",
        lambda text: text.encode("utf-16").decode("latin-1"),
    ],
    ids=["cut", "altered", "list", "empty object", "empty", "garbled"],
)
def test_a_damaged_plan_is_compiled_again(damage: Any, folder: Path) -> None:  # noqa: ANN401 - a function
    suite, cache = load_suite(folder / "suite.json", COLUMNS), folder / "cache"
    whole = check(suite, [folder / "rows.parquet"], cache=cache)
    (path,) = plans(folder)
    kept = path.read_text("utf-8")
    path.write_text(damage(kept), "utf-8")
    again = check(suite, [folder / "rows.parquet"], cache=cache)
    assert (again.results, again.failed_rows) == (whole.results, whole.failed_rows)
    assert path.read_text("utf-8") == kept
    assert plans(folder) == [path]


def test_another_suite_or_other_columns_have_a_plan_of_their_own(folder: Path) -> None:
    cache, path = folder / "cache", folder / "suite.json"
    verify(load_suite(path, COLUMNS), cache=cache)
    verify(load_suite(path, {**COLUMNS, "temp": "int64"}), cache=cache)
    path.write_text(json.dumps({"name": "weather", "expectations": EXPECTATIONS[:1]}), "utf-8")
    verify(load_suite(path, COLUMNS), cache=cache)
    assert len(plans(folder)) == 3


def test_one_thread_finds_what_two_find(folder: Path) -> None:
    suite, cache = load_suite(folder / "suite.json", COLUMNS), folder / "cache"
    one = check(suite, [folder / "rows.parquet"], cache=cache, threads=1)
    two = check(suite, [folder / "rows.parquet"], cache=cache, threads=2)
    assert (one.results, one.failed_rows) == (two.results, two.failed_rows)
