"""Staged files: Parquet that no reader of a table sees until it is committed."""

import json
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.adapters.delta.schema_gate import refuse_other_schema

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

BOUNDED = "known_at"
"""The column whose bounds a commit keeps, so that a reader at an ``as_of`` can skip files."""

REPEATED = ("_file", "_sha256")
"""Columns that hold one value for all rows of a delivery: staged as dictionaries, which is cheap."""

COUNTED = ("_row",)
"""Columns that count up."""

HELD_BYTES = 32 << 20
"""Rows of one delivery held in memory; a larger delivery gets files of its own."""

GROUP_BYTES = 48 << 20
"""Arrow bytes of one Parquet row group."""

FILE_BYTES = 1 << 30
"""Arrow bytes after which the next file begins; about 250 MB of Parquet."""


@dataclass(frozen=True, slots=True)
class StagedFile:
    """One staged file; ``statistics`` is the Delta log's JSON about its rows.

    ``published`` is the set, shared by the files of one staging, of the names that were committed.
    """

    path: Path
    rows: int
    statistics: str
    published: set[str] = field(default_factory=set, compare=False, repr=False)


class Staging:
    """Rows of one table on their way into it, delivery by delivery, in bounded memory.

    Small deliveries share files; the rows of a refused delivery are dropped. ``see`` is called with
    each row group that is written. Files that are not committed are removed by ``discard``.
    """

    def __init__(self, folder: Path, file_schema: "pa.Schema") -> None:
        self.folder = folder
        self.schema = file_schema
        self.see: Callable[[pa.Table], None] | None = None
        self.shared = FileWriter(self)
        self.published: set[str] = set()
        self._files: list[StagedFile] = []
        self._replaced: list[Path] = []

    @contextmanager
    def delivery(self) -> Iterator["StagedDelivery"]:
        """Lend a place for the rows of one delivery; an error inside drops all of them."""
        delivery = StagedDelivery(self)
        try:
            yield delivery
        except BaseException:
            delivery.drop()
            raise
        self._files += delivery.keep()

    def write(self, rows: "pa.Table") -> None:
        """Add rows of deliveries that were accepted before."""
        with self.delivery() as delivery:
            delivery.add(rows)

    def files(self) -> list[StagedFile]:
        """Finish every file that holds rows, and return them; more rows go into new files."""
        self._files += self.shared.close()
        self.shared = FileWriter(self)
        return list(self._files)

    def replace(self, old: StagedFile, batches: "pa.RecordBatchReader") -> None:
        """Put other rows in the place of a finished file; with none it is gone."""
        import pyarrow as pa

        see, self.see = self.see, None
        writer = FileWriter(self)
        for batch in batches:
            writer.write(pa.Table.from_batches([batch]))
        self.see = see
        self._files.remove(old)
        self._files += writer.close()
        self._replaced.append(old.path)

    def discard(self, committed: Collection[str]) -> None:
        """Remove every staged file that is neither known as published nor among ``committed``.

        A published one stays whatever became of it since: earlier versions of the table hold it.
        """
        self.shared.abandon()
        for path in [*self._replaced, *(staged.path for staged in self._files)]:
            if path.name not in self.published and path.name not in committed:
                path.unlink(missing_ok=True)
        self._files.clear()
        self._replaced.clear()


class StagedDelivery:
    """The rows of one delivery: held in memory while they are few, then in files of their own."""

    def __init__(self, staging: Staging) -> None:
        self._staging = staging
        self._held: list[pa.Table] = []
        self._held_bytes = 0
        self._own: FileWriter | None = None

    def add(self, rows: "pa.Table") -> None:
        """Add rows; raises LakeError for another schema than the table's."""
        schema = _as_text(rows.schema)
        refuse_other_schema(self._staging.folder, schema, self._staging.schema)
        if not rows.num_rows:
            return
        self._held.append(rows)
        self._held_bytes += rows.nbytes
        if self._held_bytes > HELD_BYTES:
            self._own = self._own or FileWriter(self._staging)
            self._move(self._own)

    def keep(self) -> list[StagedFile]:
        """Count the rows in; return the delivery's own files, if it has any."""
        self._move(self._own or self._staging.shared)
        return self._own.close() if self._own else []

    def drop(self) -> None:
        """Forget the rows."""
        self._held.clear()
        if self._own:
            self._own.abandon()

    def _move(self, writer: "FileWriter") -> None:
        for rows in self._held:
            writer.write(rows)
        self._held.clear()


