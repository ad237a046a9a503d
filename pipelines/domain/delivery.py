"""Delivery: one landed file, when it was delivered, and its rows as a source reads them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.errors import Problem

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspected:
    """What one streaming read of a landed file found, before any row was parsed.

    ``sha256`` is of the bytes as they lie; ``unpacked_bytes`` counts them after decompression.
    ``quoted`` tells whether a quotation mark is among the unpacked bytes, ``ascii`` whether all of
    them are below 128.
    """

    sha256: str
    unpacked_bytes: int
    quoted: bool
    ascii: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One landed file: where it lies, its bytes' identity, and when it was delivered (UTC).

    ``name`` is the path below the use case's landing folder; it is what messages and rows carry.
    ``mtime_ns`` is the modification time of the file whose bytes were hashed; in an object store,
    where ``path`` is a URL, it is a number made of the object's etag.
    """

    name: str
    path: Path
    size: int
    mtime_ns: int
    sha256: str
    delivered_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalFile:
    """A delivery whose bytes lie in a local file and passed preflight: ready to be parsed."""

    delivery: Delivery
    path: Path
    inspected: Inspected


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedPart:
    """Consecutive records of one file. ``landed`` counts them; every one is in one of the tables.

    ``rows`` are typed contract columns plus ``_row``; ``rejected`` (cells that do not fit) and
    ``unparsed`` (records that cannot be told apart into cells) have ``_row``, ``_failed`` (reasons)
    and ``_payload`` (raw record as JSON). ``_row`` numbers the file's records from 1.
    """

    landed: int
    rows: "pa.Table"
    rejected: "pa.Table"
    unparsed: "pa.Table"


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedFile:
    """A file whose header keeps the contract; its records come in parts, in order, read lazily.

    ``ignored_columns`` is complete once every part was read: records may bring names of their own.
    Iterating ``parts`` raises FileRefused where the file turns out to be broken as a whole.
    """

    ignored_columns: Sequence[str]
    parts: Iterator[ParsedPart]


def landed_problem(name: str, expected: str, found: str, fix: str) -> Problem:
    """Return what is wrong with a landed file, named by its path below the landing folder."""
    return Problem(where=f"landing/{name}", expected=expected, found=found, fix=fix)
