"""Expected value: probability times what a row is worth, and what a list ordered by it captures."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from pipelines.errors import HeadframeError, Problem

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Floats: TypeAlias = NDArray[np.float64]

VALUE = "value"
"""Column of predictions and outputs: what the row is worth where its label is true."""

EXPECTED = "expected_value"
"""Column of predictions and outputs: the final prediction times the value."""

MISSING = "value {} is missing"
NEGATIVE = "value {} is negative"
INFINITE = "value {} is infinite"
"""Reasons for which a row is refused at scoring: no list could give it a place."""


@dataclass(frozen=True, slots=True)
class Value:
    """What a row is worth where its label is true: a numeric feature, and its unit.

    As a feature it is known at the scoring time. A row whose value is missing, negative or infinite
    is refused at scoring with the reason, and no list it is judged by holds it.
    """

    column: str
    unit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedList:
    """The list that a ranking is judged by: its length, and the columns that make a group."""

    count: int
    per: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ranked:
    """What lists are judged with: what each row is worth, and the group it may be listed in."""

    listed: RankedList
    value: "Floats"
    group: Sequence[object]


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockValue:
    """What the lists of one block captured, and what the best ones would have; in the value's unit."""

    rows: int
    captured: float
    best: float

    @property
    def missed(self) -> float:
        """Share of the best lists' value that was missed; 0 where nothing could be had.

        >>> BlockValue(rows=5, captured=30.0, best=40.0).missed
        0.25
        """
        return 1.0 - self.captured / self.best if self.best > 0.0 else 0.0


def unusable(value: "Floats") -> "dict[str, NDArray[np.bool_]]":
    """Return where a value cannot be used, by the reason that names it."""
    import numpy as np

    return {
        MISSING: np.isnan(value),
        INFINITE: np.isposinf(value) | np.isneginf(value),
        NEGATIVE: np.isfinite(value) & (value < 0.0),
    }


def captured(
    label: "ArrayLike", probability: "ArrayLike", blocks: Sequence[str], ranked: Ranked
) -> Mapping[str, BlockValue]:
    """Return by block what the rows that a list would hold turned out to be worth.

    A list holds, of each block and group, the ``count`` rows of the highest expected value, the
    first of equals: give rows in the order of their keys, as lists break ties. The best list holds
    the most valuable rows among those whose label is true, so it knows what happened: no model
    reaches it, and blocks differ in how near one can come. A row whose value is unusable is worth
    nothing and comes last.
    """
    import numpy as np

    happened = np.asarray(label, np.float64)
    said = np.asarray(probability, np.float64)
    if not len(happened) == len(said) == len(blocks) == len(ranked.value) == len(ranked.group):
        raise HeadframeError(_uneven(happened, said, blocks, ranked))
    usable = ~np.logical_or.reduce(list(unusable(ranked.value).values()))
    worth = np.where(usable, ranked.value, 0.0)
    gained = happened * worth
    order_by = np.where(usable, said * worth, -np.inf)
    places: dict[str, dict[object, list[int]]] = {}
    for place, (block, group) in enumerate(zip(blocks, ranked.group, strict=True)):
        places.setdefault(str(block), {}).setdefault(group, []).append(place)
    found = {}
    for block in sorted(places):
        took = best = 0.0
        for rows in places[block].values():
            mine = np.asarray(rows)
            first = np.argsort(-order_by[mine], kind="stable")[: ranked.listed.count]
            took += math.fsum(gained[mine][first].tolist())
            best += math.fsum(np.sort(gained[mine])[::-1][: ranked.listed.count].tolist())
        found[block] = BlockValue(
            rows=sum(map(len, places[block].values())), captured=took, best=best
        )
    return found


def _uneven(happened: "Floats", said: "Floats", blocks: Sequence[str], ranked: Ranked) -> Problem:
    lengths = (len(happened), len(said), len(blocks), len(ranked.value), len(ranked.group))
    return Problem(
        where="captured value",
        expected="a label, probability, block, value and group for every row",
        found=f"{', '.join(map(str, lengths))} of them",
        fix="Give columns of the same rows.",
    )
