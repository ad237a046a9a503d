"""Metrics of predictions: row losses, AUC, and intervals over blocks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from pipelines.domain.metric import LOSSES, METRICS, Metric, loss_problem
from pipelines.domain.prediction_kinds import BINARY, REGRESSION
from pipelines.errors import DeclarationError, HeadframeError, NotEnoughData, Problem

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Floats: TypeAlias = NDArray[np.float64]

__all__ = [
    "CLIP", "LOSSES", "METRICS", "MINIMUM_BLOCKS", "Interval", "Metric", "TooFewBlocks", "auc",
    "auc_interval", "block_means", "loss_problem", "mean_interval", "one_sided_problem",
    "row_losses", "two_sided",
]  # fmt: skip

MINIMUM_BLOCKS = 20
"""Blocks below which no interval is given (decision): a standard error from fewer is itself a guess."""

CLIP = 2.0**-23
"""Log loss clips probabilities to [CLIP, 1 - CLIP]: the resolution of a float32 model near 1, and
what scikit-learn's ``log_loss`` uses for float32. It caps the loss of one row at 16 nats."""

MOST_EXAMPLES = 3
"""Row numbers shown in one message (house rule: at most three examples)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """An estimate with equal-tailed bounds: each is missed with probability (1 - confidence) / 2."""

    estimate: float
    low: float
    high: float
    confidence: float
    blocks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TooFewBlocks:
    """No bounds, because fewer than ``MINIMUM_BLOCKS`` blocks speak about the estimate.

    ``estimate`` is None when not even that exists: no rows, or an AUC of one class.
    """

    estimate: float | None
    blocks: int


def one_sided_problem(confidence: float) -> str | None:
    """Say why ``confidence`` cannot be that of a one-sided bound; None when it can."""
    if 0.5 < confidence < 1.0:
        return None
    return f"confidence {confidence!r} is not strictly between 0.5 and 1; write 95 % as 0.95"


def two_sided(confidence: float) -> float:
    """Return the confidence of the interval whose ends are one-sided bounds at ``confidence``.

    >>> two_sided(0.75)
    0.5
    """
    return 2.0 * confidence - 1.0


def row_losses(metric: str, label: ArrayLike, predicted: ArrayLike) -> Floats:
    """Loss of every row, in the order given; lower is better.

    Of probabilities, ``log_loss`` is -ln of the one given to what happened, in nats, clipped by
    ``CLIP`` (Good, 1952), and ``brier`` is (probability - label) squared (Brier, 1950). Of numbers,
    ``absolute_error`` is |predicted - label| in the label's unit, which the median minimises
    (Laplace, 1774), and ``squared_error`` its square, which the mean minimises (Gauss, 1809).
    Raises DeclarationError for an unknown loss, HeadframeError for labels other than 0 and 1 or
    probabilities outside [0, 1], and for numbers that are not finite.

    >>> row_losses("brier", [1, 0], [0.75, 0.5]).tolist()
    [0.0625, 0.25]
    >>> row_losses("absolute_error", [12.0, -3.0], [10.0, 0.5]).tolist()
    [2.0, 3.5]
    """
    import numpy as np

    if found := loss_problem(metric, (*BINARY.losses, *REGRESSION.losses)):
        raise _undeclared("metric", "the name of a row loss", found)
    if metric in REGRESSION.losses:
        error = np.abs(np.subtract(*_numbers(label, predicted)))
        return np.asarray(error**2 if metric == "squared_error" else error)
    happened, predicted = _checked(label, predicted)
    # Written so that NaN is outside too.
    outside = ~((predicted >= 0.0) & (predicted <= 1.0))
    _refuse_rows("probability", "a number in [0, 1]", outside)
    if metric == "brier":
        return (predicted - happened) ** 2
    clipped = np.clip(predicted, CLIP, 1.0 - CLIP)
    return -np.log(np.where(happened, clipped, 1.0 - clipped))


def auc(label: ArrayLike, probability: ArrayLike) -> float:
    """Share of (positive, negative) pairs ranked rightly, ties counted half; in [0, 1].

    It equals the Mann-Whitney statistic (Hanley and McNeil, 1982). Any finite score will do.
    Raises NotEnoughData when only one class is present.

    >>> auc([0, 1, 0, 1], [0.1, 0.4, 0.4, 0.8])
    0.875
    """
    happened, score = _checked(label, probability)
    positive, negative = score[happened], score[~happened]
    if not (len(positive) and len(negative)):
        expected, fix = "rows of both classes", "Choose a longer held-out window."
        found = f"{len(positive)} positive of {len(happened)} rows"
        raise NotEnoughData(Problem(where="auc", expected=expected, found=found, fix=fix))
    return float(_wins(positive, negative).sum()) / (len(positive) * len(negative))


def mean_interval(
    values: ArrayLike, blocks: ArrayLike, *, confidence: float = 0.95, rows: ArrayLike | None = None
) -> Interval | TooFewBlocks:
    """Row-weighted mean of ``values`` with an interval over blocks that may depend on each other.

    The mean is a ratio (sum over blocks / rows over blocks), since blocks differ in size. Its bounds
    are those that gates judge by (``block_estimate.jackknifed``): the delete-one-block jackknife's
    error, widened by the measured autocorrelation of neighbouring blocks. So ``blocks`` must sort in
    time order, as ISO dates do. ``rows`` says how many rows each value stands for (1 when left out).
    Nothing is drawn at random, and the order of rows does not matter.

    In simulation (20 to 60 equal blocks, normal or exponential) a 95 % interval missed 3.2 to 4.0 %
    of independent blocks, 4.2 to 5.8 % at an autocorrelation of 0.2, 4.0 to 7.1 % at 0.5 and 5.2 to
    8.5 % at 0.7; taking them for independent missed 5 to 9, 10 to 14, 26 to 28 and 41 to 45 %.

    >>> interval = mean_interval([0.0, 1.0] * 10, list(range(20)))
    >>> f"{interval.low:.3f} {interval.estimate:.3f} {interval.high:.3f}"
    '0.260 0.500 0.740'
    """
    import numpy as np

    from pipelines.domain.block_estimate import jackknifed  # which asks this module for blocks

    _check_confidence(confidence)
    value = np.asarray(values, dtype=np.float64)
    weight = np.ones(len(value)) if rows is None else np.asarray(rows, dtype=np.float64)
    _refuse_rows("values", "a finite number", ~np.isfinite(value))
    names, starts, order = _grouped(blocks, len(value))
    if not names:
        return TooFewBlocks(estimate=None, blocks=0)
    weights = _sums(weight, starts, order)
    sums = _sums(value * weight, starts, order)
    row_count = math.fsum(weights)
    estimate = math.fsum(sums) / row_count
    if len(names) < MINIMUM_BLOCKS:
        return TooFewBlocks(estimate=estimate, blocks=len(names))
    # What the mean moves by when a block is left out.
    shifts = (sums - estimate * weights) / (row_count - weights)
    found = jackknifed(estimate, estimate - shifts, weights)
    return Interval(
        estimate=estimate,
        low=found.at_least(_one_sided(confidence)),
        high=found.at_most(_one_sided(confidence)),
        confidence=confidence,
        blocks=len(names),
    )


def auc_interval(
    label: ArrayLike, probability: ArrayLike, blocks: ArrayLike, *, confidence: float = 0.95
) -> Interval | TooFewBlocks:
    """AUC over all rows with an interval over blocks on the logit scale; see ``mean_interval``.

    Leaving a block out subtracts its concordant pairs, which come from ranks at O(n log n), exact
    and with ties counted half (DeLong, 1988; by cluster Obuchowski, 1997). ``blocks`` sort in time
    order; in the result they are those of the rarer class: days without a positive say nothing
    about positives.
    In simulation (20 to 60 blocks, sizes equal to lognormal with sigma 1) a 95 % interval missed 2.5
    to 5.8 % of independent blocks and 4.6 to 7.3 % at an autocorrelation of 0.5; a percentile block
    bootstrap missed 6.2 to 10.2 % of independent ones.
    """
    import numpy as np

    from pipelines.domain.block_estimate import jackknifed  # which asks this module for blocks

    _check_confidence(confidence)
    happened, score = _checked(label, probability)
    _, starts, order = _grouped(blocks, len(score))
    if happened.all() or not happened.any():
        return TooFewBlocks(estimate=None, blocks=0)
    wins = np.zeros(len(score))
    wins[happened] = _wins(score[happened], score[~happened])
    wins[~happened] = _wins(-score[~happened], -score[happened])
    positives = _sums(happened.astype(np.float64), starts, order)
    negatives = np.diff(np.append(starts, len(score))) - positives
    inside = [
        float(_wins(score[rows][happened[rows]], score[rows][~happened[rows]]).sum())
        for rows in np.split(order, starts[1:])
    ]
    concordant, pairs = float(wins[happened].sum()), positives.sum() * negatives.sum()
    estimate = float(concordant / pairs)
    speaking = min(np.count_nonzero(positives), np.count_nonzero(negatives))
    if speaking < MINIMUM_BLOCKS:
        return TooFewBlocks(estimate=estimate, blocks=int(speaking))
    kept = concordant - _sums(wins, starts, order) + np.asarray(inside)
    kept_pairs = (positives.sum() - positives) * (negatives.sum() - negatives)
    centre = float(_logit(np.asarray([concordant]), np.asarray([pairs]), pairs)[0])
    rarer = min(positives, negatives, key=_effective)
    found = jackknifed(centre, _logit(kept, kept_pairs, pairs), rarer)
    reached = [found.at_least(_one_sided(confidence)), found.at_most(_one_sided(confidence))]
    low, high = (1.0 / (1.0 + math.exp(-bound)) for bound in reached)
    return Interval(
        estimate=estimate,
        low=min(estimate, low),
        high=max(estimate, high),
        confidence=confidence,
        blocks=int(speaking),
    )


def block_means(values: ArrayLike, blocks: ArrayLike) -> tuple[list[str], list[int], list[float]]:
    """Name, rows and mean of every block, by block; the order of rows does not matter, to the bit."""
    import numpy as np

    value = np.asarray(values, dtype=np.float64)
    names, starts, order = _grouped(blocks, len(value))
    sizes = np.diff(np.append(starts, len(value)))
    means = _sums(value, starts, order) / sizes
    return names, sizes.tolist(), means.tolist()


def _checked(label: ArrayLike, score: ArrayLike) -> tuple[NDArray[np.bool_], Floats]:
    import numpy as np

    happened, predicted = np.asarray(label), np.asarray(score, dtype=np.float64)
    if happened.ndim != 1 or happened.shape != predicted.shape:
        found = f"shapes {happened.shape} and {predicted.shape}"
        raise _refused("label and probability", "two columns of one length", found)
    _refuse_rows("label", "0 or 1", (happened != 0) & (happened != 1))
    _refuse_rows("probability", "a finite number", ~np.isfinite(predicted))
    return happened.astype(bool), predicted


def _numbers(label: ArrayLike, predicted: ArrayLike) -> tuple[Floats, Floats]:
    import numpy as np

    known, said = np.asarray(label, np.float64), np.asarray(predicted, np.float64)
    if known.ndim != 1 or known.shape != said.shape:
        found = f"shapes {known.shape} and {said.shape}"
        raise _refused("label and prediction", "two columns of one length", found)
    _refuse_rows("label", "a finite number", ~np.isfinite(known))
    _refuse_rows("prediction", "a finite number", ~np.isfinite(said))
    return known, said


def _wins(score: Floats, others: Floats) -> Floats:
    """Count for every score the others below it, ties counted half."""
    import numpy as np

    ranked = np.sort(others)
    below, not_above = (np.searchsorted(ranked, score, side) for side in ("left", "right"))
    return (below + not_above) / np.float64(2)


def _check_confidence(confidence: float) -> None:
    if not 0.0 < confidence < 1.0:
        raise _undeclared("confidence", "a share strictly between 0 and 1", repr(confidence))


def _grouped(
    blocks: ArrayLike, length: int
) -> tuple[list[str], NDArray[np.intp], NDArray[np.intp]]:
    """Names of the blocks, where each starts in the sorted rows, and the order that sorts them."""
    import numpy as np

    block = np.asarray(blocks)
    if block.shape != (length,):
        raise _refused("blocks", f"one block for each of {length} rows", f"shape {block.shape}")
    names, code = np.unique(block, return_inverse=True)
    order = np.argsort(code, kind="stable")
    starts = np.searchsorted(code[order], np.arange(len(names)))
    return [str(name) for name in names], starts, order


def _sums(values: Floats, starts: NDArray[np.intp], order: NDArray[np.intp]) -> Floats:
    import numpy as np

    # math.fsum rounds once, so the order of rows cannot change a digest.
    parts = np.split(values[order], starts[1:])
    return np.asarray([math.fsum(part.tolist()) for part in parts])


def _effective(weights: Floats) -> float:
    """Kish's effective number of blocks: how many equal ones would be worth as much."""
    return float(weights.sum() ** 2 / (weights**2).sum())


