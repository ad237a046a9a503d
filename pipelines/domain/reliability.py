"""Reliability: whether predicted probabilities come true, with errors over blocks."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

from pipelines.domain.block_estimate import jackknifed
from pipelines.domain.examination import Reliability, ReliabilityBin
from pipelines.domain.metrics import CLIP

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Floats: TypeAlias = NDArray[np.float64]

BINS = 10
"""Bins of a reliability table, with as many rows each as ties allow (Hosmer and Lemeshow, 1980)."""

PRIOR_PRECISION = 0.1
"""Of the normal prior around perfect calibration, per coefficient: a tenth of what one row in four
knows; it keeps classes that are told apart perfectly, or equal probabilities, from infinite odds."""

STEPS = 25
"""Newton steps at most; from perfect calibration four are usual."""

CLOSE = 1e-10
"""Step of the coefficients, in log odds, below which they are found."""


def reliability(
    label: "ArrayLike", probability: "ArrayLike", blocks: Sequence[str]
) -> Reliability | None:
    """Return how far predictions are from coming true; None below two blocks.

    Log odds are recalibrated by logistic regression, logit P(label) = a + b logit p (Cox, 1958), so
    a model that is calibrated has a = 0 and b = 1. ``error`` is the mean of |p - recalibrated p|,
    the integrated calibration index (Austin and Steyerberg, 2019) under that recalibration; it is
    at least 0 and comes out above 0 by chance, which errs towards refusing. Errors come from leaving
    out each block in turn, by one Newton step from the whole (Pregibon, 1981).
    """
    import numpy as np

    happened = np.asarray(label, dtype=np.float64)
    predicted = np.asarray(probability, dtype=np.float64)
    names, block = np.unique(np.asarray(blocks), return_inverse=True)
    if len(names) < 2:
        return None
    rows = np.bincount(block).astype(np.float64)
    odds = _logit(np.clip(predicted, CLIP, 1.0 - CLIP))
    whole = _recalibrate(odds, happened)
    without = _without_each(whole, odds, happened, block)
    gap = predicted - happened
    error = np.abs(predicted - _share(whole[0] + whole[1] * odds))
    errors_without = [
        float(np.abs(predicted[kept] - _share(a + b * odds[kept])).mean())
        for (a, b), kept in zip(
            without, (block != place for place in range(len(names))), strict=True
        )
    ]
    gaps = np.bincount(block, weights=gap)
    gaps_without = (gaps.sum() - gaps) / (rows.sum() - rows)
    return Reliability(
        in_the_large=jackknifed(float(gap.mean()), gaps_without, rows),
        slope=jackknifed(float(whole[1]), without[:, 1], rows),
        error=jackknifed(float(error.mean()), errors_without, rows),
        bins=_bins(happened, predicted),
    )


def _recalibrate(odds: "Floats", happened: "Floats") -> "Floats":
    """Return intercept and slope by Newton's method, from perfect calibration."""
    import numpy as np

    design = np.column_stack([np.ones(len(odds)), odds])
    perfect = np.asarray([0.0, 1.0])
    found = perfect.copy()
    for _ in range(STEPS):
        share = _share(design @ found)
        gradient = design.T @ (happened - share) - PRIOR_PRECISION * (found - perfect)
        step = np.linalg.solve(_hessian(design, share), gradient)
        # A longer step than this leaves where the quadratic fits.
        step = step / max(1.0, float(np.abs(step).max()))
        found = found + step
        if np.abs(step).max() < CLOSE:
            break
    return found


def _without_each(
    whole: "Floats", odds: "Floats", happened: "Floats", block: "NDArray[np.intp]"
) -> "Floats":
    """Return intercept and slope without each block, (blocks, 2)."""
    import numpy as np

    design = np.column_stack([np.ones(len(odds)), odds])
    share = _share(design @ whole)
    hessian = _hessian(design, share)
    found = []
    for place in range(int(block.max()) + 1):
        inside = block == place
        score = design[inside].T @ (happened - share)[inside]
        weight = (share * (1.0 - share))[inside]
        own = design[inside].T @ (weight[:, None] * design[inside])
        found.append(whole - np.linalg.solve(hessian - own, score))
    return np.asarray(found)


def _hessian(design: "Floats", share: "Floats") -> "Floats":
    import numpy as np

    information = design.T @ ((share * (1.0 - share))[:, None] * design)
    return np.asarray(information + PRIOR_PRECISION * np.eye(2))


def _bins(happened: "Floats", predicted: "Floats") -> tuple[ReliabilityBin, ...]:
    import numpy as np

    order = np.argsort(predicted, kind="stable")
    return tuple(
        ReliabilityBin(
            rows=len(part),
            predicted=float(predicted[part].mean()),
            observed=float(happened[part].mean()),
        )
        for part in np.array_split(order, BINS)
        if len(part)
    )


def _logit(probability: "Floats") -> "Floats":
    import numpy as np

    return np.asarray(np.log(probability) - np.log1p(-probability))


def _share(odds: "Floats") -> "Floats":
    from scipy.special import expit

    found: Floats = expit(odds)
    return found