class FileWriter:
    """Rows into files of a bounded size, in row groups of a bounded size."""

    def __init__(self, staging: Staging) -> None:
        self._staging = staging
        self._waiting: list[pa.Table] = []
        self._waiting_bytes = 0
        self._open: pq.ParquetWriter | None = None
        self._path = staging.folder
        self._bytes = 0
        self._rows = 0
        self._bounds: list[pa.Scalar] = []
        self._finished: list[StagedFile] = []

    def write(self, rows: "pa.Table") -> None:
        """Add rows of the staging's schema."""
        self._waiting.append(rows)
        self._waiting_bytes += rows.nbytes
        if self._waiting_bytes >= GROUP_BYTES:
            self._write_group()
        if self._bytes >= FILE_BYTES:
            self._finish()

    def close(self) -> list[StagedFile]:
        """Write what waits, and return every file."""
        self._write_group()
        self._finish()
        return self._finished

    def abandon(self) -> None:
        """Remove every file."""
        self._waiting.clear()
        if self._open:
            self._open.close()
            self._path.unlink(missing_ok=True)
        for staged in self._finished:
            staged.path.unlink(missing_ok=True)
        self._finished.clear()

    def _write_group(self) -> None:
        import pyarrow as pa
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        if not self._waiting:
            return
        schema = _as_written(self._staging.schema)
        rows = pa.concat_tables([rows.cast(schema) for rows in self._waiting]).unify_dictionaries()
        self._waiting.clear()
        self._waiting_bytes = 0
        if self._staging.see:
            self._staging.see(rows)
        if self._open is None:
            self._staging.folder.mkdir(parents=True, exist_ok=True)
            self._path = self._staging.folder / f"part-{uuid.uuid4()}.parquet"
            # A row's number has no two alike: a dictionary of them would cost more than it saves.
            self._open = pq.ParquetWriter(
                self._path,
                schema,
                compression="zstd",
                compression_level=1,
                use_dictionary=[name for name in schema.names if name not in COUNTED],
                column_encoding=dict.fromkeys(
                    [name for name in COUNTED if name in schema.names], "DELTA_BINARY_PACKED"
                ),
                write_statistics=[name for name in schema.names if name == BOUNDED],
                store_schema=False,
            )
        self._open.write_table(rows, row_group_size=rows.num_rows)
        self._rows += rows.num_rows
        self._bytes += rows.nbytes
        if BOUNDED in rows.column_names:
            self._bounds += pc.min_max(rows[BOUNDED]).values()

    def _finish(self) -> None:
        if self._open is None:
            return
        self._open.close()
        self._open = None
        found: dict[str, object] = {"numRecords": self._rows}
        if moments := [bound.as_py() for bound in self._bounds if bound.is_valid]:
            found["minValues"] = {BOUNDED: min(moments).isoformat()}
            found["maxValues"] = {BOUNDED: max(moments).isoformat()}
            found["nullCount"] = {BOUNDED: 0}
        self._finished.append(
            StagedFile(self._path, self._rows, json.dumps(found), self._staging.published)
        )
        self._bytes, self._rows, self._bounds = 0, 0, []


def _as_written(schema: "pa.Schema") -> "pa.Schema":
    import pyarrow as pa

    repeated = pa.dictionary(pa.int32(), pa.string())
    return pa.schema([f.with_type(repeated) if f.name in REPEATED else f for f in schema])


def _as_text(schema: "pa.Schema") -> "pa.Schema":
    import pyarrow as pa

    return pa.schema(
        [f.with_type(f.type.value_type) if pa.types.is_dictionary(f.type) else f for f in schema]
    )
