"""Floor: parse the file with pyarrow and drop the rows."""

from benchmarks.ingest_peers.batches import batches
from benchmarks.ingest_peers.task import answer, asked


def main() -> None:
    """Count the rows."""
    task = asked()
    rows = 0
    for batch in batches(task):
        rows += batch.num_rows
    answer(task, rows=rows)


if __name__ == "__main__":
    main()
