"""Block estimate: a figure over blocks in time order, with an error that lets days depend on days."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from pipelines.domain.metrics import MINIMUM_BLOCKS, one_sided_problem
from pipelines.errors import DeclarationError, HeadframeError, Problem

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Floats: TypeAlias = NDArray[np.float64]

HIGHEST_AUTOCORRELATION = 0.95
"""Autocorrelation of neighbouring blocks beyond which a larger one is no different: too few blocks."""

CHANCE = 1.645
"""Standard errors that an autocorrelation exceeds in one of twenty samples that have none."""

ROUNDING = 1e-14
"""Share of a figure by which leaving a block out may move it without meaning anything."""

NO_SKEWNESS = 1e-6
"""Skewness of an estimate below which its inverse transformation is nothing but rounding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockEstimate:
    """An estimate, its standard error, and how many independent equal blocks are worth as much.

    ``effective`` counts the blocks' sizes, and their autocorrelation as far as it is beyond chance,
    so that luck alone does not leave a comparison untested. The error and ``degrees`` of freedom
    count all of ``autocorrelation``, the estimate for neighbouring blocks, in [0, 0.95].
    ``skewness`` is that of the estimate, below 0 where rare blocks pull it down.
    """

    estimate: float
    standard_error: float
    effective: float
    degrees: float
    autocorrelation: float
    skewness: float
    blocks: int

    @property
    def enough(self) -> bool:
        """Whether at least ``MINIMUM_BLOCKS`` effective blocks speak, to the nearest whole one."""
        return round(self.effective) >= MINIMUM_BLOCKS

    def at_least(self, confidence: float) -> float:
        """Return the one-sided lower bound; raises DeclarationError for a confidence out of range."""
        return self.estimate - self._reach(confidence, min(self.skewness, 0.0))

    def at_most(self, confidence: float) -> float:
        """Return the one-sided upper bound; raises DeclarationError for a confidence out of range."""
        return self.estimate + self._reach(confidence, min(-self.skewness, 0.0))

    def probability_above(self, value: float) -> float:
        """Return the p-value of the hypothesis that the true figure is at most ``value``.

        It is below 1 - confidence where ``at_least(confidence)`` is above ``value``; 0.5 where
        estimate and value are the same without any spread.
        """
        from scipy.special import stdtr

        distance = self.estimate - value
        if self.standard_error == 0.0:
            return 0.5 if distance == 0.0 else float(distance < 0.0)
        student = _unskewed(distance / self.standard_error, min(self.skewness, 0.0))
        return float(stdtr(self.degrees, -student))

    def _reach(self, confidence: float, skewness: float) -> float:
        from scipy.special import stdtrit

        if problem := one_sided_problem(confidence):
            raise DeclarationError(
                Problem(
                    where="confidence",
                    expected="a share strictly between 0.5 and 1",
                    found=problem,
                    fix="Correct the argument where the use case declares it.",
                )
            )
        student = float(stdtrit(self.degrees, confidence))
        return _skewed(student, skewness) * self.standard_error


def mean_estimate(values: "ArrayLike", rows: "ArrayLike") -> BlockEstimate | None:
    """Return the row-weighted mean of blocks' means; None below two blocks.

    ``values`` are one mean per block in time order, and ``rows`` what each stands for.

    >>> found = mean_estimate([0.0, 1.0] * 10, [50] * 20)
    >>> found.estimate, found.autocorrelation, round(found.effective, 6)
    (0.5, 0.0, 20.0)
    """
    import numpy as np

    value, weight = _checked(values), np.asarray(rows, dtype=np.float64)
    if len(value) < 2:
        return None
    whole = math.fsum(weight.tolist())
    estimate = math.fsum((value * weight).tolist()) / whole
    # What the mean moves by when a block is left out.
    return jackknifed(estimate, weight * (estimate - value) / (whole - weight) + estimate, weight)


