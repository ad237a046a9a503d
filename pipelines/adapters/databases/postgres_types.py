"""PostgreSQL types: the columns of a result, and their values in Arrow, whole or not at all."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

INTEGERS, FLOATS, NUMERIC, BOOL, TEXTS = (20, 21, 23), (700, 701), 1700, 16, (25, 1043)
DATE, TIMESTAMP, TIMESTAMP_UTC = 1082, 1114, 1184
"""Object ids of PostgreSQL's types (pg_type.dat); a type that is not here is read as its text."""

AS_DRIVER_READS = (*INTEGERS, *FLOATS, BOOL, *TEXTS)
"""Types of which psycopg2 makes the equal Python value. It would not of dates: 'infinity' becomes
the last day of the year 9999, and an interval of a month thirty days."""


@dataclass(frozen=True, slots=True)
class ResultColumn:
    """One column of the result: its name, PostgreSQL's type, and the Arrow type that holds it whole."""

    name: str
    object_id: int
    type: "pa.DataType"

    @property
    def is_text(self) -> bool:
        """Whether its values are texts in the database too, which compares them in its own order."""
        return self.object_id in TEXTS

    @property
    def is_timely(self) -> bool:
        """Whether its values are dates or times."""
        return self.object_id in (DATE, TIMESTAMP, TIMESTAMP_UTC)


def arrow_type(object_id: int, precision: int | None, scale: int | None) -> "pa.DataType":
    """Return the Arrow type that holds every value of a type of PostgreSQL; else that of its text."""
    import pyarrow as pa

    if object_id in INTEGERS:
        return pa.int64()
    if object_id in FLOATS:
        return pa.float64()
    if (
        object_id == NUMERIC
        and 0 < (precision or 0) <= 38
        and 0 <= (scale or 0) <= (precision or 0)
    ):
        return pa.decimal128(precision, scale or 0)
    return {
        BOOL: pa.bool_(),
        DATE: pa.date32(),
        TIMESTAMP: pa.timestamp("us"),
        TIMESTAMP_UTC: pa.timestamp("us", tz="UTC"),
    }.get(object_id, pa.string())


def read_as_text(connection: Any, columns: Sequence[ResultColumn]) -> None:  # noqa: ANN401 - psycopg2 has no types
    """Let psycopg2 hand over the text that PostgreSQL sends, where it would make something else."""
    from psycopg2.extensions import new_type, register_type

    others = tuple({c.object_id for c in columns} - set(AS_DRIVER_READS))
    if others:
        kind = new_type(others, "TEXT_AS_SENT", lambda value, _: value)
        register_type(kind, connection)


def array_of(cells: Sequence[object], column: ResultColumn) -> "pa.Array":
    """Return the values of one column. Raises ValueError, without one of them, where one does not fit."""
    import pyarrow as pa

    try:
        if column.is_timely or column.object_id == NUMERIC:
            return pa.array(cells, pa.string()).cast(column.type)
        if column.object_id == FLOATS[0]:  # a float of 4 bytes, exactly, not its shortest decimal
            return pa.array(cells, pa.float32()).cast(column.type)
        return pa.array(cells, column.type)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        pass
    raise ValueError(f"a value that type {column.type} cannot hold")
