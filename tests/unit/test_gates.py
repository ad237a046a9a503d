"""Gates: what each outcome says, how often equal skill passes, and what a real gain needs."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.domain.block_estimate import mean_estimate
from pipelines.domain.evidence import BlockLoss, Evidence
from pipelines.domain.gates.beats_baseline import BeatsBaseline
from pipelines.domain.gates.beats_champion import BeatsChampion
from pipelines.errors import DeclarationError

Floats = npt.NDArray[np.float64]


def evidence_of(
    losses: Mapping[str, Sequence[float]], rows: Sequence[int] | None = None
) -> Evidence:
    """Evidence of the given mean log loss per block, a list for every role."""
    counts = rows or [100] * len(losses["challenger"])
    blocks = tuple(
        BlockLoss(
            block=f"block {number:03d}",
            rows=count,
            losses={role: {"log_loss": means[number]} for role, means in losses.items()},
        )
        for number, count in enumerate(counts)
    )
    return Evidence(
        use_case="flight_delays",
        as_of="2013-06-01T05:00:00+00:00",
        challenger="7",
        champion="3" if "champion" in losses else None,
        training_window=("2013-01-01", "2013-04-30"),
        held_out_window=("2013-05-02", "2013-05-29"),
        rows=sum(counts),
        positives=0,
        metrics={},
        blocks=blocks,
        data_versions={},
        declaration_digest="",
        code_digest="",
    )


GOOD, POOR = [0.45, 0.55] * 14, [0.50, 0.58] * 14


def test_a_better_challenger_passes_and_the_reason_holds_the_numbers() -> None:
    verdict = BeatsChampion("log_loss").judge(evidence_of({"challenger": GOOD, "champion": POOR}))
    assert verdict.outcome == "passed"
    assert verdict.figures["autocorrelation"] == 0.0  # day by day it alternates
    assert verdict.reason == (
        "Against champion 3 the challenger improves log_loss by 0.04 nats over 28 blocks; at 0.95"
        " confidence by at least 0.0367, which is above 0."
    )
    # By hand: sd = 0.01 * sqrt(28 / 27), t(0.95, 27 df) = 1.7033 (Student's table).
    by_hand = 0.04 - 1.7033 * 0.01 * math.sqrt(28 / 27) / math.sqrt(28)
    assert verdict.figures["at_least"] == pytest.approx(by_hand, abs=1e-6)


def test_a_worse_challenger_fails() -> None:
    verdict = BeatsChampion("log_loss").judge(evidence_of({"challenger": POOR, "champion": GOOD}))
    assert verdict.outcome == "failed"
    assert "by at least -0.0433, which is not above 0." in verdict.reason


def test_without_a_champion_there_is_nothing_to_beat() -> None:
    verdict = BeatsChampion("log_loss").judge(evidence_of({"challenger": GOOD, "baseline": POOR}))
    assert (verdict.outcome, verdict.reason) == (
        "not_applicable",
        "There is no champion to beat yet.",
    )


@pytest.mark.parametrize(
    ("margin", "outcome"), [(0.0, "passed"), (0.03, "passed"), (0.037, "failed"), (0.05, "failed")]
)
def test_the_baseline_must_be_beaten_by_more_than_the_margin(margin: float, outcome: str) -> None:
    evidence = evidence_of({"challenger": GOOD, "baseline": POOR})
    verdict = BeatsBaseline("log_loss", margin=margin).judge(evidence)
    assert verdict.outcome == outcome
    assert f"the margin {margin:g}." in verdict.reason


@pytest.mark.parametrize("blocks", [0, 1, 19])
def test_below_twenty_blocks_nothing_was_tested(blocks: int) -> None:
    losses = {"challenger": GOOD[:blocks], "champion": POOR[:blocks], "baseline": POOR[:blocks]}
    evidence = replace(evidence_of(losses), champion="3")
    for gate in (BeatsChampion("log_loss"), BeatsBaseline("log_loss", margin=0.0)):
        verdict = gate.judge(evidence)
        assert verdict.outcome == "too_few"
        assert f"Not tested: {blocks} of {blocks} held-out blocks" in verdict.reason
        assert f"worth {0 if blocks < 2 else blocks} independent ones" in verdict.reason
        assert "at_least" not in verdict.figures


def test_twenty_blocks_are_enough() -> None:
    evidence = evidence_of({"challenger": GOOD[:20], "champion": POOR[:20]})
    assert BeatsChampion("log_loss").judge(evidence).outcome == "passed"


def test_one_block_without_the_champion_leaves_the_comparison_untested() -> None:
    whole = evidence_of({"challenger": GOOD, "champion": POOR})
    holed = replace(whole.blocks[0], losses={"challenger": {"log_loss": 0.4}})
    verdict = BeatsChampion("log_loss").judge(replace(whole, blocks=(holed, *whole.blocks[1:])))
    assert verdict.outcome == "too_few"
    assert "27 of 28 held-out blocks" in verdict.reason


def test_a_metric_the_evidence_lacks_leaves_the_comparison_untested() -> None:
    evidence = evidence_of({"challenger": GOOD, "champion": POOR})
    assert BeatsChampion("brier").judge(evidence).outcome == "too_few"


def test_a_named_champion_without_losses_is_not_waved_through() -> None:
    evidence = replace(evidence_of({"challenger": GOOD, "baseline": POOR}), champion="3")
    assert BeatsChampion("log_loss").judge(evidence).outcome == "too_few"


def test_a_stored_evidence_is_judged_alike() -> None:
    evidence = evidence_of({"challenger": GOOD, "champion": POOR, "baseline": POOR})
    again = Evidence.from_json(evidence.to_json())
    for gate in (BeatsChampion("log_loss"), BeatsBaseline("log_loss", margin=0.01)):
        assert gate.judge(again) == gate.judge(evidence)


def test_arguments_are_checked_all_at_once() -> None:
    assert BeatsBaseline("logloss", margin=-1.0, confidence=95).problems() == (
        "metric 'logloss' is unknown; did you mean 'log_loss'?",
        "margin -1.0 is not a finite number of at least 0",
        "confidence 95 is not strictly between 0.5 and 1; write 95 % as 0.95",
    )
    assert BeatsChampion("auc").problems() == (
        "metric 'auc' is no loss of a block; use one of log_loss, brier, missed_value, "
        "absolute_error, squared_error",
    )
    assert BeatsChampion("brier", confidence=0.99).problems() == ()


def test_a_confidence_out_of_range_is_never_judged_by() -> None:
    evidence = evidence_of({"challenger": GOOD, "champion": POOR})
    with pytest.raises(DeclarationError, match="strictly between"):
        BeatsChampion("log_loss", confidence=0.4).judge(evidence)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=20, max_size=40))
def test_of_two_models_at_most_one_beats_the_other(differences: list[float]) -> None:
    even, moved = [1.0] * len(differences), [1.0 + difference for difference in differences]
    gate = BeatsChampion("log_loss")
    one = gate.judge(evidence_of({"challenger": even, "champion": moved}))
    other = gate.judge(evidence_of({"challenger": moved, "champion": even}))
    assert {one.outcome, other.outcome} != {"passed"}
    assert one.figures["effective"] == pytest.approx(other.figures["effective"])


BLOCKS, ROWS_A_BLOCK, SIZE_SPREAD = 42, 100, 0.5
DAY_SPREAD, ROW_SPREAD = 0.02, 0.1
"""Nats: what a day adds to the difference of all its rows, and what a row adds of its own."""


def held_out_rows(
    rng: np.random.Generator, improvement: float
) -> tuple[Floats, npt.NDArray[np.int_]]:
    """Champion loss less challenger loss of every row, and its block; sizes are lognormal."""
    rows = np.maximum(5, np.round(ROWS_A_BLOCK * np.exp(rng.normal(0, SIZE_SPREAD, BLOCKS))))
    block = np.repeat(np.arange(BLOCKS), rows.astype(int))
    day = rng.normal(improvement, DAY_SPREAD, BLOCKS)
    return day[block] + rng.normal(0, ROW_SPREAD, len(block)), block


def gate_passes(difference: Floats, block: npt.NDArray[np.int_]) -> bool:
    """Ask the gate, from evidence with these rows' block means."""
    rows = np.bincount(block)
    means = np.bincount(block, difference) / rows
    losses = {"challenger": (0.5 - means).tolist(), "champion": [0.5] * BLOCKS}
    verdict = BeatsChampion("log_loss", confidence=0.95).judge(evidence_of(losses, rows.tolist()))
    return verdict.outcome == "passed"


