"""A CSV file read whole: bytes and a table in, all its parts put together out."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipelines.adapters.sources import csv
from pipelines.domain.contract import Table, arrow_schema
from pipelines.domain.delivery import Delivery, Inspected, LocalFile

ASIDE = pa.schema(
    [("_row", pa.int64()), ("_failed", pa.list_(pa.string())), ("_payload", pa.string())]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """All parts of a file, one after the other."""

    landed: int
    rows: pa.Table
    rejected: pa.Table
    unparsed: pa.Table
    ignored_columns: tuple[str, ...]
    parts: int

    def values(self) -> list[tuple[Any, ...]]:
        """Return the rows with their numbers, as Python has them."""
        return [tuple(row.values()) for row in self.rows.to_pylist()]


def local_file(path: Path) -> LocalFile:
    """Return a file as landing hands it to a source."""
    delivered_at = datetime(2026, 3, 1, tzinfo=UTC)
    delivery = Delivery(
        name=path.name, path=path, size=0, mtime_ns=0, sha256="0" * 64, delivered_at=delivered_at
    )
    content = path.read_bytes()
    inspected = Inspected(
        sha256="0" * 64,
        unpacked_bytes=len(content),
        quoted=b'"' in content,
        ascii=content.isascii(),
    )
    return LocalFile(delivery=delivery, path=path, inspected=inspected)


def read_whole(path: Path, table: Table, chunk_bytes: int = csv.CHUNK_BYTES) -> Found:
    """Read every part, and require of each what the source promises."""
    parsed = csv.read(local_file(path), table, _chunk_bytes=chunk_bytes)
    parts = list(parsed.parts)
    landed = 0
    schema = arrow_schema(table).append(pa.field("_row", pa.int64()))
    for part in parts:
        tables = (part.rows, part.rejected, part.unparsed)
        numbers = [n for records in tables for n in records["_row"].to_pylist()]
        assert sorted(numbers) == list(range(landed + 1, landed + part.landed + 1))
        assert part.rows.schema.equals(schema)
        assert part.rejected.schema.equals(ASIDE)
        assert part.unparsed.schema.equals(ASIDE)
        for records in tables:
            records.validate(full=True)
        landed += part.landed
    return Found(
        landed=landed,
        rows=pa.concat_tables([schema.empty_table(), *(part.rows for part in parts)]),
        rejected=pa.concat_tables([ASIDE.empty_table(), *(part.rejected for part in parts)]),
        unparsed=pa.concat_tables([ASIDE.empty_table(), *(part.unparsed for part in parts)]),
        ignored_columns=tuple(parsed.ignored_columns),
        parts=len(parts),
    )


def set_aside(records: pa.Table) -> list[tuple[int, list[str], Any]]:
    """Return number, reasons and payload of records that were set aside."""
    return [
        (row["_row"], row["_failed"], json.loads(row["_payload"])) for row in records.to_pylist()
    ]
