"""Harm: found when risk rose beyond the tolerance, hardly ever claimed otherwise."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binom

from pipelines.domain.drift.drift_result import DriftEvidence
from pipelines.domain.drift.harm import RECENT, Bettors, Harm, upper_bound
from pipelines.domain.drift.losses import BlockLosses, losses_of
from pipelines.domain.realised_loss import WINDOW

SOURCE, TARGET = 60, 90


def evidence(loss: NDArray[np.float64]) -> DriftEvidence:
    blocks = len(loss)
    return DriftEvidence(
        reference=tuple(range(SOURCE)),
        current=tuple(range(SOURCE, blocks)),
        losses=BlockLosses(
            blocks=tuple(str(block) for block in range(blocks)),
            rows=np.full(blocks, 900),
            loss=loss,
            residual=np.zeros(blocks),
            segments=(),
            contrast=np.zeros((blocks, 0)),
        ),
    )


def losses(rng: np.random.Generator, *, rise: float, from_block: int = 0) -> NDArray[np.float64]:
    """Mean losses of days in nats, around 0.45 with skew; the target's rise from a block on."""
    loss = 0.35 + rng.gamma(2.0, 0.05, SOURCE + TARGET)
    loss[SOURCE + from_block :] += rise
    return loss


@pytest.mark.parametrize(("from_block", "within"), [(0, 60), (30, 90)])
def test_a_harmful_rise_is_found_whenever_it_begins(from_block: int, within: int) -> None:
    loss = losses(np.random.default_rng(51), rise=0.15, from_block=from_block)
    result = Harm(tolerance=0.01).judge(evidence(loss[: SOURCE + within]))
    assert result.outcome == "drifted"
    assert result.per_column[0].direction == "up"
    assert (result.p_value or 1) <= 0.05


def test_a_rise_below_the_tolerance_is_no_harm() -> None:
    loss = losses(np.random.default_rng(52), rise=0.15)
    assert Harm(tolerance=0.2).judge(evidence(loss)).outcome == "quiet"


def test_the_rise_is_counted_from_the_most_that_the_reference_may_be() -> None:
    figures = Harm().judge(evidence(losses(np.random.default_rng(60), rise=0.0))).figures
    assert figures["source"] + 0.01 < figures["source_at_most"] < figures["source"] + 0.05
    assert figures["target_at_least"] < figures["target"]


def test_a_loss_that_fell_is_no_harm() -> None:
    loss = losses(np.random.default_rng(53), rise=-0.15)
    assert Harm(tolerance=0.0).judge(evidence(loss)).outcome == "quiet"


def mended(rng: np.random.Generator, *, again: bool) -> NDArray[np.float64]:
    """Return losses of which 20 served blocks are harmed, and from the 64th on all if ``again``."""
    loss = losses(rng, rise=0.0)
    loss[SOURCE + 5 : SOURCE + 25] += 0.3
    loss[SOURCE + 64 :] += 0.3 if again else 0.0
    return loss


def test_harm_is_over_with_the_mean_of_the_newest_blocks_and_found_again_by_new_ones() -> None:
    harm = Harm(tolerance=0.02)
    loss = mended(np.random.default_rng(61), again=True)
    told = [harm.judge(evidence(loss[: SOURCE + n])) for n in range(1, TARGET + 1)]
    stands = [one.outcome == "drifted" for one in told]
    begun = stands.index(True)
    over = begun + stands[begun:].index(False)
    again = over + stands[over:].index(True)
    assert (5 < begun < 25, 25 < over <= 24 + RECENT, 64 < again < 85) == (True, True, True)
    assert all(stands[again:])
    back = loss[:SOURCE].mean() + 0.02
    for number in range(begun, over + 1):
        newest = loss[SOURCE : SOURCE + number + 1][-RECENT:].mean()
        assert (newest > back) == stands[number]
    # What was won before is spent: the bettors begin with the block after.
    assert told[over].figures["capital"] == 1.0
    assert told[again].window_blocks == again - over
    assert [one.figures["over"] for one in told] == [
        float(over <= number < again) for number in range(TARGET)
    ]
    assert "Harm that stood before is over: the mean of the newest 28 is" in told[over].reason
    assert "is over" not in told[again].reason


def test_what_stands_after_each_block_is_what_is_judged_of_it() -> None:
    loss = mended(np.random.default_rng(62), again=True)
    harm = Harm(tolerance=0.02)
    stands = harm.stands_after(loss[:SOURCE], loss[SOURCE:])
    assert stands.tolist() == [
        harm.judge(evidence(loss[: SOURCE + n])).outcome == "drifted" for n in range(1, TARGET + 1)
    ]
    assert stands.any()
    assert not stands.all()


def test_the_newest_blocks_are_those_that_the_verdict_tells_the_mean_of() -> None:
    assert RECENT == WINDOW


def test_blocks_whose_labels_are_pending_wait() -> None:
    loss = losses(np.random.default_rng(54), rise=0.15)
    late = loss.copy()
    late[SOURCE + 5 :: 2] = np.nan
    assert Harm().judge(evidence(late)).window_blocks == 47


