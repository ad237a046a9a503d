"""Permutations of blocks: the level is exact, the power is there, the right column is named."""

import dataclasses
from math import inf
from typing import TypeAlias

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import binom, chi2, rankdata
from scipy.stats import f as f_distribution

from pipelines.domain.drift.block_arrangements import arrangements, season_residuals
from pipelines.domain.drift.block_permutation import BlockPermutation
from pipelines.domain.drift.block_scores import (
    Components,
    Dependence,
    allowed_for,
    components_of,
    dependence_of,
    log_tails,
    normal_scores,
)
from pipelines.domain.drift.block_statistics import BlockStatistics, Family, FamilyName
from pipelines.domain.drift.drift_result import DriftEvidence
from pipelines.domain.drift.losses import BlockLosses
from pipelines.domain.drift.segment_contrast import SegmentContrast
from pipelines.errors import HeadframeError

Floats: TypeAlias = NDArray[np.float64]
KINDS: tuple[FamilyName, ...] = ("bins", "mix", "moments", "missing", "ranks")
DAY, WEEK = 1, 7


def statistics(values: Floats, columns: int) -> BlockStatistics:
    """Statistics of ``columns`` columns, each with a family of every kind."""
    parts = np.array_split(values, columns * len(KINDS), axis=1)
    return BlockStatistics(
        blocks=tuple(str(block) for block in range(len(values))),
        families=tuple(
            Family(column=f"c{number // len(KINDS)}", family=KINDS[number % 5], values=part)
            for number, part in enumerate(parts)
        ),
    )


def blocks_of(rng: np.random.Generator, blocks: int, width: int) -> Floats:
    """Blocks as unkind as exchangeable ones get: heavy tails, ties, gaps, one common weather."""
    weather = rng.standard_t(3, size=(blocks, 1))
    values = rng.standard_t(2, size=(blocks, width)) + weather
    values[:, ::5] = np.round(values[:, ::5])
    values[:, 1::7] = np.where(rng.random((blocks, 1)) < 0.03, 1.0, 0.0)
    values[rng.random((blocks, width)) < 0.02] = np.nan
    return values


def evidence(
    values: Floats, window: int, *, columns: int = 4, seasons: tuple[int, ...] | None = None
) -> DriftEvidence:
    reference = len(values) - window
    return DriftEvidence(
        reference=tuple(range(reference)),
        current=tuple(range(reference, len(values))),
        statistics=statistics(values, columns),
        importance={"c0": 0.9, "c1": 0.1},
        prediction="c2",
        seasons=seasons,
    )


def rejections(runs: int, *, window: int, alpha: float, reference: int, seed: int) -> int:
    test = BlockPermutation(window=window, alpha=alpha, permutations=199, seed=seed)
    rng = np.random.default_rng(seed)
    return sum(
        test.judge(evidence(blocks_of(rng, reference + window, 40), window)).outcome == "drifted"
        for _ in range(runs)
    )


@pytest.mark.parametrize(("window", "alpha"), [(DAY, 2 / 41), (WEEK, 0.05)])
def test_blocks_that_are_exchangeable_are_rejected_at_the_level(window: int, alpha: float) -> None:
    found = rejections(150, window=window, alpha=alpha, reference=40, seed=21)
    assert found <= binom.ppf(0.999, 150, alpha)


@pytest.mark.prove
@pytest.mark.parametrize(("window", "alpha"), [(DAY, 2 / 41), (WEEK, 0.05), (WEEK, 0.01)])
def test_the_level_is_exact_over_many_runs(window: int, alpha: float) -> None:
    runs = 2000
    found = rejections(runs, window=window, alpha=alpha, reference=40, seed=22)
    assert found <= binom.ppf(0.995, runs, alpha)
    # What correcting for a dependence that is not there costs is small.
    assert found >= binom.ppf(0.005, runs, 0.75 * alpha)


@pytest.mark.prove
def test_seasons_of_other_levels_and_spreads_keep_the_level() -> None:
    runs, alpha, rng = 1000, 0.05, np.random.default_rng(23)
    test = BlockPermutation(window=WEEK, alpha=alpha, permutations=199)
    weekday = tuple(number % 7 for number in range(57))
    level, spread = np.arange(7.0)[list(weekday)], 1 + np.asarray(weekday) % 3
    found = 0
    for _ in range(runs):
        values = level[:, None] + spread[:, None] * rng.normal(size=(57, 40))
        found += test.judge(evidence(values, WEEK, seasons=weekday)).outcome == "drifted"
    assert binom.ppf(0.0005, runs, 0.6 * alpha) <= found <= binom.ppf(0.9995, runs, alpha)


