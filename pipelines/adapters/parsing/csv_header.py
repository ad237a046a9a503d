"""CSV header: the names in the first line of a CSV file, and where the records begin."""

import codecs
import csv
import re
from collections.abc import Iterator
from pathlib import Path

from pipelines.adapters.landing.preflight import unpacked
from pipelines.adapters.parsing.utf8_text import Utf8Text
from pipelines.domain.contract import Files
from pipelines.errors import FileRefused, Problem

LEAST_HEADER_BYTES = 64 << 10
"""Bytes looked at for the header first."""

LONGEST_HEADER_BYTES = 1 << 20
"""What did not end by then is no header."""

LINE = re.compile(rb"[^\r\n]*(?:\r\n|\r|\n|\Z)")


def read(path: Path, source: Files, where: str) -> tuple[list[str], int]:
    """Return a CSV file's column names, and how many bytes of UTF-8 they and all before them take up.

    Raises FileRefused when there is no first record of names, or it is in another encoding.
    """
    with unpacked(path) as stream:
        text = Utf8Text(stream, source.encoding, LEAST_HEADER_BYTES)
        try:
            while text.fill():
                names, length = _first_record(bytes(text.memory[: text.end]), source)
                # What ends with the bytes read so far may go on in those that follow.
                if names and (length < text.end or text.is_last):
                    return names, length
                if text.is_last or text.end > LONGEST_HEADER_BYTES:
                    break
                text.widen()
        except UnicodeError:
            raise _refused(
                where, f"text in {source.encoding}", "other bytes in the header"
            ) from None
    raise _refused(where, "a header line", "none that can be read")


def _first_record(head: bytes, source: Files) -> tuple[list[str], int]:
    """Return the first cells in ``head``, none unless they are whole, and where they end."""
    end = len(codecs.BOM_UTF8) if head.startswith(codecs.BOM_UTF8) else 0

    def lines() -> Iterator[str]:
        nonlocal end
        for line in LINE.finditer(head, end):
            end = line.end()
            yield line[0].decode()

    records = csv.reader(
        lines(),
        delimiter=source.delimiter,
        quotechar=source.quote or None,
        quoting=csv.QUOTE_MINIMAL if source.quote else csv.QUOTE_NONE,
        strict=True,
    )
    try:
        return next((names for names in records if names), []), end
    except (csv.Error, UnicodeDecodeError):
        return [], 0


def _refused(where: str, expected: str, found: str) -> FileRefused:
    fix = "Deliver the file again in the declared encoding and delimiter, under a new name."
    return FileRefused(Problem(where=where, expected=expected, found=found, fix=fix))
