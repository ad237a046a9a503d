"""Parquet files: rows with their types, for programs."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

ENDING = "parquet"

GROUP_ROWS = 131_072
"""Rows of a row group: large enough for statistics to pay, small enough to hold while writing."""


def write(rows: "pa.RecordBatchReader", path: Path) -> int:
    """Write every row, zstd, row groups of 131,072 rows, and return how many rows there were."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    count, held = 0, 0
    waiting: list[pa.RecordBatch] = []
    with pq.ParquetWriter(path, rows.schema, compression="zstd") as writer:
        for batch in rows:
            waiting.append(batch)
            held += batch.num_rows
            count += batch.num_rows
            if held >= GROUP_ROWS:
                writer.write_table(pa.Table.from_batches(waiting))
                waiting, held = [], 0
        writer.write_table(pa.Table.from_batches(waiting, rows.schema))
    return count
