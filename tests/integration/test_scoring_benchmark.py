"""The arithmetic of the scoring benchmark: paired ratios, goals, repetitions, whose answers count."""

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pytest

from benchmarks.paired import Once, Ratio, Spent, paired_ratio
from benchmarks.report import Goal
from benchmarks.scoring import REPETITIONS, plan
from benchmarks.scoring_goals import Case, goals, ratio
from benchmarks.scoring_peers.predictions import compare
from benchmarks.scoring_rows import BATCH_ROWS, FIRST_SCORED, UNKNOWN, delays, described, flights
from benchmarks.scoring_runs import (
    SCRIPTS,
    OtherPredictionsError,
    RunError,
    needed_bytes,
    refuse_other_predictions,
)

FEW_SMALL, FEW_LARGE = Case(rows=5_000_000, trees=5), Case(rows=5_000_000, trees=100)
MANY_SMALL, MANY_LARGE = Case(rows=20_000_000, trees=5), Case(rows=20_000_000, trees=100)
SYSTEMS = tuple(SCRIPTS)


def runs(*cpu_s: float, peak_mib: float = 500.0) -> list[Once]:
    return [
        Once(spent=Spent(cpu_s=seconds, wall_s=1.0, peak_mib=peak_mib), imports_cpu_s=0.5)
        for seconds in cpu_s
    ]


def found(asked: list[Goal]) -> dict[str, tuple[float | None, float, bool]]:
    return {
        goal.name: (goal.measured and round(goal.measured, 3), round(goal.target, 3), goal.met)
        for goal in asked
    }


def test_a_ratio_is_the_median_of_pairs_and_not_of_all_runs() -> None:
    # The machine was slow in the second round, for both.
    measured = paired_ratio([1.0, 40.0, 1.2], [2.0, 50.0, 2.0])
    assert measured == Ratio(median=0.6, interval=None, pairs=3)
    assert str(measured) == "0.60 (3 pairs, too few for an interval)"


def test_rounds_that_only_one_of_two_took_are_no_pairs() -> None:
    assert paired_ratio([1.0, 2.0, 9.0], [2.0, 2.0]) == Ratio(median=0.75, interval=None, pairs=2)
    assert paired_ratio([1.0], []) is None


@pytest.mark.parametrize(
    ("pairs", "interval"),
    [(5, None), (6, (1.0, 6.0)), (7, (1.0, 7.0)), (8, (1.0, 8.0)), (9, (2.0, 8.0)), (12, (3.0, 10.0))],
)  # fmt: skip
def test_the_interval_is_that_of_the_sign_test(
    pairs: int, interval: tuple[float, float] | None
) -> None:
    # The ranks of tables of the sign test at 95 % (such as Conover's, 1999, table A3).
    measured = paired_ratio([float(number) for number in range(pairs, 0, -1)], [1.0] * pairs)
    assert measured is not None
    assert measured.interval == interval


def test_the_interval_holds_the_median_as_often_as_it_says() -> None:
    # Every way in which 7 values can lie above or below the true median of 0.
    outside = 0
    for signs in product((-1.0, 1.0), repeat=7):
        values = [1.0 + 0.1 * sign * (place + 1) for place, sign in enumerate(signs)]
        measured = paired_ratio(values, [1.0] * 7)
        assert measured is not None
        assert measured.interval is not None
        assert measured.median == median(values)
        outside += not measured.interval[0] <= 1.0 <= measured.interval[1]
    assert outside / 2**7 == 1 / 64 < 0.05


def test_the_goals_compare_each_model_with_its_own_peer() -> None:
    small = {
        "ours": runs(*[4.0] * 7, peak_mib=600.0),
        "floor": runs(*[3.5] * 7),
        "pandas and pyfunc": runs(8.0, 12.0, 12.0, 12.0, 12.0, 12.0, 20.0),
    }
    large = {"ours": runs(110.0, 130.0, peak_mib=680.0), "floor": runs(100.0, 100.0)}
    asked = goals({FEW_SMALL: small, MANY_SMALL: {"ours": runs(16.0, peak_mib=690.0)}, MANY_LARGE: large})  # fmt: skip
    assert found(asked) == {
        "peak MiB, 5,000,000 rows, 5 trees: ours": (600.0, 700.0, True),
        "CPU, 5,000,000 rows, 5 trees: ours to pandas and pyfunc": (0.333, 0.4, True),
        "peak MiB, 20,000,000 rows, 5 trees: ours": (690.0, 700.0, True),
        "peak MiB, 20,000,000 rows, 100 trees: ours": (680.0, 700.0, True),
        "CPU, 20,000,000 rows, 100 trees: ours to floor": (1.2, 1.176, False),
        "peak memory, 5 trees: 20,000,000 rows to 5,000,000 rows": (1.15, 1.1, False),
    }
    assert asked[1].interval == (0.2, 0.5)
    assert str(asked[1]).endswith("pyfunc: 0.33 (0.20 to 0.50), goal 0.40: met")
    assert asked[4].interval is None


def test_a_goal_whose_system_failed_is_missed() -> None:
    asked = goals({FEW_LARGE: {"ours": runs(1.0), "floor": None}})
    assert found(asked) == {
        "peak MiB, 5,000,000 rows, 100 trees: ours": (500.0, 700.0, True),
        "CPU, 5,000,000 rows, 100 trees: ours to floor": (None, 1.176, False),
    }
    assert found(goals({FEW_LARGE: {"ours": None}})) == {
        "peak MiB, 5,000,000 rows, 100 trees: ours": (None, 700.0, False)
    }
    assert goals({FEW_LARGE: {"floor": runs(1.0)}}) == []
    assert ratio({"ours": runs(1.0), "floor": []}, "floor") is None


