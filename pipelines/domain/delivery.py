"""Delivery: one landed file and when it was delivered."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One landed file: where it lies, its bytes' identity, and when it was delivered (UTC).

    ``name`` is the path below the use case's landing folder; it is what messages and rows carry.
    ``mtime_ns`` is the modification time of the file whose bytes were hashed.
    """

    name: str
    path: Path
    size: int
    mtime_ns: int
    sha256: str
    delivered_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedFile:
    """The rows of one delivery. ``landed`` counts its data records; every one is in one part.

    ``rows`` are typed contract columns plus ``_row``; ``rejected`` and ``unparsed`` have ``_row``,
    ``_failed`` (reasons) and ``_payload`` (raw record as JSON).
    """

    landed: int
    rows: "pa.Table"
    rejected: "pa.Table"
    unparsed: "pa.Table"
    ignored_columns: tuple[str, ...]
