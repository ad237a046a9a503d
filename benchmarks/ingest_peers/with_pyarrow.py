"""pyarrow: its streaming reader into write_deltalake."""

from benchmarks.ingest_peers.batches import batches
from benchmarks.ingest_peers.delta import append
from benchmarks.ingest_peers.task import answer, asked


def main() -> None:
    """Copy the file."""
    task = asked()
    append(task.target, batches(task))
    answer(task, table=task.target)


if __name__ == "__main__":
    main()
