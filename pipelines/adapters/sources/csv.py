"""CSV: a strict reader that guesses nothing, and a rescue reader that loses nothing."""

import codecs
import csv
import difflib
import io
import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pipelines.adapters.landing import opened
from pipelines.domain.contract import Table, arrow_schema
from pipelines.domain.delivery import Delivery, ParsedFile
from pipelines.errors import FileRefused, Problem

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.csv as pa_csv

BLOCK_BYTES = 16 << 20
"""Bytes parsed at once; also the longest line."""

PADDING = " \t"
"""What pyarrow's CSV reader strips from a number or a date, and from nothing else."""

BOOLEANS = ("0", "1", "false", "False", "FALSE", "true", "True", "TRUE")
"""What pyarrow's CSV reader takes for a bool; its cast from text takes more."""


MOST_NAMES_SHOWN = 20
"""Columns of a wrong header shown in a message, and letters of each: it may be a row of data."""


def read(delivery: Delivery, table: Table) -> ParsedFile:
    """Return every record of the file, typed as the contract says, or set aside with its reason.

    ``_row`` numbers the records from 1; blank lines are none, unless the file has one column. Raises
    FileRefused when encoding, header or quotes are not what the contract says.
    """
    import pyarrow as pa

    with opened(delivery.path) as stream:
        raw = stream.read()
    _refuse_other_encoding(raw, delivery, table)
    header, ignored = _header(raw, delivery, table)
    _refuse_open_quote(raw, header, delivery, table)
    try:
        typed = _strict(raw, header, table)
    except pa.ArrowInvalid:
        return _rescue(raw, header, ignored, delivery, table)
    empty = _set_aside([], [], [])
    return ParsedFile(
        landed=typed.num_rows,
        rows=typed.append_column("_row", pa.arange(1, typed.num_rows + 1)),
        rejected=empty,
        unparsed=empty,
        ignored_columns=ignored,
    )


def _refuse_other_encoding(raw: bytes, delivery: Delivery, table: Table) -> None:
    decoder = codecs.getincrementaldecoder(table.source.encoding)()
    for start in range(0, len(raw), BLOCK_BYTES):
        end = start + BLOCK_BYTES
        try:
            decoder.decode(raw[start:end], final=end >= len(raw))
        except UnicodeDecodeError as error:
            line = raw.count(b"\n", 0, start + error.start) + 1
            expected = f"text in {table.source.encoding}"
            raise _broken(delivery, expected, f"other bytes in line {line}") from None


def _header(raw: bytes, delivery: Delivery, table: Table) -> tuple[list[str], tuple[str, ...]]:
    """Return the file's columns and those the contract ignores; order is free."""
    stream = io.BytesIO(raw)
    stream.seek(len(codecs.BOM_UTF8) if raw.startswith(codecs.BOM_UTF8) else 0)
    text = io.TextIOWrapper(stream, table.source.encoding, newline="")
    try:
        lines = csv.reader(text, delimiter=table.source.delimiter)
        header = next((names for names in lines if names), [])
    except csv.Error:
        raise _broken(delivery, "a header line", "none that can be read") from None
    found = []
    for name in sorted({name for name in header if header.count(name) > 1}):
        found.append((f"column {name!r} once", f"it {header.count(name)} times"))  # noqa: PERF401 - reads as the next loop does
    for column in table.columns:
        if column.name not in header:
            near = difflib.get_close_matches(column.name, header, n=1)
            hint = f" (did the source rename it to {near[0]!r}?)" if near else ""
            found.append((f"column {column.name!r}", f"columns {_shown(header)}{hint}"))
    new = tuple(name for name in header if name not in table.types)
    if new and table.on_new_column == "refuse":
        found.append(("no other columns than the contract's", f"also {_shown(new)}"))
    if found:
        fix = f"Rename at the source, or change the contract of table {table.name!r}."
        where = f"landing/{delivery.name}"
        raise FileRefused(*(Problem(where=where, expected=e, found=f, fix=fix) for e, f in found))
    return header, new


def _shown(names: Sequence[str]) -> str:
    more = ", ..." if len(names) > MOST_NAMES_SHOWN else ""
    return ", ".join(repr(name[:MOST_NAMES_SHOWN]) for name in names[:MOST_NAMES_SHOWN]) + more


