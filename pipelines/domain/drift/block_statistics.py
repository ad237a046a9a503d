"""Block statistics: what is compared between blocks, one row of numbers per block."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from pipelines.domain.drift.block_profile import NUMBER, SQUARES, SUM, BlockProfile
from pipelines.domain.drift.column_edges import NumericEdges, ReferenceEdges

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]

FamilyName: TypeAlias = Literal["bins", "mix", "moments", "missing", "ranks"]

MERGED_BINS = 3
"""Neighbouring bins compared as one: about 17 groups of 6 % of the reference each."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Family:
    """One column's statistics of one kind: ``values`` is (blocks, statistics), NaN where unknown.

    ``bins``: square roots of the shares of values in neighbouring bins (Hellinger, 1909).
    ``mix``: the same of the levels of a category; values never seen count as rare ones.
    ``moments``: mean and logarithm of the standard deviation, in reference standard deviations.
    ``missing``: square root of the share of missing values.
    ``ranks``: correlations of the column's ranks with those of the other ranked columns.
    """

    column: str
    family: FamilyName
    values: "Floats"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BlockStatistics:
    """The families of all columns, over the same blocks in the same order."""

    blocks: tuple[str, ...]
    families: tuple[Family, ...]

    def take(self, rows: Sequence[int]) -> "BlockStatistics":
        """Return the statistics of the numbered blocks, in the order given."""
        import numpy as np

        chosen = np.asarray(rows, dtype=np.intp)
        return BlockStatistics(
            blocks=tuple(self.blocks[row] for row in rows),
            families=tuple(
                Family(column=each.column, family=each.family, values=each.values[chosen])
                for each in self.families
            ),
        )


def statistics_of(profiles: Sequence[BlockProfile], edges: ReferenceEdges) -> BlockStatistics:
    """Return the statistics of every profile; compute them once and take rows from them.

    A block's statistics depend on its own rows and the edges alone, so blocks that were
    exchangeable stay so, as long as none of them helped to choose the edges.
    """
    import numpy as np

    counts = np.stack([profile.counts for profile in profiles]).astype(np.float64)
    moments = np.stack([profile.moments for profile in profiles])
    families: list[Family] = []
    for number, column in enumerate(edges.columns):
        own = counts[:, edges.places[column.column]]
        if isinstance(column, NumericEdges):
            families.append(_family(column.column, "bins", _numeric_shares(own)))
            families.append(_family(column.column, "moments", _moments(moments[:, number])))
        else:
            families.append(_family(column.column, "mix", _level_shares(own)))
        missing = own[:, -1] / np.maximum(own.sum(axis=1), 1.0)
        families.append(_family(column.column, "missing", np.sqrt(missing)[:, None]))
    families += _correlations(profiles, edges)
    return BlockStatistics(
        blocks=tuple(profile.block for profile in profiles), families=tuple(families)
    )


def _family(column: str, family: FamilyName, values: "Floats") -> Family:
    return Family(column=column, family=family, values=values)


def _numeric_shares(counts: "Floats") -> "Floats":
    import numpy as np

    present = counts[:, :-1]
    groups = np.add.reduceat(present, np.arange(0, present.shape[1], MERGED_BINS), axis=1)
    return _roots(groups)


def _level_shares(counts: "Floats") -> "Floats":
    import numpy as np

    # A level that the reference lacks by definition would single out every new block.
    rare = counts[:, -3] + counts[:, -2]
    return _roots(np.column_stack([counts[:, :-3], rare]))


def _roots(counts: "Floats") -> "Floats":
    import numpy as np

    total = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, total, out=np.full_like(counts, np.nan), where=total > 0)
    roots: Floats = np.sqrt(shares)
    return roots


def _moments(moments: "Floats") -> "Floats":
    import numpy as np

    number = moments[:, NUMBER]
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = moments[:, SUM] / number
        variance = moments[:, SQUARES] / number - mean**2
        # A block of one value has no spread; a hundredth of the reference's stands for none.
        spread = 0.5 * np.log(np.maximum(variance, 0.0) + 1e-4)
    return np.column_stack([mean, spread])


def _correlations(profiles: Sequence[BlockProfile], edges: ReferenceEdges) -> list[Family]:
    import numpy as np

    if len(edges.ranked) < 2:
        return []
    products = np.stack([profile.ranks for profile in profiles]).astype(np.float64)
    sums = np.stack([profile.rank_sums for profile in profiles]).astype(np.float64)
    rows = np.asarray([profile.rows for profile in profiles], np.float64)[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = sums / rows
        covariance = products / rows[:, :, None] - mean[:, :, None] * mean[:, None, :]
        spread = np.sqrt(np.maximum(np.diagonal(covariance, axis1=1, axis2=2), 0.0))
        correlation = covariance / (spread[:, :, None] * spread[:, None, :])
    # Of a column that does not vary nothing is known of how it goes with others.
    correlation[~np.isfinite(correlation)] = np.nan
    return [
        _family(name, "ranks", np.delete(correlation[:, place, :], place, axis=1))
        for place, name in enumerate(edges.ranked)
    ]
