"""Kept tables: Parquet files beside a registered model, read back or refused by name."""

from collections.abc import Sequence
from io import BytesIO
from typing import TYPE_CHECKING

from pipelines.errors import LakeError, Problem

if TYPE_CHECKING:
    import pyarrow as pa


def read(content: bytes, *, where: str, columns: Sequence[str]) -> "pa.Table":
    """Return the table in a Parquet file. Raises LakeError where it is none, or lacks a column."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        found = pq.read_table(BytesIO(content))
    except (pa.ArrowException, OSError) as error:
        raise _damaged(where, f"a file that is none ({type(error).__name__})") from error
    if missing := [name for name in columns if name not in found.column_names]:
        raise _damaged(where, f"a table without {', '.join(missing)}")
    return found


def _damaged(where: str, found: str) -> LakeError:
    return LakeError(
        Problem(
            where=where,
            expected="the Parquet file that was written when the model was registered",
            found=found,
            fix="Restore the artifact store from a backup.",
        )
    )
