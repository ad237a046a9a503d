"""Contract: what a table's rows must be, and which rows are."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import time, timedelta
from functools import reduce
from math import isfinite
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    import pyarrow as pa

COLUMN_TYPES = ("string", "int64", "double", "bool", "date", "timestamp[UTC]")
"""Types a contract may name; each has one Arrow and one Delta type, and no silent cast between."""

KNOWN_AT = "known_at"
STAMPS = (KNOWN_AT, "_file", "_row", "_sha256")
"""Columns Headframe adds to every accepted row: when it was known, and where it came from."""

MAXIMUM_BYTES = 2**32
"""A landed file may hold 4 GiB, packed or not, unless the source says otherwise."""

MAXIMUM_RATIO = 200.0
"""A packed file may hold so many times its size; text packs to a tenth, a bomb to a thousandth."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a contract: its name, its type (one of COLUMN_TYPES), whether it may be empty."""

    name: str
    type: str
    nullable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """Files delivered into ``landing/<use_case>/``: the glob of their paths and how to read them.

    Compression follows from the suffix: ``.gz``, ``.zip`` (one member), ``.zst``, or none.
    ``delimiter``, ``quote`` ("": none, a quotation mark is a letter) and ``encoding`` are those of a
    CSV file. ``maximum_bytes`` bounds one file, as it lies and unpacked; ``maximum_ratio`` bounds
    unpacked bytes per packed byte. A file without a sidecar is taken only once it has not changed
    for ``quiet``; zero trusts that files are renamed into landing when they are whole.
    """

    pattern: str
    format: Literal["csv", "jsonl", "parquet"] = "csv"
    delimiter: str = ","
    quote: str = '"'
    encoding: str = "utf-8"
    maximum_bytes: int = MAXIMUM_BYTES
    maximum_ratio: float = MAXIMUM_RATIO
    quiet: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """The result of an SQL query over a connection, landed as Parquet extracts and then taken in.

    ``connection`` is a name, resolved at run time; a password never stands in a declaration.
    ``watermark`` names a column of the result that grows with each new or changed row: an extract
    holds the rows above the last one's highest. None extracts the whole result every time.
    ``overlap``, in units of the watermark, reads that far back for rows that were committed late;
    those extracted before, unchanged, are left out.
    """

    connection: str
    sql: str
    watermark: str | None = None
    overlap: timedelta | int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeltaFolder:
    """A Delta table that somebody else writes, landed version by version as Parquet extracts.

    ``location`` is a folder or an object-store URL. Versions that only append are extracted alone;
    after any other change the whole table is.
    """

    location: str


Source: TypeAlias = Files | Query | DeltaFolder


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One table of a use case and its contract.

    ``key`` names the columns that identify a row; every accepted version of a key is kept.
    ``event_time`` names the column that says when the row's event happens, where it has one.
    ``arrives_by`` is the local time of day, in ``arrives_timezone``, by which each day's delivery is
    there; ``arrives_every`` the time from one delivery to the next. A delivery that is not there
    ``grace`` after is missing. Neither: the table lands once.
    ``known_at`` names a column that says when each row was known; None: when its file was delivered.
    ``on_new_column`` "ignore" takes a file with unknown columns and records their names.
    ``on_missing_column`` "fill" takes a file without a nullable column and fills it with nulls.
    ``on_changed_column`` "quarantine" sets aside the rows of which a value has another type than its
    column; "refuse" refuses the file at the first such row.
    A file is refused when more than the share ``maximum_quarantined`` in [0, 1] of its rows breaks
    the contract; rows that break a rule of the suite do not count.
    """

    name: str
    source: Source
    columns: Sequence[Column]
    key: Sequence[str]
    event_time: str | None = None
    arrives_by: time | None = None
    arrives_timezone: str = "UTC"
    arrives_every: timedelta | None = None
    grace: timedelta = timedelta(hours=6)
    known_at: str | None = None
    on_new_column: Literal["ignore", "refuse"] = "refuse"
    on_missing_column: Literal["fill", "refuse"] = "refuse"
    on_changed_column: Literal["quarantine", "refuse"] = "quarantine"
    maximum_quarantined: float = 0.2

    @property
    def files(self) -> Files:
        """The landed files of this table; those of a query or a Delta table are its extracts."""
        if isinstance(self.source, Files):
            return self.source
        return Files(pattern=f"{self.name}/*.parquet", format="parquet")

    @property
    def column_names(self) -> tuple[str, ...]:
        """The contract's column names, in declared order."""
        return tuple(column.name for column in self.columns)

    @property
    def types(self) -> dict[str, str]:
        """Column name to contract type."""
        return {column.name: column.type for column in self.columns}


