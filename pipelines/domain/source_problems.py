"""Source problems: what is wrong with where a table's rows come from, and how they are taken in."""

import codecs
import re
from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import urlsplit

from pipelines.domain.contract import DeltaFolder, Files, Query, Table
from pipelines.domain.sql_select import why_not_one_select
from pipelines.errors import Problem

CONNECTION = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
"""Names of connections: in upper case they end the name of an environment variable."""

WATERMARKS = ("int64", "timestamp[UTC]", "date", "string")
"""Types whose values grow, and can be asked for from a value on."""

OVERLAPS = {"int64": "a whole number", "timestamp[UTC]": "a timedelta", "date": "whole days"}
"""Type of a watermark -> what its overlap is counted in; a text has no distance."""

SCHEMES = ("file", "s3", "s3a", "az", "abfs", "abfss", "gs")
"""URL schemes under which delta-rs finds a table."""

CSV_MARKS = "".join(chr(code) for code in (9, 10, 13, *range(32, 127)))
"""Letters that a CSV encoding must write as ASCII does: lines and cells are told apart by bytes."""


def source_problems(table: Table, where: str) -> Iterator[Problem]:
    """Yield everything that is wrong with the table's source and its policies of taking rows in.

    ``where`` names the table, as messages do.
    """
    if isinstance(table.source, Files):
        yield from _files(table.source, f"{where}, source")
    elif isinstance(table.source, Query):
        yield from _query(table, table.source, f"{where}, source")
    else:
        yield from _delta_folder(table.source, f"{where}, source")
    yield from _known_at(table, where)
    nullable = [c.name for c in table.columns if c.nullable and c.name not in table.key]
    if table.on_missing_column == "fill" and not nullable:
        yield _problem(
            f"{where}, on_missing_column",
            "a nullable column that may be filled",
            "none",
            "Write nullable=True on the columns that may be absent, or on_missing_column='refuse'.",
        )


def _files(source: Files, where: str) -> Iterator[Problem]:
    parts = source.pattern.split("/")
    if not source.pattern.strip() or source.pattern.startswith("/") or ".." in parts:
        yield _problem(
            where,
            "a path inside the landing folder",
            repr(source.pattern),
            "Write it relative to landing/<use case>/.",
        )
    if source.maximum_bytes <= 0:
        yield _above_zero(f"{where}, maximum_bytes", source.maximum_bytes)
    if not source.maximum_ratio > 0:
        yield _above_zero(f"{where}, maximum_ratio", source.maximum_ratio)
    if source.quiet < timedelta(0):
        fix = "Zero takes a file at first sight."
        yield _problem(f"{where}, quiet", "no negative time", str(source.quiet), fix)
    if source.format == "csv":
        yield from _csv(source, where)


def _csv(source: Files, where: str) -> Iterator[Problem]:
    if not _is_mark(source.delimiter):
        fix = "Write the one letter between two cells: ',', ';', '|' or a tab."
        expected = "one ASCII letter that ends no line"
        yield _problem(f"{where}, delimiter", expected, repr(source.delimiter), fix)
    if source.quote and not _is_mark(source.quote):
        fix = "Write quote='\"', or quote='' where quotation marks are letters like others."
        expected = "one ASCII letter that ends no line, or ''"
        yield _problem(f"{where}, quote", expected, repr(source.quote), fix)
    if source.quote == source.delimiter:
        fix = "A letter is either one or the other."
        yield _problem(f"{where}, quote", "another letter than the delimiter", "the same", fix)
    name = _text_encoding(source.encoding)
    if name is None:
        fix = "Use a name that Python knows, such as 'utf-8', 'latin-1' or 'cp1252'."
        yield _problem(f"{where}, encoding", "a text encoding", repr(source.encoding), fix)
    elif not _keeps_ascii(name):
        yield _problem(
            f"{where}, encoding",
            "an encoding in which ASCII letters keep their bytes",
            repr(name),
            "Deliver the files in UTF-8: the CSV reader tells lines and cells apart by their bytes.",
        )


def _is_mark(text: str) -> bool:
    return len(text) == 1 and text.isascii() and text not in "\r\n\0"


def _text_encoding(name: str) -> str | None:
    try:
        "".encode(name)
        return codecs.lookup(name).name
    except (LookupError, ValueError):
        return None


def _keeps_ascii(encoding: str) -> bool:
    try:
        return CSV_MARKS.encode(encoding) == CSV_MARKS.encode("ascii")
    except UnicodeError:
        return False


