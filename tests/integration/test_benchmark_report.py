"""The arithmetic of the ingest benchmark: costs, ratios, goals, and what counts as the same rows."""

import sys
from pathlib import Path

import pytest

from benchmarks.ingest import SYSTEMS, cost_of, plan
from benchmarks.ingest_files import FORMATS, make
from benchmarks.ingest_goals import (
    OURS,
    OURS_BAD,
    Case,
    Cost,
    fastest_copy,
    floor_cpu_s,
    goals,
)
from benchmarks.ingest_runs import RunError, needed_bytes, refuse_other_rows
from benchmarks.paired import ChildError, Once, Spent, rounds, run, spread
from benchmarks.report import Goal, Measured, row_of, table_of

SMALL = Case(format="csv", rows=2_000_000)
LARGE = Case(format="csv", rows=20_000_000)


def cost(cpu_s: float, peak_mib: float = 500.0) -> Cost:
    return Cost(cpu_s=cpu_s, peak_mib=peak_mib)


def once(cpu_s: float, wall_s: float, peak_mib: float, imports_cpu_s: float) -> Once:
    spent = Spent(cpu_s=cpu_s, wall_s=wall_s, peak_mib=peak_mib)
    return Once(spent=spent, imports_cpu_s=imports_cpu_s)


def found(asked: list[Goal]) -> dict[str, tuple[float | None, bool]]:
    return {goal.name: (goal.measured and round(goal.measured, 3), goal.met) for goal in asked}


def test_a_spread_is_minimum_median_and_maximum() -> None:
    assert spread([3.0, 1.0, 8.0]) == (1.0, 3.0, 8.0)
    assert spread([4.0, 1.0]) == (1.0, 2.5, 4.0)
    assert spread([2.0]) == (2.0, 2.0, 2.0)


def test_systems_take_turns_and_each_round_begins_with_another_one() -> None:
    assert list(rounds(["a", "b", "c"], 2)) == [
        *[(1, "a"), (1, "b"), (1, "c")],
        *[(2, "b"), (2, "c"), (2, "a")],
    ]


def test_seconds_that_do_not_count_are_taken_off_and_memory_stays() -> None:
    whole = Spent(cpu_s=3.5, wall_s=2.5, peak_mib=600.0)
    assert whole.without(0.5, 1.0) == Spent(cpu_s=3.0, wall_s=1.5, peak_mib=600.0)


def test_the_cost_of_runs_is_their_median_cpu_and_their_highest_peak() -> None:
    runs = [once(2.0, 3.0, 400.0, 0.5), once(9.0, 1.0, 450.0, 0.6), once(4.0, 2.0, 410.0, 0.7)]
    assert cost_of(runs) == Cost(cpu_s=4.0, peak_mib=450.0)
    row = row_of(SMALL, "pyarrow", runs, 3.2)
    assert row.case == "csv, 2,000,000 rows"
    assert row.cpu_s == (2.0, 4.0, 9.0)
    assert row.wall_s == (1.0, 2.0, 3.0)
    assert row.imports_cpu_s == 0.6
    assert row.ratio_to_floor == 1.25
    assert row_of(SMALL, "pyarrow", runs, None).ratio_to_floor is None


def test_the_fastest_copy_is_a_copy_neither_ours_nor_a_floor() -> None:
    of_case = {
        OURS: cost(1.0),
        "parse only": cost(0.5),
        "pyarrow": cost(4.0),
        "polars": cost(3.0),
        "dlt": None,
    }
    assert fastest_copy(of_case) == "polars"
    assert fastest_copy({OURS: cost(1.0), "dlt": None}) is None


def test_the_floor_is_parsing_plus_writing_and_needs_both() -> None:
    assert floor_cpu_s({"parse only": cost(1.5), "write only": cost(0.75)}) == 2.25
    assert floor_cpu_s({"parse only": cost(1.5), "write only": None}) is None
    assert floor_cpu_s({"parse only": cost(1.5)}) is None


