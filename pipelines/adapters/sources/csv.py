"""CSV: a strict reader that guesses nothing, and a rescue reader that loses nothing."""

import csv
import difflib
import io
import json
from typing import TYPE_CHECKING

from pipelines.adapters.landing import opened
from pipelines.domain.contract import Table, arrow_schema
from pipelines.domain.delivery import Delivery, ParsedFile
from pipelines.errors import FileRefused, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pyarrow as pa
    import pyarrow.csv as pa_csv

BLOCK_BYTES = 16 << 20
"""Bytes parsed at once; also the longest line."""


def read(delivery: Delivery, table: Table) -> ParsedFile:
    """Return every record of the file, typed as the contract says, or set aside with its reason.

    Raises FileRefused when the header breaks the contract or too large a share of the rows does.
    """
    import pyarrow as pa

    with opened(delivery.path) as stream:
        raw = stream.read()
    header, ignored = _header(raw, delivery, table)
    try:
        typed = _strict(raw, table)
    except (pa.ArrowInvalid, UnicodeDecodeError):
        return _rescue(raw, header, ignored, delivery, table)
    empty = _set_aside([], [], [])
    return ParsedFile(
        landed=typed.num_rows,
        rows=typed.append_column("_row", pa.array(range(1, typed.num_rows + 1), pa.int64())),
        rejected=empty,
        unparsed=empty,
        ignored_columns=ignored,
    )


