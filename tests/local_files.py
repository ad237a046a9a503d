"""Local files: what a source is given, made from bytes, and what it found, as plain values."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipelines.domain.contract import Table, arrow_schema
from pipelines.domain.delivery import Delivery, Inspected, LocalFile, ParsedFile, ParsedPart

Read = Callable[[LocalFile, Table], ParsedFile]


def local_file(path: Path, content: str | bytes) -> LocalFile:
    """Write the bytes and return them as a file that passed preflight."""
    raw = content.encode() if isinstance(content, str) else content
    path.write_bytes(raw)
    moment = datetime(2026, 3, 1, tzinfo=UTC)
    return LocalFile(
        delivery=Delivery(
            name=path.name,
            path=path,
            size=len(raw),
            mtime_ns=0,
            sha256="0" * 64,
            delivered_at=moment,
        ),
        path=path,
        inspected=Inspected(
            sha256="0" * 64, unpacked_bytes=len(raw), quoted=b'"' in raw, ascii=raw.isascii()
        ),
    )


class Found:
    """All parts of a file, read whole; raises AssertionError where a part breaks the law."""

    def __init__(self, parsed: ParsedFile, table: Table) -> None:
        self.parts: list[ParsedPart] = []
        schema = arrow_schema(table).append(pa.field("_row", pa.int64()))
        for part in parsed.parts:
            tables = (part.rows, part.rejected, part.unparsed)
            assert part.landed == sum(rows.num_rows for rows in tables)
            assert part.rows.schema.equals(schema), part.rows.schema
            self.parts.append(part)
        self.landed = sum(part.landed for part in self.parts)
        self.ignored = tuple(parsed.ignored_columns)

    @property
    def rows(self) -> list[tuple[Any, ...]]:
        """The typed rows, the number of each last."""
        return [tuple(row.values()) for part in self.parts for row in part.rows.to_pylist()]

    @property
    def rejected(self) -> list[tuple[int, list[str], Any]]:
        """Number, reasons and payload of the records with cells that do not fit."""
        return [row for part in self.parts for row in _aside(part.rejected)]

    @property
    def unparsed(self) -> list[tuple[int, list[str], Any]]:
        """Number, reasons and payload of the records that could not be told apart into cells."""
        return [row for part in self.parts for row in _aside(part.unparsed)]


def _aside(rows: pa.Table) -> list[tuple[int, list[str], Any]]:
    return [(row["_row"], row["_failed"], json.loads(row["_payload"])) for row in rows.to_pylist()]
