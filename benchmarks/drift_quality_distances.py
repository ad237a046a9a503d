"""Distances: how far counts of a window are from those of the reference, as each rule has it."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln
from scipy.stats import chi2

from benchmarks.drift_quality_counts import Counts
from benchmarks.drift_quality_rows import Numbers

PSI_BINS = 10
LEAST_SHARE = 1e-4
"""Stands for an empty bin in the population stability index, as its users do."""
FEW_VALUES = 5
"""Evidently compares a number of at most so many values by Jensen-Shannon distance."""

Values = NDArray[np.float64]
"""One number per window."""


def psi(reference: Counts, windows: Counts, cells: Numbers | None) -> Values:
    """Return the population stability index: deciles of a number, levels of a code, and missing."""
    if cells is not None:
        reference, windows = _deciles(reference, windows)
    expected = np.maximum(reference / reference.sum(), LEAST_SHARE)
    found = np.maximum(windows / _totals(windows), LEAST_SHARE)
    index: Values = ((found - expected) * np.log(found / expected)).sum(axis=1)
    return index


def surprise(reference: Counts, windows: Counts, cells: Numbers | None) -> Values:
    """Return -ln p of the Kolmogorov-Smirnov test of a number, or the chi-squared of a code.

    The first is asymptotic: p = 2 exp(-2 D^2 n m / (n + m)), exact to 1 % below p = 0.1.
    """
    if cells is None:
        return _chi_squared(reference, windows)
    present, of_windows = reference[:-1], windows[:, :-1]
    many, each = present.sum(), np.maximum(of_windows.sum(axis=1), 1)
    gap = np.abs(np.cumsum(of_windows, axis=1) / each[:, None] - np.cumsum(present) / many)
    exponent = 2 * gap.max(axis=1) ** 2 * many * each / (many + each)
    return np.asarray(np.maximum(exponent - np.log(2), 0.0))


def evidently(reference: Counts, windows: Counts, cells: Numbers | None) -> Values:
    """Return what Evidently compares with 0.1 by default on more than 1,000 reference rows.

    The first Wasserstein distance in standard deviations of the reference; Jensen-Shannon distance
    (natural logarithm) for a code. Missing values are dropped; a window without a value, on which
    Evidently ends with an error, is 0.
    """
    present, of_windows = reference[:-1], windows[:, :-1]
    share, shares = present / present.sum(), of_windows / _totals(of_windows)
    few = np.count_nonzero(present + of_windows.sum(axis=0)) <= FEW_VALUES
    some = of_windows.sum(axis=1) > 0
    if cells is None or few:
        return np.where(some, jensen_shannon(share, shares), 0.0)
    gaps = np.abs(np.cumsum(shares, axis=1) - np.cumsum(share))[:, :-1]
    spread = np.sqrt(share @ (cells - share @ cells) ** 2)
    return np.where(some, gaps @ np.diff(cells) / max(float(spread), 0.001), 0.0)


def nannyml_bins(reference: Counts, cells: Numbers | None) -> NDArray[np.int64]:
    """Return for each cell the bin NannyML counts it in: Doane's of the reference; -1 is outside.

    A code's levels are bins of their own, those that the reference lacks are outside.
    """
    present = reference[:-1]
    if cells is None:
        return np.where(present > 0, np.cumsum(present > 0) - 1, -1)
    seen = cells[present > 0]
    low, high, many = seen.min(), seen.max(), present.sum()
    middle = present @ cells / many
    spread = np.sqrt(present @ (cells - middle) ** 2 / many)
    skew = np.abs(present @ ((cells - middle) / spread) ** 3 / many)
    of_skew = np.sqrt(6 * (many - 2) / ((many + 1) * (many + 3)))
    bins = int(np.ceil(1 + np.log2(many) + np.log2(1 + skew / of_skew)))
    edges = np.linspace(low, high, bins + 1)
    at = np.searchsorted(edges, cells, side="right") - 1
    at[cells == high] = bins - 1
    return np.where((cells < low) | (cells > high), -1, at)


def nannyml(reference: Counts, windows: Counts, bins: NDArray[np.int64]) -> Values:
    """Return NannyML's Jensen-Shannon distance (base 2), values outside in a bin of their own.

    NaN for a window without a value.
    """
    width = int(bins.max()) + 1
    to_bin = np.zeros((len(bins), width + 1))
    to_bin[np.arange(len(bins)), np.where(bins < 0, width, bins)] = 1
    present, of_windows = reference[:-1] @ to_bin, windows[:, :-1] @ to_bin
    share, shares = present / present.sum(), of_windows / _totals(of_windows)
    distance = jensen_shannon(share, shares) / np.sqrt(np.log(2))
    return np.where(of_windows.sum(axis=1) > 0, distance, np.nan)


def jensen_shannon(share: Values, shares: Counts) -> Values:
    """Return the Jensen-Shannon distance of each row to ``share``, in roots of nats."""
    middle = (share + shares) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        left = np.where(share > 0, share * np.log(share / middle), 0.0).sum(axis=1)
        right = np.where(shares > 0, shares * np.log(shares / middle), 0.0).sum(axis=1)
    return np.asarray(np.sqrt(np.maximum((left + right) / 2, 0.0)))


def _totals(windows: Counts) -> Counts:
    return np.asarray(np.maximum(windows.sum(axis=1, keepdims=True), 1.0))


def _deciles(reference: Counts, windows: Counts) -> tuple[Counts, Counts]:
    present = reference[:-1]
    before = np.r_[0.0, np.cumsum(present)[:-1]] / present.sum()
    place = np.minimum((before * PSI_BINS).astype(int), PSI_BINS - 1)
    starts = np.flatnonzero(np.diff(np.r_[-1, place]))
    deciles = np.add.reduceat(present, starts), np.add.reduceat(windows[:, :-1], starts, axis=1)
    return np.r_[deciles[0], reference[-1]], np.column_stack([deciles[1], windows[:, -1]])


def _chi_squared(reference: Counts, windows: Counts) -> Values:
    known = reference + windows
    both = reference.sum() + windows.sum(axis=1, keepdims=True)
    statistic = np.zeros(len(windows))
    for side in (np.broadcast_to(reference, windows.shape), windows):
        expected = known * side.sum(axis=1, keepdims=True) / both
        gap = np.where(known > 0, (side - expected) ** 2 / np.maximum(expected, 1e-300), 0.0)
        statistic += gap.sum(axis=1)
    freedom = np.maximum(np.count_nonzero(known, axis=1) - 1, 1)
    with np.errstate(divide="ignore"):
        told = -chi2.logsf(statistic, freedom)
    half, shape = statistic / 2, freedom / 2
    # The first term of the tail's expansion, where the tail itself is below the least float.
    far = half - (shape - 1) * np.log(np.maximum(half, 1e-300)) + gammaln(shape)
    return np.asarray(np.where(np.isfinite(told), told, far))
