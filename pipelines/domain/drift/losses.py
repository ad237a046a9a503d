"""Losses: what predictions cost on final labels, as one row of numbers per block."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from pipelines.domain.metrics import row_losses

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Floats: TypeAlias = NDArray[np.float64]


MEASURE_OF_LOSSES = 1
"""Raised when ``losses_of`` says something else of the same rows: losses that were kept of blocks are
measured again then."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BlockLosses:
    """Means over the rows of a block that have a final label; NaN where they are too few.

    ``loss`` and ``residual`` (label less probability) are (blocks,). ``segments`` names (column,
    level); ``contrast`` (blocks, segments) is the mean loss inside a segment less the mean loss of
    the block's other rows, which cancels what the day did to all of them. ``rows`` are the rows
    with a final label.
    """

    blocks: tuple[str, ...]
    rows: "NDArray[np.int64]"
    loss: "Floats"
    residual: "Floats"
    segments: tuple[tuple[str, str], ...]
    contrast: "Floats"


def losses_of(
    metric: str,
    *,
    label: "ArrayLike",
    probability: "ArrayLike",
    blocks: Sequence[str],
    of_row: "ArrayLike",
    segments: Mapping[str, Sequence[str | None]] | None = None,
    levels: Sequence[tuple[str, str]] = (),
    minimum_rows: int = 30,
) -> BlockLosses:
    """Return the losses of every block in ``blocks``; give rows with a final label only.

    ``of_row`` is the number of each row's block in ``blocks``. ``segments`` holds each row's level
    by segment column and ``levels`` the (column, level) pairs to keep. A block, a segment or what
    is outside it with fewer than ``minimum_rows`` rows is NaN, never a number. Raises what
    ``row_losses`` raises.

    >>> losses = losses_of("brier", label=[1, 0], probability=[0.5, 1.0], blocks=["a"],
    ...                    of_row=[0, 0], minimum_rows=1)
    >>> losses.loss.tolist(), losses.residual.tolist()
    ([0.625], [-0.25])
    """
    import numpy as np

    place = np.asarray(of_row, dtype=np.intp)
    happened, predicted = np.asarray(label, np.float64), np.asarray(probability, np.float64)
    loss = row_losses(metric, label, probability)
    number = len(blocks)

    def sums(values: "Floats | None" = None, inside: "NDArray[np.bool_] | None" = None) -> "Floats":
        of = place if inside is None else place[inside]
        weights = values if values is None or inside is None else values[inside]
        return np.bincount(of, weights=weights, minlength=number).astype(np.float64)

    def means(total: "Floats", rows: "Floats") -> "Floats":
        enough = rows >= max(minimum_rows, 1)
        found: Floats = np.divide(total, rows, out=np.full(number, np.nan), where=enough)
        return found

    rows, total = sums(), sums(loss)
    contrast = np.full((number, len(levels)), np.nan)
    for column, (name, level) in enumerate(levels):
        inside = np.asarray((segments or {})[name], dtype=object) == level
        rows_in, total_in = sums(None, inside), sums(loss, inside)
        contrast[:, column] = means(total_in, rows_in) - means(total - total_in, rows - rows_in)
    return BlockLosses(
        blocks=tuple(blocks),
        rows=rows.astype(np.int64),
        loss=means(total, rows),
        residual=means(sums(happened - predicted), rows),
        segments=tuple(levels),
        contrast=contrast,
    )


def joined(first: BlockLosses, second: BlockLosses) -> BlockLosses:
    """Return the blocks of both, the second's after the first's; they are of the same segments."""
    import numpy as np

    return BlockLosses(
        blocks=(*first.blocks, *second.blocks),
        rows=np.concatenate([first.rows, second.rows]),
        loss=np.concatenate([first.loss, second.loss]),
        residual=np.concatenate([first.residual, second.residual]),
        segments=first.segments,
        contrast=np.concatenate([first.contrast, second.contrast]),
    )


def taken(losses: BlockLosses, places: Sequence[int]) -> BlockLosses:
    """Return the blocks at these places, in this order.

    >>> losses = losses_of("brier", label=[1, 0], probability=[0.5, 1.0], blocks=["a", "b"],
    ...                    of_row=[0, 1], minimum_rows=1)
    >>> found = taken(losses, [1, 0])
    >>> found.blocks, found.loss.tolist()
    (('b', 'a'), [1.0, 0.25])
    """
    import numpy as np

    chosen = np.asarray(places, dtype=np.intp)
    return BlockLosses(
        blocks=tuple(losses.blocks[place] for place in places),
        rows=losses.rows[chosen],
        loss=losses.loss[chosen],
        residual=losses.residual[chosen],
        segments=losses.segments,
        contrast=losses.contrast[chosen],
    )
