"""The arithmetic of the quality benchmark: its floors, ratios and goals, and whose answers count."""

from pathlib import Path
from typing import Any

import pytest

from benchmarks.paired import Once, Spent
from benchmarks.quality import plan, with_imports
from benchmarks.quality_files import failing_rows, make
from benchmarks.quality_goals import Case, floor_cpu_s, goals
from benchmarks.quality_peers.suite import PARTS, READ, entries, told
from benchmarks.quality_runs import (
    SCRIPTS,
    OtherVerdictError,
    needed_bytes,
    refuse_different,
    refuse_untrue,
)
from benchmarks.report import Goal, row_of

SMALL = Case(rows=1_000_000, share="0.01 %")
LARGE = Case(rows=10_000_000, share="0.01 %")
LARGE_OFTEN = Case(rows=10_000_000, share="4 %")

FLOORS = {"floor, row rules": 3.0, "floor, unique": 2.0, "floor, aggregates": 0.5}


def found(asked: list[Goal]) -> dict[str, tuple[float | None, float, bool]]:
    return {
        goal.name: (goal.measured and round(goal.measured, 3), goal.target, goal.met)
        for goal in asked
    }


def test_a_part_has_its_own_floor_and_the_whole_has_all_of_them() -> None:
    assert floor_cpu_s(FLOORS, "ours, unique") == 2.0
    assert floor_cpu_s(FLOORS, "floor, unique") == 2.0
    assert floor_cpu_s(FLOORS, "ours") == 5.5
    assert floor_cpu_s(FLOORS, "GX pandas, failing rows listed") == 5.5
    assert floor_cpu_s({**FLOORS, "floor, unique": None}, "ours") is None
    assert floor_cpu_s({"floor, unique": 2.0}, "ours, row rules") is None


def test_the_goals_are_those_of_the_most_rows() -> None:
    of_small = {
        **FLOORS,
        "ours": 1.0,
        "ours, row rules": 100.0,
        "ours, failing rows set aside": 2.0,
        "GX on DuckDB": 0.1,
        "GX pandas, failing rows listed": 30.0,
    }
    of_large = {
        **FLOORS,
        "ours": 8.0,
        "ours, row rules": 6.0,
        "ours, unique": 4.2,
        "ours, aggregates": 0.4,
        "ours, failing rows set aside": 12.0,
        "GX on DuckDB": 16.0,
        "GX on DuckDB, failing rows listed": 10.0,
        "GX pandas, failing rows listed": 300.0,
    }
    large = "CPU, 10,000,000 rows, 0.01 % failing: ours"
    assert found(goals({SMALL: of_small, LARGE: of_large})) == {
        f"{large}, row rules to floor, row rules": (2.0, 2.0, True),
        f"{large}, unique to floor, unique": (2.1, 2.0, False),
        f"{large}, aggregates to floor, aggregates": (0.8, 2.0, True),
        f"{large} to GX on DuckDB": (0.5, 1.0, True),
        f"{large}, failing rows set aside to GX on DuckDB, failing rows listed": (1.2, 1.0, False),
        f"{large}, failing rows set aside to GX pandas, failing rows listed": (0.04, 0.05, True),
    }


def test_gx_on_pandas_is_compared_where_it_runs_for_each_share_of_failing_rows() -> None:
    ours, pandas = "ours, failing rows set aside", "GX pandas, failing rows listed"
    asked = goals(
        {
            SMALL: {ours: 1.5, pandas: 15.0},
            LARGE: {ours: 12.0, pandas: None},
            LARGE_OFTEN: {ours: 20.0, pandas: 400.0},
        }
    )
    name = "failing: ours, failing rows set aside to GX pandas, failing rows listed"
    assert found(asked) == {
        f"CPU, 1,000,000 rows, 0.01 % {name}": (0.1, 0.05, False),
        f"CPU, 10,000,000 rows, 4 % {name}": (0.05, 0.05, True),
    }


def test_a_goal_whose_system_gave_nothing_is_missed_and_says_it_was_not_measured() -> None:
    asked = goals({LARGE: {**FLOORS, "ours, unique": None}})
    assert [str(goal) for goal in asked] == [
        "CPU, 10,000,000 rows, 0.01 % failing: ours, unique to floor, unique:"
        " not measured, goal 2.00: MISSED"
    ]
    assert goals({LARGE: FLOORS}) == []
    assert goals({}) == []


def test_a_row_of_the_report_leaves_imports_out_and_tells_them_beside() -> None:
    runs = [
        Once(spent=Spent(cpu_s=cpu_s, wall_s=wall_s, peak_mib=peak_mib), imports_cpu_s=imports)
        for cpu_s, wall_s, peak_mib, imports in (
            (2.0, 3.0, 400.0, 3.5),
            (9.0, 1.0, 450.0, 3.6),
            (4.0, 2.0, 410.0, 3.7),
        )
    ]
    row = row_of(LARGE, "GX on DuckDB", runs, 1.6)
    assert row.case == "10,000,000 rows, 0.01 % failing"
    assert row.cpu_s == (2.0, 4.0, 9.0)
    assert row.wall_s == (1.0, 2.0, 3.0)
    assert row.peak_mib == (400.0, 410.0, 450.0)
    assert row.imports_cpu_s == 3.6
    assert row.ratio_to_floor == 2.5
    assert with_imports(runs) == 7.7


