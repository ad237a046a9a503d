"""JSON lines: a strict reader of one object a line, which guesses nothing and loses no line."""

import codecs
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, TYPE_CHECKING

from pipelines.adapters.landing.preflight import unpacked
from pipelines.adapters.parsing.json_lines import (
    NO_OBJECT,
    Judged,
    Shape,
    array_of,
    column_of,
    decoded,
    judged,
    shape_of,
    typed,
)
from pipelines.adapters.parsing.set_aside import changed_column, unparsed
from pipelines.domain.contract import Table, arrow_schema
from pipelines.domain.delivery import LocalFile, ParsedFile, ParsedPart
from pipelines.domain.header import match_header
from pipelines.errors import FileRefused, Problem

if TYPE_CHECKING:
    import pyarrow as pa

PART_BYTES = 16 << 20
"""Text in one part."""

LONGEST_LINE = 16 << 20
"""Bytes of the longest line; it is held whole."""

BLOCK_BYTES = 256 << 10
"""Text decoded at once: its records stay in a processor's cache, which saves a third of the CPU."""

MOST_IGNORED = 1000
"""Names of ignored keys remembered; where there are more, keys are data and not columns."""


def read(file: LocalFile, table: Table) -> ParsedFile:
    """Return every record of the file, typed as the contract says, or set aside with its reason.

    ``_row`` numbers the lines from 1; blank lines are no records. A key that a record lacks is a
    null. A column that no record has is a missing one: it refuses the file, at its end, unless it
    may be filled. An unknown key that is not ignored sets its record aside, not the file.
    ``ignored_columns`` grows while the parts are read.
    """
    ignored: list[str] = []
    return ParsedFile(
        ignored_columns=ignored,
        parts=_Records(file, table, ignored).parts(),
    )