def _one_sided(confidence: float) -> float:
    """Return the confidence of each bound of a two-sided interval."""
    return (1.0 + confidence) / 2.0


def _logit(concordant: Floats, pairs: Floats, whole: float) -> Floats:
    import numpy as np

    # Half a pair of the whole on either side keeps a perfect ranking finite (Haldane, 1956); of a
    # part of the pairs as much less, or leaving out any block would seem to change the ranking.
    half = 0.5 * pairs / whole
    return np.log((concordant + half) / (pairs - concordant + half))


def _refuse_rows(where: str, expected: str, broken: NDArray[np.bool_]) -> None:
    if broken.any():
        shown = ", ".join(str(row) for row in broken.nonzero()[0][:MOST_EXAMPLES])
        found = f"something else in {broken.sum()} rows, the first {shown}"
        raise _refused(where, f"{expected} in every row", found)


def _refused(where: str, expected: str, found: str) -> HeadframeError:
    fix = "Mend what feeds the metric; rows without a final label are left out before."
    return HeadframeError(Problem(where=where, expected=expected, found=found, fix=fix))


def _undeclared(where: str, expected: str, found: str) -> DeclarationError:
    fix = "Correct the argument where the use case declares it."
    return DeclarationError(Problem(where=where, expected=expected, found=found, fix=fix))
