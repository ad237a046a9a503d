"""Floors: DuckDB's SQL for the same checks as one would write it by hand, one pass a part."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.ingest_peers.task import answer, asked
from benchmarks.quality_peers.suite import (
    BOUNDS,
    CARRIER_LENGTH,
    MEAN_DISTANCE,
    PATTERNS,
    ROW_COUNT,
    ROW_RULES,
    SETS,
    THERE,
    told,
)

if TYPE_CHECKING:
    import duckdb


def main() -> None:
    """Count in the staged files of the folder ``source``; the argument after it is the part."""
    import duckdb

    task, part = asked(), sys.argv[2]
    with duckdb.connect(":memory:") as connection:
        rows = connection.read_parquet(
            [str(file) for file in sorted(Path(task.source).glob("*.parquet"))]
        )
        counted = {"rows": _row_rules, "unique": _unique, "aggregates": _aggregates}[part](rows)
    answer(task, checks=counted)


def _row_rules(rows: "duckdb.DuckDBPyRelation") -> dict[str, Any]:
    """Return of each rule about rows how many it judged and how many failed."""
    failing = {
        **{f"{column} is there": (f"{column} IS NULL", "*") for column in THERE},
        **{
            f"{column} is in bounds": (f"{column} NOT BETWEEN {low} AND {high}", column)
            for column, (low, high) in BOUNDS.items()
        },
        **{
            f"{column} is in its set": (f"{column} NOT IN {values!r}", column)
            for column, values in SETS.items()
        },
        "carrier has its length": (f"length(carrier) <> {CARRIER_LENGTH}", "carrier"),
        **{
            f"{column} matches": (f"NOT regexp_matches({column}, '{pattern}')", column)
            for column, pattern in PATTERNS.items()
        },
        "sched_dep_time is at least hour": ("NOT (sched_dep_time >= hour)", "*"),
    }
    counts = [
        f"count({judged}), count(*) FILTER ({predicate})"
        for predicate, judged in (failing[name] for name in ROW_RULES)
    ]
    numbers = _first(rows, f"SELECT {', '.join(counts)} FROM landed")  # noqa: S608 - constants
    pairs = zip(ROW_RULES, numbers[::2], numbers[1::2], strict=True)
    return {name: told(failed == 0, judged, failed) for name, judged, failed in pairs}


def _unique(rows: "duckdb.DuckDBPyRelation") -> dict[str, Any]:
    judged, repeated = _first(
        rows,
        "SELECT sum(n), coalesce(sum(n) FILTER (n > 1), 0) FROM"
        " (SELECT count(*) AS n FROM landed WHERE id IS NOT NULL GROUP BY id)",
    )
    return {"id is unique": told(repeated == 0, int(judged), int(repeated))}


def _aggregates(rows: "duckdb.DuckDBPyRelation") -> dict[str, Any]:
    count, mean = _first(rows, "SELECT count(*), avg(distance) FROM landed")
    within = MEAN_DISTANCE[0] <= mean <= MEAN_DISTANCE[1]
    return {
        "mean of distance": told(within, count, 0, mean),
        "count of rows": told(ROW_COUNT[0] <= count <= ROW_COUNT[1], count, 0, count),
    }


def _first(rows: "duckdb.DuckDBPyRelation", query: str) -> tuple[Any, ...]:
    found: list[tuple[Any, ...]] = rows.query("landed", query).fetchall()
    return found[0]


if __name__ == "__main__":
    main()
