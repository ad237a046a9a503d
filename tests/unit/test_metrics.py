"""Metrics against outside answers, and their invariants."""

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.domain.block_estimate import jackknifed
from pipelines.domain.metrics import (
    CLIP,
    METRICS,
    MINIMUM_BLOCKS,
    Interval,
    TooFewBlocks,
    auc,
    auc_interval,
    block_means,
    mean_interval,
    row_losses,
)
from pipelines.errors import DeclarationError, HeadframeError, NotEnoughData

Floats = npt.NDArray[np.float64]

SEEDS = st.integers(0, 2**32 - 1)


def forecasts(seed: int, rows: int = 400, blocks: int = 24) -> tuple[Floats, Floats, Floats]:
    """Label, probability on a coarse grid (so that it ties) and block of every row."""
    rng = np.random.default_rng(seed)
    probability = rng.integers(1, 20, rows) / 20
    label = (rng.random(rows) < probability).astype(np.float64)
    return label, probability, np.resize(np.arange(blocks, dtype=np.float64), rows)


def test_log_loss_and_brier_are_those_of_scikit_learn() -> None:
    from sklearn.metrics import brier_score_loss, log_loss

    label, probability, _ = forecasts(1)
    assert row_losses("log_loss", label, probability).mean() == pytest.approx(
        log_loss(label, probability), rel=1e-12
    )
    assert row_losses("brier", label, probability).mean() == pytest.approx(
        brier_score_loss(label, probability), rel=1e-12
    )


def test_a_sure_and_wrong_float32_costs_what_scikit_learn_says() -> None:
    from sklearn.metrics import log_loss

    label, probability = [0, 1, 1], np.array([1.0, 0.0, 1.0], dtype=np.float32)
    ours = row_losses("log_loss", label, probability)
    assert ours.mean() == pytest.approx(log_loss(label, probability), rel=1e-6)
    assert ours[:2] == pytest.approx([-math.log(CLIP)] * 2)


def test_auc_with_ties_is_that_of_scikit_learn() -> None:
    from sklearn.metrics import roc_auc_score

    for seed in range(20):
        label, probability, _ = forecasts(seed)
        assert auc(label, probability) == pytest.approx(roc_auc_score(label, probability))


def test_an_interval_of_equal_blocks_is_the_textbook_t_interval() -> None:
    # 20 blocks of 0 and 1 in turn: sd = sqrt(5 / 19), t(0.975, 19 df) = 2.0930 (Student's table).
    interval = mean_interval([0.0, 1.0] * 10, np.arange(20), confidence=0.95)
    assert isinstance(interval, Interval)
    reach = 2.0930 * math.sqrt(5 / 19) / math.sqrt(20)
    assert interval.low == pytest.approx(0.5 - reach, abs=1e-5)
    assert interval.high == pytest.approx(0.5 + reach, abs=1e-5)
    assert (interval.estimate, interval.blocks) == (0.5, 20)


def test_unequal_blocks_weigh_by_their_rows() -> None:
    # 19 blocks of 1 row with value 0 and one of 19 rows with value 1: mean 19 / 38. Leaving a
    # small block out gives 19 / 37, the large one 0, so the jackknife's variance is
    # 19 / 20 * (19 * (19/37 - 1/2)^2 + (1/2)^2); Kish: 38^2 / (19 + 19^2) = 3.8 blocks.
    from scipy.stats import t

    rows = [1] * 19 + [19]
    interval = mean_interval([0.0] * 19 + [1.0], np.arange(20), rows=rows, confidence=0.9)
    assert isinstance(interval, Interval)
    error = math.sqrt(0.95 * (19 * (19 / 37 - 0.5) ** 2 + 0.25))
    assert interval.estimate == 0.5
    # What each block moves: 19 times -1/74, then 1/2. Neighbours' products over squares, freed of the
    # bias of 20 blocks (Kendall, 1954), are an autocorrelation of 0.034: 7 % more variance.
    raw = (18 / 74**2 - 0.5 / 74) / (19 / 74**2 + 0.25)
    found = raw + (1 + 3 * raw) / 20
    factor = (1 + found) / (1 - found)
    reach = t.ppf(0.95, 3.8 / factor - 1) * error * math.sqrt(factor)
    assert interval.low == pytest.approx(0.5 - reach)
    # The one large block pulls the mean up, so the upper bound gives way (Hall, 1992).
    assert interval.high > 0.5 + 2 * reach


def test_block_means_with_rows_give_the_interval_of_the_rows() -> None:
    label, probability, block = forecasts(3, rows=410)
    losses = row_losses("log_loss", label, probability)
    names, sizes, means = block_means(losses, block)
    by_row = mean_interval(losses, block)
    by_block = mean_interval(means, names, rows=sizes)
    assert isinstance(by_row, Interval)
    assert isinstance(by_block, Interval)
    assert by_block.low == pytest.approx(by_row.low)
    assert by_block.high == pytest.approx(by_row.high)


def test_the_auc_interval_is_the_jackknife_over_blocks_by_brute_force() -> None:
    from sklearn.metrics import roc_auc_score

    label, probability, block = forecasts(5, rows=480)
    interval = auc_interval(label, probability, block, confidence=0.95)
    assert isinstance(interval, Interval)
    whole = roc_auc_score(label, probability)
    kept = [block != left_out for left_out in range(24)]
    without = [_logit(roc_auc_score(label[rows], probability[rows])) for rows in kept]
    counts = [np.bincount(block.astype(int), label == side) for side in (0, 1)]
    rarer = min(counts, key=lambda count: float(count.sum() ** 2 / (count**2).sum()))
    bound = jackknifed(_logit(whole), without, rarer).at_least(0.975)
    # Half a pair of continuity correction moves it in the fourth decimal.
    assert interval.low == pytest.approx(1 / (1 + math.exp(-bound)), abs=2e-4)
    assert interval.estimate == pytest.approx(whole)


