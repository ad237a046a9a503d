"""Great Expectations on DuckDB: its own queries of the staged files, through the project's bridge."""

import sys
from pathlib import Path

from benchmarks.ingest_peers.flights import COLUMNS
from benchmarks.ingest_peers.task import answer, asked
from benchmarks.quality_peers.gx_results import judged
from pipelines.adapters.suites import duckdb_checks, gx_on_duckdb


def main() -> None:
    """Check the staged files in the folder ``source``; the arguments after it are part and detail."""
    task, part, detail = asked(), sys.argv[2], sys.argv[3]
    files = sorted(Path(task.source).glob("*.parquet"))
    with (
        duckdb_checks.staged_rows(files, COLUMNS, threads=None) as connection,
        gx_on_duckdb.batch_of(connection) as batch,
    ):
        answer(task, **judged(batch, part, detail, connection))


if __name__ == "__main__":
    main()