def autoregressive(rng: np.random.Generator, blocks: int, width: int, lag_one: float) -> Floats:
    values = rng.normal(size=(blocks, width))
    for block in range(1, blocks):
        values[block] = lag_one * values[block - 1] + np.sqrt(1 - lag_one**2) * values[block]
    return values


@pytest.mark.prove
@pytest.mark.parametrize(("lag_one", "at_most"), [(0.15, 1.5), (0.3, 1.5), (0.6, 1.5)])
def test_blocks_that_depend_on_the_one_before_stay_near_the_level(
    lag_one: float, at_most: float
) -> None:
    runs, alpha, rng = 500, 0.02, np.random.default_rng(24)
    test = BlockPermutation(window=WEEK, alpha=alpha, permutations=199)
    found = sum(
        test.judge(evidence(autoregressive(rng, 157, 40, lag_one), WEEK)).outcome == "drifted"
        for _ in range(runs)
    )
    assert found <= binom.ppf(0.999, runs, at_most * alpha)


def test_dependence_is_measured_and_independence_left_alone() -> None:
    rng = np.random.default_rng(25)

    def of(values: Floats) -> float:
        part = components_of(normal_scores(values), window=WEEK)
        return float(dependence_of(part, reference=400, window=WEEK).inflation[0])

    assert of(rng.normal(size=(407, 8))) == 1.0
    # Of an AR(1) at 0.5 the mean of seven has 1 + 2 sum of (1 - k / 7) 0.5^k = 2.44 times the variance.
    assert 2.0 < of(autoregressive(rng, 407, 8, 0.5)) < 4.5


def test_dependence_that_is_weak_in_each_family_is_clear_in_all() -> None:
    values = autoregressive(np.random.default_rng(38), 157, 30, 0.15)
    scores = normal_scores(values)
    parts = [components_of(scores[:, [at]], window=WEEK) for at in range(30)]
    alone = [float(dependence_of(part, reference=150, window=WEEK).inflation[0]) for part in parts]
    every = components_of(scores, window=WEEK, widths=[1] * 30)
    together = dependence_of(every, reference=150, window=WEEK).inflation.tolist()
    assert alone.count(1.0) >= 15
    assert together.count(1.0) < 10


def test_families_have_the_components_that_each_has_alone() -> None:
    values = autoregressive(np.random.default_rng(45), 157, 12, 0.5)
    values[:, 5:7] = 1.0
    scores, widths = normal_scores(values), [3, 1, 1, 2, 3, 2]
    every = components_of(scores, window=WEEK, widths=widths)
    of_every = dependence_of(every, reference=150, window=WEEK, varied=np.ones(6, bool))
    assert every.starts.tolist() == [0, 3, 4, 5, 7, 10]
    assert every.freedom[3] == every.trace[3] == 0.0
    assert of_every.inflation[3] == 1.0 < of_every.inflation.max()
    for place, (first, width) in enumerate(zip(every.starts.tolist(), widths, strict=True)):
        alone = components_of(scores[:, first : first + width], window=WEEK)
        own = every.scores[:, first : first + width]
        assert own == pytest.approx(alone.scores, abs=1e-9)
        assert every.trace[place] == pytest.approx(alone.trace[0])
        assert every.freedom[place] == pytest.approx(alone.freedom[0])
        corrected = dependence_of(alone, reference=150, window=WEEK).inflation[0]
        if corrected > 1.0:
            assert of_every.inflation[place] == pytest.approx(corrected)


def test_a_family_is_corrected_as_its_most_dependent_component_needs() -> None:
    rng = np.random.default_rng(43)
    columns = [normal_scores(autoregressive(rng, 407, 1, lag_one)) for lag_one in (0.8, 0.4)]
    both = Components(
        scores=np.hstack(columns),
        starts=np.zeros(1, np.intp),
        trace=np.full(1, 2.0),
        freedom=np.full(1, 2.0),
    )
    high, low, found = (
        float(dependence_of(part, reference=400, window=WEEK).inflation[0])
        for part in (*(components_of(each, window=WEEK) for each in columns), both)
    )
    assert high > 1.5 * low > 1.5
    assert found == pytest.approx(high, rel=0.02)


