"""Floor: write as many rows as the file has from memory; loading them is measured and left out."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from benchmarks.ingest_peers.delta import append
from benchmarks.ingest_peers.flights import arrow_schema
from benchmarks.ingest_peers.task import answer, asked, spent_so_far

if TYPE_CHECKING:
    import pyarrow as pa


def main() -> None:
    """Write the rows of a Parquet file, again and again until there are enough."""
    import deltalake  # noqa: F401 - its import is none of the writing
    import pyarrow as pa
    from pyarrow import parquet

    task = asked()
    rows = parquet.read_table(task.source, schema=arrow_schema())
    before = spent_so_far(task)
    reader = pa.RecordBatchReader.from_batches(rows.schema, _repeated(rows, task.rows))
    append(task.target, reader)
    answer(task, table=task.target, **before)


def _repeated(rows: "pa.Table", wanted: int) -> Iterator["pa.RecordBatch"]:
    while wanted:
        for batch in rows.slice(0, wanted).to_batches():
            wanted -= batch.num_rows
            yield batch


if __name__ == "__main__":
    main()
