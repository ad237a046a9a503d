"""Block scores: how far a window is from the other blocks, on a scale that all families share."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]

ROUNDING = 1e-9
"""Sums that differ by less are equal: rounding must not break a tie in favour of an alarm."""

LARGEST_SCORE = 3.0
"""Scores beyond it are cut in windows of several blocks, so that one odd block is no window."""

RIDGE = 0.1
"""Added to the variances of a family's components before they are made alike (decision; tuned on
the flights of EWR)."""

CLEARLY_DEPENDENT = 1.5
"""Standard errors from which on the dependence of neighbouring blocks is corrected for. Simulated
for losses with a lag-one correlation of 0.3 after noise, windows of seven: with 61 reference blocks
the level is then exceeded twofold (2.4 at 2.5 errors, 1.6 at 1, kept without a threshold), with 160
it is kept (twofold at 2.5); independent losses are found 6 % less often with 160 than at 2.5."""

MOST_TAKEN_AWAY = 0.5
"""Bound of that correction, for short references."""

LEAST_VARIANCE = 1e-18
"""Below it a statistic is constant, and rounding is all that is left of its variance."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Components:
    """Components of families: ``scores`` (blocks, components), uncorrelated over blocks in a family.

    ``starts`` (families,) is the place of each family's first one. ``trace`` (families,) is the sum of
    their variances, and ``freedom`` (families,) the degrees of freedom of a chi-square with the first
    two moments of their summed squares; both are 0 for a family that is constant.
    """

    scores: "Floats"
    starts: "NDArray[np.intp]"
    trace: "Floats"
    freedom: "Floats"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dependence:
    """By how much the variance of each family's mean exceeds that of independent blocks.

    ``inflation`` (families,) is 1 and ``freedom`` (families,), the degrees of freedom that it was
    estimated with, infinite where there is nothing to correct. ``effective`` is the number of
    independent blocks that the reference is worth, over all families.
    """

    inflation: "Floats"
    freedom: "Floats"
    effective: float


def normal_scores(values: "Floats") -> "Floats":
    """Return the normal scores of every column's ranks over the blocks, ties sharing theirs.

    Columns have mean 0 and variance 1; a constant one is all 0. An unknown value counts as the
    mean of the column's others.
    """
    import numpy as np
    from scipy.special import ndtri

    known = np.where(np.isfinite(values), values, np.nan)
    unknown = np.isnan(known)
    if unknown.any():
        number = np.maximum((~unknown).sum(axis=0), 1)
        known = np.where(unknown, np.nansum(known, axis=0) / number, known)
    # Ranks are halves, so there are fewer of them than of values.
    of_rank = ndtri((np.arange(2, 2 * len(known) + 1) / 2.0 - 0.5) / len(known))
    scores = of_rank[(2.0 * _ranks(known)).astype(np.intp) - 2]
    scores -= scores.mean(axis=0)
    spread = scores.std(axis=0)
    varies = spread**2 > LEAST_VARIANCE
    alike: Floats = np.divide(scores, spread, out=np.zeros_like(scores), where=varies)
    return alike


def components_of(
    scores: "Floats", *, window: int, widths: Sequence[int] | None = None
) -> Components:
    """Return the components of families' normal scores, made alike up to the RIDGE.

    ``widths`` are the numbers of columns of each family, in order; without them all are one family's.
    """
    import numpy as np

    wide = np.asarray([scores.shape[1]] if widths is None else widths)
    starts = np.concatenate([[0], np.cumsum(wide)[:-1]])
    cut = np.clip(scores, -LARGEST_SCORE, LARGEST_SCORE) if window > 1 else scores
    own, trace, squares = cut.copy(), np.zeros(len(wide)), np.zeros(len(wide))
    for width in np.unique(wide).tolist():
        alike = np.flatnonzero(wide == width)  # families of as many columns, at once
        places = starts[alike, None] + np.arange(width)
        family = np.ascontiguousarray(cut[:, places].swapaxes(0, 1))
        variances, directions = np.linalg.eigh(family.swapaxes(1, 2) @ family / len(cut))
        variances = np.maximum(variances, 0.0)
        if width > 1:
            family = (family @ directions) / np.sqrt(variances + RIDGE)[:, None]
            own[:, places] = family.swapaxes(0, 1)
            variances /= variances + RIDGE
        trace[alike], squares[alike] = variances.sum(axis=1), (variances**2).sum(axis=1)
    varies = trace > LEAST_VARIANCE
    return Components(
        scores=own,
        starts=starts,
        trace=np.where(varies, trace, 0.0),
        freedom=np.divide(trace**2, squares, out=np.zeros_like(trace), where=varies),
    )


def log_tails(sums: "Floats", freedom: "Floats") -> "Floats":
    """Return the logarithm of the tail probability of scaled chi-squares with mean 1.

    The cube root of a chi-square is nearly normal (Wilson and Hilferty, 1931). A family with no
    degree of freedom has the tail 1.

    >>> import numpy as np
    >>> tails = log_tails(np.array([[3.841, 1.0]]), np.array([1.0, 0.0]))
    >>> np.exp(tails).round(2).tolist()
    [[0.05, 1.0]]
    """
    import numpy as np
    from scipy.special import log_ndtr

    spread = 2.0 / (9.0 * np.where(freedom > 0, freedom, 1.0))
    tails = log_ndtr((1.0 - spread - np.cbrt(sums)) / np.sqrt(spread))
    return np.where(freedom > 0, tails, 0.0)


