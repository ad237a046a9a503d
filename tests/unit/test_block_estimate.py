"""Estimates over blocks: known answers, what widens them, what never narrows them."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pipelines.domain.block_estimate import (
    BlockEstimate,
    autocorrelation,
    jackknifed,
    mean_estimate,
)
from pipelines.errors import DeclarationError, HeadframeError


def found(values: list[float], rows: list[int] | None = None) -> BlockEstimate:
    estimate = mean_estimate(values, rows or [100] * len(values))
    assert estimate is not None
    return estimate


ALTERNATING = [0.02, 0.06] * 10


def test_without_autocorrelation_it_is_students_interval() -> None:
    estimate = found(ALTERNATING)
    by_scipy = stats.ttest_1samp(ALTERNATING, 0.0).confidence_interval(0.9)
    assert estimate.estimate == pytest.approx(0.04)
    assert [estimate.effective, estimate.degrees] == pytest.approx([20, 19])
    assert estimate.at_least(0.95) == pytest.approx(by_scipy.low)
    assert estimate.at_most(0.95) == pytest.approx(by_scipy.high)
    assert estimate.probability_above(0.03) == pytest.approx(
        stats.ttest_1samp(ALTERNATING, 0.03, alternative="greater").pvalue
    )


def test_neighbours_that_are_alike_widen_it_by_the_known_factor() -> None:
    values = [0.0, 0.0, 1.0, 1.0] * 10
    # By hand: deviations of +-0.5; of 39 neighbouring pairs 20 are alike and 19 are not.
    raw = (20 - 19) / 40
    unbiased = raw + (1 + 3 * raw) / 40
    assert autocorrelation(np.asarray(values) - 0.5) == pytest.approx(unbiased)
    estimate = found(values)
    factor = (1 + unbiased) / (1 - unbiased)
    assert estimate.standard_error == pytest.approx(
        math.sqrt(factor) * np.std(values, ddof=1) / math.sqrt(40)
    )
    assert estimate.degrees == pytest.approx(40 / factor - 1)
    assert estimate.effective == pytest.approx(40)  # 0.05 is within chance


def test_autocorrelation_beyond_chance_costs_blocks() -> None:
    weeks = found(np.repeat([0.0, 1.0, 0.5, 0.2, 0.9, 0.1], 7).tolist())
    assert weeks.autocorrelation > 0.8
    assert weeks.effective < 15
    assert not weeks.enough


@pytest.mark.parametrize(("blocks", "enough"), [(19, False), (20, True), (21, True)])
def test_twenty_even_blocks_are_enough(blocks: int, enough: bool) -> None:  # noqa: FBT001 - a table
    values = np.resize([0.02, 0.06], blocks).tolist()
    assert found(values).enough is enough


def test_unequal_blocks_count_as_fewer() -> None:
    # By hand after Kish: the square of 4,000 rows, over ten squares of 100 and ten of 300.
    assert found(ALTERNATING, [100, 300] * 10).effective == pytest.approx(16)


def test_skewness_moves_only_the_bound_that_it_endangers() -> None:
    rare = [0.05] * 9 + [-0.4] + [0.05, 0.04] * 8
    skewed = found(rare)
    plain = replace(skewed, skewness=0.0)
    assert skewed.skewness < 0
    assert skewed.at_least(0.95) < plain.at_least(0.95)
    assert skewed.at_most(0.95) == plain.at_most(0.95)
    mirrored = found([-value for value in rare])
    assert mirrored.at_most(0.95) == pytest.approx(-skewed.at_least(0.95))


def test_blocks_that_are_all_alike_have_no_error_and_no_autocorrelation() -> None:
    # 0.1 is no binary number: sums of it differ by rounding, in the same direction each time.
    estimate = found([0.6 - 0.5] * 30, [70, 80, 90] * 10)
    assert (estimate.standard_error, estimate.autocorrelation, estimate.skewness) == (0, 0, 0)
    assert estimate.at_least(0.95) == estimate.at_most(0.95) == pytest.approx(0.1)
    assert estimate.probability_above(0.2) == 1.0
    assert estimate.probability_above(0.0) == 0.0
    assert estimate.probability_above(estimate.estimate) == 0.5


def test_what_differs_by_rounding_alone_is_not_taken_for_memory() -> None:
    without = [0.1] * 15 + [math.nextafter(0.1, 1.0)] * 15
    rounded = jackknifed(0.1, without, [100] * 30)
    assert (rounded.standard_error, rounded.autocorrelation) == (0.0, 0.0)
    assert rounded.enough


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=40), st.sampled_from([0.6, 0.95, 0.999]))
def test_bounds_enclose_the_estimate_and_agree_with_the_p_value(
    values: list[float], confidence: float
) -> None:
    estimate = found(values)
    low, high = estimate.at_least(confidence), estimate.at_most(confidence)
    assert low <= estimate.estimate <= high
    if estimate.standard_error > 1e-9:
        assert estimate.probability_above(low) == pytest.approx(1 - confidence, rel=1e-6)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=40))
def test_the_other_way_round_the_bounds_change_sign(values: list[float]) -> None:
    one, other = found(values), found([-value for value in values])
    assert one.at_least(0.9) == pytest.approx(-other.at_most(0.9), rel=1e-9, abs=1e-9)
    assert one.effective == pytest.approx(other.effective)


def test_a_mean_is_jackknifed_as_any_other_figure() -> None:
    values, rows = np.asarray([1.0, 4.0, 2.0, 8.0]), np.asarray([10, 20, 30, 40])
    without = [np.average(np.delete(values, at), weights=np.delete(rows, at)) for at in range(4)]
    whole = float(np.average(values, weights=rows))
    assert jackknifed(whole, without, rows).standard_error == pytest.approx(
        found(values.tolist(), rows.tolist()).standard_error
    )


@pytest.mark.parametrize("values", [[], [0.5]])
def test_below_two_blocks_there_is_no_estimate(values: list[float]) -> None:
    assert mean_estimate(values, [10] * len(values)) is None


def test_a_block_that_is_no_number_is_refused() -> None:
    with pytest.raises(HeadframeError, match="found 1 of 2 that are not"):
        mean_estimate([0.5, float("nan")], [1, 1])


@pytest.mark.parametrize("confidence", [0.4, 0.5, 1.0, 95])
def test_a_confidence_out_of_range_is_refused(confidence: float) -> None:
    with pytest.raises(DeclarationError, match="strictly between"):
        found(ALTERNATING).at_least(confidence)