def claims(runs: int, seed: int, tolerance: float = 0.0) -> int:
    rng = np.random.default_rng(seed)
    return sum(
        Harm(tolerance=tolerance, delta=0.2).judge(evidence(losses(rng, rise=tolerance))).outcome
        == "drifted"
        for _ in range(runs)
    )


def test_equal_risk_is_hardly_ever_called_harm() -> None:
    assert claims(60, seed=55) <= binom.ppf(0.999, 60, 0.2)


@pytest.mark.prove
@pytest.mark.parametrize("tolerance", [0.0, 0.05])
def test_a_rise_to_the_tolerance_is_ever_called_harm_no_more_often_than_delta(
    tolerance: float,
) -> None:
    """Whoever looks after every block sees the running maximum, which is what ``judge`` uses."""
    assert claims(1000, seed=56, tolerance=tolerance) <= binom.ppf(0.999, 1000, 0.2)


@pytest.mark.prove
def test_a_false_alarm_that_is_over_comes_again_no_more_often_than_its_bound_allows() -> None:
    """Coin flips of one mean on both sides, of which the source has so many that nothing hides what is won."""
    rng, runs, delta = np.random.default_rng(63), 300, 0.5
    harm = Harm("brier", most=1.0, tolerance=0.0, delta=delta)
    began = []
    for _ in range(runs):
        source, target = (np.where(rng.random(n) < 0.3, 1.0, 0.0) for n in (5000, TARGET))
        stands = harm.stands_after(source, target).astype(int)
        began.append(int((np.diff(stands, prepend=0) == 1).sum()))
    once = sum(1 for number in began if number)
    assert runs * delta / 8 < once <= binom.ppf(0.999, runs, delta / 2)
    assert sum(began) - once <= binom.ppf(0.999, once, delta / 2)


@pytest.mark.prove
def test_the_capital_keeps_its_promise_where_it_is_sharp() -> None:
    """Coin flips at exactly the mean that is bet against, and dependent on those before."""
    rng, runs, reached = np.random.default_rng(57), 4000, 0
    bettors = Bettors(spread=0.4, horizon=90)
    for _ in range(runs):
        values = np.where(rng.random(90) < 0.3, 1.0, 0.0)
        # The spread depends on the last value, the mean does not.
        values[1:] = np.where(values[:-1] > 0, values[1:], 0.3)
        reached += bettors.capital(values, 0.3) >= 10
    assert reached <= binom.ppf(0.999, runs, 0.1)


@pytest.mark.prove
@pytest.mark.parametrize("number", [20, 150])
def test_the_upper_bound_is_above_the_mean_as_often_as_it_says(number: int) -> None:
    rng, runs = np.random.default_rng(58), 4000
    missed = sum(upper_bound(rng.beta(2, 5, number), 0.1) < 2 / 7 for _ in range(runs))
    assert missed <= binom.ppf(0.999, runs, 0.1)


def test_bounds_close_in_on_the_mean_from_both_sides() -> None:
    values = np.random.default_rng(59).beta(20, 50, 2000)
    assert 2 / 7 < upper_bound(values, 0.025) < 2 / 7 + 0.01
    lower = Bettors(spread=0.05, horizon=90).lower_bound(values, 0.025)
    assert 2 / 7 - 0.02 < lower < 2 / 7


def test_the_bettors_begin_with_one_unit_of_money_in_all() -> None:
    assert Bettors(spread=0.1, horizon=90).capital(np.full(30, 0.3), 0.3) == pytest.approx(1.0)
    assert Bettors(spread=0.1, horizon=5).capital(np.full(30, 0.3), 0.3) == pytest.approx(1.0)


def test_capital_without_values_is_what_it_began_with() -> None:
    assert Bettors(spread=0.1, horizon=90).capital(np.zeros(0), 0.3) == 1.0


@pytest.mark.parametrize("values", [np.zeros(100), np.ones(100)])
def test_extreme_losses_give_finite_bounds(values: NDArray[np.float64]) -> None:
    assert 0.0 <= upper_bound(values, 0.025) <= 1.0
    assert 0.0 <= Bettors(spread=0.0, horizon=90).lower_bound(values, 0.025) <= 1.0


def test_losses_are_those_of_each_block_and_segment() -> None:
    found = losses_of(
        "brier",
        label=[1, 0, 1, 0, 1],
        probability=[0.5, 0.5, 0.0, 1.0, 1.0],
        blocks=["monday", "tuesday", "wednesday"],
        of_row=[0, 0, 1, 1, 2],
        segments={"origin": ["EWR", "JFK", "EWR", "JFK", "EWR"]},
        levels=[("origin", "EWR")],
        minimum_rows=1,
    )
    assert found.loss.tolist() == [0.25, 1.0, 0.0]
    assert found.residual.tolist() == [0.0, 0.0, 0.0]
    assert found.rows.tolist() == [2, 2, 1]
    assert found.contrast[:2, 0].tolist() == [0.0, 0.0]
    assert np.isnan(found.contrast[2, 0])


def test_a_block_with_few_labels_has_no_loss() -> None:
    found = losses_of("brier", label=[1], probability=[1.0], blocks=["a", "b"], of_row=[0])
    assert np.isnan(found.loss).all()
