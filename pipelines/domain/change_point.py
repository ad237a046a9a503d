"""Change point: since which of the last blocks a statistic is not what it was."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

LEAST_SPREAD = 1e-9


def changed_since(reference: "ArrayLike", current: "ArrayLike") -> int:
    """Return the number of the block in ``current`` (oldest first) from which it changed.

    Rows are blocks, columns the statistics of one family; NaN counts as usual. Blocks are measured
    along the direction in which the last of them moved, in standard deviations of the reference;
    the answer is the beginning whose sum to the end is the most unlikely, sum / sqrt(number) at its
    greatest (the likelihood ratio for a shift of the mean; Page, 1955).

    >>> changed_since([[0.0], [0.2], [-0.2]], [[0.1], [0.0], [2.0], [2.1]])
    2
    """
    import numpy as np

    before = np.atleast_2d(np.asarray(reference, np.float64))
    after = np.atleast_2d(np.asarray(current, np.float64))
    with np.errstate(invalid="ignore"):
        usual = np.nan_to_num(_mean(before))
        spread = np.maximum(np.nan_to_num(_mean((before - usual) ** 2)) ** 0.5, LEAST_SPREAD)
    moved = np.nan_to_num((after - usual) / spread)
    tails = np.cumsum(moved[::-1], axis=0)[::-1]
    numbers = np.arange(len(after), 0, -1)[:, None]
    # Of several statistics the shift is the length of its vector, freed of what noise adds.
    evidence = (tails**2 / numbers).sum(axis=1)
    return int(np.argmax(evidence))


def _mean(values: "ArrayLike") -> "ArrayLike":
    import numpy as np

    known = np.isfinite(np.asarray(values))
    total = np.where(known, values, 0.0).sum(axis=0)
    found: ArrayLike = np.divide(total, np.maximum(known.sum(axis=0), 1))
    return found
