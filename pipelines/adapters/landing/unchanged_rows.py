"""Unchanged rows: those of a new extract that earlier extracts of the table hold just so."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.domain.sql_text import quoted, read_parquet

if TYPE_CHECKING:
    import pyarrow as pa

MEMORY = "512MB"
"""What a comparison may hold; the rest goes to a temporary folder."""


def same_columns(one: Path, other: Path) -> bool:
    """Tell whether two extracts have the same columns, in names, order and types."""
    import pyarrow.parquet as pq

    return bool(pq.read_schema(one).equals(pq.read_schema(other), check_metadata=False))


def first_value(path: Path, column: str) -> object:
    """Return the value of ``column`` in the first row of an extract; None without rows."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=1, columns=[column]):
            return batch.column(0)[0].as_py()
    return None


def same_rows(one: Path, other: Path) -> bool:
    """Tell whether two extracts of the same columns hold the same rows, each as often."""
    with _connected() as connection:
        return all(
            not connection.sql(
                f"select 1 from (from {read_parquet([left])} except all from {read_parquet([right])}) limit 1"  # noqa: S608 - paths are quoted
            ).fetchall()
            for left, right in ((one, other), (other, one))
        )


def changed(new: Path, earlier: Sequence[Path], identity: Sequence[str]) -> "pa.Array":
    """Return the positions of the rows of ``new`` that say something new, in order.

    ``earlier`` are extracts of the same columns, oldest first. Rows that agree in ``identity`` are
    one thing; it is unchanged where the last of ``earlier`` that holds it has all these rows, just
    so and as often. Of a thing that changed all rows are returned. What was there and came back
    after it had been something else is a change. Empty values are equal to each other.
    """
    import pyarrow as pa

    if not earlier:
        return pa.arange(0, _count(new))
    names = ", ".join(quoted(name) for name in identity)
    same = " and ".join(f"n.{quoted(c)} is not distinct from o.{quoted(c)}" for c in identity)
    # A thing is looked for only from the lowest watermark of the new rows on: it stands last.
    first, last = read_parquet([new]), quoted(identity[-1])
    known = " union all ".join(
        f"select *, {number} as _extract from {read_parquet([path])} "  # noqa: S608 - names and paths are quoted
        f"where {last} >= (select min({last}) from {first})"
        for number, path in enumerate(earlier)
    )
    with _connected() as connection:
        found = connection.sql(f"""
            with known as materialized ({known}),
            newest as (
                select * exclude (_extract) from known
                qualify _extract = max(_extract) over (partition by {names})
            ),
            different as (
                select distinct {names} from (
                    select *, count(*) as _times from {first} group by all
                    except
                    select *, count(*) as _times from newest group by all
                )
            )
            select n.file_row_number as position
            from (select *, file_row_number from {first}) n
            semi join different o on {same}
            order by position
        """).to_arrow_table()  # noqa: S608 - names and paths are quoted
    return found["position"].combine_chunks()


def copy_rows(path: Path, positions: "pa.Array", write: Callable[["pa.RecordBatch"], None]) -> None:
    """Give the rows at ``positions`` (ascending) to ``write``, after a batch without rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        write(pa.RecordBatch.from_pylist([], schema=file.schema_arrow))
        wanted, start, taken = positions.to_numpy(), 0, 0
        for batch in file.iter_batches():
            end = start + batch.num_rows
            until = int(wanted.searchsorted(end))
            if until > taken:
                write(batch.take(pa.array(wanted[taken:until] - start)))
            start, taken = end, until


def _count(path: Path) -> int:
    import pyarrow.parquet as pq

    return int(pq.read_metadata(path).num_rows)


@contextmanager
def _connected() -> Iterator[Any]:
    import duckdb

    with tempfile.TemporaryDirectory() as spill:
        settings = {"threads": 1, "memory_limit": MEMORY, "temp_directory": spill}
        with duckdb.connect(":memory:", config=settings) as connection:
            connection.execute("set TimeZone = 'UTC'; set enable_progress_bar = false")
            yield connection