def test_every_goal_compares_with_the_fastest_copy_of_the_same_case() -> None:
    of_small = {
        OURS: cost(6.0, 800.0),
        OURS_BAD: cost(12.0),
        "pyarrow": cost(4.0),
        "polars": cost(5.0),
        "dlt": cost(12.0),
    }
    of_large = {OURS: cost(72.0, 1100.0), "pyarrow": cost(40.0)}
    assert found(goals({SMALL: of_small, LARGE: of_large})) == {
        "peak MiB, csv, 2,000,000 rows: ours": (800.0, True),
        "CPU, csv, 2,000,000 rows: ours to the fastest plain copy (pyarrow)": (1.5, True),
        "CPU, csv, 2,000,000 rows: ours, 4 % bad rows to the fastest plain copy (pyarrow)": (
            3.0,
            False,
        ),
        "CPU, csv, 2,000,000 rows: ours to polars": (1.2, False),
        "CPU, csv, 2,000,000 rows: ours to dlt": (0.5, True),
        "peak MiB, csv, 20,000,000 rows: ours": (1100.0, False),
        "CPU, csv, 20,000,000 rows: ours to the fastest plain copy (pyarrow)": (1.8, False),
        "peak memory, csv: 20,000,000 rows to 2,000,000 rows": (1.375, False),
    }


def test_a_goal_whose_system_failed_is_missed_and_says_it_was_not_measured() -> None:
    asked = goals({SMALL: {OURS: None, "pyarrow": cost(4.0)}})
    assert found(asked) == {
        "peak MiB, csv, 2,000,000 rows: ours": (None, False),
        "CPU, csv, 2,000,000 rows: ours to the fastest plain copy (pyarrow)": (None, False),
    }
    assert str(asked[1]).endswith("(pyarrow): not measured, goal 1.60: MISSED")


def test_a_goal_is_met_at_its_target_and_not_above() -> None:
    assert Goal(name="x", target=1.6, measured=1.6).met
    assert str(Goal(name="x", target=1.6, measured=1.61)) == "x: 1.61, goal 1.60: MISSED"


def test_nothing_is_promised_of_systems_that_were_not_asked_for() -> None:
    assert goals({SMALL: {"pyarrow": cost(4.0), "polars": cost(5.0)}}) == []
    assert list(found(goals({SMALL: {OURS: cost(4.0)}}))) == ["peak MiB, csv, 2,000,000 rows: ours"]


def test_systems_are_planned_for_the_formats_and_sizes_they_can_take() -> None:
    plans = {
        (each.case.format, each.case.rows): (each.systems, each.repetitions)
        for each in plan([2_000_000, 20_000_000], ["csv", "jsonl"], SYSTEMS, quick=False)
    }
    copies = ("pyarrow", "duckdb", "polars", "pandas", "dlt")
    floors = ("parse only", "write only")
    assert plans == {
        ("csv", 2_000_000): ((OURS, OURS_BAD, *copies, *floors), 5),
        ("jsonl", 2_000_000): ((OURS, "pyarrow", "duckdb", "polars", "dlt", *floors), 3),
        ("csv", 20_000_000): ((OURS, *copies, *floors), 2),
        ("jsonl", 20_000_000): ((OURS, "pyarrow", *floors), 1),
    }


def test_the_room_asked_for_covers_the_files_and_what_is_written() -> None:
    # 330 B of JSON lines, two CSV files of 106 B on the way, 200 B of tables.
    assert needed_bytes(Case(format="jsonl", rows=20_000_000)) == 20_000_000 * 742


BAD_FILE = {"bad": 40, "facts": {"rows": 960, "ids": 77}}
TAKEN = {
    "facts": {"rows": 960, "ids": 77},
    "quarantined": 40,
    "law": {"landed": 1000, "accepted": 960, "repeated": 0, "quarantined": 30, "unparsed": 10},
}
THOUSAND = Case(format="csv", rows=1000)


def test_rows_that_are_all_there_are_accepted() -> None:
    refuse_other_rows(THOUSAND, OURS_BAD, TAKEN, BAD_FILE)
    refuse_other_rows(THOUSAND, "pyarrow", {"facts": BAD_FILE["facts"]}, BAD_FILE)
    refuse_other_rows(THOUSAND, "parse only", {"rows": 1000}, BAD_FILE)
    refuse_other_rows(THOUSAND, "write only", {"facts": {"rows": 1000, "ids": 1}}, BAD_FILE)


