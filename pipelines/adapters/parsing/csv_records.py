"""CSV records: what pyarrow makes of a chunk of whole records, in this file's layout."""

import codecs
import re
from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.domain.contract import Table, arrow_schema
from pipelines.domain.header import Header
from pipelines.errors import FileRefused, Problem

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.csv as pa_csv

CULPRIT = re.compile(r"In CSV column #([0-9]+): ")
"""How pyarrow begins its message about a value that does not fit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CsvLayout:
    """What lies in which column of the file."""

    where: str
    table: Table
    names: Sequence[str]
    header: Header

    @property
    def labels(self) -> list[str]:
        """The file's columns: as the contract names them, else as the file does."""
        pairs = zip(self.header.columns, self.names, strict=True)
        return [name if column is None else column for column, name in pairs]

    @property
    def types(self) -> dict[str, str]:
        """The contract's columns that the file has, in the contract's order, with their types."""
        missing = self.header.missing
        return {name: kind for name, kind in self.table.types.items() if name not in missing}


def parse(
    text: "pa.Buffer", layout: CsvLayout, as_text: Set[str], *, whole: bool = False
) -> tuple["pa.Table | None", list[tuple[int, str]], str]:
    """Parse with explicit types, or ``as_text``; a value that does not fit names its column.

    Returns the contract's columns (``whole``: all of the file's, as text), and the place and text of
    each record with another number of columns. No rows: the third names a column with a misfit.
    """
    import pyarrow as pa
    import pyarrow.csv as pa_csv

    labels, types, source = layout.labels, layout.types, layout.table.files
    broken: list[tuple[int, str]] = []

    def set_aside(row: "pa_csv.InvalidRow") -> str:
        broken.append((row.number - 1, row.text))
        return "skip"

    kinds = dict.fromkeys(labels, pa.string())
    if not whole:
        schema = arrow_schema(layout.table)
        kinds |= {name: schema.field(name).type for name in types if name not in as_text}
    if text[: len(codecs.BOM_UTF8)].to_pybytes() == codecs.BOM_UTF8:
        # pyarrow strips one from whatever it parses; behind the header it is a letter like others.
        text = pa.py_buffer(codecs.BOM_UTF8 + text.to_pybytes())
    try:
        rows = pa_csv.read_csv(
            pa.BufferReader(text),
            # Records are numbered within a block, by one thread only.
            read_options=pa_csv.ReadOptions(
                column_names=labels, block_size=len(text) + 1, use_threads=False
            ),
            parse_options=pa_csv.ParseOptions(
                delimiter=source.delimiter,
                quote_char=source.quote or False,
                # Only says where blocks may be cut, and this is one block: yes would cost a fifth.
                newlines_in_values=False,
                # The empty line of a file with one column is a record: its value is missing.
                ignore_empty_lines=len(labels) > 1,
                invalid_row_handler=set_aside,
            ),
            convert_options=pa_csv.ConvertOptions(
                check_utf8=False,  # the text is, as a whole
                column_types=kinds,
                include_columns=labels if whole or not types else list(types),
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
    except pa.ArrowInvalid as error:
        misfit = CULPRIT.match(str(error))
        if not misfit:
            expected = "records that can be told apart"
            fix = "Deliver the file again in the declared encoding and delimiter, under a new name."
            raise FileRefused(
                Problem(where=layout.where, expected=expected, found="none that can", fix=fix)
            ) from None
        return None, broken, labels[int(misfit[1])]
    return rows, broken, ""


def all_texts(text: "pa.Buffer", layout: CsvLayout) -> "pa.Table":
    """Return all cells of all columns of the file as text; other records are left out."""
    rows, _, misfit = parse(text, layout, frozenset(), whole=True)
    if rows is None:
        raise ValueError(f"pyarrow says that column {misfit!r} holds a text that is none")
    return rows
