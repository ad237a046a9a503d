"""One as-of join of the whole table, for scale: each flight with the last weather known at 05:00.

That is the sky of one hour, of one feature's inputs, at one time a flight: not the features.
"""

import sys
from typing import Any

import pyarrow.parquet as pq

from benchmarks.features_home import silver_files, work

FLIGHTS = ["carrier", "flight", "origin", "sched_dep_at"]
WEATHER = ["origin", "known_at", "wind_speed", "visib", "precip"]


def main() -> None:
    """Join with the library named by the third argument; tables lie in memory before it counts."""
    doing, library = work(), sys.argv[3]
    flights = pq.ParquetDataset(silver_files(doing.home, "schedule")).read(columns=FLIGHTS)
    weather = pq.ParquetDataset(silver_files(doing.home, "weather")).read(columns=WEATHER)
    flights, weather = flights.sort_by("sched_dep_at"), weather.sort_by("known_at")
    rows = {"duckdb": _duckdb, "pandas": _pandas, "polars": _polars}[library](
        doing, flights, weather
    )
    doing.tell(rows=rows)


def _duckdb(doing: Any, flights: Any, weather: Any) -> int:  # noqa: ANN401 - as the libraries have it
    import duckdb

    connection = duckdb.connect(":memory:", config={"threads": 1})
    connection.from_arrow(flights).create("flights")
    connection.from_arrow(weather).create("weather")
    with doing.counted():
        joined = connection.sql("""
            select f.*, w.wind_speed, w.visib, w.precip from flights f
            asof left join weather w on f.origin = w.origin
             and date_trunc('day', f.sched_dep_at) + interval 10 hours >= w.known_at
        """).to_arrow_table()
    return int(joined.num_rows)


def _pandas(doing: Any, flights: Any, weather: Any) -> int:  # noqa: ANN401 - as above
    import pandas as pd

    left, right = flights.to_pandas(), weather.to_pandas()
    with doing.counted():
        left["at"] = left["sched_dep_at"].dt.floor("D") + pd.Timedelta(hours=10)
        joined = pd.merge_asof(left, right, left_on="at", right_on="known_at", by="origin")
    return len(joined)


def _polars(doing: Any, flights: Any, weather: Any) -> int:  # noqa: ANN401 - as above
    import polars as pl  # type: ignore[import-not-found] # lives in an environment of its own

    left, right = pl.from_arrow(flights), pl.from_arrow(weather)
    with doing.counted():
        at = (pl.col("sched_dep_at").dt.truncate("1d") + pl.duration(hours=10)).alias("at")
        joined = left.with_columns(at).join_asof(
            right, left_on="at", right_on="known_at", by="origin", check_sortedness=False
        )
    return int(joined.height)


if __name__ == "__main__":
    main()