class _Records:
    """The records of one file on their way into parts."""

    def __init__(self, file: LocalFile, table: Table, ignored: list[str]) -> None:
        import pyarrow as pa

        self._file = file
        self._table = table
        self._schema = arrow_schema(table).append(pa.field("_row", pa.int64()))
        self._where = f"landing/{file.delivery.name}"
        self._ignored = ignored
        self._spelled = {name: name for name in table.column_names}
        self._shape: Shape | None = None
        self._unseen = set(table.column_names)
        self._objects = False
        self._landed = 0

    def parts(self) -> Iterator[ParsedPart]:
        """Yield the file's parts; raises FileRefused where it turns out to be broken as a whole."""
        blocks: list[pa.Table] = []
        aside: dict[int, Judged] = {}
        size = before = 0
        with unpacked(self._file.path) as stream:
            for block in self._blocks(stream):
                blocks.append(self._rows(block, aside))
                size += len(block)
                if size >= PART_BYTES:
                    yield _part(blocks, aside, self._landed - before)
                    blocks, aside, size, before = [], {}, 0, self._landed
        if blocks:
            yield _part(blocks, aside, self._landed - before)
        if self._objects:
            seen = [name for name in self._table.column_names if name not in self._unseen]
            match_header(seen, self._table, self._where)

    def _blocks(self, stream: IO[bytes]) -> Iterator[bytes]:
        """Yield the file's text cut at newlines; a JSON string holds none."""
        rest = stream.read(len(codecs.BOM_UTF8)).removeprefix(codecs.BOM_UTF8)
        while chunk := stream.read(BLOCK_BYTES):
            end = chunk.rfind(b"\n") + 1
            if end:
                yield rest + chunk[:end]
                rest = b""
            rest += chunk[end:]
            if len(rest) > LONGEST_LINE:
                expected = f"lines of at most {LONGEST_LINE:,} bytes"
                raise self._refused(expected, "a longer one", "Deliver one object a line.")
        if rest:
            yield rest

    def _rows(self, block: bytes, aside: dict[int, Judged]) -> "pa.Table":
        """Return the typed rows of a block of lines, and put the others into ``aside``."""
        import pyarrow as pa

        if not self._landed:
            self._learn(judged(block.split(b"\n", 1)[0], self._table))
        shape = self._expected()
        lines, records, text = decoded(block, shape)
        first = self._landed + 1
        self._landed += len(lines)
        if text is block:
            found = typed(records, text, shape, self._table)
            if not found.doubtful:
                self._unseen -= found.present
                self._objects = True
                return self._numbered(found.arrays, pa.arange(first, self._landed + 1))
        sound = [n for n, record in enumerate(records) if record is not None]
        found = typed([records[n] for n in sound], text, shape, self._table)
        self._unseen -= found.present
        doubtful = {*range(len(lines))}.difference(sound).union(sound[n] for n in found.doubtful)
        looked_at = {n: judged(lines[n], self._table) for n in sorted(doubtful)}
        if all(line.reasons for line in looked_at.values()):
            numbers = pa.array([first + n for n in sound], pa.int64())
            rows = self._numbered(found.arrays, numbers)
            if found.doubtful:
                rows = rows.filter(pa.array([n not in looked_at for n in sound]))
        else:  # a sound record of another shape: the whole block is looked at, and its shape learned
            looked_at = {n: judged(line, self._table) for n, line in enumerate(lines)}
            kept = [n for n, line in looked_at.items() if not line.reasons]
            arrays = [
                array_of([looked_at[n].values.get(column.name) for n in kept], column.type)
                for column in self._table.columns
            ]
            rows = self._numbered(arrays, pa.array([first + n for n in kept], pa.int64()))
        for n, line in looked_at.items():
            self._learn(line)
            if line.reasons:
                self._refuse_changed(first + n, line)
                aside[first + n] = line
        self._objects |= rows.num_rows > 0
        return rows

    def _expected(self) -> Shape:
        if self._shape is None:
            columns: dict[str, str | None] = dict.fromkeys(self._ignored)
            columns |= {key: name for name, key in self._spelled.items()}
            self._shape = shape_of(columns, self._table)
        return self._shape

    def _learn(self, line: Judged) -> None:
        """Note the keys of a record; expect the next ones to be spelled as in a sound one."""
        for key in line.keys or ():
            name = column_of(key)
            if name in self._spelled:
                self._unseen.discard(name)
                if self._spelled[name] != key and not line.reasons:
                    self._spelled[name], self._shape = key, None
            elif self._table.on_new_column == "ignore" and key not in self._ignored:
                self._ignored.append(key)
                self._shape = None
        self._objects |= line.keys is not None
        if len(self._ignored) > MOST_IGNORED:
            expected = f"at most {MOST_IGNORED:,} keys beside the contract's"
            raise self._refused(expected, "more", "Deliver data as values, not as keys.")

    def _numbered(self, arrays: "Sequence[pa.Array]", numbers: "pa.Array") -> "pa.Table":
        import pyarrow as pa

        return pa.Table.from_arrays([*arrays, numbers], schema=self._schema)

    def _refuse_changed(self, number: int, line: Judged) -> None:
        import pyarrow as pa

        if self._table.on_changed_column == "refuse" and line.misfits:
            masks = {name: pa.array([True]) for name in line.misfits}
            raise changed_column(self._where, pa.array([number]), masks, self._table)

    def _refused(self, expected: str, found: str, fix: str) -> FileRefused:
        return FileRefused(Problem(where=self._where, expected=expected, found=found, fix=fix))


def _part(blocks: "Sequence[pa.Table]", aside: Mapping[int, Judged], landed: int) -> ParsedPart:
    import pyarrow as pa

    broken = {number: line for number, line in aside.items() if line.keys is None}
    misfits = {number: line for number, line in aside.items() if line.keys is not None}
    none = unparsed(list(broken), [line.payload for line in broken.values()], NO_OBJECT)
    columns = [
        list(misfits),
        [line.reasons for line in misfits.values()],
        [line.payload for line in misfits.values()],
    ]
    arrays = [pa.array(c, kind) for c, kind in zip(columns, none.schema.types, strict=True)]
    return ParsedPart(
        landed=landed,
        rows=pa.concat_tables(blocks).combine_chunks(),
        rejected=pa.Table.from_arrays(arrays, schema=none.schema),
        unparsed=none,
    )