def _header(raw: bytes, delivery: Delivery, table: Table) -> tuple[list[str], tuple[str, ...]]:
    """Return the file's columns and those the contract ignores; order is free."""
    try:
        first = raw[: raw.index(b"\n")].decode(table.source.encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise _broken(delivery, f"text in {table.source.encoding}", "other bytes") from error
    header = next(csv.reader([first.rstrip("\r")], delimiter=table.source.delimiter), [])
    problems = []
    for name in sorted({name for name in header if header.count(name) > 1}):
        problems.append((f"column {name!r} once", f"it {header.count(name)} times"))
    for column in table.columns:
        if column.name not in header:
            near = difflib.get_close_matches(column.name, header, n=1)
            hint = f" (did the source rename it to {near[0]!r}?)" if near else ""
            problems.append((f"column {column.name!r}", f"the file has {header}{hint}"))
    new = tuple(name for name in header if name not in table.types)
    if new and table.on_new_column == "refuse":
        problems.append(("no other columns than the contract's", f"also {list(new)}"))
    if problems:
        fix = f"Rename at the source, or change the contract of table {table.name!r}."
        where = f"landing/{delivery.name}"
        raise FileRefused(
            *(Problem(where=where, expected=e, found=f, fix=fix) for e, f in problems)
        )
    return header, new


def _strict(raw: bytes, table: Table) -> "pa.Table":
    """Parse with explicit types; any value that does not fit raises, nothing is guessed."""
    import pyarrow.csv as pa_csv

    schema = arrow_schema(table)
    parsed = _parse(
        raw,
        table,
        pa_csv.ConvertOptions(
            column_types=dict(zip(schema.names, schema.types, strict=True)),
            include_columns=list(schema.names),
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
    return parsed.combine_chunks()


def _rescue(
    raw: bytes, header: list[str], ignored: tuple[str, ...], delivery: Delivery, table: Table
) -> ParsedFile:
    """Read all as text, cast cell by cell, and set aside the records that do not fit."""
    import pyarrow as pa
    import pyarrow.csv as pa_csv

    broken: list[tuple[int, str]] = []

    def set_aside(row: "pa_csv.InvalidRow") -> str:
        broken.append((row.number - 1, row.text))
        return "skip"

    try:
        texts = _parse(
            raw,
            table,
            pa_csv.ConvertOptions(
                column_types=dict.fromkeys(header, pa.string()),
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
            set_aside,
        )
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:
        raise _broken(delivery, "records that can be told apart", "none that can") from error
    landed = texts.num_rows + len(broken)
    skipped = {number for number, _ in broken}
    numbers = pa.array([n for n in range(1, landed + 1) if n not in skipped], pa.int64())
    schema = arrow_schema(table)
    columns, failures = {}, {}
    for field in schema:
        columns[field.name], misfits = _cast(texts[field.name].combine_chunks(), field.type)
        for index in misfits:
            failures.setdefault(index, []).append(f"contract:type:{field.name}:{field.type}")
    good = pa.array([i not in failures for i in range(texts.num_rows)], pa.bool_())
    bad = sorted(failures)
    payloads = [json.dumps(row) for row in texts.take(bad).to_pylist()] if bad else []
    _refuse_too_many(len(bad) + len(broken), landed, delivery, table)
    rows = pa.table(columns, schema=schema).append_column("_row", numbers)
    return ParsedFile(
        landed=landed,
        rows=rows.filter(good),
        rejected=_set_aside(
            numbers.take(bad).to_pylist(), [failures[index] for index in bad], payloads
        ),
        unparsed=_set_aside(
            [number for number, _ in broken],
            [["contract:columns"] for _ in broken],
            [json.dumps({"line": text}) for _, text in broken],
        ),
        ignored_columns=ignored,
    )


def _parse(
    raw: bytes,
    table: Table,
    convert: "pa_csv.ConvertOptions",
    invalid_row: object = None,
) -> "pa.Table":
    import pyarrow.csv as pa_csv

    return pa_csv.read_csv(
        io.BytesIO(raw),
        read_options=pa_csv.ReadOptions(
            block_size=BLOCK_BYTES, use_threads=False, encoding=table.source.encoding
        ),
        parse_options=pa_csv.ParseOptions(
            delimiter=table.source.delimiter,
            newlines_in_values=True,
            invalid_row_handler=invalid_row,
        ),
        convert_options=convert,
    )


def _cast(texts: "pa.Array", kind: "pa.DataType") -> tuple["pa.Array", list[int]]:
    """Cast texts as the strict reader would; return values (null where none fits) and misfits."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_string(kind):
        return texts, []
    trimmed = pc.utf8_trim_whitespace(texts)
    misfits = _misfits(trimmed, kind, 0)
    if misfits:
        keep = pa.array([i not in set(misfits) for i in range(len(trimmed))], pa.bool_())
        trimmed = pc.if_else(keep, trimmed, pa.scalar(None, pa.string()))
    return trimmed.cast(kind), misfits


def _misfits(texts: "pa.Array", kind: "pa.DataType", offset: int) -> list[int]:
    """Return the indices that cannot be cast, by halving: cheap where few are bad."""
    import pyarrow as pa

    try:
        texts.cast(kind)
    except pa.ArrowInvalid:
        if len(texts) == 1:
            return [offset]
        half = len(texts) // 2
        return _misfits(texts[:half], kind, offset) + _misfits(texts[half:], kind, offset + half)
    return []


def _set_aside(
    numbers: "Iterable[int]", reasons: list[list[str]], payloads: list[str]
) -> "pa.Table":
    import pyarrow as pa

    return pa.table(
        {
            "_row": pa.array(list(numbers), pa.int64()),
            "_failed": pa.array(reasons, pa.list_(pa.string())),
            "_payload": pa.array(payloads, pa.string()),
        }
    )


def _refuse_too_many(bad: int, landed: int, delivery: Delivery, table: Table) -> None:
    if bad > table.maximum_quarantined * landed:
        raise FileRefused(
            Problem(
                where=f"landing/{delivery.name}",
                expected=f"at most {table.maximum_quarantined:.0%} of its rows to break the contract",
                found=f"{bad} of {landed}",
                fix="It is the file that is wrong: mend the source and deliver it under a new name.",
            )
        )


def _broken(delivery: Delivery, expected: str, found: str) -> FileRefused:
    return FileRefused(
        Problem(
            where=f"landing/{delivery.name}",
            expected=expected,
            found=found,
            fix="Deliver the file again in the declared encoding and delimiter, under a new name.",
        )
    )
