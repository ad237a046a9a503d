"""Feature batches: the feature rows of one block as Arrow batches, in bounded memory."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from pipelines.adapters.delta import moment_groups, pinned_files
from pipelines.adapters.stores.object_store import Folder
from pipelines.domain.features import AS_OF
from pipelines.domain.scoring import Unit

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

BATCH_ROWS = 65_536
"""Rows of a batch. Batches begin anew with every row group, so they are the same in any part."""


def units(table: Folder, *, at_version: int, as_of: datetime) -> list[Unit]:
    """Return what a version of a feature table holds of one block, in the order of its files."""
    found: list[Unit] = []
    for file in pinned_files.pinned(table, at_version, at=(AS_OF, as_of)):
        with pinned_files.opened(table, file.path) as opened:
            for number in range(opened.metadata.num_row_groups):
                found += _group_units(opened, file.path, number, as_of)
    return found


def batches(
    table: Folder,
    units: Sequence[Unit],
    *,
    columns: Sequence[str],
    dictionaries: Sequence[str],
    as_of: datetime,
) -> "Iterator[pa.RecordBatch]":
    """Yield the rows of the units, in order, as batches of ``columns``; none is empty.

    The columns of ``dictionaries`` come as dictionary codes; dictionaries differ between batches.
    """
    for file in dict.fromkeys(unit.file for unit in units):
        mine = [unit for unit in units if unit.file == file]
        with pinned_files.opened(table, file, dictionaries=dictionaries) as opened:
            for unit in mine:
                yield from _unit_batches(opened, unit, list(columns), as_of)


def _group_units(
    opened: "pq.ParquetFile", file: str, number: int, as_of: datetime
) -> Iterator[Unit]:
    import pyarrow.compute as pc

    group = opened.metadata.row_group(number)
    bounds = moment_groups.bounds(opened, number, AS_OF)
    if bounds is not None and not bounds[0] <= as_of <= bounds[1]:
        return
    if bounds == (as_of, as_of):
        yield Unit(file=file, row_group=number, rows=group.num_rows, whole=True)
        return
    moments = opened.read_row_group(number, columns=[AS_OF]).column(0)
    if rows := int(pc.sum(pc.equal(moments, as_of)).as_py() or 0):
        yield Unit(file=file, row_group=number, rows=rows, whole=False)


def _unit_batches(
    opened: "pq.ParquetFile", unit: Unit, columns: list[str], as_of: datetime
) -> "Iterator[pa.RecordBatch]":
    import pyarrow.compute as pc

    wanted = columns if unit.whole or AS_OF in columns else [*columns, AS_OF]
    for batch in opened.iter_batches(BATCH_ROWS, row_groups=[unit.row_group], columns=wanted):
        mine = batch if unit.whole else batch.filter(pc.equal(batch.column(AS_OF), as_of))
        if mine.num_rows:
            yield mine.select(columns)
