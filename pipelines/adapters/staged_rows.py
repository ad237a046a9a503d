"""Staged rows: single rows taken out of staged files, by name."""

from typing import TYPE_CHECKING

from pipelines.adapters import delta_tables
from pipelines.adapters.staged_files import Staging
from pipelines.domain.quality import ROW_KEY

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 100_000
"""Rows copied at once from an old file to a new one."""


def take_out(staging: Staging, names: "pa.Table") -> "pa.Table":
    """Remove the rows named by ``_file`` and ``_row`` from every staged file, and return them.

    Only files that hold such a row are written anew.
    """
    import duckdb
    import pyarrow as pa

    matches = " and ".join(f"staged.{name} = named.{name}" for name in ROW_KEY)
    taken = [staging.schema.empty_table()]
    if not names.num_rows:
        return taken[0]
    for file in staging.files():
        with duckdb.connect(":memory:") as connection:
            connection.execute("set TimeZone = 'UTC'")
            connection.register("named", names.select(list(ROW_KEY)))
            source = f"from read_parquet({delta_tables.quoted(str(file.path))}) staged"
            found = connection.sql(
                f"{source} where exists (from named where {matches}) order by _file, _row"
            ).to_arrow_table()
            if not found.num_rows:
                continue
            taken.append(found.select(staging.schema.names).cast(staging.schema))
            kept = connection.sql(f"{source} where not exists (from named where {matches})")
            staging.replace(file, kept.to_arrow_reader(BATCH_ROWS))
    return pa.concat_tables(taken)