def repetitions(rows: Sequence[int], systems: Sequence[str], most: int) -> list[tuple[str, Any]]:
    plans = plan(rows, [5, 100], systems, most=most)
    return [(str(each.case), dict(each.repetitions)) for each in plans]


def test_the_goals_ratios_have_seven_pairs_and_the_longest_cases_fewer() -> None:
    assert repetitions([20_000_000, 5_000_000], SYSTEMS, 7) == [
        (str(case), dict(times)) for case, times in REPETITIONS.items()
    ]
    for case, peer in ((FEW_SMALL, "pandas and pyfunc"), (FEW_LARGE, "floor")):
        assert (REPETITIONS[case]["ours"], REPETITIONS[case][peer]) == (7, 7)
    assert REPETITIONS[MANY_LARGE]["ours"] < 7


def test_a_run_may_be_cut_to_fewer_rows_systems_and_repetitions() -> None:
    assert repetitions([200_000], ["ours", "floor"], 1) == [
        ("200,000 rows, 5 trees", {"ours": 1, "floor": 1}),
        ("200,000 rows, 100 trees", {"ours": 1, "floor": 1}),
    ]
    assert repetitions([20_000_000], ["pandas and pyfunc, all columns"], 7) == []


def test_the_room_asked_for_covers_rows_matrix_and_predictions() -> None:
    # 16 columns of 8 bytes and a key in the matrix, 60 packed in the table, as much written.
    assert needed_bytes([5_000_000, 20_000_000]) == 25_000_000 * 350


KEYS, PREDICTIONS = np.array([1, 4, 7]), np.array([0.25, 0.5, np.nan])
ALIKE = {"rows": 3, "repeated": 0, "other_keys": 0, "differing": 0}


def test_predictions_are_compared_with_the_first_by_key_and_bit(tmp_path: Path) -> None:
    first = tmp_path / "first.npz"
    assert compare(KEYS, PREDICTIONS, first) == ALIKE
    assert compare(KEYS, PREDICTIONS.copy(), first) == ALIKE
    other = PREDICTIONS.copy()
    other[1] = np.nextafter(0.5, 1.0)
    assert compare(KEYS, other, first) == {**ALIKE, "differing": 1}
    assert compare(KEYS, np.array([0.25, 0.5, -0.0]), first) == {**ALIKE, "differing": 1}
    assert compare(KEYS + 3, PREDICTIONS, first) == {**ALIKE, "other_keys": 2}
    again = compare(np.array([1, 4, 4]), PREDICTIONS, first)
    assert (again["repeated"], again["other_keys"]) == (1, 1)


def test_the_first_answer_is_judged_too(tmp_path: Path) -> None:
    again = compare(np.array([1, 4, 4]), PREDICTIONS, tmp_path / "first.npz")
    with pytest.raises(RunError, match="3 predictions, 1 of them again, 0 of other rows"):
        refuse_other_predictions(Case(rows=3, trees=5), again)


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ({**ALIKE, "rows": 2}, RunError),
        ({**ALIKE, "repeated": 1}, RunError),
        ({**ALIKE, "other_keys": 1}, RunError),
        ({**ALIKE, "differing": 1}, OtherPredictionsError),
    ],
)
def test_a_prediction_lost_made_up_or_changed_fails_the_run(
    said: dict[str, int], error: type[RunError]
) -> None:
    refuse_other_predictions(Case(rows=3, trees=5), ALIKE)
    with pytest.raises(error):
        refuse_other_predictions(Case(rows=3, trees=5), said)


MORNING = datetime(2026, 3, 1, tzinfo=UTC)


def test_rows_are_the_same_each_time_and_of_any_number() -> None:
    count = BATCH_ROWS + 1000
    batches = list(described(count, scored_for=MORNING))
    assert [batch.num_rows for batch in batches] == [BATCH_ROWS, 1000]
    assert batches[0].equals(next(described(BATCH_ROWS, scored_for=MORNING)))
    keys = np.concatenate([batch["flight_id"].to_numpy() for batch in batches])
    assert keys[0] == 3 * FIRST_SCORED + 1
    assert (np.diff(keys) == 3).all()


def test_rows_have_thirteen_numbers_three_texts_and_what_makes_encoding_hard() -> None:
    (rows,) = described(100_000, scored_for=MORNING)
    features = [field for field in rows.schema if field.name not in {"flight_id", "as_of", "event_time"}]  # fmt: skip
    texts = [field.name for field in features if field.type == "string"]
    assert (len(features), texts) == (16, ["airline", "airport", "maker"])
    missing = {name: rows[name].null_count for name in rows.column_names if rows[name].null_count}
    assert set(missing) == {
        *("maker", "seats", "plane_age", "visibility", "wind", "rain"),
        *("carrier_late", "route_late"),
    }
    assert all(4_500 < count < 5_500 for count in missing.values())
    unseen = rows["airport"].to_pylist().count("NEW")
    assert 0.5 < unseen / 100_000 / UNKNOWN < 1.5
    assert "NEW" not in flights(np.arange(10_000), seed=0, first=MORNING)["airport"].to_pylist()


def test_delays_can_be_learnt() -> None:
    rows = flights(np.arange(10_000), seed=0, first=MORNING)
    late = delays(rows, seed=1)["delay"].to_numpy() > 15
    rain = rows["rain"].fill_null(0.0).to_numpy() > 0.5
    assert 0.2 < late.mean() < 0.8
    assert late[rain].mean() > late[~rain].mean() + 0.1
