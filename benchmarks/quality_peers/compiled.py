"""Compiled: the benchmark's suites are written and compiled once, so that every check is warm."""

import sys
from pathlib import Path

from benchmarks.ingest_peers.flights import COLUMNS
from benchmarks.quality_peers.suite import DETAILS, PARTS, suite_path, write_suites
from pipelines.adapters.suites.gx_suites import load_suite, verify


def main() -> None:
    """Compile into the folder named by the argument."""
    folder = sys.argv[1]
    write_suites(folder)
    for part in PARTS:
        for detail in DETAILS:
            suite = load_suite(suite_path(folder, part, detail), COLUMNS)
            verify(suite, cache=Path(folder) / "cache")


if __name__ == "__main__":
    main()
