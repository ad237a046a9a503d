"""Query: the result of an SQL query over PostgreSQL, in the database's own types."""

from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeAlias

from pipelines.adapters.databases.postgres_address import address
from pipelines.adapters.databases.postgres_failures import failure_of
from pipelines.adapters.databases.postgres_types import (
    ResultColumn,
    array_of,
    arrow_type,
    read_as_text,
)
from pipelines.domain.contract import Query
from pipelines.domain.header import normal
from pipelines.domain.sql_select import why_not_one_select, without_end
from pipelines.errors import DeclarationError, Problem

if TYPE_CHECKING:
    import pyarrow as pa
    from sqlalchemy import Connection, Engine, Select

BATCH_ROWS = 10_000
"""Rows fetched and held as Python values at once: a hundred columns of them are about 60 MB."""

CONNECT_SECONDS = 10
"""How long a database may take to answer the first call, unless its URL says otherwise."""


Bound: TypeAlias = int | Decimal | datetime | date | str


def extract(
    url: str,
    query: Query,
    *,
    where: str,
    above: str | None,
    write: Callable[["pa.RecordBatch"], None],
) -> str | None:
    """Give every row of the query to ``write``, and return the highest watermark as text.

    One transaction that sees one state of the database and may only read. With a watermark, rows
    come in its order, from ``above`` on where it is given: without it itself, unless ``overlap``
    reads further back. Returns ``above`` where no row is higher, None without a watermark. The first
    batch has no rows: it shows the columns. Nothing is cast: each column has the type in Arrow that
    holds all values of its type in the database.

    Raises DeclarationError for a query that cannot be extracted, SettingsError for a connection that
    cannot be used, ServiceUnavailable where waiting may help. No message has a value of a row, or
    anything of ``url``.
    """
    import psycopg2
    from sqlalchemy.exc import SQLAlchemyError

    if found := why_not_one_select(query.sql):
        raise _wrong(where, "one SELECT, or WITH ... SELECT", found, "Write one query that reads.")
    try:
        return _extract(url, query, where, above, write)
    except (SQLAlchemyError, psycopg2.Error) as error:
        told = failure_of(error, where, query.connection)
    # Raised here, the driver's own error does not hang on it: that one may quote rows and address.
    raise told


def is_below(text: str | None, value: object) -> bool:
    """Tell whether a watermark, as text, is below a value of its column; False where nobody knows.

    Texts are compared by the database, in an order of its own.
    """
    if text is None or isinstance(value, str) or value is None:
        return False
    try:
        if isinstance(value, date):
            return type(value).fromisoformat(text) < value
        return Decimal(text) < Decimal(str(value))
    except (ValueError, ArithmeticError, TypeError):
        return False  # of another type, under an earlier query


def _extract(
    url: str,
    query: Query,
    where: str,
    above: str | None,
    write: Callable[["pa.RecordBatch"], None],
) -> str | None:
    with _engine(url, query.connection).connect() as connection, connection.begin():
        # Texts of times then carry offset +00, whatever the server's own zone.
        connection.exec_driver_sql("set local time zone 'UTC'")
        connection.exec_driver_sql("set local extra_float_digits = 3")  # all of a double
        columns = _columns(connection, query, where)
        read_as_text(connection.connection.dbapi_connection, columns)
        mark = _watermark(columns, query, where)
        low = None if above is None or mark is None else _bound(above, mark, where)
        select = _select(query, columns, mark, low)
        highest = low
        for batch in _batches(connection, select, columns, where):
            if mark is not None and batch.num_rows:
                last = _last(batch.column(mark.name), mark, where)
                highest = last if highest is None or _is_higher(last, highest) else highest
            write(batch)
    return None if highest is None else _text(highest)


def _engine(url: str, name: str) -> "Engine":
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    found = address(url, name, others="cannot be extracted from")
    waits = {} if "connect_timeout" in found.query else {"connect_timeout": CONNECT_SECONDS}
    return create_engine(
        found, poolclass=NullPool, hide_parameters=True, connect_args=waits
    ).execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


def _columns(connection: "Connection", query: Query, where: str) -> list[ResultColumn]:
    """Ask for no rows, and return what each column would be."""
    from sqlalchemy import select, text

    whole = text(_literal(query.sql)).columns().subquery("extracted")
    described = connection.execute(select(text("*")).select_from(whole).limit(0))
    if described.cursor is None:
        raise _wrong(where, "a query with a result", "none", "Write one SELECT.")
    description: Any = described.cursor.description  # SQLAlchemy's type leaves the type id open
    found = [
        ResultColumn(name, kind, arrow_type(kind, precision, scale))
        for name, kind, _, _, precision, scale, _ in description
    ]
    described.close()
    names = [normal(column.name) for column in found]
    for name in sorted({name for name in names if names.count(name) > 1}):
        raise _wrong(where, "each column once", f"{name!r} twice", "Rename one with AS.")
    return found


def _literal(sql: str) -> str:
    """Return ``sql`` as SQLAlchemy takes it for a text without parameters; a comment may end it."""
    return without_end(sql).replace(":", r"\:") + "\n"


