"""Flights: the columns of the benchmark's files, and facts that every true copy of them shares."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

KEY = "id"

COLUMNS = {
    KEY: "int64",
    **dict.fromkeys(("year", "month", "day"), "int64"),
    "dep_time": "int64",
    "sched_dep_time": "int64",
    "dep_delay": "int64",
    "arr_time": "int64",
    "sched_arr_time": "int64",
    "arr_delay": "int64",
    "carrier": "string",
    "flight": "int64",
    **dict.fromkeys(("tailnum", "origin", "dest"), "string"),
    **dict.fromkeys(("air_time", "distance", "hour", "minute"), "int64"),
    "time_hour": "timestamp[UTC]",
    "fare": "double",
}
"""Column to contract type, in the order of the files."""

NULLABLE = ("dep_time", "dep_delay", "arr_time", "arr_delay", "tailnum", "air_time")
"""Columns that are empty where a flight was cancelled or diverted."""

FACTS = {
    "rows": "count(*)",
    "ids": "sum(id)",
    "dates": "sum(year * 10000 + month * 100 + day)",
    "times": "sum(sched_dep_time + sched_arr_time + hour + minute)",
    "departed": "sum(dep_time + dep_delay)",
    "arrived": "sum(arr_time + arr_delay + air_time)",
    "landed": "count(arr_delay)",
    "text": "sum(length(carrier || origin || dest))",
    "tailnums": "count(tailnum)",
    "distances": "sum(flight + distance)",
    "hours": "sum(cast(epoch(time_hour) as bigint))",
    "cents": "sum(cast(round(fare * 100) as bigint))",
}
"""Name to DuckDB aggregate: equal numbers mean that no cell was lost, moved or turned."""


def arrow_schema() -> "pa.Schema":
    """Return the Arrow schema of the files' rows."""
    import pyarrow as pa

    types = {
        "int64": pa.int64(),
        "double": pa.float64(),
        "string": pa.string(),
        "timestamp[UTC]": pa.timestamp("us", tz="UTC"),
    }
    return pa.schema([(name, types[kind]) for name, kind in COLUMNS.items()])


def facts_of(relation: str, where: str = "true") -> str:
    """Return the SQL that computes FACTS over a DuckDB relation, as integers."""
    listed = ", ".join(f"cast({sql} as bigint) as {name}" for name, sql in FACTS.items())
    return f"select {listed} from {relation} where {where}"  # noqa: S608 - no outside text