def test_a_shift_of_the_window_does_not_look_like_dependence() -> None:
    values = np.zeros((157, 1))
    values[150:] = 1.0
    values[75] = 0.5
    part = components_of(normal_scores(values), window=WEEK)
    dependence = dependence_of(part, reference=150, window=WEEK)
    assert (dependence.inflation.tolist(), dependence.freedom.tolist()) == ([1.0], [inf])
    assert dependence.effective == 150


@pytest.mark.parametrize("freedom", [8.0, 13.0, 40.0])
@pytest.mark.parametrize("tail", [0.1, 1e-3, 1e-5])
def test_an_estimated_variance_has_the_tails_of_student_and_fisher(
    freedom: float, tail: float
) -> None:
    for components in (1.0, 2.0, 8.0):
        # As many degrees for each component as for one.
        of_variance = freedom * components
        of = Dependence(inflation=np.ones(1) * 2, freedom=np.ones(1) * of_variance, effective=99.0)
        at = 2.0 * f_distribution.isf(tail, components, of_variance)
        found = allowed_for(np.array([at]), np.array([components]), of, blocks=10**9)[0]
        told = chi2.logsf(found * components, components)
        assert told == pytest.approx(np.log(tail), rel=0.04)


def test_what_is_independent_is_left_as_it_is() -> None:
    of = Dependence(inflation=np.ones(2), freedom=np.array([inf, 5.0]), effective=99.0)
    sums = allowed_for(np.array([9.0, 9.0]), np.array([3.0, 0.0]), of, blocks=40)
    assert sums.tolist() == [9.0, 9.0]


def test_what_never_varied_is_found_among_columns_whose_blocks_depend_on_each_other() -> None:
    values = autoregressive(np.random.default_rng(44), 68, 40, 0.5)
    values[:, 6:8] = 0.0
    values[61:, 6] = np.linspace(0.19, 0.21, 7)
    seasons = tuple(number % 7 for number in range(68))
    result = BlockPermutation(window=WEEK, alpha=0.005).judge(
        evidence(values, WEEK, seasons=seasons)
    )
    assert result.outcome == "drifted"
    assert result.per_column[0].family == "missing"


def test_a_reference_whose_blocks_depend_on_each_other_says_learning_for_longer() -> None:
    values = autoregressive(np.random.default_rng(39), 47, 40, 0.8)
    result = BlockPermutation(window=WEEK, alpha=0.05).judge(evidence(values, WEEK))
    assert result.outcome == "learning"
    assert "40 reference blocks depend on each other and are worth" in result.reason
    independent = np.random.default_rng(39).normal(size=(47, 40))
    assert BlockPermutation(window=WEEK, alpha=0.05).judge(evidence(independent, WEEK)).p_value


def test_one_odd_block_is_cut_in_a_window_of_several_only() -> None:
    values = np.zeros((157, 1))
    values[3] = 1.0
    scores = normal_scores(values)
    assert components_of(scores, window=WEEK).scores.max() == pytest.approx(3.0)
    assert components_of(scores, window=DAY).scores.max() == pytest.approx(12.49, abs=0.01)


def test_odd_blocks_of_other_columns_do_not_hide_a_week_that_moved() -> None:
    values = np.random.default_rng(37).normal(size=(157, 40))
    values[150:, 0] += 2.5
    for number, first in enumerate((6, 16, 26, 36)):
        values[:, first : first + 2] = 0.0
        values[10 * number, first] = 1.0
    assert BlockPermutation(window=WEEK, alpha=0.005).judge(evidence(values, WEEK)).p_value == 0.001


@pytest.mark.parametrize(
    ("family", "first", "size"), [("bins", 0, 2.0), ("moments", 4, 3.0), ("ranks", 8, 3.0)]
)
def test_a_week_that_moved_is_found_and_blamed_on_its_column(
    family: str, first: int, size: float
) -> None:
    values = np.random.default_rng(27).normal(size=(157, 40))
    values[150:, first] += size
    result = BlockPermutation(window=WEEK, alpha=0.005).judge(evidence(values, WEEK))
    assert result.outcome == "drifted"
    assert (result.per_column[0].column, result.per_column[0].family) == ("c0", family)
    assert result.p_value == 0.001
    assert {shift.family for shift in result.per_column} == set(KINDS)


