"""Staged rows: single rows taken out of staged files, by name."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pipelines.adapters.delta.staged_files import Staging
from pipelines.domain.quality import ROW_KEY
from pipelines.domain.sql_text import read_parquet

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 100_000
"""Rows copied at once from an old file to a new one."""

TAKEN_ROWS = 20_000
"""Rows taken out at once: their caller makes a text of each."""


def take_out(staging: Staging, names: "pa.Table") -> Iterator["pa.Table"]:
    """Remove the rows named by ``_file`` and ``_row`` from every staged file, yielding them in parts.

    Only files that hold such a row are written anew, each once its rows were yielded.
    """
    import duckdb
    import pyarrow as pa

    if not names.num_rows:
        return
    matches = " and ".join(f"staged.{name} = named.{name}" for name in ROW_KEY)
    for file in staging.files():
        with duckdb.connect(":memory:") as connection:
            connection.execute("set TimeZone = 'UTC'")
            connection.register("named", names.select(list(ROW_KEY)))
            source = f"from {read_parquet([file.path])} staged"
            here = f"exists (from named where {matches})"
            count = connection.sql(f"select count(*) {source} where {here}").fetchall()[0][0]
            if not count:
                continue
            for batch in connection.sql(f"{source} where {here}").to_arrow_reader(TAKEN_ROWS):
                rows = pa.Table.from_batches([batch]).select(staging.schema.names)
                yield rows.cast(staging.schema)
            kept = connection.sql(f"{source} where not {here}")
            staging.replace(file, kept.to_arrow_reader(BATCH_ROWS))
