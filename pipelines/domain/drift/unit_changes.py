"""Unit changes: whether a block looks like the usual ones in another unit of measure."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

from pipelines.domain.drift.block_profile import NUMBER, SQUARES, SUM
from pipelines.domain.drift.column_edges import NumericEdges

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


def other_unit(
    edges: NumericEdges, moments: "Floats", counts: "Floats", beyond: float
) -> "tuple[Floats, str]":
    """Return each block's distance from the usual if another unit explains it, else 0.

    It does not where a greater share than ``beyond`` lies where that unit has no values.

    The unit is that of the newest block; "" when none explains it.
    """
    import numpy as np

    away, unit = np.zeros(len(moments)), ""
    number = moments[:, NUMBER]
    if len(number) < 1 or edges.minimum == edges.maximum:
        return away, unit
    with np.errstate(divide="ignore", invalid="ignore"):
        score = moments[:, SUM] / number
        variance = moments[:, SQUARES] / number - score**2
        spread = 0.5 * np.log(np.maximum(variance, 1e-12))
    known = np.isfinite(score) & (number > 1)
    if len(moments) > FEW_BLOCKS and known.any():
        usual_score, usual_spread = (float(np.median(of[known])) for of in (score, spread))
        of_score, of_spread = (
            max(OF_MAD * float(np.median(np.abs(values[known] - usual))), LEAST_SPREAD)
            for values, usual in ((score, usual_score), (spread, usual_spread))
        )
    else:
        usual_score = usual_spread = 0.0
        of_score = of_spread = FEW_BLOCKS_SPREAD
    far = np.hypot((score - usual_score) / of_score, (spread - usual_spread) / of_spread)
    nearest = np.full(len(moments), NEAR)
    for name, (factor, offset) in UNITS.items():
        # The usual mean in the other unit, on the scale of scores.
        mean = factor * (edges.centre + edges.scale * usual_score) + offset
        there = (mean - edges.centre) / edges.scale
        near = np.hypot(
            (score - there) / (factor * of_score),
            (spread - usual_spread - np.log(factor)) / of_spread,
        )
        explained = known & (near <= nearest)
        explained &= _surely_beyond(edges, counts, factor, offset) <= beyond
        nearest = np.where(explained, near, nearest)
        away = np.where(explained, far, away)
        unit = name if explained[-1] else unit
    return away, unit


def _surely_beyond(edges: NumericEdges, counts: "Floats", factor: float, offset: float) -> "Floats":
    """Return each block's share in bins outside of what a unit makes of the reference's range."""
    import numpy as np

    cuts = np.asarray(edges.cuts)
    least, most = (factor * end + offset for end in (edges.minimum, edges.maximum))
    outside = (np.r_[-np.inf, cuts] > most) | (np.r_[cuts, np.inf] <= least)
    present = counts[:, :-1]
    beyond: Floats = present[:, outside].sum(axis=1) / np.maximum(present.sum(axis=1), 1)
    return beyond
