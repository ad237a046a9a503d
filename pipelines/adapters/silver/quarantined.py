"""Quarantined rows: counted by reason, shown to their owner, and named for a replay."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pipelines.adapters.delta import delta_tables
from pipelines.domain.contract import KNOWN_AT, quarantine_schema

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from pipelines.adapters.stores.object_store import Folder

NAME = ("_sha256", "_row")
"""Columns that name a row for good: the bytes it stood in, and its number."""


def counted(quarantine: "Folder") -> "pa.Table":
    """Return rows, files, oldest and newest delivered-at per reason, the most frequent first.

    A row with two reasons counts for each.
    """
    with _opened(quarantine, ["_file", KNOWN_AT, "_failed"]) as connection:
        return connection.sql(f"""
            select reason, count(*) as rows, count(distinct _file) as files,
                min({KNOWN_AT}) as oldest, max({KNOWN_AT}) as newest
            from (select unnest(_failed) as reason, _file, {KNOWN_AT} from quarantined)
            group by reason order by rows desc, reason
        """).to_arrow_table()  # noqa: S608 - a constant


def shown(
    quarantine: "Folder", *, file: str = "", reason: str = "", limit: int | None = None
) -> "pa.Table":
    """Return quarantined rows by file and number: those of a file, those set aside for a reason."""
    with _opened(quarantine, quarantine_schema().names) as connection:
        return connection.sql(
            f"""
            select {KNOWN_AT}, _file, _row, _sha256, _failed, _payload from quarantined
            where ($file = '' or _file = $file)
                and ($reason = '' or list_contains(_failed, $reason))
            order by _file, _row limit $limit
            """,  # noqa: S608 - a constant
            params={"file": file, "reason": reason, "limit": limit},
        ).to_arrow_table()


def names(quarantine: "Folder") -> "pa.Table":
    """Return ``_file``, ``_sha256`` and ``_row`` of every quarantined row."""
    columns = ["_file", "_sha256", "_row"]
    if not delta_tables.exists(quarantine):
        return quarantine_schema().empty_table().select(columns)
    return delta_tables.read(quarantine, columns=columns)


def among(named: "pa.Table", table: "Folder") -> "pa.Table":
    """Return ``_sha256`` and ``_row`` of those rows of ``named`` that ``table`` holds too."""
    if not named.num_rows or not delta_tables.exists(table):
        return named.slice(0, 0).select(NAME)
    with _opened(table, NAME) as connection:
        connection.register("named", named)
        found = connection.sql(
            "select distinct _sha256, _row from quarantined semi join named using (_sha256, _row)"
        ).to_arrow_table()
    return found.cast(named.select(NAME).schema)


@contextmanager
def _opened(
    table: "Folder", columns: "list[str] | tuple[str, ...]"
) -> Iterator["duckdb.DuckDBPyConnection"]:
    """Lend an engine that sees the rows as ``quarantined``, once."""
    import duckdb

    with duckdb.connect(":memory:", config={"threads": 1}) as connection:
        connection.execute("set TimeZone = 'UTC'")
        reader = (
            delta_tables.read_batches(table, columns=columns)
            if delta_tables.exists(table)
            else quarantine_schema().empty_table().select(columns).to_reader()
        )
        connection.register("quarantined", reader)
        yield connection
