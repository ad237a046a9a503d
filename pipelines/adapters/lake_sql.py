"""DuckDB over the lake: every Delta table under its dotted name, read-only."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.adapters import delta_tables
from pipelines.errors import LakeError, Problem

if TYPE_CHECKING:
    import pyarrow as pa


def query(tables: Mapping[str, Path], statement: str) -> "pa.Table":
    """Answer one statement over views named like the tables, ``silver.flight_delays.weather``.

    Raises LakeError with DuckDB's own words when the statement is wrong.
    """
    import duckdb

    connection = duckdb.connect(":memory:")
    connection.execute("set TimeZone = 'UTC'")
    for name, path in tables.items():
        _create_view(connection, name, path)
    try:
        return connection.sql(statement).to_arrow_table()
    except duckdb.Error as error:
        raise LakeError(
            Problem(
                where="headframe sql",
                expected=f"a query over {', '.join(tables) or 'a lake (it is empty)'}",
                found=str(error).split("\n", 1)[0],
                fix="Correct the query; names are zone.use_case.table.",
            )
        ) from error


def _create_view(connection: "duckdb.DuckDBPyConnection", name: str, path: Path) -> None:  # noqa: F821
    """Create the dotted name: zone (where there are three parts), schema and view."""
    *catalog, schema, view = name.split(".")[-3:]
    prefix = "".join(f'"{part}".' for part in catalog)
    for part in catalog:
        connection.execute(f"attach if not exists ':memory:' as \"{part}\"")
    connection.execute(f'create schema if not exists {prefix}"{schema}"')
    files = ", ".join(delta_tables.quoted(file) for file in delta_tables.files(path))
    source = f"read_parquet([{files}])" if files else "(select null as empty where false)"
    connection.execute(f'create view {prefix}"{schema}"."{view}" as from {source}')
