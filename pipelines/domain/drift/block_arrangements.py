"""Block arrangements: which blocks could have been the window, if nothing sets it apart."""

from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]

ROUNDING = 1e-12
"""Differences of statistics (shares, correlations, scores: all about 1) below it are none."""


@lru_cache(maxsize=8)
def arrangements(
    reference: int, window: int, seasons: tuple[int, ...] | None, *, draws: int, seed: int
) -> "Floats":
    """Return (arrangements, blocks) weights: mean over the window's blocks less that of the others.

    Blocks are the ``reference`` ones and then the ``window``. The first arrangement is the observed
    one. A window of one block has every block as an arrangement; a longer one has ``draws`` drawn
    at random with ``seed``, each with as many blocks of every season as the observed window.
    The array is shared and must not be written to.

    >>> arrangements(2, 1, None, draws=0, seed=0).tolist()
    [[-0.5, -0.5, 1.0], [-0.5, 1.0, -0.5], [1.0, -0.5, -0.5]]
    """
    import numpy as np

    blocks = reference + window
    if window == 1:
        chosen = np.arange(blocks)[::-1, None]
    else:
        keys = np.random.default_rng(seed).random((draws, blocks))
        kinds = np.zeros(blocks, np.intp) if seasons is None else np.asarray(seasons)
        parts = []
        for kind in np.unique(kinds):
            of_kind = np.flatnonzero(kinds == kind)
            taken = int(np.count_nonzero(of_kind >= reference))
            # The blocks of the smallest keys: a draw without replacement.
            order = np.argsort(keys[:, of_kind], axis=1)[:, :taken]
            parts.append(of_kind[order])
        chosen = np.vstack([np.arange(reference, blocks)[None], np.hstack(parts)])
    weights = np.full((len(chosen), blocks), -1.0 / reference)
    np.put_along_axis(weights, chosen, 1.0 / window, axis=1)
    weights.setflags(write=False)
    return weights


def season_residuals(values: "Floats", seasons: tuple[int, ...] | None) -> "Floats":
    """Return (blocks, statistics) less the mean of the block's season; without seasons, as it is.

    A season's mean is over both sides, so exchanging blocks within it changes nothing.
    """
    import numpy as np

    if seasons is None:
        return values
    residuals = values.copy()
    for kind in set(seasons):
        of_kind = np.asarray(seasons) == kind
        residuals[of_kind] -= values[of_kind].mean(axis=0)
    # What rounding left of equal values must not rank them.
    residuals[np.abs(residuals) < ROUNDING] = 0.0
    return residuals