def test_a_share_that_never_was_anything_but_zero_is_found_by_week_and_day() -> None:
    values = np.random.default_rng(28).normal(size=(157, 40))
    values[:, 6:8] = 0.0
    values[150:, 6] = 0.2
    for window, alpha in ((WEEK, 0.005), (DAY, 1 / 151)):
        rows = values if window == WEEK else np.delete(values, range(150, 156), axis=0)
        result = BlockPermutation(window=window, alpha=alpha).judge(evidence(rows, window))
        assert result.outcome == "drifted"
        assert result.per_column[0].family == "missing"
        assert result.per_column[0].direction == "up"


def test_many_columns_without_importance_do_not_hide_the_important_one() -> None:
    values = np.random.default_rng(29).normal(size=(157, 400))
    values[150:, 0] += 3.0
    important = evidence(values, WEEK, columns=40)
    ignored = dataclasses.replace(important, importance={"c9": 1.0}, prediction=None)
    test = BlockPermutation(window=WEEK, alpha=0.005)
    assert test.judge(important).outcome == "drifted"
    first, second = (test.judge(each).p_value or 0.0 for each in (important, ignored))
    assert first < second


def test_a_single_block_needs_as_many_reference_blocks_as_its_level() -> None:
    values = np.random.default_rng(30).normal(size=(101, 40))
    result = BlockPermutation(window=DAY, alpha=0.005).judge(evidence(values, DAY))
    assert result.outcome == "learning"
    assert "needs 199 reference blocks" in result.reason


def test_constant_statistics_are_never_drift() -> None:
    result = BlockPermutation(window=WEEK, alpha=0.05).judge(evidence(np.ones((50, 40)), WEEK))
    assert (result.outcome, result.p_value) == ("quiet", 1.0)


def test_a_weekly_rhythm_hides_nothing_once_it_is_declared() -> None:
    rng = np.random.default_rng(31)
    weekday = tuple(number % 7 for number in range(157))
    values = 20.0 * np.asarray(weekday)[:, None] + rng.normal(size=(157, 40))
    values[150:, 0] += 3.0
    test = BlockPermutation(window=WEEK, alpha=0.005)
    assert test.judge(evidence(values, WEEK)).outcome == "quiet"
    assert test.judge(evidence(values, WEEK, seasons=weekday)).outcome == "drifted"


def test_arrangements_keep_the_seasons_of_the_window() -> None:
    seasons = tuple(number % 7 for number in range(42))
    weights = arrangements(35, 7, seasons, draws=50, seed=1)
    for row in weights:
        assert sorted(seasons[block] for block in np.flatnonzero(row > 0)) == list(range(7))
    assert np.flatnonzero(weights[0] > 0).tolist() == list(range(35, 42))
    assert weights.sum(axis=1) == pytest.approx(0.0, abs=1e-12)


def test_a_constant_within_seasons_has_no_residual() -> None:
    values = np.asarray([[0.1], [0.3], [0.1], [0.3], [0.1], [0.3]])
    assert season_residuals(values, (0, 1, 0, 1, 0, 1)).tolist() == [[0.0]] * 6


def test_tails_are_those_of_a_chi_square() -> None:
    for freedom in (1.0, 4.0, 17.0):
        for share in (0.1, 1e-3, 1e-6):
            at = chi2.isf(share, freedom) / freedom
            found = float(log_tails(np.asarray([at]), np.asarray([freedom]))[0])
            assert found == pytest.approx(np.log(share), rel=0.12)


@given(arrays(np.float64, (12, 2), elements=st.integers(0, 5).map(float)))
def test_ties_share_their_rank_as_in_scipy(values: Floats) -> None:
    expected = ndtri((rankdata(values, axis=0) - 0.5) / 12)
    expected -= expected.mean(axis=0)
    spread = expected.std(axis=0)
    expected = np.where(spread > 1e-9, expected / np.where(spread > 1e-9, spread, 1.0), 0.0)
    assert normal_scores(values) == pytest.approx(expected, abs=1e-12)


def test_normal_scores_share_ties_and_fill_what_is_unknown_with_the_middle() -> None:
    scores = normal_scores(np.asarray([[1.0], [2.0], [2.0], [9.0], [np.nan]]))[:, 0]
    assert scores[1] == scores[2]
    assert scores.mean() == pytest.approx(0.0, abs=1e-12)
    assert scores.std() == pytest.approx(1.0)
    assert scores[2] < scores[4] < scores[3]


