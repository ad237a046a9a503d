"""Floor: read every column and pass over it once: sums, least and greatest, counts of levels."""

from pathlib import Path

from benchmarks.drift_speed_files import CURRENT, LEVELS, NUMERIC
from benchmarks.ingest_peers.task import answer, asked


def main() -> None:
    """Read the file in the folder ``source``, and compare it with nothing."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    task = asked()
    file = pq.ParquetFile(Path(task.source) / CURRENT, read_dictionary=list(LEVELS))
    rows = 0
    for batch in file.iter_batches(use_threads=False):
        rows += batch.num_rows
        for name in NUMERIC:
            pc.sum(batch[name])
            pc.min_max(batch[name])
        for name in LEVELS:
            pc.value_counts(batch[name])
    answer(task, rows=rows, outcomes=[])


if __name__ == "__main__":
    main()