def dependence_of(
    parts: Components,
    *,
    reference: int,
    window: int,
    varied: "NDArray[np.bool] | None" = None,
) -> Dependence:
    """Return what dependence between blocks does to the variance of each family's mean.

    With r(k) the correlation of the first ``reference`` blocks at lag k, the mean of L blocks has
    1 + 2 * sum of (1 - k / L) r(k), k < L, times the variance of independent ones (Bartlett, 1946).
    A family is corrected where this is CLEARLY_DEPENDENT standard errors above 1 when pooled over
    its components, or over those of all families: what is weak in each is clear in all. It then is
    that of its most dependent component, since the window may move where the reference hardly did,
    raised by what estimating the mean from the same blocks takes away. Such an estimate is worth
    3 n / 2 L degrees of freedom a component (Priestley, 1981, table 6.1), and no more than half of
    the blocks that dependence leaves. Families that have not ``varied`` in the reference are left
    as they are.
    """
    import numpy as np

    number, freedom = len(parts.starts), parts.freedom
    none = Dependence(
        inflation=np.ones(number), freedom=np.full(number, np.inf), effective=float(reference)
    )
    if window == 1 or reference <= 2 * window or not number:
        return none
    weights = 2.0 * (1.0 - np.arange(1, window) / window)
    pooled, worst = _extra(parts, weights, reference)
    of_one = (weights**2).sum() / reference
    clear = pooled > CLEARLY_DEPENDENT * np.sqrt(of_one / np.maximum(freedom, LEAST_VARIANCE))
    every = freedom.sum()
    of_all = (pooled @ freedom) / every if every else 0.0
    if every and of_all > CLEARLY_DEPENDENT * np.sqrt(of_one / every):
        clear = freedom > 0
    if varied is not None:
        clear &= varied
    taken_away = min(MOST_TAKEN_AWAY, 2.0 * (window - 1) / reference)
    inflation = (1.0 + np.maximum(worst, 0.0)) / (1.0 - taken_away)
    worth = np.minimum(1.5 * reference / window, 0.5 * reference / inflation)
    return Dependence(
        inflation=np.where(clear, inflation, 1.0),
        freedom=np.where(clear, worth * np.maximum(freedom, 1.0), np.inf),
        effective=reference / (1.0 + max(of_all, 0.0)) if clear.any() else float(reference),
    )


def allowed_for(
    sums: "Floats", freedom: "Floats", dependence: Dependence, *, blocks: int
) -> "Floats":
    """Return scaled chi-squares with mean 1 as they would be if blocks did not depend on each other.

    They are divided by the inflation on the scale of a window that did not help to estimate the
    variance, T / (1 - T / N) of Hotelling's T (1931) over all N ``blocks``. Divided by an estimate
    they have an F distribution, and are turned into the chi-square of the same tail, up to terms in
    the inverse square of its degrees of freedom (Bartlett, 1938; of one component Wallace, 1959).

    >>> import numpy as np
    >>> of = Dependence(inflation=np.array([2.0]), freedom=np.array([10.0]), effective=99.0)
    >>> student = np.array([2 * 3.169 ** 2])  # of 10 degrees: 0.5 %, for a normal value 2.576
    >>> np.sqrt(allowed_for(student, np.ones(1), of, blocks=10**9)).round(2).tolist()
    [2.57]
    """
    import numpy as np

    finite = np.isfinite(dependence.freedom) & (freedom > 0)
    of_mean, of_variance = (np.where(finite, of, 1.0) for of in (freedom, dependence.freedom))
    share = np.minimum(of_mean * sums / blocks, 1.0 - 1.0 / blocks)
    alone = sums / (1.0 - share) / dependence.inflation
    as_known = (of_variance + of_mean / 2 - 1.0) * np.log1p(of_mean * alone / of_variance) / of_mean
    return np.where(finite, as_known / (1.0 + of_mean * as_known / blocks), sums)


def _extra(of: Components, weights: "Floats", reference: int) -> "tuple[Floats, Floats]":
    """Return what lagged products add to each family's variance: pooled, and of the worst component."""
    import numpy as np

    # About the reference's own mean, or a shift of the window would look like dependence.
    own = of.scores[:reference] - of.scores[:reference].mean(axis=0)
    total = (own**2).sum(axis=0)
    varies = total > LEAST_VARIANCE * reference
    lags = range(1, len(weights) + 1)
    extra = weights @ np.stack([(own[lag:] * own[:-lag]).sum(axis=0) for lag in lags])
    of_one = np.divide(extra, total, out=np.full_like(total, -np.inf), where=varies)
    extra, total = np.where(varies, extra, 0.0), np.where(varies, total, 0.0)
    spread = np.add.reduceat(total, of.starts)
    known = (of.freedom > 0) & (spread > 0)
    pooled = np.divide(
        np.add.reduceat(extra, of.starts), spread, out=np.zeros_like(spread), where=known
    )
    return pooled, np.where(known, np.maximum.reduceat(of_one, of.starts), 0.0)


def _ranks(values: "Floats") -> "Floats":
    """Return the ranks of every column from 1, ties sharing their mean.

    scipy.stats has it too, and takes a second to import.
    """
    import numpy as np

    across = np.ascontiguousarray(values.T)
    order = np.argsort(across, axis=1)
    ordered = np.take_along_axis(across, order, axis=1)
    place = np.broadcast_to(np.arange(across.shape[1]), across.shape)
    edge = np.ones((len(across), 1), bool)
    differs = ordered[:, 1:] != ordered[:, :-1]
    first = np.maximum.accumulate(np.where(np.hstack([edge, differs]), place, 0), axis=1)
    ends = np.where(np.hstack([differs, edge]), place, across.shape[1])
    last = np.minimum.accumulate(ends[:, ::-1], axis=1)[:, ::-1]
    ranks = np.empty(across.shape)
    np.put_along_axis(ranks, order, (first + last) / 2.0 + 1.0, axis=1)
    return np.ascontiguousarray(ranks.T)
