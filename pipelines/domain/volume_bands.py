"""Volume bands: how many rows a delivery may have, by those of the same season before it."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH = 5.0
"""Half a band in robust standard deviations; see ``band`` for how often a stable feed leaves it."""

LEAST_CHANGE = 0.1
"""Share of the usual rows below which no change is worth a message, however constant a feed is."""

MINIMUM_HISTORY = 8
"""Earlier deliveries of a season below which a band is still being learned: no alarm."""

OF_MAD = 1.4826
OF_MEAN_DEVIATION = 1.2533
"""What makes a standard deviation of normal values out of each (Iglewicz and Hoaglin, 1993)."""


@dataclass(frozen=True, slots=True)
class Band:
    """The usual number of rows, and the bounds outside of which a number is not."""

    usual: float
    low: float
    high: float

    def holds(self, rows: int) -> bool:
        """Tell whether a delivery of ``rows`` is as usual."""
        return self.low <= rows <= self.high

    def widened(self, share: float) -> "Band":
        """Return the band of a delivery that covers up to ``share`` more or less time than usual."""
        return Band(self.usual, self.low * (1 - min(share, 1)), self.high * (1 + share))


def band(history: Sequence[int]) -> Band | None:
    """Return the band of a season by its last deliveries; None while it is being learned.

    On the scale log(1 + rows), where growth and shrinking by one factor are as far: the median, plus
    and minus WIDTH times the larger of 1.4826 median absolute deviations and 1.2533 mean absolute
    deviations from it (B. Iglewicz and D. Hoaglin, "How to Detect and Handle Outliers", 1993; the
    mean keeps a feed that is mostly constant from having no width), but at least LEAST_CHANGE.

    Of a stable feed (Poisson, negative binomial and log-normal counts, 20 to 1,000 rows) one
    delivery in 200 or fewer is outside after 8 of its season, one in 400 or fewer after 12; of one with
    heavy tails (Laplace) one in 60 and one in 100. ``tests/unit/test_feeds.py`` simulates it.

    >>> band([900, 950, 1000, 1000, 1000, 1050, 1100, 1000]).holds(300)
    False
    >>> band([900, 950, 1000]) is None
    True
    """
    if len(history) < MINIMUM_HISTORY:
        return None
    scaled = [math.log1p(rows) for rows in history]
    middle = statistics.median(scaled)
    away = [abs(value - middle) for value in scaled]
    deviation = max(OF_MAD * statistics.median(away), OF_MEAN_DEVIATION * statistics.fmean(away))
    half = max(WIDTH * deviation, math.log1p(LEAST_CHANGE))
    low, high = math.expm1(middle - half), math.expm1(middle + half)
    return Band(usual=math.expm1(middle), low=low, high=high)
