"""DuckDB over the lake: every Delta table under its dotted name, read-only."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pipelines.adapters.delta import datasets, delta_tables, partitions
from pipelines.adapters.stores.object_store import Folder, StoreUrl
from pipelines.adapters.stores.store_outages import REQUEST, outage
from pipelines.domain.sql_text import read_parquet
from pipelines.errors import LakeError, Problem

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

READING = "SELECT"
"""The one kind of statement that changes nothing; DuckDB counts DESCRIBE and SUMMARIZE as it."""


def query(tables: Mapping[str, Folder], statement: str) -> "pa.Table":
    """Answer one statement over views named like the tables, ``silver.flight_delays.weather``.

    Raises LakeError with DuckDB's own words when the statement is wrong, and for any that is not a
    question, before it runs.
    """
    import duckdb

    with duckdb.connect(":memory:") as connection:
        connection.execute("set TimeZone = 'UTC'")
        for name, path in tables.items():
            _create_view(connection, name, path)
        try:
            kinds = [found.type.name for found in duckdb.extract_statements(statement)]
            if kinds != [READING]:
                raise _wrong(tables, ", ".join(kinds) or "nothing")
            return connection.sql(statement).to_arrow_table()
        except duckdb.Error as error:
            stores = [path.root for path in tables.values() if isinstance(path, StoreUrl)]
            if stores and REQUEST in str(error):
                raise outage(stores[0], str(error)) from None
            raise _wrong(tables, str(error).split("\n", 1)[0]) from error


def _create_view(connection: "duckdb.DuckDBPyConnection", name: str, path: Folder) -> None:
    """Create the dotted name: zone (where there are three parts), schema and view."""
    *catalog, schema, view = name.split(".")[-3:]
    prefix = "".join(f'"{part}".' for part in catalog)
    for part in catalog:
        connection.execute(f"attach if not exists ':memory:' as \"{part}\"")
    connection.execute(f'create schema if not exists {prefix}"{schema}"')
    if isinstance(path, StoreUrl) or partitions.are_in(path):
        # DuckDB reads a store only with an extension that it downloads, and of a partitioned table
        # the files do not hold every column, so delta-rs reads for it.
        source = f"files of {name}"
        connection.register(source, datasets.dataset(path))
        connection.execute(f'create view {prefix}"{schema}"."{view}" as from "{source}"')
    elif files := delta_tables.files(path):
        source = read_parquet(files)
        connection.execute(f'create view {prefix}"{schema}"."{view}" as from {source}')
    else:
        connection.register("no_rows", delta_tables.schema(path).empty_table())
        connection.execute(f'create table {prefix}"{schema}"."{view}" as from no_rows')
        connection.unregister("no_rows")


def _wrong(tables: Mapping[str, Folder], found: str) -> LakeError:
    return LakeError(
        Problem(
            where="headframe sql",
            expected=f"one query over {', '.join(tables) or 'a lake (it is empty)'}",
            found=found,
            fix="Correct the query; names are zone.use_case.table.",
        )
    )
