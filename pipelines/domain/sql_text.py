"""SQL text: names, values and files as DuckDB reads them, and moments as delta-rs does."""

from collections.abc import Iterable
from datetime import UTC, date, datetime


def quoted(name: str) -> str:
    """Return a column's name as SQL.

    >>> print(quoted('order "by" id'))
    "order ""by"" id"
    """
    return '"' + name.replace('"', '""') + '"'


def literal(value: object) -> str:
    """Return a value as SQL of its own type; a moment without a time zone is in UTC.

    Text stays untyped, so that DuckDB reads it as the type it is compared with. Raises TypeError
    for a value of any other type.

    >>> literal("it's"), literal(1.5), literal(date(2013, 1, 2))
    ("'it''s'", "'1.5'::DOUBLE", "DATE '2013-01-02'")
    """
    if value is None:
        return "NULL"
    if isinstance(value, bool | int):
        return str(value).upper()
    if isinstance(value, float):
        return f"'{value!r}'::DOUBLE"
    if isinstance(value, datetime):
        return f"{'TIMESTAMP' if value.tzinfo is None else 'TIMESTAMPTZ'} '{value.isoformat(' ')}'"
    if isinstance(value, date):
        return f"DATE '{value.isoformat()}'"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    raise TypeError(f"no SQL for a value of type {type(value).__name__}")


def read_parquet(files: Iterable[object]) -> str:
    """Return Parquet files, of which there is at least one, as a relation.

    >>> read_parquet(["a.parquet", "it's.parquet"])
    "read_parquet(['a.parquet', 'it''s.parquet'])"
    """
    return f"read_parquet([{', '.join(literal(str(file)) for file in files)}])"


def delta_moment(moment: datetime) -> str:
    """Return a moment with an offset as a literal of a predicate that delta-rs is given.

    Its plain literal is one of nanoseconds: refused where rows are replaced, and none after 2262.
    """
    return f"arrow_cast('{moment.isoformat()}', 'Timestamp(Microsecond, Some(\"UTC\"))')"


def typed(value: object, column_type: str) -> object:
    """Return a JSON value as one of a contract's type; a moment without a time zone is in UTC.

    A missing value is of every type. Raises ValueError for a value that no such column can hold.

    >>> typed("2013-01-02T03:00:00", "timestamp[UTC]")
    datetime.datetime(2013, 1, 2, 3, 0, tzinfo=datetime.timezone.utc)
    """
    if value is None:
        return None
    if isinstance(value, str) and column_type == "date":
        return date.fromisoformat(value)
    if isinstance(value, str) and column_type == "timestamp[UTC]":
        moment = datetime.fromisoformat(value)
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    if isinstance(value, bool):
        fits = column_type == "bool"
    elif isinstance(value, int | float):
        fits = column_type in ("int64", "double")
    else:
        fits = isinstance(value, str) and column_type == "string"
    if not fits:
        raise ValueError(f"a {type(value).__name__} is no {column_type}")
    return value
