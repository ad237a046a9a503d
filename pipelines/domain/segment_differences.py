"""Segment differences: by how much a challenger is worse than its rival, level by level."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipelines.domain.block_estimate import mean_estimate
from pipelines.domain.examination import SegmentDifference

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

MOST_LEVELS = 50
"""Levels of one segment that are compared, the most frequent: a page lists no more (decision)."""

MISSING = "(missing)"
"""The level of rows that have none."""


def segment_differences(
    levels: Sequence[str | None], worsening: "ArrayLike", blocks: Sequence[str]
) -> tuple[SegmentDifference, ...]:
    """Return the difference on each level, the most frequent first, at most MOST_LEVELS.

    ``levels``, ``worsening`` (the challenger's loss less the rival's) and ``blocks`` are one per
    row. Pairing within a block cancels what the day did to both.

    >>> found, = segment_differences(["EWR", "EWR"], [0.1, 0.3], ["2013-05-01", "2013-05-02"])
    >>> found.level, found.rows, round(found.worsening.estimate, 3)
    ('EWR', 2, 0.2)
    """
    import numpy as np

    loss = np.asarray(worsening, dtype=np.float64)
    level = np.asarray([MISSING if name is None else name for name in levels], dtype=np.str_)
    names, code = np.unique(level, return_inverse=True)
    days, day = np.unique(np.asarray(blocks), return_inverse=True)
    cell = code * len(days) + day
    shape = (len(names), len(days))
    rows = np.bincount(cell, minlength=shape[0] * shape[1]).reshape(shape)
    sums = np.bincount(cell, weights=loss, minlength=shape[0] * shape[1]).reshape(shape)
    # A tie in rows goes to the name that sorts first.
    order = np.argsort(-rows.sum(axis=1), kind="stable")[:MOST_LEVELS]
    found = []
    for place in order:
        held = rows[place] > 0
        means = sums[place][held] / rows[place][held]
        found.append(
            SegmentDifference(
                level=str(names[place]),
                rows=int(rows[place].sum()),
                worsening=mean_estimate(means, rows[place][held]),
            )
        )
    return tuple(found)
