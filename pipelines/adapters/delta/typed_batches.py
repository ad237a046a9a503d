"""Typed batches: what was read of a table, given the table's own types."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_AT_ONCE = 65_536
"""Rows after which what was read is given its types: for each small batch that costs a millisecond."""


def typed(batches: Iterable["pa.RecordBatch"], wanted: "pa.Schema") -> Iterator["pa.RecordBatch"]:
    """Return the columns of ``wanted`` in its types, as many small batches at once as make a large one.

    A table of many small files gives many small ones. Raises ArrowInvalid for a value that its type
    does not hold.
    """
    import pyarrow as pa

    for many in _gathered(batches):
        yield from pa.Table.from_batches(many).select(wanted.names).cast(wanted).to_batches()


def _gathered(batches: Iterable["pa.RecordBatch"]) -> Iterator[list["pa.RecordBatch"]]:
    group: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches:
        group.append(batch)
        rows += batch.num_rows
        if rows >= ROWS_AT_ONCE:
            yield group
            group, rows = [], 0
    if group:
        yield group