def _logit(share: float) -> float:
    return math.log(share / (1 - share))


@pytest.mark.parametrize("blocks", [1, MINIMUM_BLOCKS - 1])
def test_below_twenty_blocks_there_are_no_bounds(blocks: int) -> None:
    label, probability, block = forecasts(7, blocks=blocks)
    loss = row_losses("brier", label, probability)
    mean, ranking = mean_interval(loss, block), auc_interval(label, probability, block)
    assert isinstance(mean, TooFewBlocks)
    assert isinstance(ranking, TooFewBlocks)
    assert mean.estimate == pytest.approx(loss.mean())
    assert mean.blocks == blocks
    assert (ranking.estimate, ranking.blocks) == (auc(label, probability), blocks)


def test_no_rows_and_one_class_are_too_few_not_a_number() -> None:
    nothing = TooFewBlocks(estimate=None, blocks=0)
    assert mean_interval([], []) == nothing
    assert auc_interval([], [], []) == nothing
    assert auc_interval([1, 1], [0.5, 0.6], ["a", "b"]) == nothing
    with pytest.raises(NotEnoughData, match="2 positive of 2 rows"):
        auc([1, 1], [0.5, 0.6])


def test_auc_counts_the_blocks_that_hold_a_positive() -> None:
    block = np.repeat(np.arange(30), 2)
    label = np.tile([0, 1], 30) * (block < 12)
    assert auc_interval(label, np.linspace(0, 1, 60), block).blocks == 12
    assert isinstance(auc_interval(label, np.linspace(0, 1, 60), block), TooFewBlocks)


def test_a_perfect_ranking_keeps_a_finite_interval() -> None:
    label, block = np.tile([0, 1], 40), np.repeat(np.arange(40), 2)
    interval = auc_interval(label, label, block)
    assert isinstance(interval, Interval)
    assert 0.9 < interval.low <= interval.estimate == interval.high == 1.0


def test_one_huge_block_widens_the_interval() -> None:
    values = np.random.default_rng(0).normal(size=28)
    even = mean_interval(values, np.arange(28))
    huge = mean_interval(values, np.arange(28), rows=[10] * 27 + [5000])
    assert isinstance(even, Interval)
    assert isinstance(huge, Interval)
    assert huge.high - huge.low > 5 * (even.high - even.low)


def test_what_is_no_forecast_is_refused_by_row_number() -> None:
    with pytest.raises(HeadframeError, match=r"number in every row; found .* 1 rows, the first 1"):
        row_losses("brier", [0, 1], [0.5, math.nan])
    with pytest.raises(HeadframeError, match=r"\[0, 1\] in every row; found .* the first 0, 1"):
        row_losses("brier", [0, 1], [-0.1, 1.1])
    with pytest.raises(HeadframeError, match="label: expected 0 or 1"):
        auc([0, 2], [0.5, 0.5])
    with pytest.raises(HeadframeError, match="one length"):
        auc([0, 1, 1], [0.5, 0.5])
    with pytest.raises(HeadframeError, match="one block for each of 2 rows"):
        mean_interval([0.1, 0.2], ["a"])
    with pytest.raises(HeadframeError, match="values: expected a finite number"):
        mean_interval([0.1, math.inf], ["a", "b"])


def test_wrong_arguments_name_what_was_meant() -> None:
    with pytest.raises(DeclarationError, match="did you mean 'log_loss'"):
        row_losses("logloss", [1], [0.5])
    with pytest.raises(DeclarationError, match="'auc' is no loss of a block"):
        row_losses("auc", [1], [0.5])
    with pytest.raises(DeclarationError, match="strictly between 0 and 1"):
        mean_interval([0.1], ["a"], confidence=95)


def test_every_metric_states_its_direction() -> None:
    assert {name: metric.better for name, metric in METRICS.items()} == {
        "log_loss": "lower",
        "brier": "lower",
        "auc": "higher",
        "missed_value": "lower",
        "captured_value": "higher",
        "absolute_error": "lower",
        "squared_error": "lower",
    }


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS)
def test_the_order_of_rows_changes_nothing(seed: int) -> None:
    label, probability, block = forecasts(seed)
    mixed = np.random.default_rng(seed).permutation(len(label))
    loss = row_losses("log_loss", label, probability)
    assert mean_interval(loss[mixed], block[mixed]) == mean_interval(loss, block)
    assert auc_interval(label[mixed], probability[mixed], block[mixed]) == auc_interval(
        label, probability, block
    )


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS)
def test_swapping_the_models_flips_the_sign(seed: int) -> None:
    rng = np.random.default_rng(seed)
    difference, block = rng.normal(size=200), rng.integers(0, 30, 200)
    one, other = mean_interval(difference, block), mean_interval(-difference, block)
    assert isinstance(one, Interval)
    assert isinstance(other, Interval)
    mirrored = (-one.high, -one.estimate, -one.low)
    assert (other.low, other.estimate, other.high) == pytest.approx(mirrored, rel=1e-12)


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, power=st.sampled_from([1, 3, 5]), shift=st.integers(-3, 3))
def test_auc_is_the_same_after_a_monotone_transform(seed: int, power: int, shift: int) -> None:
    label, probability, block = forecasts(seed)
    changed = probability**power * 8 + shift
    assert auc(label, changed) == auc(label, probability)
    assert auc_interval(label, changed, block) == auc_interval(label, probability, block)


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS)
def test_turning_scores_around_turns_auc_around(seed: int) -> None:
    label, probability, _ = forecasts(seed)
    assert auc(label, -probability) == pytest.approx(1 - auc(label, probability))