def _refuse_open_quote(raw: bytes, header: list[str], delivery: Delivery, table: Table) -> None:
    """Raise FileRefused when a quote opens and never closes: it would swallow the rows after it.

    pyarrow takes all that follows for one cell, without an error where the columns happen to fit.
    A record of one column too many, put at the end, is seen exactly when no quote is open there.
    """
    import pyarrow as pa
    import pyarrow.csv as pa_csv

    encoding, delimiter = table.source.encoding, table.source.delimiter
    if '"'.encode(encoding) not in raw:
        return
    end = delimiter.join(["end"] * (len(header) + 1))
    last = ""

    def remember(row: "pa_csv.InvalidRow") -> str:
        nonlocal last
        last = row.text
        return "skip"

    first = pa_csv.ConvertOptions(include_columns=header[:1], column_types={header[0]: pa.binary()})
    try:
        _parse(raw + f"{end}\n".encode(encoding), header, table, first, remember)
    except pa.ArrowInvalid:
        last = ""
    if last != end:
        raise _broken(delivery, "every quote to be closed", "one that is open where the file ends")


def _strict(raw: bytes, header: list[str], table: Table) -> "pa.Table":
    """Parse with explicit types; any value that does not fit raises, nothing is guessed."""
    import pyarrow.csv as pa_csv

    schema = arrow_schema(table)
    options = pa_csv.ConvertOptions(
        column_types=dict(zip(schema.names, schema.types, strict=True)),
        include_columns=schema.names,
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    return _parse(raw, header, table, options).combine_chunks()


def _rescue(
    raw: bytes, header: list[str], ignored: tuple[str, ...], delivery: Delivery, table: Table
) -> ParsedFile:
    """Read all as text, cast cell by cell, and set aside the records that do not fit."""
    import pyarrow as pa
    import pyarrow.csv as pa_csv

    broken: list[tuple[int, str]] = []

    def set_aside(row: "pa_csv.InvalidRow") -> str:
        broken.append((row.number - 1, row.text))  # pyarrow counts the header
        return "skip"

    options = pa_csv.ConvertOptions(
        column_types=dict.fromkeys(header, pa.string()),
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    try:
        texts = _parse(raw, header, table, options, set_aside)
    except pa.ArrowInvalid:
        raise _broken(delivery, "records that can be told apart", "none that can") from None
    landed = texts.num_rows + len(broken)
    skipped = {number for number, _ in broken}
    numbers = pa.array([n for n in range(1, landed + 1) if n not in skipped], pa.int64())
    columns: dict[str, pa.Array] = {}
    failures: dict[int, list[str]] = {}
    for field in arrow_schema(table):
        columns[field.name], misfits = _cast(texts[field.name].combine_chunks(), field.type)
        for index in misfits:
            failures.setdefault(index, []).append(f"contract:type:{field.name}:{field.type}")
    bad = pa.array(sorted(failures), pa.int64())
    good = pa.array([index not in failures for index in range(texts.num_rows)], pa.bool_())
    return ParsedFile(
        landed=landed,
        rows=pa.table(columns).append_column("_row", numbers).filter(good),
        rejected=_set_aside(
            numbers.take(bad).to_pylist(),
            [failures[index] for index in sorted(failures)],
            [json.dumps(row) for row in texts.take(bad).to_pylist()],
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
    header: list[str],
    table: Table,
    convert: "pa_csv.ConvertOptions",
    invalid_row: "Callable[[pa_csv.InvalidRow], str] | None" = None,
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
            # The empty line of a file with one column is a record: its value is missing.
            ignore_empty_lines=len(header) > 1,
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
    if pa.types.is_boolean(kind):
        known = pc.is_in(texts, value_set=pa.array([*BOOLEANS, None], pa.string()))
        misfits = pc.indices_nonzero(pc.invert(known)).to_pylist()
    else:
        if not pa.types.is_timestamp(kind):
            texts = pc.utf8_trim(texts, PADDING)
        misfits = _misfits(texts, kind, 0)
    if misfits:
        lost = pc.is_in(pa.arange(0, len(texts)), value_set=pa.array(misfits, pa.int64()))
        texts = pc.if_else(lost, pa.scalar(None, pa.string()), texts)
    return texts.cast(kind), misfits


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


def _set_aside(numbers: list[int], reasons: list[list[str]], payloads: Sequence[str]) -> "pa.Table":
    import pyarrow as pa

    return pa.table(
        {
            "_row": pa.array(numbers, pa.int64()),
            "_failed": pa.array(reasons, pa.list_(pa.string())),
            "_payload": pa.array(payloads, pa.string()),
        }
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
