"""Block profile: what a block's rows hold, as counts that add up over blocks."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipelines.domain.drift.column_edges import (
    CategoryEdges,
    NumericEdges,
    ReferenceEdges,
    as_codes,
    as_numbers,
)
from pipelines.errors import HeadframeError, Problem

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

NUMBER, SUM, SQUARES = 0, 1, 2
"""Columns of ``moments``: finite values, and the sum and sum of squares of their standard scores."""


GRID = 4096
"""Cells of the grid that bins are looked up in; 24 KiB a column stay in the processor's cache."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BlockProfile:
    """Counts of one block, or of several merged; every array adds up.

    ``counts`` (edges.width,) int64: per column its bins or levels, then what is missing.
    ``outside`` (columns, 2) int64: numbers below the least and above the greatest of the reference.
    ``moments`` (columns, 3) float64: NUMBER, SUM, SQUARES about the centre and scale of the edges.
    ``ranks`` (ranked, ranked) int64 and ``rank_sums`` (ranked,) int64: sums of products of ranks
    and of ranks; a value that is missing or was never seen has the middle rank, 0.
    ``segment_rows`` (segments,) and ``segment_counts`` (segments, edges.width) int64.
    """

    block: str
    rows: int
    counts: "NDArray[np.int64]"
    outside: "NDArray[np.int64]"
    moments: "NDArray[np.float64]"
    ranks: "NDArray[np.int64]"
    rank_sums: "NDArray[np.int64]"
    segment_rows: "NDArray[np.int64]"
    segment_counts: "NDArray[np.int64]"

    def of(self, edges: ReferenceEdges, column: str) -> "NDArray[np.int64]":
        """Return the counts of one column. Raises KeyError."""
        return self.counts[edges.places[column]]

    def as_row(self) -> dict[str, Any]:
        """Return the fields as a row of lists; ``from_row`` gives an equal profile back."""
        arrays = {name: getattr(self, name).ravel().tolist() for name in ARRAYS}
        return {"block": self.block, "rows": self.rows, **arrays}

    @classmethod
    def from_row(cls, row: Mapping[str, Any], edges: ReferenceEdges) -> "BlockProfile":
        """Read what ``as_row`` wrote. Raises HeadframeError when the edges are not its own."""
        import numpy as np

        shapes = _shapes(edges)
        arrays: dict[str, Any] = {}
        for name, shape in shapes.items():
            kind = np.float64 if name == "moments" else np.int64
            values = np.asarray(row[name], dtype=kind)
            if values.size != np.prod(shape):
                raise _other_edges(str(row["block"]), name, int(np.prod(shape)), values.size)
            arrays[name] = values.reshape(shape)
        return cls(block=str(row["block"]), rows=int(row["rows"]), **arrays)


ARRAYS = (
    *("counts", "outside", "moments", "ranks", "rank_sums"),
    *("segment_rows", "segment_counts"),
)


def scan(batches: "Iterable[pa.RecordBatch]", edges: ReferenceEdges, *, block: str) -> BlockProfile:
    """Count a block's rows in one pass, one batch in memory at a time.

    Text is counted by its dictionary codes: read Parquet with ``read_dictionary``, and no string
    is ever compared. Raises HeadframeError for a column of an unknown type, KeyError for one that
    is not there.
    """
    import numpy as np

    arrays: dict[str, Any] = {
        name: np.zeros(shape, np.float64 if name == "moments" else np.int64)
        for name, shape in _shapes(edges).items()
    }
    rows = 0
    for batch in batches:
        rows += batch.num_rows
        _count(batch, edges, arrays)
    return BlockProfile(block=block, rows=rows, **arrays)


def merged(profiles: Sequence[BlockProfile], *, block: str) -> BlockProfile:
    """Return the profile of all rows of at least one profile of the same edges: a sum."""
    first = profiles[0]
    for other in profiles:
        for name in ARRAYS:
            if getattr(other, name).shape != getattr(first, name).shape:
                raise _other_edges(
                    other.block, name, getattr(first, name).size, getattr(other, name).size
                )
    return BlockProfile(
        block=block,
        rows=sum(profile.rows for profile in profiles),
        **{name: sum(getattr(profile, name) for profile in profiles) for name in ARRAYS},
    )


