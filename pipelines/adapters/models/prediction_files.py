"""Prediction files: rows of the prediction tables on their way into files that no reader sees yet."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, TypeAlias

from pipelines.adapters.delta import unseen_files
from pipelines.adapters.delta.unseen_files import UnseenFile
from pipelines.adapters.stores.object_store import Folder
from pipelines.domain.scoring import PartFile

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    Value: TypeAlias = str | datetime | np.ndarray | pa.Array | None

GROUP_ROWS = 1 << 18
"""Rows of one row group; as many are held in memory."""

SAME = ("scored_for", "as_of")
"""Moments that are the same in (nearly) all rows of a file."""


@contextmanager
def prediction_file(
    table: Folder, schema: "pa.Schema", *, scored_for: datetime
) -> Iterator["PredictionFile"]:
    """Lend a file for rows of one scoring time; nothing of it stays after an error."""
    import pyarrow as pa

    bounds = {"scored_for": (scored_for, scored_for)}
    plain, counted = [], []
    for field in schema:
        if field.name in SAME:
            continue
        if pa.types.is_floating(field.type):
            plain.append(field.name)
        elif pa.types.is_integer(field.type) or pa.types.is_temporal(field.type):
            counted.append(field.name)
    with unseen_files.unseen(table, bounds=bounds, plain=plain, counted=counted) as file:
        yield PredictionFile(file, schema)


class PredictionFile:
    """Rows of a schema, gathered into row groups of one file."""

    def __init__(self, file: UnseenFile, schema: "pa.Schema") -> None:
        self._file = file
        self._schema = schema
        self._waiting: list[pa.Table] = []
        self._rows = 0

    def add(self, rows: "pa.Table", more: "Mapping[str, Value]") -> None:
        """Add rows; columns of ``more`` come beside theirs: an array, or one value for all."""
        import pyarrow as pa

        if not rows.num_rows:
            return
        columns = [
            _column(more[field.name], field, rows.num_rows)
            if field.name in more
            else rows.column(field.name)
            for field in self._schema
        ]
        self._waiting.append(pa.Table.from_arrays(columns, names=self._schema.names))
        self._rows += rows.num_rows
        if self._rows >= GROUP_ROWS:
            self._write()

    def finish(self) -> tuple[PartFile, ...]:
        """Close the file and return it; nothing where no row came."""
        self._write()
        return self._file.finish()

    def _write(self) -> None:
        import pyarrow as pa

        if self._waiting:
            rows = pa.concat_tables(self._waiting).unify_dictionaries()
            self._file.write(rows)
            self._waiting.clear()
            self._rows = 0


def _column(value: "Value", field: "pa.Field", rows: int) -> "pa.Array":
    """Return a column: an array as it is, or one value for all rows, which takes hardly any room."""
    import numpy as np
    import pyarrow as pa

    if isinstance(value, np.ndarray):
        return pa.array(value, field.type)
    if isinstance(value, pa.Array | pa.ChunkedArray):
        return value
    if value is None:
        return pa.nulls(rows, field.type)
    if pa.types.is_string(field.type):
        codes = pa.array(np.zeros(rows, dtype=np.int32))
        return pa.DictionaryArray.from_arrays(codes, pa.array([value], field.type))
    return pa.repeat(pa.scalar(value, field.type), rows)
