"""CSV: a strict reader that guesses nothing, and a rescue reader that loses nothing."""

import secrets
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.adapters.landing.preflight import unpacked
from pipelines.adapters.parsing import csv_header
from pipelines.adapters.parsing.csv_records import CsvLayout, all_texts, parse
from pipelines.adapters.parsing.set_aside import (
    as_json,
    cast_texts,
    changed_column,
    nothing,
    rejected,
    unfit,
    unparsed,
)
from pipelines.adapters.parsing.utf8_text import Utf8Text
from pipelines.domain.contract import Files, Table, arrow_schema
from pipelines.domain.delivery import LocalFile, ParsedFile, ParsedPart
from pipelines.domain.header import match_header
from pipelines.errors import FileRefused, Problem

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    Places = np.ndarray[tuple[int], np.dtype[np.int64]]

CHUNK_BYTES = 8 << 20
"""Bytes parsed at once: up to here pyarrow's CPU per row is lowest, and parts are still large."""

LONGEST_RECORD_BYTES = 16 << 20
"""A record, or an open quote, that is longer than this and a chunk refuses the file."""

MOST_TRIES = 2
"""Columns found to have misfits one by one, before all of a chunk is read as text."""

BROKEN = "contract:columns"
"""The reason against a record with another number of columns than the header."""


