"""The benchmark of e-detectors: its statistics are those of formulas and of the monitor, and the documents tell them."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from benchmarks.e_detector import (
    BOTH,
    COLUMNS,
    DETECTOR,
    MONTH,
    MONTHS,
    NAME,
    ONSET,
    QUARTER,
    REFERENCE,
    WINDOWS,
    Line,
    alarms,
    blocks,
    calibrated,
    cells,
    lines,
    power,
    shift,
    statistics,
)
from benchmarks.e_detector_statistics import RISES, e_detector, of_window
from benchmarks.report import RESULTS
from pipelines.domain.drift.block_permutation import BlockPermutation
from pipelines.domain.drift.block_statistics import BlockStatistics, Family
from pipelines.domain.drift.drift_result import DriftEvidence

ROOT = Path(__file__).parents[2]


def test_a_window_is_compared_with_the_blocks_just_before_it() -> None:
    values = np.random.default_rng(1).normal(5, 3, (2, 40, 3))
    found = of_window(values, window=4, reference=20, monitored=10)
    assert found.shape == (2, 10, 3)
    for at in range(10):
        window, before = values[:, 27 + at : 31 + at], values[:, 7 + at : 27 + at]
        deviation = before.std(axis=1, ddof=1) * np.sqrt(1 / 4 + 1 / 20)
        assert found[:, at] == pytest.approx(
            (window.mean(axis=1) - before.mean(axis=1)) / deviation
        )


def test_the_e_detector_sums_the_bets_of_all_starts() -> None:
    values = np.random.default_rng(2).normal(5, 3, (1, 26, 2))
    before, now = values[0, :20], values[0, 20:]
    score = (now - before.mean(axis=0)) / before.std(axis=0, ddof=1)
    found = e_detector(values, reference=20, monitored=6)
    for end in range(6):
        of_starts = [
            np.exp((d * score[start : end + 1, column] - d**2 / 2).sum())
            for column in range(2)
            for d in (*RISES, *(-rise for rise in RISES))
            for start in range(end + 1)
        ]
        assert found[0, end] == pytest.approx(sum(of_starts) / (2 * 2 * len(RISES)))


def test_a_false_alarm_of_the_e_detector_takes_as_long_as_its_limit_where_blocks_are_normal() -> (
    None
):
    """With a reference so long that nothing has to be estimated; its mean is that of the first c blocks or more."""
    limit, runs = 40.0, 300
    values = np.random.default_rng(3).standard_normal((runs, 3_000 + 400, 2))
    fired = e_detector(values, reference=3_000, monitored=400) >= limit
    waited = np.where(fired.any(axis=1), fired.argmax(axis=1) + 1, 400)
    assert waited.mean() > limit


def test_the_monitor_judges_by_what_is_compared_here() -> None:
    """Of a column with one statistic, the p-value of permuted blocks goes with the distance."""
    values = blocks("independent", "quiet", 1)[0]
    found = statistics(values[None])["7"][0]
    judged = BlockPermutation(window=7, alpha=0.005, weights={"moments": 1.0})
    p_values, places = [], range(0, QUARTER, 3)
    for at in places:
        end = REFERENCE + MONTH + at + 1
        chosen = values[end - 7 - REFERENCE : end]
        evidence = DriftEvidence(
            reference=tuple(range(REFERENCE)),
            current=tuple(range(REFERENCE, REFERENCE + 7)),
            statistics=BlockStatistics(
                blocks=tuple(map(str, range(len(chosen)))),
                families=tuple(
                    Family(column=f"c{column}", family="moments", values=chosen[:, [column]])
                    for column in range(COLUMNS)
                ),
            ),
        )
        p_value = judged.judge(evidence).p_value
        assert p_value is not None
        p_values.append(p_value)
    assert spearmanr(p_values, found[list(places)]).statistic < -0.9


def test_ways_are_held_to_one_rate_and_find_what_is_plain() -> None:
    quiet = statistics(blocks("independent", "calibration", 200))
    limits = calibrated(quiet)
    assert set(limits) == {WINDOWS, MONTHS, BOTH, DETECTOR}
    shares = [float(alarms(quiet, limit).any(axis=1).mean()) for limit in limits.values()]
    assert shares == pytest.approx([shares[0]] * 4, abs=0.01)
    assert 0.3 < shares[0] < 0.8
    moved = blocks("independent", "power", 50)
    moved[:, ONSET - QUARTER :, 0] += 3.0
    found = statistics(moved)
    for limit in limits.values():
        assert power(alarms(found, limit))[0] > 0.9


def test_power_counts_runs_that_were_quiet_before() -> None:
    fired = np.zeros((4, QUARTER), dtype=bool)
    fired[0, ONSET - 1] = fired[0, ONSET] = True  # had alarmed before
    fired[1, ONSET + 6] = fired[2, ONSET + 7] = True
    assert power(fired) == pytest.approx((1 / 3, 2 / 3, 2 / 3, 2 / 3))


def test_a_small_run_has_a_line_for_every_world_way_and_shift() -> None:
    found = list(lines(20))
    assert len({(one.world, one.way, one.size, one.columns) for one in found}) == len(found) == 75


def test_the_documents_tell_what_was_measured() -> None:
    kept = json.loads((RESULTS / f"{NAME}.json").read_text("utf-8"))
    found = [Line(**{**row, "found": tuple(row["found"])}) for row in kept["rows"]]
    told = (ROOT / "docs" / "benchmarks.md").read_text("utf-8")
    small = {0.5, 1.0, 1.5, 2.0}
    for one in found:
        if one.size in small and one.columns == 1 and one.way in {WINDOWS, MONTHS, BOTH, DETECTOR}:
            assert f"| {one.world} | {shift(one)} | {one.way} | {' | '.join(cells(one))} |" in told
    for one in found:
        if not one.size and "season" not in one.world:
            assert f"| {one.world} | {one.way} | {one.found[0]:.2f} |" in told
