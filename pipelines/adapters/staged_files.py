"""Staged files: Parquet inside a table's folder that no reader sees until it is committed."""

import json
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.adapters.schema_gate import refuse_other_schema

if TYPE_CHECKING:
    import pyarrow as pa

BOUNDED = "known_at"
"""The column whose bounds a commit keeps, so that a reader at an ``as_of`` can skip files."""


@dataclass(frozen=True, slots=True)
class StagedFile:
    """One staged file; ``statistics`` is the Delta log's JSON about its rows."""

    path: Path
    rows: int
    statistics: str


class Staging:
    """Staged files of one table; those not committed are removed by ``discard``."""

    def __init__(self, table: Path, file_schema: "pa.Schema") -> None:
        self._table = table
        self._schema = file_schema
        self._files: list[StagedFile] = []

    def write(self, rows: "pa.Table") -> StagedFile:
        """Write one file of rows and return it; raises LakeError for another schema."""
        import pyarrow.parquet as pq

        refuse_other_schema(self._table, rows.schema, self._schema)
        self._table.mkdir(parents=True, exist_ok=True)
        path = self._table / f"part-{uuid.uuid4()}.parquet"
        staged = StagedFile(path, rows.num_rows, _statistics(rows))
        self._files.append(staged)
        pq.write_table(rows, path, compression="zstd", compression_level=1)
        return staged

    def discard(self, committed: Collection[str]) -> None:
        """Remove every staged file whose name is not among ``committed``."""
        for staged in self._files:
            if staged.path.name not in committed:
                staged.path.unlink(missing_ok=True)
        self._files.clear()


def _statistics(rows: "pa.Table") -> str:
    import pyarrow.compute as pc

    found: dict[str, object] = {"numRecords": rows.num_rows}
    if BOUNDED in rows.column_names and rows.num_rows:
        bounds = pc.min_max(rows[BOUNDED]).as_py()
        found["minValues"] = {BOUNDED: bounds["min"].isoformat()}
        found["maxValues"] = {BOUNDED: bounds["max"].isoformat()}
        found["nullCount"] = {BOUNDED: rows[BOUNDED].null_count}
    return json.dumps(found)
