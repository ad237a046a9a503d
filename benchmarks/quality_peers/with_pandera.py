"""pandera: its polars backend in lazy validation, which lists every failing row."""

from pathlib import Path
from typing import Any

from benchmarks.ingest_peers.task import answer, asked
from benchmarks.quality_peers.suite import (
    AGGREGATES,
    BOUNDS,
    CARRIER_LENGTH,
    MEAN_DISTANCE,
    PARTS,
    PATTERNS,
    READ,
    ROW_COUNT,
    SETS,
    THERE,
    told,
)


def main() -> None:
    """Check the staged files in the folder ``source``."""
    import pandera.polars as pa  # type: ignore[import-not-found] # lives in an environment of its own
    import polars as pl  # type: ignore[import-not-found] # lives in an environment of its own

    task = asked()
    frame = pl.read_parquet(sorted(Path(task.source).glob("*.parquet")), columns=list(READ))
    failed: dict[str, list[int]] = {}
    try:
        _schema(pa, pl).validate(frame, lazy=True)
    except pa.errors.SchemaErrors as errors:
        failed = _cases(errors, pl)
    answer(
        task,
        checks={
            name: told(
                name not in failed, None, None if name in AGGREGATES else failed.get(name, [0])[0]
            )
            for name in PARTS["all"]
        },
        listed=failed,
    )


def _schema(pa: Any, pl: Any) -> Any:  # noqa: ANN401 - pandera's and polars' modules
    checks: dict[str, list[Any]] = {name: [] for name in READ}
    for column, (low, high) in BOUNDS.items():
        checks[column].append(pa.Check.in_range(low, high, error=f"{column} is in bounds"))
    for column, values in SETS.items():
        checks[column].append(pa.Check.isin(values, error=f"{column} is in its set"))
    for column, pattern in PATTERNS.items():
        checks[column].append(pa.Check.str_matches(pattern, error=f"{column} matches"))
    checks["carrier"].append(
        pa.Check.str_length(CARRIER_LENGTH, CARRIER_LENGTH, error="carrier has its length")
    )
    low, high = MEAN_DISTANCE

    def mean(data: Any) -> bool:  # noqa: ANN401 - pandera's view of a column
        found = data.lazyframe.select(pl.col(data.key).mean()).collect().item()
        return bool(low <= found <= high)

    def count(data: Any) -> bool:  # noqa: ANN401 - pandera's view of a frame
        found = data.lazyframe.select(pl.len()).collect().item()
        return bool(ROW_COUNT[0] <= found <= ROW_COUNT[1])

    def departs(data: Any) -> Any:  # noqa: ANN401 - pandera's view of a column, with its frame
        return data.lazyframe.select(pl.col(data.key) >= pl.col("hour"))

    checks["distance"].append(pa.Check(mean, error="mean of distance"))
    checks["sched_dep_time"].append(pa.Check(departs, error="sched_dep_time is at least hour"))
    return pa.DataFrameSchema(
        {
            column: pa.Column(checks=of_column, nullable=column not in THERE, unique=column == "id")
            for column, of_column in checks.items()
        },
        checks=[pa.Check(count, error="count of rows")],
    )


def _cases(errors: Any, pl: Any) -> dict[str, list[int]]:  # noqa: ANN401 - pandera's errors
    """Return of each check that failed how many rows it lists, and the sum of their numbers."""
    row = pl.col("index").cast(pl.Int64) + 1
    cases = errors.failure_cases.group_by("column", "check").agg(pl.len(), row.sum().alias("rows"))
    return {
        _name(case["column"], case["check"]): [case["len"], case["rows"]]
        for case in cases.to_dicts()
    }


def _name(column: str, check: str) -> str:
    own = {"not_nullable": f"{column} is there", "field_uniqueness": f"{column} is unique"}
    return own.get(check, check)


if __name__ == "__main__":
    main()
