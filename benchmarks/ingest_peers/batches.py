"""Batches: a file of flights as a stream of typed Arrow batches, as pyarrow parses it."""

from typing import TYPE_CHECKING

from benchmarks.ingest_peers.flights import arrow_schema
from benchmarks.ingest_peers.task import Task

if TYPE_CHECKING:
    import pyarrow as pa

BLOCK_BYTES = 4 << 20
"""Text parsed at once: of 1, 4 and 16 MiB the one that took the least CPU."""
BATCH_ROWS = 100_000


def batches(task: Task) -> "pa.RecordBatchReader":
    """Return the rows of the task's file with the types of the contract, nothing guessed."""
    return {"csv": _csv, "csv.gz": _csv, "jsonl": _json_lines, "parquet": _parquet}[task.format](
        task.source
    )


def _csv(source: str) -> "pa.RecordBatchReader":
    from pyarrow import csv

    schema = arrow_schema()
    return csv.open_csv(
        source,  # pyarrow unpacks by the suffix
        read_options=csv.ReadOptions(block_size=BLOCK_BYTES),
        convert_options=csv.ConvertOptions(
            column_types=schema, null_values=[""], strings_can_be_null=True
        ),
    )


def _json_lines(source: str) -> "pa.RecordBatchReader":
    from pyarrow import json

    return json.open_json(
        source,
        read_options=json.ReadOptions(block_size=BLOCK_BYTES),
        parse_options=json.ParseOptions(explicit_schema=arrow_schema()),
    )


def _parquet(source: str) -> "pa.RecordBatchReader":
    import pyarrow as pa
    from pyarrow import parquet

    # A dataset's scanner takes four times the CPU of the file's own reader.
    rows = parquet.ParquetFile(source).iter_batches(BATCH_ROWS, use_threads=False)
    return pa.RecordBatchReader.from_batches(arrow_schema(), rows)
