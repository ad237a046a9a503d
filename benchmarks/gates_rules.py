"""Gate rules: other ways to tell whether a mean over blocks is above 0, beside our own."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from benchmarks.gates_worlds import Floats

Rows: TypeAlias = NDArray[np.int64]
Rule: TypeAlias = Callable[[Floats, Rows], NDArray[np.bool_]]
"""Takes improvements and rows (runs, blocks); tells which runs it would let pass."""

CONFIDENCE = 0.95
DRAWS = 499
"""Bootstrap samples, or sign flips, of one run."""

KIEFER_VOGELSANG = (1.6449, 2.1859, 0.3142, -0.3427)
"""Critical value of the Bartlett kernel at 95 % one-sided, as a polynomial of the bandwidth's share
of the sample (Kiefer and Vogelsang, 2005, table 1)."""


def two_numbers(days: Floats, rows: Rows) -> NDArray[np.bool_]:
    """Compare two numbers, as most pipelines do: the challenger's mean loss is lower."""
    return np.asarray((days * rows).sum(axis=1) > 0)


def independent_days(days: Floats, rows: Rows) -> NDArray[np.bool_]:
    """Use a t bound from the delete-one-block jackknife, as if days were independent."""
    estimate, moved = _moved(days, rows)
    kish = rows.sum(axis=1) ** 2 / (rows.astype(float) ** 2).sum(axis=1)
    blocks = days.shape[1]
    error = np.sqrt((blocks - 1) / blocks * (moved**2).sum(axis=1))
    return np.asarray(estimate > stdtrit(np.maximum(kish - 1, 1), CONFIDENCE) * error)


def newey_west(days: Floats, rows: Rows, *, share: float = 0.1) -> NDArray[np.bool_]:
    """Use the Newey-West (1987) error with fixed-b critical values (Kiefer and Vogelsang, 2005)."""
    estimate, moved = _moved(days, rows)
    blocks = days.shape[1]
    lags = max(1, int(share * blocks))
    long_run = (moved**2).sum(axis=1)
    for lag in range(1, lags):
        long_run += 2 * (1 - lag / lags) * (moved[:, :-lag] * moved[:, lag:]).sum(axis=1)
    critical = np.polynomial.polynomial.polyval(share, KIEFER_VOGELSANG)
    return np.asarray(estimate > critical * np.sqrt(np.maximum(long_run, 0)))


def cosines(days: Floats, rows: Rows) -> NDArray[np.bool_]:
    """Use equal-weighted cosines (Lazarus, Lewis, Stock and Watson, 2018), 0.4 T^(2/3) of them."""
    estimate, moved = _moved(days, rows)
    blocks = days.shape[1]
    many = int(0.4 * blocks ** (2 / 3))
    place = np.arange(blocks) + 0.5
    waves = np.sqrt(2 / blocks) * np.cos(np.pi * np.outer(np.arange(1, many + 1), place) / blocks)
    long_run = blocks * ((moved @ waves.T) ** 2).mean(axis=1)
    return np.asarray(estimate > stdtrit(many, CONFIDENCE) * np.sqrt(long_run))


def bootstrap(days: Floats, rows: Rows) -> NDArray[np.bool_]:
    """Use the studentised circular block bootstrap; block length by Politis and White (2004, 2009)."""
    rng = np.random.default_rng(11)
    passed = []
    for day, row in zip(days, rows, strict=True):
        blocks = len(day)
        length = block_length(day)
        many = -(-blocks // length)
        starts = rng.integers(0, blocks, (DRAWS, many))
        taken = (starts[:, :, None] + np.arange(length)) % blocks
        taken = taken.reshape(DRAWS, -1)[:, :blocks]
        whole, error = _studentised(day[None], row[None], length)
        drawn, errors = _studentised(day[taken], row[taken], length)
        ratio = (drawn - whole) / errors
        passed.append(bool(whole[0] > np.quantile(ratio, CONFIDENCE) * error[0]))
    return np.asarray(passed)


def sign_flips(days: Floats, rows: Rows) -> NDArray[np.bool_]:
    """Flip the signs of sums over neighbouring days, as many as ``block_length`` says (Fisher, 1935)."""
    rng = np.random.default_rng(12)
    passed = []
    for day, row in zip(days, rows, strict=True):
        sums = np.add.reduceat(day * row, np.arange(0, len(day), block_length(day)))
        signs = rng.choice((-1.0, 1.0), (DRAWS, len(sums)))
        as_high = 1 + (signs @ sums >= sums.sum()).sum()
        passed.append(bool(as_high <= (1 - CONFIDENCE) * (DRAWS + 1)))
    return np.asarray(passed)


RULES: Mapping[str, Rule] = {
    "two numbers": two_numbers,
    "jackknife t, independent days": independent_days,
    "Newey-West, fixed b 0.1": newey_west,
    "Newey-West, fixed b 0.5": partial(newey_west, share=0.5),
    "cosines": cosines,
    "studentised block bootstrap": bootstrap,
    "sign flips of block sums": sign_flips,
}
"""Other rules by name; the first is what a gate without statistics does, and fails on purpose."""


def block_length(day: Floats) -> int:
    """Return the length of blocks for a circular bootstrap, at most a third of the days.

    Politis and White (2004) as corrected by Patton, Politis and White (2009): flat-top estimates of
    spectrum and slope up to twice the first lag after which autocorrelations stay insignificant.
    """
    centred = day - day.mean()
    many = len(day)
    most = int(np.ceil(np.sqrt(many)) + max(5, np.sqrt(np.log10(many))))
    covariance = np.asarray(
        [(centred[: many - lag] * centred[lag:]).sum() / many for lag in range(most + 1)]
    )
    if covariance[0] == 0:
        return 1
    quiet = np.abs(covariance[1:] / covariance[0]) < 2 * np.sqrt(np.log10(many) / many)
    first = next((lag for lag in range(most) if quiet[lag : lag + 5].all()), most)
    reach = min(2 * max(first, 1), most)
    lags = np.arange(1, reach + 1)
    flat = np.minimum(1.0, 2 * (1 - lags / reach))
    slope = 2 * (flat * lags * covariance[1 : reach + 1]).sum()
    spectrum = covariance[0] + 2 * (flat * covariance[1 : reach + 1]).sum()
    length = (2 * slope**2 / (4 / 3 * spectrum**2)) ** (1 / 3) * many ** (1 / 3)
    return int(np.clip(np.round(length), 1, max(1, many // 3)))


def _moved(days: Floats, rows: Rows) -> tuple[Floats, Floats]:
    """Return the row-weighted mean, and what it moves by when each day is left out."""
    whole = rows.sum(axis=1, keepdims=True)
    estimate = (days * rows).sum(axis=1, keepdims=True) / whole
    return estimate[:, 0], rows * (days - estimate) / (whole - rows)


def _studentised(days: Floats, rows: Rows, length: int) -> tuple[Floats, Floats]:
    """Return row-weighted means and their errors from sums over blocks of ``length`` days."""
    estimate, moved = _moved(days, rows)
    sums = np.add.reduceat(moved, np.arange(0, days.shape[1], length), axis=1)
    many = sums.shape[1]
    error = np.sqrt(many / (many - 1) * (sums**2).sum(axis=1))
    return estimate, np.maximum(error, 1e-12)
