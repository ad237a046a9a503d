"""Unit changes: whether a block looks like the usual ones in another unit of measure."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

from pipelines.domain.drift.block_profile import NUMBER, SQUARES, SUM
from pipelines.domain.drift.column_edges import NumericEdges
from pipelines.domain.drift.converted_shapes import shapes_of
from pipelines.domain.drift.whole_numbers import are_whole, convert_back

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]

UNITS: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "miles to kilometres": (1.609344, 0.0),
        "kilometres to miles": (1 / 1.609344, 0.0),
        "inches to centimetres": (2.54, 0.0),
        "centimetres to inches": (1 / 2.54, 0.0),
        "pounds to kilograms": (0.45359237, 0.0),
        "kilograms to pounds": (1 / 0.45359237, 0.0),
        "Fahrenheit to Celsius": (5 / 9, -160 / 9),
        "Celsius to Fahrenheit": (9 / 5, 32.0),
        "times 10": (10.0, 0.0),
        "times 100": (100.0, 0.0),
        "times 1000": (1000.0, 0.0),
        "divided by 10": (0.1, 0.0),
        "divided by 100": (0.01, 0.0),
        "divided by 1000": (0.001, 0.0),
    }
)
"""Change of unit as (a, b): new value = a times the old one + b."""

FAR = 6.0
"""Distance from the usual mean and spread, in those of blocks, from which a unit is in question."""

NEAR = 3.0
"""Distance within which a block is what another unit would have made of the usual ones."""

LEAST_SPREAD = 0.05
"""Least variation of block means and log spreads allowed for, in reference standard deviations."""

FEW_BLOCKS_SPREAD = 0.2
"""The same while fewer than FEW_BLOCKS blocks say how blocks vary."""

FEW_BLOCKS = 8
OF_MAD = 1.4826
"""What makes a standard deviation of normal values out of a median absolute deviation."""

BEYOND = 2.0
"""Times farther from the usual than blocks get by themselves: a unit changes at a stroke. On quiet
days of flights and amounts that looked converted 1.2 to 1.4 times as far as others had been, or 1.1 to 1.9
times as far as the week before; of what was converted 2 to 40, lengths 7 (decision)."""

BY_THEMSELVES = 0.05
"""Share of the blocks, one at least, that may be as far without showing that blocks get there by
themselves: some hold rows of both units, and some broke otherwise (decision)."""

WITH_ROWS = 0.5
"""Share of a factor, in logarithms, that the number of rows may move by as well: where there is less
of everything a count is in no other unit (decision)."""

OF_TEN = (10.0, 100.0, 1000.0, 0.1, 0.01, 0.001)
"""Factors of shares, which have no other units."""


def other_unit(
    edges: NumericEdges,
    moments: "Floats",
    counts: "Floats",
    beyond: float,
    *,
    before: "Floats",
) -> "tuple[Floats, str]":
    """Return each block's distance from the usual if another unit explains it, else 0.

    ``moments`` (blocks, 3) and ``counts`` (blocks, edges.width) are those of the blocks, the newest
    last, ``before`` (any, 3) the moments of those just before the newest, whether or not they are
    among the blocks. A unit explains a block if

    - mean and spread are near (NEAR) to what the unit makes of the usual ones;
    - they are far (FAR) from the usual, BEYOND times as far as blocks get by themselves, and the
      newest as many times as far as those before it: what changed by steps is no unit;
    - no greater share than ``beyond`` lies where the unit has no values;
    - all quantiles moved alike;
    - the number of rows did not move as well;
    - whole numbers of blocks that have no shape in common, a day's count, are none any more and are
      again once converted back: other counts rise and fall to anything by themselves;
    - numbers in [-1, 1], shares and their differences, are told in hundredths or the like.

    The unit is that of the newest block; "" when none explains it.
    """
    import numpy as np

    away, unit = np.zeros(len(moments)), ""
    if len(moments) < 1 or edges.minimum == edges.maximum:
        return away, unit
    usual = _usual_of(moments)
    far = usual.far(moments)
    changed = np.isfinite(far) & (far >= np.fmax(FAR, BEYOND * _by_themselves(far)))
    recent = usual.far(before)
    if np.isfinite(recent).any():
        changed[-1] &= far[-1] >= BEYOND * np.nanmedian(recent)
    if not changed.any():
        return away, unit
    shapes = shapes_of(edges, moments, counts, few=len(moments) <= FEW_BLOCKS)
    whole = are_whole(edges)
    shares = not whole and all(abs(cut) <= 1 for cut in edges.cuts)
    nearest = np.full(len(moments), NEAR)
    for name, (factor, offset) in UNITS.items():
        if shares and factor not in OF_TEN:
            continue
        near = usual.near(moments, edges, factor, offset)
        explained = changed & (near <= nearest)
        if not explained.any():
            continue
        explained &= _surely_beyond(edges, counts, factor, offset) <= beyond
        explained &= shapes.fit(factor, offset)
        explained &= _with_rows(counts, factor) < WITH_ROWS
        if whole:
            explained &= shapes.steady | convert_back(edges, moments, factor, offset)
        nearest = np.where(explained, near, nearest)
        away = np.where(explained, far, away)
        unit = name if explained[-1] else unit
    return away, unit


@dataclass(frozen=True, slots=True, kw_only=True)
class _Usual:
    """Mean and log spread of usual blocks, on the scale of scores, and how these vary."""

    score: float
    spread: float
    of_score: float
    of_spread: float

    def far(self, moments: "Floats") -> "Floats":
        """Return each block's distance, in variations; not finite where it has no spread."""
        import numpy as np

        score, spread = _placed(moments)
        far: Floats = np.hypot(
            (score - self.score) / self.of_score, (spread - self.spread) / self.of_spread
        )
        return far

    def near(
        self, moments: "Floats", edges: NumericEdges, factor: float, offset: float
    ) -> "Floats":
        """Return each block's distance from what a unit makes of the usual ones, in its variations."""
        import numpy as np

        score, spread = _placed(moments)
        mean = factor * (edges.centre + edges.scale * self.score) + offset
        there = (mean - edges.centre) / edges.scale
        near: Floats = np.hypot(
            (score - there) / (factor * self.of_score),
            (spread - self.spread - np.log(factor)) / self.of_spread,
        )
        return near


