"""Whole numbers: whether a column's values are, as its cuts and the sums of its blocks tell."""

from typing import TYPE_CHECKING, TypeAlias

from pipelines.domain.drift.block_profile import NUMBER, SUM
from pipelines.domain.drift.column_edges import NumericEdges

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]
    Flags: TypeAlias = NDArray[np.bool_]

WHOLE = 1e-3
"""How far from a whole number a sum may be that is taken for one."""

PRECISION = 1e-14
"""Relative error, with much to spare, of a sum that was kept as one of standard scores."""


def are_whole(edges: NumericEdges) -> bool:
    """Tell whether the reference's numbers are whole: all cuts are, and these are values of it."""
    return all(cut == round(cut) for cut in edges.cuts)


def remain_whole(edges: NumericEdges, moments: "Floats") -> "Flags":
    """Tell of each block of whole numbers whether they may still be: their sum is whole.

    ``moments`` is (blocks, 3). One in five hundred sums of others is by chance, and a sum too great
    to be known as precisely may be.
    """
    totals, sure = _totals(edges, moments)
    remain: Flags = ~sure | _whole(totals)
    return remain


def convert_back(edges: NumericEdges, moments: "Floats", factor: float, offset: float) -> "Flags":
    """Tell of each block of whole numbers whether they are none, and are again once converted back.

    ``factor`` and ``offset`` made the new values. Where the factor is whole too, so is every sum, and
    one in so many other sums tells so by chance. A sum too great to be known as precisely is no proof.
    """
    totals, sure = _totals(edges, moments)
    back: Flags = sure & _whole((totals - moments[:, NUMBER] * offset) / factor)
    return back if factor == round(factor) else back & ~_whole(totals)


def _totals(edges: NumericEdges, moments: "Floats") -> "tuple[Floats, Flags]":
    """Return each block's sum of values, and whether it is known to less than WHOLE."""
    number = moments[:, NUMBER]
    totals = number * edges.centre + edges.scale * moments[:, SUM]
    return totals, PRECISION * number * (abs(edges.centre) + edges.scale) < WHOLE


def _whole(values: "Floats") -> "Flags":
    import numpy as np

    whole: Flags = np.abs(values - np.rint(values)) <= WHOLE
    return whole
