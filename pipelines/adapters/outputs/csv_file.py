"""CSV files: rows as RFC 4180 has them, which a spreadsheet opens without running anything."""

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

ENDING = "csv"

MARK = "'"
"""What goes before a text that a spreadsheet would run; it shows the rest as text."""

BLANK = r"[\x00-\x20\p{Z}\x{FEFF}]*"
"""Blanks that some programs cut off before they look at a cell."""

FORMULA = rf"^'*{BLANK}[=+\-@\x{{FF1D}}\x{{FF0B}}\x{{FF0D}}\x{{FF20}}]|^'*[\t\r\n]"
"""Beginnings of a cell that is run as a formula, full-width forms included (OWASP community page "CSV
Injection"). Marks before it are seen too, so that taking one mark away always gives the text back."""


def write(rows: "pa.RecordBatchReader", path: Path, *, byte_order_mark: bool = False) -> int:
    """Write a header and every row, and return how many rows there were.

    UTF-8, lines end in CR LF, cells are quoted where they must be. Times are ISO 8601 in UTC with a
    Z, numbers the shortest text that reads back as the same number, a missing value (and NaN) an
    empty cell. Texts that begin like a formula begin with an apostrophe instead; so a reader that is
    no spreadsheet takes one apostrophe away where what follows matches ``FORMULA``.
    """
    count = 0
    encoding = "utf-8-sig" if byte_order_mark else "utf-8"
    with path.open("w", encoding=encoding, newline="") as file:
        writer = csv.writer(file)
        writer.writerow(rows.schema.names)
        for batch in rows:
            cells = [_cells(column) for column in batch.columns]
            writer.writerows(zip(*cells, strict=True))
            count += batch.num_rows
    return count


def defused(texts: "pa.Array") -> "pa.Array":
    """Return texts with a mark before each that begins like a formula."""
    import pyarrow.compute as pc

    marked = pc.binary_join_element_wise(MARK, texts, "")
    return pc.if_else(pc.match_substring_regex(texts, FORMULA), marked, texts)


def _cells(column: "pa.Array") -> list[Any]:
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        column = defused(column)
    elif pa.types.is_timestamp(kind):
        whole = pc.all(pc.equal(pc.microsecond(column), 0)).as_py() is not False
        whole = whole and pc.all(pc.equal(pc.millisecond(column), 0)).as_py() is not False
        seconds = column.cast(pa.timestamp("s", tz=kind.tz)) if whole else column
        column = pc.strftime(seconds, format="%Y-%m-%dT%H:%M:%SZ")
    elif pa.types.is_boolean(kind):
        column = column.cast(pa.string())
    elif pa.types.is_floating(kind):
        column = pc.if_else(pc.is_nan(column), None, column)
    return list(column.to_pylist())
