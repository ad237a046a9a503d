"""Unseen files: one Parquet file of a table, before a commit lets readers see it."""

import json
import uuid
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from pipelines.adapters.stores import object_store
from pipelines.adapters.stores.object_store import Folder
from pipelines.domain.scoring import PartFile

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq


@contextmanager
def unseen(
    table: Folder,
    *,
    bounds: Mapping[str, tuple[datetime, datetime]],
    plain: Collection[str] = (),
    counted: Collection[str] = (),
) -> Iterator["UnseenFile"]:
    """Lend a file of ``table`` that no reader sees; nothing of it stays after an error.

    ``bounds`` are the least and greatest moments of columns that readers leave files out by;
    ``plain`` names columns of fractions with hardly two values alike, ``counted`` those of whole
    numbers and moments, which differ little from row to row: a dictionary of either would cost more
    than it saves. A file for a store is made on this machine and is there when the loan ends.
    """
    if isinstance(table, Path):
        file = UnseenFile(table, bounds, plain, counted)
        try:
            yield file
        except BaseException:
            file.remove()
            raise
        return
    with TemporaryDirectory(prefix="headframe-") as scratch:
        file = UnseenFile(Path(scratch), bounds, plain, counted)
        yield file
        if file.rows:
            object_store.put(file.path, table / file.path.name)


class UnseenFile:
    """One Parquet file that is made when its first row comes."""

    def __init__(
        self,
        folder: Path,
        bounds: Mapping[str, tuple[datetime, datetime]],
        plain: Collection[str],
        counted: Collection[str],
    ) -> None:
        self.path = folder / f"part-{uuid.uuid4()}.parquet"
        self.rows = 0
        self._bounds = bounds
        self._plain = plain
        self._counted = counted
        self._writer: pq.ParquetWriter | None = None

    def write(self, rows: "pa.Table", *, group_rows: int | None = None) -> None:
        """Write rows as one row group, or as several of at most ``group_rows``."""
        import pyarrow.parquet as pq

        if not rows.num_rows:
            return
        if self._writer is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            names, odd = rows.schema.names, {*self._plain, *self._counted}
            packed = [name for name in names if name not in self._plain]
            self._writer = pq.ParquetWriter(
                self.path,
                rows.schema,
                compression={n: "zstd" if n in packed else "snappy" for n in names},
                compression_level=dict.fromkeys(packed, 1),
                use_dictionary=[name for name in names if name not in odd],
                column_encoding=dict.fromkeys(self._counted, "DELTA_BINARY_PACKED"),
                write_statistics=list(self._bounds),
                store_schema=False,
            )
        self._writer.write_table(rows, row_group_size=group_rows or rows.num_rows)
        self.rows += rows.num_rows

    def finish(self) -> tuple[PartFile, ...]:
        """Close the file and return it; nothing where no row came."""
        if self._writer is None:
            return ()
        self._writer.close()
        statistics = {
            "numRecords": self.rows,
            "minValues": {name: low.isoformat() for name, (low, _) in self._bounds.items()},
            "maxValues": {name: high.isoformat() for name, (_, high) in self._bounds.items()},
            "nullCount": dict.fromkeys(self._bounds, 0),
        }
        return (
            PartFile(
                name=self.path.name,
                bytes=self.path.stat().st_size,
                rows=self.rows,
                statistics=json.dumps(statistics),
            ),
        )

    def remove(self) -> None:
        """Remove the file."""
        if self._writer is not None:
            self._writer.close()
        self.path.unlink(missing_ok=True)