def read(file: LocalFile, table: Table, *, _chunk_bytes: int = CHUNK_BYTES) -> ParsedFile:
    """Return the file's records in parts, typed as the contract says, or set aside with the reason.

    ``_row`` numbers the records from 1; blank lines are none, unless the file has one column. Raises
    FileRefused when the header is not what the contract says; so does iterating the parts where the
    encoding is another, where a quote never closes, or at a record longer than
    LONGEST_RECORD_BYTES.
    """
    where = f"landing/{file.delivery.name}"
    names, length = csv_header.read(file.path, table.files, where)
    header = match_header(names, table, where)
    layout = CsvLayout(where=where, table=table, names=names, header=header)
    return ParsedFile(
        ignored_columns=header.ignored, parts=_parts(file, layout, length, _chunk_bytes)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Records:
    """Consecutive records as pyarrow read them: ``rows`` (``as_text``: these columns are texts).

    ``broken`` are those with another number of columns: the place among all, and the text.
    """

    rows: "pa.Table"
    as_text: Set[str]
    broken: Sequence[tuple[int, str]]

    @property
    def landed(self) -> int:
        """How many records these are."""
        return int(self.rows.num_rows) + len(self.broken)

    def places(self) -> "Places":
        """Return the place of each row among all records."""
        import numpy as np

        return np.delete(np.arange(self.landed), [place for place, _ in self.broken])


def _parts(file: LocalFile, layout: CsvLayout, skip: int, size: int) -> Iterator[ParsedPart]:
    source, parser = layout.table.files, _Parser(layout)
    quote = source.quote.encode()
    with unpacked(file.path) as stream:
        text = Utf8Text(stream, source.encoding, size)
        try:
            text.skip(skip)
            while text.fill():
                end = text.end if text.is_last else text.likely_end(quote)
                part, end = parser.part(text, end)
                text.drop(end)
                if part and part.landed:
                    yield part
                if not part:
                    _refuse_endless(text, layout)
                    text.widen()
        except UnicodeError:
            raise _other_encoding(source, parser.taken, layout.where) from None


class _Parser:
    """Turns text into parts. Columns with misfits in one chunk are read as text in the next."""

    def __init__(self, layout: CsvLayout) -> None:
        self.taken = 0
        self._layout = layout
        self._suspects: Set[str] = frozenset()
        source = layout.table.files
        self._quote = source.quote.encode()
        # A record of one column too many, which no file can hold: nobody knows its letters before.
        marks = source.delimiter * len(layout.names)
        self._end = f"{secrets.token_hex(16)}{marks}"
        self._closing = f"{source.quote}{self._end}"

    def part(self, text: Utf8Text, end: int) -> tuple[ParsedPart | None, int]:
        """Return the records before ``end``, less a last one that goes on, and where they end.

        None: the first one goes on. Raises FileRefused when a quote is open where the file ends, and
        UnicodeDecodeError when the text is not UTF-8.
        """
        records = self._records(text, end) if end else None
        if not records and text.is_last:
            found = "one that is open where the file ends"
            raise _broken(self._layout.where, "every quote to be closed", found)
        if not records and end:
            end = self._opened_at(text, end)
            records = self._records(text, end) if end else None
        if not records:
            return None, 0
        part = self._divided(records, text, end)
        self.taken += records.landed
        return part, end

    def _records(self, text: Utf8Text, end: int) -> _Records | None:
        """Return the records before ``end``; None when a quote is open there.

        pyarrow would take what follows for one cell, without an error where the columns happen to
        fit. A record of one column too many, put at the end, is seen exactly when no quote is open.
        """
        text.refuse_other_bytes(end)
        suffix = b""
        if text.holds(self._quote, end):
            newline = "" if text.memory[end - 1] == ord("\n") else "\n"
            suffix = f"{newline}{self._end}\n".encode()
        types = self._layout.types
        as_text = self._suspects
        if text.holds_hexadecimal(end):
            as_text = as_text | {name for name, kind in types.items() if kind == "int64"}
        tries = 0
        while True:
            with text.followed_by(suffix, end) as lent:
                rows, broken, misfit = parse(lent, self._layout, as_text)
            if suffix and (not broken or broken.pop()[1] != self._end):
                return None
            if rows is not None:
                return _Records(rows=rows, as_text=as_text, broken=broken)
            tries += 1
            as_text = types.keys() if tries > MOST_TRIES else as_text | {misfit}

    def _opened_at(self, text: Utf8Text, end: int) -> int:
        """Return where the record begins that has a quote open at ``end``."""
        suffix = f"{self._closing}\n".encode()
        with text.followed_by(suffix, end) as lent:
            _, broken, _ = parse(lent, self._layout, self._layout.types.keys())
        return end + len(suffix) - len(f"{broken[-1][1]}\n".encode())

    def _divided(self, records: _Records, text: Utf8Text, end: int) -> ParsedPart:
        """Return the records as typed rows and those set aside."""
        import numpy as np
        import pyarrow as pa

        layout, places = self._layout, records.places()
        numbers = pa.array(places + self.taken + 1)
        columns, misfits = _typed(records, layout)
        self._suspects = records.as_text & misfits.keys()
        rows = pa.Table.from_arrays(
            [*columns, numbers],
            schema=arrow_schema(layout.table).append(pa.field("_row", pa.int64())),
        )
        aside = nothing()
        if misfits:
            if layout.table.on_changed_column == "refuse":
                raise changed_column(layout.where, numbers, misfits, layout.table)
            masks = {name: mask.to_numpy(zero_copy_only=False) for name, mask in misfits.items()}
            bad = np.logical_or.reduce(list(masks.values()))
            texts = _texts(text, end, layout, places[bad], records)
            few = {name: pa.array(mask[bad]) for name, mask in masks.items()}
            aside = rejected(numbers.filter(pa.array(bad)), few, layout.table, as_json(texts))
            rows = rows.filter(pa.array(~bad))
        return ParsedPart(
            landed=records.landed,
            rows=rows,
            rejected=aside,
            unparsed=unparsed(
                [place + self.taken + 1 for place, _ in records.broken],
                [broken for _, broken in records.broken],
                BROKEN,
            )
            if records.broken
            else nothing(),
        )


def _typed(
    records: _Records, layout: CsvLayout
) -> tuple[list["pa.Array"], dict[str, "pa.BooleanArray"]]:
    """Return a value per contract column and row, null where it does not fit, and the misfits."""
    import pyarrow as pa

    columns: list[pa.Array] = []
    misfits: dict[str, pa.BooleanArray] = {}
    for field, (name, kind) in zip(
        arrow_schema(layout.table), layout.table.types.items(), strict=True
    ):
        if name in layout.header.missing:
            columns.append(pa.nulls(records.rows.num_rows, field.type))
            continue
        values = records.rows[name].chunk(0)  # parsed as one block
        if name in records.as_text:
            cast = cast_texts(values, kind)
            values, misfit = cast.values, cast.misfits
        else:
            misfit = unfit(values, kind)
        columns.append(values)
        if misfit is not None:
            misfits[name] = misfit
    return columns, misfits


def _texts(
    text: Utf8Text, end: int, layout: CsvLayout, places: "Places", records: _Records
) -> "pa.Table":
    """Return the cells, as text, of the records at ``places``, of all the file's columns."""
    import numpy as np
    import pyarrow as pa

    ends = text.line_ends(end)
    if ends is not None and len(ends) == records.landed and ends[-1] == end:
        # As many newlines as records, each of which ends with one: the lines are the records.
        starts = np.concatenate([[0], ends[:-1]])[places]
        lines = [text.memory[a:b] for a, b in zip(starts, ends[places], strict=True)]
        rows = all_texts(pa.py_buffer(b"".join(lines)), layout)
    else:
        with text.followed_by(b"", end) as lent:
            rows = all_texts(lent, layout)
        rows = rows.take(pa.array(np.searchsorted(records.places(), places)))
    return rows


def _refuse_endless(text: Utf8Text, layout: CsvLayout) -> None:
    if text.end <= LONGEST_RECORD_BYTES:
        return
    if text.holds(layout.table.files.quote.encode(), text.end):
        found = f"one that is open for more than {LONGEST_RECORD_BYTES} bytes"
        raise _broken(layout.where, "every quote to be closed", found)
    raise _broken(layout.where, "records that can be told apart", "none that can")


def _other_encoding(source: Files, taken: int, where: str) -> FileRefused:
    return _broken(where, f"text in {source.encoding}", f"other bytes behind record {taken}")


def _broken(where: str, expected: str, found: str) -> FileRefused:
    fix = "Deliver the file again in the declared encoding and delimiter, under a new name."
    return FileRefused(Problem(where=where, expected=expected, found=found, fix=fix))
