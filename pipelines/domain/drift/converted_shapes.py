"""Converted shapes: what another unit makes of how a column's values are spread over its bins."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from pipelines.domain.drift.column_edges import RANK_STEPS, NumericEdges
from pipelines.domain.drift.whole_numbers import are_whole, remain_whole

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]
    Flags: TypeAlias = NDArray[np.bool_]

STEADY = 0.1
"""Distance of shapes, in shares of rows, within which blocks look alike (decision). Distances of
blocks of real flights and of amounts: of what differs by row 0.01 to 0.05 at the median, of what is one
value for a day, such as a temperature, 0.3 to 0.9."""

UNLIKE = 1.5
"""Times the usual distance that a block may have from the shape that it would have in another unit."""

BY_CHANCE = 1.5
"""Times one over the root of a block's rows: what distance rows have by chance; exceeded by two of a
hundred (Kolmogorov, 1933)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shapes:
    """Blocks' shares of rows below each cut, and the usual ones.

    ``below`` (blocks, cuts) and ``usual`` (cuts,) are shares in [0, 1], ``typical`` is the median of
    the blocks' greatest differences from the usual ones (0 of few blocks), ``by_chance`` (blocks,) what
    rows alone make of it. ``whole`` (blocks,) tells where whole numbers may still be; None where
    there were none.
    """

    cuts: "Floats"
    below: "Floats"
    usual: "Floats"
    typical: float
    by_chance: "Floats"
    whole: "Flags | None"

    @property
    def steady(self) -> "Flags":
        """Tell for each block whether usual ones look alike, as far as so many rows can."""
        import numpy as np

        steady: Flags = self.typical <= np.maximum(STEADY, self.by_chance)
        return steady

    def fit(self, factor: float, offset: float) -> "Flags":
        """Tell for each block whether it looks as usual ones do in another unit.

        All its quantiles must have moved alike: its share below a cut is the usual share below the
        value that the unit makes that cut of, which lies between two cuts. Whole numbers that still
        are were rounded, or cut off.
        """
        import numpy as np

        away = self._away(factor, offset, rounded_to=0.0)
        if self.whole is not None and self.whole.any():
            away = np.where(self.whole, self._away(factor, offset, rounded_to=1.0), away)
        allowed = np.maximum(max(STEADY, UNLIKE * self.typical), self.by_chance)
        fits: Flags = away <= allowed
        return fits

    def _away(self, factor: float, offset: float, *, rounded_to: float) -> "Floats":
        import numpy as np

        slack = 1e-9 * np.maximum(np.abs(self.cuts), 1.0)
        lowest = (self.cuts - rounded_to / 2 - slack - offset) / factor
        highest = (self.cuts + slack - offset) / factor
        if self.whole is not None:  # of whole numbers as many are below a value as below the next
            lowest, highest = np.ceil(lowest), np.ceil(highest)
        least = np.r_[0.0, self.usual][np.searchsorted(self.cuts, lowest, side="right")]
        most = np.r_[self.usual, 1.0][np.searchsorted(self.cuts, highest, side="left")]
        away: Floats = np.maximum(least - self.below, self.below - most).max(axis=1)
        return away


def shapes_of(edges: NumericEdges, moments: "Floats", counts: "Floats", *, few: bool) -> Shapes:
    """Return the shapes of blocks: ``moments`` (blocks, 3), ``counts`` (blocks, edges.width).

    The usual one is the median of the blocks; where they are few it is that of the edges' rows.
    """
    import numpy as np

    present = counts[:, :-1]
    number = np.maximum(present.sum(axis=1), 1)
    below = np.cumsum(present[:, :-1], axis=1) / number[:, None]
    there = below[present.any(axis=1)]
    usual = _below_of(edges) if few else np.median(there, axis=0)
    return Shapes(
        cuts=np.asarray(edges.cuts),
        below=below,
        usual=usual,
        typical=0.0 if few else float(np.median(np.abs(there - usual).max(axis=1))),
        by_chance=BY_CHANCE / np.sqrt(number),
        whole=remain_whole(edges, moments) if are_whole(edges) else None,
    )


def _below_of(edges: NumericEdges) -> "Floats":
    """Return the shares of the edges' rows below each cut: middle ranks tell them to half a percent."""
    import numpy as np

    below, found = 0.0, []
    for rank in edges.ranks[:-1]:
        below = 2 * (rank / RANK_STEPS + 0.5) - below
        found.append(below)
    shares: Floats = np.clip(np.asarray(found), 0.0, 1.0)
    return shares
