"""Reliability: known recalibrations, and errors that days which all rows share widen."""

import numpy as np
import numpy.typing as npt
import pytest

from pipelines.domain.block_estimate import jackknifed
from pipelines.domain.reliability import reliability

Floats = npt.NDArray[np.float64]
DAYS, ROWS = 30, 400


def share(odds: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-odds)))


def rows(day_shock: float = 0.0) -> tuple[Floats, npt.NDArray[np.int_], list[str]]:
    """Return true log odds, labels drawn from them, and days; a day may shift all its rows."""
    rng = np.random.default_rng(20130601)
    day = np.repeat(np.arange(DAYS), ROWS)
    odds = -1.0 + rng.standard_normal(len(day))
    shocks = day_shock * rng.standard_normal(DAYS)
    label = (rng.random(len(day)) < share(odds + shocks[day])).astype(int)
    return odds, label, [f"{number:02}" for number in day]


def test_true_probabilities_are_calibrated() -> None:
    odds, label, days = rows()
    found = reliability(label, share(odds), days)
    assert found is not None
    assert abs(found.in_the_large.estimate) < 3 * found.in_the_large.standard_error
    assert abs(found.slope.estimate - 1) < 3 * found.slope.standard_error
    assert found.error.estimate < 0.01
    assert found.error.at_most(0.95) < 0.02
    assert found.error.enough


def test_odds_twice_too_bold_have_half_the_slope() -> None:
    odds, label, days = rows()
    found = reliability(label, share(2 * odds), days)
    assert found is not None
    assert found.slope.estimate == pytest.approx(0.5, abs=0.03)
    # By hand: the mean distance between the two probabilities of each row.
    assert found.error.estimate == pytest.approx(
        np.abs(share(2 * odds) - share(odds)).mean(), abs=0.01
    )


def test_the_coefficients_are_those_of_scikit_learn() -> None:
    from sklearn.linear_model import LogisticRegression

    odds, label, days = rows()
    found = reliability(label, share(1.5 * odds - 0.3), days)
    assert found is not None
    fitted = LogisticRegression(C=1e9, tol=1e-10).fit((1.5 * odds - 0.3)[:, None], label)
    assert found.slope.estimate == pytest.approx(fitted.coef_[0, 0], rel=1e-3)


def test_a_newton_step_leaves_out_a_day_as_a_fit_without_it_does() -> None:
    odds, label, days = rows()
    kept, said = np.asarray(days) < "08", share(1.5 * odds)
    days, label, said = days[: int(kept.sum())], label[kept], said[kept]
    found = reliability(label, said, days)
    assert found is not None
    slopes, errors = [], []
    for left_out in sorted(set(days)):
        inside = [name != left_out for name in days]
        again = reliability(
            label[inside], said[inside], [name for name in days if name != left_out]
        )
        assert again is not None
        slopes.append(again.slope.estimate)
        errors.append(again.error.estimate)
    counts = [ROWS] * 8
    by_fits = jackknifed(found.slope.estimate, slopes, counts)
    assert found.slope.standard_error == pytest.approx(by_fits.standard_error, rel=0.02)
    # The error's mean is over the rows that are left, as it is when they alone are given.
    whole = jackknifed(found.error.estimate, errors, counts)
    assert found.error.standard_error == pytest.approx(whole.standard_error, rel=0.02)


def test_days_that_shift_all_their_rows_widen_the_error() -> None:
    odds, label, days = rows()
    calm = reliability(label, share(odds), days)
    odds, label, days = rows(day_shock=0.5)
    stormy = reliability(label, share(odds), days)
    assert calm is not None
    assert stormy is not None
    assert stormy.in_the_large.standard_error > 3 * calm.in_the_large.standard_error


def test_the_table_has_ten_bins_of_all_rows() -> None:
    odds, label, days = rows()
    found = reliability(label, share(odds), days)
    assert found is not None
    assert [each.rows for each in found.bins] == [DAYS * ROWS // 10] * 10
    predicted = [each.predicted for each in found.bins]
    assert predicted == sorted(predicted)
    assert sum(each.observed for each in found.bins) / 10 == pytest.approx(label.mean())


@pytest.mark.parametrize(
    "probability", [[0.3] * 40, [0.0] * 20 + [1.0] * 20, [1.0] * 20 + [0.0] * 20]
)
def test_constant_and_perfect_and_perfectly_wrong_predictions_have_finite_figures(
    probability: list[float],
) -> None:
    days = [f"{number % 4}" for number in range(40)]
    found = reliability([0] * 20 + [1] * 20, probability, days)
    assert found is not None
    figures = [found.in_the_large, found.slope, found.error]
    assert np.isfinite([figure.estimate for figure in figures]).all()
    assert np.isfinite([figure.standard_error for figure in figures]).all()


def test_one_day_says_nothing() -> None:
    assert reliability([0, 1], [0.1, 0.9], ["a", "a"]) is None
