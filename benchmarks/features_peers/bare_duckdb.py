"""The floor: a loop over scoring times in DuckDB, as one would write it by hand for this data.

No version of a row ever supersedes another here, so what was known is a filter; nothing is checked,
nothing is written, no edition is kept.
"""

import hashlib
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa

from benchmarks.features_home import blocks, declared, silver_files, work
from pipelines.domain.features import rows_digest

if TYPE_CHECKING:
    from pathlib import Path

    from pipelines.use_case import TrainedUseCase

KEY = "flight_date, carrier, flight, origin, sched_dep_time"


class Known:
    """What the feature function asks of the platform: to run a query."""

    def __init__(self, connection: "duckdb.DuckDBPyConnection") -> None:
        self.sql = connection.sql


def load(home: "Path", parts: "TrainedUseCase") -> "duckdb.DuckDBPyConnection":
    """Read the silver tables into memory, and lay the labels out once."""
    connection = duckdb.connect(":memory:", config={"threads": 1})
    connection.execute("set TimeZone = 'UTC'")
    for table in parts.features.tables:
        connection.read_parquet(silver_files(home, table.name)).create(f"all_{table.name}")
    final = parts.label.final_after / timedelta(seconds=1)
    connection.execute(f"""
        create table all_labels as
        select {KEY}, s.sched_dep_at as event_time, {parts.label.rule} as late,
               s.sched_dep_at + to_seconds({final}) as final_at, a.known_at, s.known_at as asked_at
        from all_arrivals a join all_schedule s using ({KEY})
    """)  # noqa: S608 - the declaration's own rule
    return connection


def describe(
    connection: "duckdb.DuckDBPyConnection", parts: "TrainedUseCase", at: datetime, until: datetime
) -> pa.Table:
    """Return the features of one scoring time, sorted by key."""
    then, end = (f"timestamptz '{moment.isoformat()}'" for moment in (at, until))
    for table in parts.features.tables:
        connection.execute(f"""
            create or replace temp view {table.name} as
            select * from all_{table.name} where known_at <= {then}
        """)  # noqa: S608 - constants
    connection.execute(f"""
        create or replace temp view labels as select {KEY}, event_time, late from all_labels
        where final_at <= {then} and known_at <= final_at and late is not null
          and asked_at <= {then}
    """)  # noqa: S608 - constants
    connection.execute(f"""
        create or replace temp view asked as select * from schedule
        where sched_dep_at >= {then} and sched_dep_at < {end}
    """)  # noqa: S608 - constants
    described = parts.features.function(Known(connection))  # type: ignore[arg-type] # its one method
    return described.order(KEY).to_arrow_table()


def main() -> None:
    """Describe every scoring time from tables in memory."""
    doing, parts = work(), declared()
    asked = blocks(parts)
    connection = load(doing.home, parts)
    with doing.counted():
        made = [(at, describe(connection, parts, at, until)) for at, until in asked]
    digest = hashlib.sha256()
    for at, rows in made:
        digest.update(rows_digest(_as_headframe(rows, connection, parts, at)).encode())
    doing.tell(rows=sum(rows.num_rows for _, rows in made), digest=digest.hexdigest())


def _as_headframe(
    rows: pa.Table, connection: "duckdb.DuckDBPyConnection", parts: "TrainedUseCase", at: datetime
) -> pa.Table:
    """Return the rows with the two columns that Headframe adds, to compare all of them."""
    connection.register("described", rows)
    key = list(parts.features.entity.key)
    rest = ", ".join(f"d.{name}" for name in rows.column_names if name not in key)
    return connection.sql(f"""
        select {KEY}, timestamptz '{at.isoformat()}' as as_of, s.sched_dep_at as event_time, {rest}
        from described d join all_schedule s using ({KEY}) order by {KEY}
    """).to_arrow_table()  # noqa: S608 - constants


if __name__ == "__main__":
    main()
