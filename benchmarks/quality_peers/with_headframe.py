"""Headframe: the check that a stage runs on staged rows, its suite compiled before."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.ingest_peers.flights import COLUMNS
from benchmarks.ingest_peers.task import answer, asked
from benchmarks.quality_peers.suite import PARTS, suite_path, told
from pipelines.adapters.suites.gx_suites import check, load_suite

if TYPE_CHECKING:
    import pyarrow as pa

OBSERVED = "observed "

SUMS = """
SELECT rule, count(*), sum(_row) FROM (SELECT unnest(_failed) AS rule, _row FROM failed)
GROUP BY rule"""


def main() -> None:
    """Check the staged files in the folder ``source``; the arguments after it are part and detail."""
    task, part, detail = asked(), sys.argv[2], sys.argv[3]
    suite = load_suite(suite_path(task.target, part, detail), COLUMNS)
    files = sorted(Path(task.source).glob("*.parquet"))
    result = check(suite, files, cache=Path(task.target) / "cache")
    if "great_expectations" in sys.modules:
        raise RuntimeError("the check imported GX: its suite was not compiled before")
    names = dict(zip((found.rule for found in result.results), PARTS[part], strict=True))
    answer(
        task,
        checks={
            names[found.rule]: told(
                found.success,
                found.rows_evaluated,
                found.unexpected_count,
                _number(found.observed),
            )
            for found in result.results
        },
        **({"listed": _listed(result.failed_rows, names)} if detail == "listed" else {}),
    )


def _number(observed: str) -> float | None:
    told_number = observed.removeprefix(OBSERVED)
    return float(told_number.replace(",", "")) if told_number != observed else None


def _listed(rows: "pa.Table", names: dict[str, str]) -> dict[str, list[int]]:
    """Return of each check with failing rows how many were told, and the sum of their numbers."""
    import duckdb

    # Arrow's own grouping would import pandas, and what the check costs is to be told.
    with duckdb.connect(":memory:") as connection:
        connection.register("failed", rows)
        sums = connection.execute(SUMS).fetchall()
    return {names[rule]: [count, int(total)] for rule, count, total in sums}


if __name__ == "__main__":
    main()
