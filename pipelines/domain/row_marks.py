"""Row marks: four bytes a row and a digest a column, by which changed rows are found again."""

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipelines.domain.feature_query import AS_OF
from pipelines.domain.features import rows_digest

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

MARK = "mark"
"""Column of a table of marks beside the scoring time of each row."""

GOLDEN_RATIO = 0x9E3779B97F4A7C15
"""2^64 over the golden ratio, odd: the multiplier of Fibonacci hashing (Knuth, TAOCP 3, 6.4)."""

MISSING = 0x6D697373696E6721
"""Stands for a missing value, whatever lies in memory below it."""


MARKED_ROWS = 32_768
"""Rows that are marked at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowChanges:
    """How many rows differ from those recorded, and where.

    ``changed`` are places in the rows found whose content is not among those recorded for the same
    scoring time: changed or added. ``gone`` counts recorded rows that no row has any more; a row
    that was changed counts in both. ``moved`` says that the same rows stand in another order.
    """

    changed: tuple[int, ...]
    gone: int
    moved: bool


def column_digests(rows: "pa.Table") -> dict[str, str]:
    """Return the SHA-256 of each column's values in their order; see ``features.rows_digest``."""
    return {name: rows_digest(rows.select([name])) for name in rows.column_names}


def marked(rows: "pa.Table") -> "pa.Table":
    """Return the scoring time and the mark of each row, in their order.

    A mark is 32 bits over all values of a row (uint32): of two different rows one in four thousand
    million pairs has the same. It names rows; whether any differ is said by ``column_digests``.
    """
    import pyarrow as pa

    return pa.table({AS_OF: rows[AS_OF], MARK: pa.array(_marks(rows))})


def changes(recorded: "pa.Table", found: "pa.Table") -> RowChanges:
    """Compare two tables that ``marked`` made, scoring time by scoring time."""
    import numpy as np
    import pyarrow as pa

    before, after = _keys(recorded), _keys(found)
    if len(before) == len(after) and bool((before == after).all()):
        return RowChanges(changed=(), gone=0, moved=False)
    both = np.concatenate([before, after])
    _, numbers = np.unique(both, axis=0, return_inverse=True)
    numbers = numbers.reshape(-1)
    was, now = numbers[: len(before)], numbers[len(before) :]
    most = int(numbers.max()) + 1
    had, has = np.bincount(was, minlength=most), np.bincount(now, minlength=most)
    # Of equal rows the last are taken for the added ones.
    order = np.argsort(now, kind="stable")
    first = np.searchsorted(now[order], now[order], side="left")
    rank = np.empty(len(now), dtype=np.int64)
    rank[order] = np.arange(len(now)) - first
    changed = np.flatnonzero(rank >= had[now])
    gone = int(np.maximum(had - has, 0).sum())
    assert isinstance(found, pa.Table)  # noqa: S101 - both sides are tables of marks
    return RowChanges(
        changed=tuple(map(int, changed)), gone=gone, moved=not len(changed) and not gone
    )


def _keys(marks: "pa.Table") -> "np.ndarray":
    """Return scoring time and mark of each row as two integers."""
    import numpy as np
    import pyarrow as pa

    times = marks[AS_OF].cast(pa.timestamp("us", tz="UTC")).cast(pa.int64())
    keys: np.ndarray = np.stack([times.to_numpy(), marks[MARK].cast(pa.int64()).to_numpy()], axis=1)
    return keys


def _marks(rows: "pa.Table") -> "np.ndarray":
    """Return the marks, of some rows at once: what they are mixed in stays in the processor's cache."""
    import numpy as np

    firsts = range(0, max(1, rows.num_rows), MARKED_ROWS)
    return np.concatenate([_marks_of(rows.slice(first, MARKED_ROWS)) for first in firsts])


def _marks_of(rows: "pa.Table") -> "np.ndarray":
    import numpy as np

    mixed = np.full(rows.num_rows, len(rows.column_names), dtype=np.uint64)
    for column in rows.columns:
        mixed ^= _words(column.combine_chunks())
        mixed *= np.uint64(GOLDEN_RATIO)
        mixed ^= mixed >> np.uint64(29)
    marks: np.ndarray = (mixed >> np.uint64(32)).astype(np.uint32)
    return marks


def _words(column: Any) -> "np.ndarray":  # noqa: ANN401 - pyarrow is untyped
    """Return 64 bits for each value of a column: a number's own, of a text its CRC-32."""
    import numpy as np
    import pyarrow as pa

    kind = column.type
    words: np.ndarray
    if pa.types.is_floating(kind):
        words = column.cast(pa.float64()).fill_null(0.0).to_numpy(zero_copy_only=False)
        words = words.view(np.uint64).copy()
    elif pa.types.is_boolean(kind) or pa.types.is_integer(kind):
        whole = column.fill_null(0) if not pa.types.is_boolean(kind) else column.fill_null(False)  # noqa: FBT003 - pyarrow's signature
        words = whole.cast(pa.int64()).to_numpy(zero_copy_only=False).astype(np.uint64)
    elif pa.types.is_timestamp(kind):
        words = column.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
        words = words.astype(np.uint64)
    else:
        coded = column.cast(pa.string()).fill_null("").dictionary_encode()
        texts = coded.dictionary.to_pylist()
        each = np.array([zlib.crc32(text.encode()) for text in texts], dtype=np.uint64)
        words = each[coded.indices.to_numpy(zero_copy_only=False)].astype(np.uint64)
    if column.null_count:
        words[column.is_null().to_numpy(zero_copy_only=False)] = np.uint64(MISSING)
    return words