@pytest.mark.parametrize(
    ("system", "said"),
    [
        ("parse only", {"rows": 999}),
        ("write only", {"facts": {"rows": 999, "ids": 77}}),
        ("pyarrow", {"facts": {"rows": 960, "ids": 78}}),
        (OURS_BAD, {**TAKEN, "quarantined": 39}),
        (OURS_BAD, {**TAKEN, "law": {**TAKEN["law"], "repeated": 1}}),  # type: ignore[dict-item]
        (OURS_BAD, {**TAKEN, "law": {**TAKEN["law"], "unparsed": 9}}),  # type: ignore[dict-item]
        (OURS_BAD, {**TAKEN, "law": {**TAKEN["law"], "landed": 960}}),  # type: ignore[dict-item]
    ],
)
def test_a_row_lost_made_or_changed_fails_the_run(system: str, said: dict[str, object]) -> None:
    with pytest.raises(RunError):
        refuse_other_rows(THOUSAND, system, said, BAD_FILE)


def test_the_table_leaves_out_what_no_row_measures() -> None:
    overhead = Measured(
        case="idle", system="no_op", wall_s=(0.5, 0.7, 1.0), repetitions=8, ratio_to_floor=1.0
    )
    table = table_of([overhead])
    assert {column.header: list(column.cells) for column in table.columns} == {
        "case": ["idle"],
        "system": ["no_op"],
        "wall s, median (min to max)": ["0.70 (0.50 to 1.00)"],
        "runs": ["8"],
        "ratio to floor": ["1.00"],
    }


def test_a_child_is_charged_for_its_own_children_and_its_memory(tmp_path: Path) -> None:
    burn = "import time\nwhile time.process_time() < 0.5: pass"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {burn!r}])"
    idle = run([sys.executable, "-c", "pass"], log=tmp_path / "log")
    busy = run([sys.executable, "-c", parent], log=tmp_path / "log")
    assert busy.cpu_s - idle.cpu_s > 0.4
    # A child inherits the peak of this process, so it must hold more than that to be seen.
    held = int(idle.peak_mib) + 200
    large = run([sys.executable, "-c", f"b'x' * ({held} << 20)"], log=tmp_path / "log")
    assert held <= large.peak_mib < held + 100


def test_a_child_that_fails_is_an_error_with_its_last_lines(tmp_path: Path) -> None:
    with pytest.raises(ChildError, match=r"^ended with 3: what it was what to do$"):
        run(
            ["sh", "-c", "echo before; echo what it was; echo what to do >&2; exit 3"],
            log=tmp_path / "log",
        )


def test_ids_are_unique_beyond_the_rows_of_the_package(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    made = make(tmp_path, "parquet", 340_000, bad=False)
    ids = pq.read_table(made.path, columns=["id"])["id"]
    assert (len(ids), len(ids.unique()), made.bad) == (340_000, 340_000, 0)


def test_a_file_has_the_rows_asked_for_and_the_same_in_every_format(tmp_path: Path) -> None:
    made = {kind: make(tmp_path, kind, 1000, bad=False) for kind in FORMATS}
    facts = made["csv"].facts
    assert facts["rows"] == 1000
    assert [file.facts for file in made.values()] == [facts] * 4
    assert made["csv"].path.read_bytes().count(b"\n") == 1001
    assert made["jsonl"].path.read_bytes().count(b"\n") == 1000


def test_one_row_in_25_of_the_bad_file_is_unfit_in_one_of_four_ways(tmp_path: Path) -> None:
    made = make(tmp_path, "csv", 20_000, bad=True)
    assert made.bad + made.facts["rows"] == 20_000
    assert 780 < made.bad < 820
    with made.path.open() as text:
        next(text)
        lines = [line.rstrip("\n").split(",") for line in text]
    kinds = [
        sum(len(cells) == 18 for cells in lines),
        sum("far" in cells for cells in lines),
        sum("N/A" in cells for cells in lines),
        sum("2013-02-31T10:00:00Z" in cells for cells in lines),
    ]
    assert sum(kinds) == made.bad
    assert min(kinds) > 180