def row_interval_passes(difference: Floats) -> bool:
    """Ask the usual interval, which takes rows of one day for independent."""
    error = difference.std(ddof=1) / math.sqrt(len(difference))
    return bool(difference.mean() - 1.645 * error > 0)


def pass_rates(improvement: float, draws: int, seed: int) -> tuple[float, float]:
    """Share of draws passed by the gate, and by the interval over rows."""
    rng = np.random.default_rng(seed)
    passed = []
    for _ in range(draws):
        difference, block = held_out_rows(rng, improvement)
        passed.append((gate_passes(difference, block), row_interval_passes(difference)))
    gate, naive = np.mean(passed, axis=0)
    return float(gate), float(naive)


def test_equal_skill_passes_no_more_often_than_stated_and_rows_as_the_unit_would() -> None:
    # Nominal 5 %; band of 3 Monte Carlo standard errors of 2000 draws: 6.5 %.
    draws = 2000
    band = 0.05 + 3 * math.sqrt(0.05 * 0.95 / draws)
    gate, naive = pass_rates(improvement=0.0, draws=draws, seed=20130501)
    assert gate <= band
    # The control: over rows the same draws break the level, so the harness can tell.
    assert naive > 3 * band


@pytest.mark.parametrize(("improvement", "share"), [(0.015, 0.85), (0.02, 0.97)])
def test_a_real_gain_passes_in_most_draws(improvement: float, share: float) -> None:
    # 0.015 nats are three quarters of one day's spread, about 4 standard errors over 42 days.
    gate, _ = pass_rates(improvement=improvement, draws=400, seed=20130502)
    assert gate >= share