def _usual_of(moments: "Floats") -> _Usual:
    import numpy as np

    score, spread = _placed(moments)
    known = np.isfinite(score)
    if len(moments) <= FEW_BLOCKS or not known.any():
        return _Usual(
            score=0.0, spread=0.0, of_score=FEW_BLOCKS_SPREAD, of_spread=FEW_BLOCKS_SPREAD
        )
    usual_score, usual_spread = (float(np.median(of[known])) for of in (score, spread))
    of_score, of_spread = (
        max(OF_MAD * float(np.median(np.abs(values[known] - usual))), LEAST_SPREAD)
        for values, usual in ((score, usual_score), (spread, usual_spread))
    )
    return _Usual(score=usual_score, spread=usual_spread, of_score=of_score, of_spread=of_spread)


def _placed(moments: "Floats") -> "tuple[Floats, Floats]":
    """Return each block's mean and log spread, on the scale of scores; NaN below two values."""
    import numpy as np

    number = np.where(moments[:, NUMBER] > 1, moments[:, NUMBER], np.nan)
    score: Floats = moments[:, SUM] / number
    variance = moments[:, SQUARES] / number - score**2
    spread: Floats = 0.5 * np.log(np.maximum(variance, 1e-12))
    return score, spread


def _by_themselves(far: "Floats") -> float:
    """Return how far the blocks get but for one and the BY_THEMSELVES farthest others; 0 of two."""
    import numpy as np

    ordered = np.sort(far[np.isfinite(far)])[::-1]
    passed_over = 1 + max(1, int(BY_THEMSELVES * (len(ordered) - 1)))
    return float(ordered[passed_over]) if len(ordered) > passed_over else 0.0


def _with_rows(counts: "Floats", factor: float) -> "Floats":
    """Return how much of the way that a factor goes each block's number of rows went as well."""
    import numpy as np

    rows = np.maximum(counts.sum(axis=1), 1)
    went: Floats = np.log(rows / np.median(rows)) / np.log(factor)
    return went


def _surely_beyond(edges: NumericEdges, counts: "Floats", factor: float, offset: float) -> "Floats":
    """Return each block's share in bins outside of what a unit makes of the reference's range."""
    import numpy as np

    cuts = np.asarray(edges.cuts)
    least, most = (factor * end + offset for end in (edges.minimum, edges.maximum))
    outside = (np.r_[-np.inf, cuts] > most) | (np.r_[cuts, np.inf] <= least)
    present = counts[:, :-1]
    beyond: Floats = present[:, outside].sum(axis=1) / np.maximum(present.sum(axis=1), 1)
    return beyond