def _watermark(columns: Sequence[ResultColumn], query: Query, where: str) -> ResultColumn | None:
    import pyarrow as pa

    if query.watermark is None:
        return None
    mark = next((c for c in columns if normal(c.name) == query.watermark), None)
    if mark is None:
        names = ", ".join(repr(column.name) for column in columns)
        fix = "Select the column, or correct the name."
        raise _wrong(where, f"watermark {query.watermark!r} in the result", names, fix)
    kinds = (pa.types.is_integer, pa.types.is_decimal, pa.types.is_timestamp, pa.types.is_date)
    if not mark.is_text and not any(is_kind(mark.type) for is_kind in kinds):
        fix = "Cast it in the query, or choose a column that is."
        raise _wrong(where, "a watermark that is a number, a time or a text", "another type", fix)
    counted = not mark.is_text and isinstance(query.overlap, timedelta) == mark.is_timely
    if query.overlap is not None and not counted:
        fix = "Correct overlap, or cast the watermark in the query."
        found = f"{query.overlap!r} for a column of type {mark.type}"
        raise _wrong(where, "an overlap in units of the watermark", found, fix)
    return mark


def _bound(text: str, mark: ResultColumn, where: str) -> Bound:
    """Return the watermark that ``_text`` wrote. Raises DeclarationError if it is of another type."""
    import pyarrow as pa

    try:
        if pa.types.is_integer(mark.type):
            return int(text)
        if pa.types.is_decimal(mark.type):
            return Decimal(text)
        if not mark.is_timely:
            return text
        kind = date if pa.types.is_date(mark.type) else datetime
        return kind.fromisoformat(text)
    except (ValueError, ArithmeticError):
        fix = "The column changed its type: change the query's text to extract all rows again."
        found = f"a watermark of type {mark.type}"
        raise _wrong(where, f"one to compare with the last, {text!r}", found, fix) from None


def _text(mark: Bound) -> str:
    return mark.isoformat() if isinstance(mark, date) else str(mark)


def _is_higher(one: Any, other: Any) -> bool:  # noqa: ANN401 - two values of the same Bound
    """Compare as the database does: texts come in its own order, so a later one is higher."""
    return True if isinstance(one, str) else bool(one > other)


def _select(
    query: Query, columns: Sequence[ResultColumn], mark: ResultColumn | None, low: Bound | None
) -> "Select[Any]":
    from sqlalchemy import bindparam, column, or_, select, text

    whole = text(_literal(query.sql)).columns(*[column(c.name) for c in columns])
    extracted = whole.subquery("extracted")
    found = select(*extracted.c)
    if mark is None:
        return found
    marked = extracted.c[mark.name]
    if low is not None:
        start = _before(low, query.overlap)
        value = bindparam("low", start, type_=_sql_type(mark))
        above = marked > value if query.overlap is None else marked >= value
        found = found.where(or_(above, marked.is_(None)))  # an empty watermark is to be seen
    return found.order_by(marked)


def _before(low: Any, overlap: timedelta | int | None) -> Any:  # noqa: ANN401 - a Bound, and its distance
    try:
        return low if overlap is None else low - overlap
    except OverflowError:
        return type(low).min.replace(tzinfo=low.tzinfo) if isinstance(low, datetime) else date.min


def _sql_type(mark: ResultColumn) -> Any:  # noqa: ANN401 - SQLAlchemy's types share no narrower class
    import pyarrow as pa
    import sqlalchemy as sa

    if pa.types.is_integer(mark.type):
        return sa.BigInteger()
    if pa.types.is_decimal(mark.type):
        return sa.Numeric()
    if pa.types.is_date(mark.type):
        return sa.Date()
    if pa.types.is_timestamp(mark.type):
        return sa.DateTime(timezone=mark.type.tz is not None)
    return sa.Text()


def _batches(
    connection: "Connection", select: "Select[Any]", columns: Sequence[ResultColumn], where: str
) -> Iterator["pa.RecordBatch"]:
    import pyarrow as pa

    schema = pa.schema([(column.name, column.type) for column in columns])
    yield pa.RecordBatch.from_pylist([], schema=schema)
    rows = connection.execution_options(stream_results=True, yield_per=BATCH_ROWS).execute(select)
    for part in rows.partitions():
        values = zip(columns, zip(*part, strict=True), strict=True)
        arrays = [_array(cells, column, where) for column, cells in values]
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def _array(cells: Sequence[object], column: ResultColumn, where: str) -> "pa.Array":
    try:
        return array_of(cells, column)
    except ValueError:
        pass
    raise _wrong(
        where,
        f"values of column {column.name!r} that type {column.type} holds",
        "another, such as infinity, NaN, or a year before 1 or after 9999",
        "Cast the column in the query, or leave those rows out of it.",
    )


def _last(marks: "pa.Array", mark: ResultColumn, where: str) -> Bound:
    if marks.null_count:
        raise _wrong(
            where,
            f"a watermark {mark.name!r} in every row",
            "rows without one, which could never be asked for again",
            f"Leave them out of the query (where {mark.name} is not null), or choose another.",
        )
    found: Bound = marks[-1].as_py()
    return found


def _wrong(where: str, expected: str, found: str, fix: str) -> DeclarationError:
    return DeclarationError(_problem(where, expected, found, fix))


def _problem(where: str, expected: str, found: str, fix: str) -> Problem:
    return Problem(where=where, expected=expected, found=found, fix=fix)