def profiles_of(table: "pa.Table", edges: ReferenceEdges) -> tuple[BlockProfile, ...]:
    """Return the profiles of a table of ``as_row`` rows, in its order, without making lists.

    Raises HeadframeError when the edges are not those of every row.
    """
    import numpy as np

    arrays: dict[str, Any] = {}
    for name, shape in _shapes(edges).items():
        held = table[name].combine_chunks()
        lengths = held.value_lengths().to_numpy(zero_copy_only=False)
        size = int(np.prod(shape))
        if len(other := np.flatnonzero(lengths != size)):
            row = int(other[0])
            raise _other_edges(str(table["block"][row]), name, size, int(lengths[row]))
        values = held.flatten().to_numpy(zero_copy_only=False)
        kind = np.float64 if name == "moments" else np.int64
        arrays[name] = values.astype(kind, copy=False).reshape(table.num_rows, *shape)
    blocks, rows = table["block"].to_pylist(), table["rows"].to_pylist()
    return tuple(
        BlockProfile(
            block=block, rows=count, **{name: values[place] for name, values in arrays.items()}
        )
        for place, (block, count) in enumerate(zip(blocks, rows, strict=True))
    )


def _shapes(edges: ReferenceEdges) -> dict[str, tuple[int, ...]]:
    columns, ranked, segments = len(edges.columns), len(edges.ranked), len(edges.segment_names)
    return {
        "counts": (edges.width,),
        "outside": (columns, 2),
        "moments": (columns, 3),
        "ranks": (ranked, ranked),
        "rank_sums": (ranked,),
        "segment_rows": (segments,),
        "segment_counts": (segments, edges.width),
    }


def _count(batch: Any, edges: ReferenceEdges, arrays: "dict[str, NDArray[Any]]") -> None:  # noqa: ANN401 - an Arrow batch
    import numpy as np

    segments = _Segments(batch, edges)
    ranks = np.zeros((len(edges.ranked), batch.num_rows), np.float64)
    for number, column in enumerate(edges.columns):
        place = edges.places[column.column]
        values = batch.column(column.column)
        if isinstance(column, CategoryEdges):
            codes = _levels(column, values)
        else:
            codes, moments, outside = _bins(column, as_numbers(column.column, values))
            arrays["moments"][number] += moments
            arrays["outside"][number] += outside
        if column.column in edges.ranked:
            # Values that are missing or were never seen have the middle rank, 0.
            rank_of = np.zeros(column.width, np.float64)
            rank_of[: len(column.ranks)] = column.ranks
            np.take(rank_of, codes, out=ranks[edges.ranked.index(column.column)])
        arrays["counts"][place] += np.bincount(codes, minlength=column.width)
        segments.count(codes, column.width, arrays["segment_counts"][:, place])
    arrays["segment_rows"] += segments.rows()
    # Products of whole numbers far below 2^53: the sums are exact in any order.
    arrays["ranks"] += np.rint(ranks @ ranks.T).astype(np.int64)
    arrays["rank_sums"] += np.rint(ranks.sum(axis=1)).astype(np.int64)


def _bins(
    edges: NumericEdges, values: "NDArray[np.float64]"
) -> "tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.int64]]":
    """Return the bin of every value (the last for a missing one), moments, and those outside."""
    import numpy as np

    cuts = np.asarray(edges.cuts)
    codes = bins_of(cuts, values)
    scores = (values - edges.centre) / edges.scale
    squares = float(scores @ scores)
    if np.isfinite(squares):
        moments = np.asarray([len(values), scores.sum(), squares])
    else:
        missing = np.isnan(values)
        codes[missing] = len(cuts) + 1
        scores = scores[np.isfinite(scores)]
        moments = np.asarray([len(scores), scores.sum(), scores @ scores])
    below = np.count_nonzero(values < edges.minimum)
    above = np.count_nonzero(values > edges.maximum)
    return codes, moments, np.asarray([below, above])