def _query(table: Table, source: Query, where: str) -> Iterator[Problem]:
    if not CONNECTION.fullmatch(source.connection):
        yield _problem(
            f"{where}, connection",
            "lower-case words joined by single underscores",
            repr(source.connection) if len(source.connection) <= 40 else "a longer text",
            "Name a connection; its address and password stand in HEADFRAME_CONNECTION_<NAME>.",
        )
    if found := why_not_one_select(source.sql):
        yield _problem(
            f"{where}, sql",
            "one SELECT, or WITH ... SELECT",
            found,
            "An extract reads: write one query, and leave changes to the database's owners.",
        )
    if source.watermark is not None:
        yield from _watermark(table, source.watermark, where)
    yield from _overlap(table, source, where)


def _watermark(table: Table, watermark: str, where: str) -> Iterator[Problem]:
    where = f"{where}, watermark"
    column = next((column for column in table.columns if column.name == watermark), None)
    if column is None:
        names = ", ".join(table.column_names)
        yield _problem(
            where,
            f"a column out of {names}",
            repr(watermark),
            "Correct the name, or add the column.",
        )
        return
    if column.nullable:
        yield _problem(
            where,
            "a column that is never empty",
            f"{watermark!r}, which may be",
            "Drop nullable=True: a row without a watermark would never be asked for.",
        )
    if column.type not in WATERMARKS:
        yield _problem(
            where,
            f"a column of type {', '.join(WATERMARKS)}",
            f"{watermark!r} of type {column.type}",
            "Choose a column that grows with each new or changed row.",
        )


def _overlap(table: Table, source: Query, where: str) -> Iterator[Problem]:
    overlap, where = source.overlap, f"{where}, overlap"
    if overlap is None:
        return
    if source.watermark is None:
        fix = "Declare a watermark; without one the whole result is read every time."
        yield _problem(where, "a watermark to count back from", "none", fix)
        return
    kind = table.types.get(source.watermark)
    if kind not in WATERMARKS:
        return  # reported as a wrong watermark
    if kind not in OVERLAPS:
        fix = "Choose a watermark that is a number or a time, or drop overlap."
        yield _problem(where, "none for a text", repr(overlap), fix)
    elif not _fits(overlap, kind):
        yield _problem(
            where,
            f"{OVERLAPS[kind]} above zero for a watermark of type {kind}",
            repr(overlap),
            "It is how far back rows committed late are looked for, in units of the watermark.",
        )


def _fits(overlap: timedelta | int, kind: str) -> bool:
    if isinstance(overlap, timedelta):
        whole = overlap == timedelta(days=overlap.days) or kind != "date"
        return kind != "int64" and overlap > timedelta(0) and whole
    return kind == "int64" and not isinstance(overlap, bool) and overlap > 0


def _delta_folder(source: DeltaFolder, where: str) -> Iterator[Problem]:
    where = f"{where}, location"
    fix = f"Write an absolute path, or a URL that begins with {', '.join(SCHEMES)}."
    if misread := " ".join(sorted(set("%*[]") & set(source.location))):
        letters = "Rename or link the folder: delta-rs would look for it elsewhere."
        yield _problem(where, "none of % * [ ]", misread, letters)
    if source.location.startswith("/"):
        return
    parts = urlsplit(source.location)
    if "://" not in source.location or parts.scheme not in SCHEMES:
        found = f"scheme {parts.scheme!r}" if parts.scheme else "a relative path, or nothing"
        yield _problem(where, "an absolute path or a known URL", found, fix)
    elif parts.password is not None:
        fix = "Set the store's credentials in its environment variables."
        yield _problem(where, "a URL without a password", "one", fix)


def _known_at(table: Table, where: str) -> Iterator[Problem]:
    if table.known_at is None:
        return
    where = f"{where}, known_at"
    column = next((column for column in table.columns if column.name == table.known_at), None)
    if column is None:
        names = ", ".join(table.column_names)
        fix = "Correct the name, or add the column."
        yield _problem(where, f"a column out of {names}", repr(table.known_at), fix)
        return
    if column.nullable:
        fix = "Drop nullable=True: a row that was never known could never be read."
        found = f"{column.name!r}, which may be"
        yield _problem(where, "a column that is never empty", found, fix)
    if column.type != "timestamp[UTC]":
        fix = "Deliver the moment in UTC, or choose another column."
        found = f"{column.name!r} of type {column.type}"
        yield _problem(where, "a column of type timestamp[UTC]", found, fix)


def _above_zero(where: str, found: float) -> Problem:
    return _problem(where, "a number above zero", str(found), "Correct it.")


def _problem(where: str, expected: str, found: str, fix: str) -> Problem:
    return Problem(where=where, expected=expected, found=found, fix=fix)
