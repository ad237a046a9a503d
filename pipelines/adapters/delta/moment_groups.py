"""Moment groups: the row groups of one version that may hold rows of some moments, in their order."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from pipelines.adapters.delta import delta_handles, pinned_files
from pipelines.adapters.stores.object_store import Folder

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq


@dataclass(frozen=True, slots=True)
class _Part:
    """Rows of some groups of a file that lie together, and the first and the last moment of them."""

    bounds: tuple[datetime, datetime] | None
    rows: "pa.Table"


def read(
    table: Folder,
    column: str,
    wanted: Sequence[datetime],
    *,
    columns: Sequence[str] | None = None,
    at_version: int | None = None,
) -> "pa.Table":
    """Return ``columns``, or all, of the rows of every row group that may hold one of the moments ``wanted`` in ``column``.

    Rows of other moments may be among them. Groups are in the order of their first moments where
    each says what it holds, so that rows which were written in order, one moment to a group, come in
    order, whatever file they are in. A column lies in one piece, but for texts of more than 2 GiB. Types
    are the table's. Raises LakeError for a table that is absent or whose files do not hold its rows as
    they are, VersionGone for one whose files are gone.
    """
    import pyarrow as pa

    handle = delta_handles.opened(table, at_version)
    schema = delta_handles.arrow_schema(handle)
    if columns is not None:
        schema = pa.schema([schema.field(name) for name in columns])
    between = min(wanted), max(wanted)
    parts: list[_Part] = []
    for file in pinned_files.of_handle(table, handle, between=(column, *between)):
        with pinned_files.opened(table, file.path) as opened:
            parts += _parts(opened, column, set(wanted), schema)
    if all(part.bounds for part in parts):
        parts.sort(key=lambda part: part.bounds or between)
    taken_apart = [part.rows.columns for part in parts]
    parts.clear()
    return _in_one_piece(taken_apart, schema)


def _in_one_piece(parts: "list[list[pa.ChunkedArray]]", schema: "pa.Schema") -> "pa.Table":
    """Return the rows of parts (their columns), which it takes apart: a column is let go of once copied.

    So the memory of one is that of the next copy, and rows do not lie in memory twice.
    """
    import pyarrow as pa

    whole = []
    for field in reversed(schema):
        chunks = [chunk for columns in parts for chunk in columns.pop().chunks]
        column = pa.table([pa.chunked_array(chunks, field.type)], schema=pa.schema([field]))
        whole.append(column.combine_chunks().column(0))
    return pa.table(whole[::-1], schema=schema)


def bounds(opened: "pq.ParquetFile", number: int, column: str) -> tuple[datetime, datetime] | None:
    """Return the least and greatest moment of a row group, None where it does not say."""
    place = opened.schema_arrow.names.index(column)
    told = opened.metadata.row_group(number).column(place).statistics
    if told is None or not told.has_min_max or told.null_count:
        return None
    return told.min, told.max


def _parts(
    opened: "pq.ParquetFile", column: str, wanted: set[datetime], schema: "pa.Schema"
) -> list[_Part]:
    """Read the groups of one file that are not ruled out, at once, and tell them apart again."""
    held = {number: bounds(opened, number, column) for number in range(opened.num_row_groups)}
    asked = {number: found for number, found in held.items() if _may_hold(found, wanted)}
    if not asked:
        return []
    rows = opened.read_row_groups(list(asked), columns=schema.names)
    rows = rows.select(schema.names).cast(schema)
    parts, first = [], 0
    for number, found in asked.items():
        count = opened.metadata.row_group(number).num_rows
        parts.append(_Part(found, rows.slice(first, count)))
        first += count
    return parts


def _may_hold(found: tuple[datetime, datetime] | None, wanted: set[datetime]) -> bool:
    return found is None or any(found[0] <= moment <= found[1] for moment in wanted)