@dataclass(frozen=True, slots=True)
class Conformed:
    """Rows that keep the contract, and the rest with a ``_failed`` list; together all rows given."""

    accepted: "pa.Table"
    rejected: "pa.Table"


def arrow_type(column_type: str) -> "pa.DataType":
    """Return the one Arrow type of a contract type. Raises KeyError for a type not in COLUMN_TYPES."""
    import pyarrow as pa

    return {
        "string": pa.string(),
        "int64": pa.int64(),
        "double": pa.float64(),
        "bool": pa.bool_(),
        "date": pa.date32(),
        "timestamp[UTC]": pa.timestamp("us", tz="UTC"),
    }[column_type]


def arrow_schema(table: Table) -> "pa.Schema":
    """Return the schema of the contract's own columns."""
    import pyarrow as pa

    return pa.schema([pa.field(c.name, arrow_type(c.type)) for c in table.columns])


def silver_schema(table: Table) -> "pa.Schema":
    """Return the schema of the silver table: the contract's columns, then STAMPS."""
    import pyarrow as pa

    stamps = pa.schema(
        [
            (KNOWN_AT, pa.timestamp("us", tz="UTC")),
            ("_file", pa.string()),
            ("_row", pa.int64()),
            ("_sha256", pa.string()),
        ]
    )
    return pa.schema([*arrow_schema(table), *stamps])


def quarantine_schema() -> "pa.Schema":
    """Return the one schema of every quarantine table; ``_payload`` is the raw row as JSON."""
    import pyarrow as pa

    return pa.schema(
        [
            (KNOWN_AT, pa.timestamp("us", tz="UTC")),
            ("_file", pa.string()),
            ("_row", pa.int64()),
            ("_sha256", pa.string()),
            ("_failed", pa.list_(pa.string())),
            ("_payload", pa.string()),
        ]
    )


def conform(rows: "pa.Table", table: Table) -> Conformed:
    """Split typed rows by the contract's own rules: a column that may not be empty is not empty.

    Both parts keep the columns and the order of ``rows``; ``rejected`` adds ``_failed``.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    required = [column.name for column in table.columns if not column.nullable]
    missing = {name: rows[name].is_null() for name in required if rows[name].null_count}
    if not missing:
        nothing = pa.array([], pa.list_(pa.string()))
        return Conformed(rows, rows.slice(0, 0).append_column("_failed", nothing))
    bad = reduce(pc.or_, missing.values())
    rejected = rows.filter(bad)
    masks = {name: mask.filter(bad).to_pylist() for name, mask in missing.items()}
    failed = [
        [f"contract:not_null:{name}" for name, mask in masks.items() if mask[i]]
        for i in range(rejected.num_rows)
    ]
    return Conformed(
        rows.filter(pc.invert(bad)),
        rejected.append_column("_failed", pa.array(failed, pa.list_(pa.string()))),
    )


def as_quarantine(rows: "pa.Table", table: Table) -> "pa.Table":
    """Return stamped rows with ``_failed`` as quarantine rows; the payload is the typed row."""
    import pyarrow as pa

    contract = rows.select(list(table.column_names)).to_pylist()
    payload = pa.array([_as_json(row) for row in contract], pa.string())
    kept = rows.select([*STAMPS, "_failed"]).append_column("_payload", payload)
    return kept.select(quarantine_schema().names).cast(quarantine_schema())


def _as_json(row: dict[str, object]) -> str:
    """Return the row as JSON, which has no word for a number that is not finite: it becomes text."""
    odd = {name: str(v) for name, v in row.items() if isinstance(v, float) and not isfinite(v)}
    return json.dumps({**row, **odd}, default=str)