def test_every_system_takes_rows_of_which_few_fail_and_some_those_of_which_many_do() -> None:
    plans = plan([10_000_000, 1_000_000], list(SCRIPTS), quick=False)
    often = (
        "ours",
        "ours, failing rows set aside",
        "GX on DuckDB, failing rows listed",
        "GX pandas, failing rows listed",
        "pandera",
    )
    assert len(SCRIPTS) == 13
    assert {str(each.case): (each.systems, each.repetitions) for each in plans} == {
        "1,000,000 rows, 0.01 % failing": (tuple(SCRIPTS), 3),
        "1,000,000 rows, 4 % failing": (often, 3),
        "10,000,000 rows, 0.01 % failing": (tuple(SCRIPTS), 3),
        "10,000,000 rows, 4 % failing": (often, 3),
    }
    (only,) = plan([100_000], ["floor, unique"], quick=True)
    assert (only.systems, only.repetitions) == (("floor, unique",), 1)


def test_the_room_asked_for_covers_the_files_while_they_are_made() -> None:
    assert needed_bytes(LARGE) == 500_000_000


def test_the_suite_has_seventeen_rules_about_rows_and_three_checks_more() -> None:
    assert {part: len(checks) for part, checks in PARTS.items()} == {
        "rows": 17,
        "unique": 1,
        "aggregates": 2,
        "all": 20,
    }
    assert len(READ) == 15
    assert entries("unique", "listed") == [
        {
            "type": "expect_column_values_to_be_unique",
            "kwargs": {"column": "id"},
            "meta": {"on_fail": "quarantine"},
        }
    ]
    assert ["meta" in entry for entry in entries("aggregates", "listed")] == [False, False]


def test_numbers_are_compared_to_nine_digits() -> None:
    assert told(1, 3, 0, 1040.008608823529) == {
        "success": True,
        "evaluated": 3,
        "failed": 0,
        "observed": 1040.00861,
    }
    assert told(success=True, evaluated=0, failed=0, observed=0.0)["observed"] == 0.0


def test_failing_rows_take_turns_and_are_known_beforehand() -> None:
    # Of 1,000 rows one in 100 fails: rows 100 to 800 in eight ways, 900 and 1000 in the first two.
    assert failing_rows(1000, 100) == {
        "dep_delay is in bounds": [2, 1000],
        "distance is in bounds": [2, 1200],
        "carrier is in its set": [1, 300],
        "carrier has its length": [1, 300],
        "fare is in bounds": [1, 400],
        "origin is in its set": [1, 500],
        "tailnum matches": [1, 600],
        "sched_dep_time is at least hour": [1, 700],
    }
    assert failing_rows(1600, 100)["id is unique"] == [2, 2400]


def test_staged_files_hold_the_failing_rows_they_are_told_to(tmp_path: Path) -> None:
    import duckdb

    failing = make(tmp_path, 20_000, one_in=25)
    rows = duckdb.read_parquet(str(tmp_path / "*.parquet"))
    query = """
        SELECT count(*), max(_row), count(*) FILTER (fare < 0), sum(_row) FILTER (carrier = 'ZZZ'),
            count(*) - count(DISTINCT id), count(DISTINCT _file)
        FROM landed"""
    assert rows.query("landed", query).fetchall() == [(20_000, 20_000, 100, 997_500, 99, 1)]
    assert failing["fare is in bounds"][0] == 100
    assert failing["carrier is in its set"] == [100, 997_500]
    assert [path.suffix for path in tmp_path.iterdir()] == [".parquet"]


MADE = {"rows": 1000, "listed": {"fare is in bounds": [2, 900]}}
GOOD = told(success=True, evaluated=1000, failed=0)
BAD = told(success=False, evaluated=1000, failed=2)


def said(fare: dict[str, Any], listed: list[int] | None = None) -> dict[str, Any]:
    checks = {"month is in bounds": GOOD, "fare is in bounds": fare}
    return {"checks": checks} | ({"listed": {"fare is in bounds": listed}} if listed else {})


def test_answers_that_are_true_of_the_rows_are_accepted() -> None:
    refuse_untrue("ours", said(BAD), MADE)
    refuse_untrue("ours", said(BAD, [2, 900]), MADE)
    refuse_untrue("pandera", said({**BAD, "evaluated": None}, [2, 900]), MADE)


@pytest.mark.parametrize(
    ("fare", "listed"),
    [
        ({**BAD, "success": True}, None),
        ({**BAD, "failed": 3}, None),
        (BAD, [1, 400]),
        (BAD, [2, 901]),
    ],
)
def test_another_verdict_count_or_row_is_refused(fare: dict[str, Any], listed: list[int]) -> None:
    with pytest.raises(OtherVerdictError, match=r"not true of fare is in bounds$"):
        refuse_untrue("pandera", said(fare, listed), MADE)


def test_systems_are_compared_wherever_both_say_something() -> None:
    refuse_different("ours", said(BAD), "pandera", said({**BAD, "evaluated": None}))
    refuse_different("floor, unique", {"checks": {"id is unique": BAD}}, "ours", said(BAD))
    with pytest.raises(
        OtherVerdictError, match=r"^differs from GX pandas in fare is in bounds \(evaluated\)$"
    ):
        refuse_different("ours", said(BAD), "GX pandas", said({**BAD, "evaluated": 999}))