def bins_of(cuts: "NDArray[np.float64]", values: "NDArray[np.float64]") -> "NDArray[np.intp]":
    """Return how many of the ascending cuts are at most each value, as ``searchsorted`` does.

    A value's cell in a fine grid tells its bin but for the one cut that lies in the same cell: a
    quarter of the cost of searching. Where two cuts share a cell they are searched for. Of NaN
    the bin means nothing.
    """
    import numpy as np

    found: NDArray[np.intp]
    if len(cuts) < 2 or len(values) < GRID:
        found = np.searchsorted(cuts, values, side="right")
        return found
    width = cuts[-1] / (GRID - 2) - cuts[0] / (GRID - 2)

    def cells(of: "NDArray[np.float64]") -> "NDArray[np.int32]":
        # Nondecreasing, whatever is rounded: so a later cell is a greater value.
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            scaled = (of - cuts[0]) / width
        numbers: NDArray[np.int32] = np.fmin(np.fmax(scaled, -1.0), GRID - 1.0).astype(np.int32)
        return numbers + np.int32(1)

    of_cuts = cells(cuts)
    if not np.all(np.diff(of_cuts) > 0):
        found = np.searchsorted(cuts, values, side="right")
        return found
    before = np.searchsorted(of_cuts, np.arange(GRID + 1))
    cut_in = np.full(GRID + 1, np.inf)
    cut_in[of_cuts] = cuts
    cell = cells(values)
    found = before[cell]
    found += values >= cut_in[cell]
    # Where a cell has no cut there is none to be above, of infinity too.
    found[values == np.inf] = len(cuts)
    return found


def _levels(edges: CategoryEdges, values: Any) -> "NDArray[np.intp]":  # noqa: ANN401 - an Arrow array
    """Return the place of every value: its level, others, never seen, or missing."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    encoded = as_codes(values)
    known = pa.array([*edges.levels, *edges.others], encoded.type.value_type)
    place = pc.fill_null(pc.index_in(encoded.dictionary, value_set=known), len(known)).to_numpy()
    unseen, top = len(edges.levels) + 1, len(edges.levels)
    place_of = np.where(place >= len(known), unseen, np.minimum(place, top))
    # A dictionary may hold null itself.
    place_of[encoded.dictionary.is_null().to_numpy(zero_copy_only=False)] = unseen + 1
    place_of = np.append(place_of, unseen + 1).astype(np.intp)
    codes = encoded.indices
    if codes.null_count:
        codes = pc.fill_null(codes.cast(pa.int64()), len(place_of) - 1)
    places: NDArray[np.intp] = place_of[codes.to_numpy(zero_copy_only=False)]
    return places


class _Segments:
    """The segment of every row of a batch, for each segment column."""

    def __init__(self, batch: Any, edges: ReferenceEdges) -> None:  # noqa: ANN401 - an Arrow batch
        self._of: list[tuple[int, NDArray[np.intp]]] = []
        for name in edges.segments:
            column = edges.of(name)
            assert isinstance(column, CategoryEdges)  # noqa: S101 - ReferenceEdges checked it
            self._of.append((len(column.levels), _levels(column, batch.column(name))))

    def count(self, codes: "NDArray[np.intp]", width: int, into: "NDArray[np.int64]") -> None:
        """Add the counts of a column in every segment to the rows of ``into``."""
        import numpy as np

        start = 0
        for levels, segment in self._of:
            crossed = np.bincount(segment * width + codes, minlength=(levels + 3) * width)
            into[start : start + levels] += crossed.reshape(-1, width)[:levels]
            start += levels

    def rows(self) -> "NDArray[np.int64]":
        """Return the rows of every segment."""
        import numpy as np

        parts = [np.bincount(of, minlength=levels)[:levels] for levels, of in self._of]
        return np.concatenate(parts) if parts else np.zeros(0, np.int64)


def _other_edges(block: str, name: str, expected: int, found: int) -> HeadframeError:
    return HeadframeError(
        Problem(
            where=f"profile of block {block!r}",
            expected=f"{expected} numbers of {name}, as its reference edges say",
            found=f"{found}",
            fix="Read profiles with the edges they were made with; scan the block again otherwise.",
        )
    )