def jackknifed(estimate: float, without: "ArrayLike", rows: "ArrayLike") -> BlockEstimate:
    """Return a figure's estimate from its value without each of at least two blocks in turn.

    ``without`` is in time order, as is ``rows``, how many each block has. The variance is the
    delete-one-block jackknife's (Tukey, 1958), times (1 + r) / (1 - r) for the autocorrelation r of
    neighbouring blocks (Bayley and Hammersley, 1946), which is measured on what each block moves,
    freed of its bias towards 0 (Kendall, 1954), and never counted below 0. Effective blocks are
    Kish's (1965) by size, divided by the factor for what of r is beyond chance: 1.645 standard errors
    of 1 / sqrt(n) less (Bartlett, 1946). t quantiles have one degree less than by all of r. Where rare
    blocks pull the estimate away from a bound, that bound gives way by Hall's (1992) transformation;
    it never comes nearer for the sake of skewness. Nothing is drawn at random.
    """
    import numpy as np

    left, weight = _checked(without), np.asarray(rows, dtype=np.float64)
    blocks = len(left)
    shifts = estimate - left
    # Blocks that are all alike differ by rounding, which would look like autocorrelation.
    shifts[np.abs(shifts) <= ROUNDING * np.abs(left).max(initial=abs(estimate))] = 0.0
    squares = math.fsum((shifts**2).tolist())
    kish = float(weight.sum() ** 2 / (weight**2).sum())
    found = autocorrelation(shifts)
    factor = _inflation(found)
    beyond_chance = max(found - CHANCE / math.sqrt(blocks), 0.0)
    scaled = shifts / math.sqrt(squares) if squares else shifts
    return BlockEstimate(
        estimate=float(estimate),
        standard_error=math.sqrt((blocks - 1) / blocks * squares * factor),
        effective=kish / _inflation(beyond_chance),
        # One degree of freedom is the floor: below it a t quantile is no longer a finite number.
        degrees=max(kish / factor - 1.0, 1.0),
        autocorrelation=found,
        skewness=math.fsum((scaled**3).tolist()) * math.sqrt(factor),
        blocks=blocks,
    )


def autocorrelation(shifts: "ArrayLike") -> float:
    """Return the lag-1 autocorrelation of values around 0, freed of its bias, in [0, 0.95].

    The bias of a sample of n is about -(1 + 3 r) / n (Kendall, 1954). 0 where nothing varies.

    >>> autocorrelation([1.0, -1.0] * 10)
    0.0
    """
    import numpy as np

    value = np.asarray(shifts, dtype=np.float64)
    squares = math.fsum((value**2).tolist())
    if squares == 0.0:
        return 0.0
    raw = math.fsum((value[:-1] * value[1:]).tolist()) / squares
    unbiased = raw + (1.0 + 3.0 * raw) / len(value)
    return min(max(unbiased, 0.0), HIGHEST_AUTOCORRELATION)


def _inflation(autocorrelation: float) -> float:
    """Return by how much neighbours that are alike increase the variance of a long mean."""
    return (1.0 + autocorrelation) / (1.0 - autocorrelation)


def _unskewed(student: float, skewness: float) -> float:
    """Return Hall's (1992) transformation of a t statistic of a mean with this skewness."""
    return student + skewness / 3.0 * student**2 + skewness**2 / 27.0 * student**3 + skewness / 6.0


def _skewed(student: float, skewness: float) -> float:
    """Return what ``_unskewed`` takes to ``student``; it grows all along, so there is one.

    >>> round(_skewed(_unskewed(2.0, -0.3), -0.3), 9)
    2.0
    """
    import numpy as np

    if abs(skewness) < NO_SKEWNESS:
        return student
    inside = 1.0 + skewness * (student - skewness / 6.0)
    return 3.0 / skewness * (float(np.cbrt(inside)) - 1.0)


def _checked(values: "ArrayLike") -> "Floats":
    import numpy as np

    found = np.asarray(values, dtype=np.float64)
    if not np.isfinite(found).all():
        raise HeadframeError(
            Problem(
                where="estimate over blocks",
                expected="a finite number for every block",
                found=f"{int((~np.isfinite(found)).sum())} of {len(found)} that are not",
                fix="Mend what feeds the metric; rows without a final label are left out before.",
            )
        )
    return found
