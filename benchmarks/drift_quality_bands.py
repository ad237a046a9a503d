"""Bands: how far a count or a share may be off by luck, and when one monitor beats another."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

CONFIDENCE = 0.95
"""Of every interval and band here, two-sided."""
_TAIL = (1 - CONFIDENCE) / 2


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure and its interval of CONFIDENCE; infinite where it is not known how far it goes."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2f} ({self.low:.2f} to {self.high:.2f})"


def binomial_band(quarters: int, alarms_per_quarter: float, checks_per_quarter: int) -> Estimate:
    """Return where alarms per quarter lie when each check alarms by itself at the budget's rate.

    The middle is the budget; the edges are quantiles of a binomial over all checks.
    """
    checks, rate = quarters * checks_per_quarter, alarms_per_quarter / checks_per_quarter
    low, high = (float(stats.binom.ppf(q, checks, rate)) for q in (_TAIL, 1 - _TAIL))
    return Estimate(alarms_per_quarter, low / quarters, high / quarters)


def per_quarter(alarms: Sequence[int]) -> Estimate:
    """Return mean alarms per quarter; a quarter is the unit, since alarms of one come together.

    Student's t over quarters, never below 0; without any alarm the upper end is -ln(0.025) / n,
    the Poisson one (Garwood, 1936).
    """
    counts = np.asarray(alarms, dtype=float)
    many, mean = len(counts), float(counts.mean())
    if not counts.any():
        return Estimate(0.0, 0.0, float(-np.log(_TAIL)) / many)
    if many == 1:
        return Estimate(mean, 0.0, float("inf"))
    half = float(stats.t.ppf(1 - _TAIL, many - 1) * counts.std(ddof=1) / np.sqrt(many))
    return Estimate(mean, max(0.0, mean - half), mean + half)


def share(hits: int, of: int) -> Estimate:
    """Return a share with its interval (Wilson, 1927). Raises ZeroDivisionError of nothing."""
    z = float(stats.norm.ppf(1 - _TAIL))
    found = hits / of
    middle = (found + z * z / (2 * of)) / (1 + z * z / of)
    half = z / (1 + z * z / of) * np.sqrt(found * (1 - found) / of + z * z / (4 * of * of))
    return Estimate(found, max(0.0, float(middle - half)), min(1.0, float(middle + half)))


def median_delay(delays: Sequence[float]) -> Estimate:
    """Return the median of delays in blocks (infinite: never found), with order statistics.

    The interval is the widest pair of ordered delays that a sign test does not rule out.
    """
    ordered = np.sort(np.asarray(delays, dtype=float))
    many = len(ordered)
    below = int(stats.binom.ppf(_TAIL, many, 0.5))
    low, high = ordered[max(below - 1, 0)], ordered[min(many - below, many - 1)]
    # The lower one of two middle delays: half of nothing found has no middle.
    return Estimate(float(ordered[(many - 1) // 2]), float(low), float(high))


def beaten(ours: Sequence[bool], theirs: Sequence[bool]) -> bool:
    """Tell whether they found more than we did on the same orders, and more than by luck.

    The sign test on the orders where just one of the two found it (McNemar, 1947, exact).
    """
    only_ours = sum(mine and not other for mine, other in zip(ours, theirs, strict=True))
    only_theirs = sum(other and not mine for mine, other in zip(ours, theirs, strict=True))
    if only_theirs <= only_ours:
        return False
    tested = stats.binomtest(only_theirs, only_theirs + only_ours, 0.5, alternative="two-sided")
    return bool(tested.pvalue < 1 - CONFIDENCE)
