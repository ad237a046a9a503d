"""Repeated rows: what landed files told again, which silver counts and does not keep."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipelines.adapters import lake
from pipelines.adapters.landing import landing
from pipelines.adapters.lineage.taken_files import TakenFile
from pipelines.adapters.settings import Settings
from pipelines.adapters.silver.intake import READERS, conformed
from pipelines.domain.contract import KNOWN_AT, Table, silver_schema
from pipelines.domain.sql_text import quoted

if TYPE_CHECKING:
    import pyarrow as pa


def repeated_rows(
    settings: Settings,
    use_case: str,
    table: Table,
    held: "pa.Table",
    files: Sequence[TakenFile],
) -> "pa.Table":
    """Return the rows of ``files`` that repeat a row of ``held``, as silver would hold them.

    Without the file whose row silver holds, silver would hold one of these. Only files that some
    commit counted repeats of are read again. Raises FileRefused, naming them, for those that are
    gone from landing.
    """
    import pyarrow as pa

    again = [file.name for file in files if file.law.repeated]
    found = [silver_schema(table).empty_table()]
    if not again:
        return found[0]
    seen_index = lake.ledger(settings, "landed_files")
    deliveries = landing.known(settings.landing, use_case, seen_index, again)
    for delivery in deliveries.values():
        with landing.local_file(delivery, table.files) as file:
            for part in READERS[table.files.format](file, table).parts:
                told, _ = conformed(part, delivery, table)
                found.append(_told_before(told, held, table).cast(found[0].schema))
    return pa.concat_tables(found)


def _told_before(told: "pa.Table", held: "pa.Table", table: Table) -> "pa.Table":
    """Return the rows of a file that equal one of another file, or another of its own."""
    import duckdb

    same = " and ".join(
        f"h.{quoted(name)} is not distinct from t.{quoted(name)}"
        for name in (*table.column_names, KNOWN_AT)
    )
    with duckdb.connect(":memory:", config={"threads": 1}) as connection:
        connection.execute("set TimeZone = 'UTC'")
        connection.register("told", told)
        connection.register("held", held)
        return connection.sql(f"""
            select t.* from told t where exists (select 1 from held h where {same})
            and (_sha256, _row) not in (select (_sha256, _row) from held)
        """).to_arrow_table()  # noqa: S608 - names come from the declaration