def test_a_huge_block_does_not_pass_alone() -> None:
    # 41 even days of 10 rows and one of 5000 rows that favours the challenger.
    means, rows = np.r_[np.zeros(41), 0.05], [10] * 41 + [5000]
    losses = {"challenger": (0.5 - means).tolist(), "champion": [0.5] * BLOCKS}
    verdict = BeatsChampion("log_loss").judge(evidence_of(losses, rows))
    assert verdict.outcome == "too_few"
    assert "worth 1 independent ones" in verdict.reason


def test_days_that_last_for_weeks_are_too_few() -> None:
    # Six weeks, each of which is good or bad as a whole: six independent things happened.
    weeks = np.repeat([0.06, 0.02, 0.05, 0.01, 0.07, 0.03], 7)
    losses = {"challenger": (0.5 - weeks).tolist(), "champion": [0.5] * BLOCKS}
    verdict = BeatsChampion("log_loss").judge(evidence_of(losses))
    assert verdict.outcome == "too_few"
    assert verdict.figures["effective"] < 20
    # As independent days they would have passed.
    shuffled = np.random.default_rng(1).permutation(weeks)
    losses["challenger"] = (0.5 - shuffled).tolist()
    assert BeatsChampion("log_loss").judge(evidence_of(losses)).outcome == "passed"


def test_a_challenger_that_pays_for_its_gains_in_rare_storms_does_not_pass() -> None:
    # 39 days of a small gain, and 3 that cost most of it: a symmetric bound believes the mean.
    gains = [0.010, 0.012, 0.014] * 13
    days = np.asarray([*gains[:10], -0.05, *gains[10:25], -0.06, *gains[25:], -0.055])
    losses = {"challenger": (0.5 - days).tolist(), "champion": [0.5] * BLOCKS}
    assert BeatsChampion("log_loss").judge(evidence_of(losses)).outcome == "failed"
    found = mean_estimate(days, [100] * BLOCKS)
    assert found is not None
    assert found.skewness < 0
    assert replace(found, skewness=0.0).at_least(0.95) > 0