def test_a_block_cannot_be_reference_and_current() -> None:
    with pytest.raises(HeadframeError, match="1 in both"):
        DriftEvidence(reference=(0, 1), current=(1, 2))


def losses(values: Floats, segments: int) -> BlockLosses:
    return BlockLosses(
        blocks=tuple(str(block) for block in range(len(values))),
        rows=np.full(len(values), 900),
        loss=values[:, 0],
        residual=values[:, 1],
        segments=tuple(("origin", f"o{number}") for number in range(segments)),
        contrast=values[:, 2:],
    )


def of_losses(values: Floats) -> DriftEvidence:
    reference = len(values) - WEEK
    return DriftEvidence(
        reference=tuple(range(reference)),
        current=tuple(range(reference, len(values))),
        losses=losses(values, values.shape[1] - 2),
    )


@pytest.mark.parametrize(
    ("series", "told"),
    [(0, ("", "loss")), (1, ("", "calibration")), (4, ("origin=o2", "contrast"))],
)
def test_a_worse_loss_is_found_where_it_is(series: int, told: tuple[str, str]) -> None:
    values = np.random.default_rng(32).normal(size=(127, 11))
    values[120:, series] += -2.5 if series == 1 else 2.5
    result = SegmentContrast(alpha=0.002).judge(of_losses(values))
    assert result.outcome == "drifted"
    assert (result.per_column[0].column, result.per_column[0].family) == told


def test_a_better_loss_is_no_alarm() -> None:
    values = np.random.default_rng(33).normal(size=(127, 11))
    values[120:, [0, 4]] -= 5.0
    assert SegmentContrast(alpha=0.05).judge(of_losses(values)).outcome == "quiet"


def test_a_segment_shows_through_days_that_are_bad_for_all() -> None:
    values = np.random.default_rng(34).normal(size=(127, 11))
    values[:, 0] *= 100.0
    values[120:, 3] += 2.5
    assert SegmentContrast(alpha=0.002).judge(of_losses(values)).outcome == "drifted"


def test_blocks_without_enough_final_labels_are_passed_over() -> None:
    values = np.random.default_rng(35).normal(size=(127, 11))
    values[-1] = np.nan
    assert SegmentContrast().judge(of_losses(values)).outcome == "not_tested"


@pytest.mark.prove
def test_worse_losses_are_claimed_at_the_level() -> None:
    runs, alpha, rng = 1500, 0.05, np.random.default_rng(36)
    test = SegmentContrast(alpha=alpha, permutations=199)
    found = sum(
        test.judge(of_losses(rng.standard_t(3, size=(57, 11)))).outcome == "drifted"
        for _ in range(runs)
    )
    assert binom.ppf(0.001, runs, alpha) <= found <= binom.ppf(0.999, runs, alpha)


def luck(rng: np.random.Generator, blocks: int, lag_one: float) -> Floats:
    """Losses of eleven series that a bad spell of days moves together."""
    return autoregressive(rng, blocks, 11, lag_one) + autoregressive(rng, blocks, 1, lag_one)


@pytest.mark.parametrize("runs", [20, pytest.param(1500, marks=pytest.mark.prove)])
def test_spells_of_bad_days_are_claimed_no_more_often_than_the_level(runs: int) -> None:
    alpha, rng = 0.05, np.random.default_rng(40)
    test = SegmentContrast(alpha=alpha, permutations=199)
    found = sum(
        test.judge(of_losses(luck(rng, 127, 0.7))).outcome == "drifted" for _ in range(runs)
    )
    assert found <= binom.ppf(0.999, runs, alpha)


def test_a_loss_that_rose_beyond_its_spells_is_found() -> None:
    values = luck(np.random.default_rng(41), 127, 0.5)
    values[120:, 0] += 6.0
    result = SegmentContrast(alpha=0.002).judge(of_losses(values))
    assert (result.outcome, result.per_column[0].family) == ("drifted", "loss")


def test_losses_of_too_few_independent_blocks_say_learning() -> None:
    values = autoregressive(np.random.default_rng(42), 40, 11, 0.9)
    result = SegmentContrast(alpha=0.05).judge(of_losses(values))
    assert result.outcome == "learning"
    assert "33 labelled reference blocks depend on each other" in result.reason
