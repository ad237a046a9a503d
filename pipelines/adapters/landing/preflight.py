"""Preflight: whether a landed file is whole, bounded and text, before any row of it is parsed."""

import codecs
import errno
import hashlib
import io
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

from pipelines.adapters.landing.packed_files import CHUNK_BYTES, is_packed, is_zip, pieces
from pipelines.domain.contract import Files
from pipelines.domain.delivery import Inspected, landed_problem
from pipelines.errors import FileRefused, Problem

if TYPE_CHECKING:
    from typing_extensions import Buffer

LEAST_RATIO_BYTES = 10 << 20
"""Unpacked bytes up to which no ratio is too high: equal lines pack a thousandfold, harmlessly."""

PARQUET_MAGIC = b"PAR1"
"""First and last bytes of a Parquet file; one with an encrypted footer has others."""

LEAST_PARQUET_BYTES = 12
"""The magic twice, and the length of the footer."""

BYTE_ORDER_MARKS = (
    codecs.BOM_UTF8,
    codecs.BOM_UTF16_LE,
    codecs.BOM_UTF16_BE,
    codecs.BOM_UTF32_LE,
    codecs.BOM_UTF32_BE,
)
"""What a file without any text may still begin with."""

AGAIN = "Deliver the file again, whole, under a new name."

NO_RECORDS = {
    "csv": ("a header line", "Deliver at least the header, also on a day without rows."),
    "jsonl": ("a line", "Deliver one empty line on a day without rows."),
}
"""What an empty file lacks, by format, and what to do: a cut file must not look like a quiet day."""


def inspect(stream: IO[bytes], name: str, source: Files) -> tuple[Inspected, FileRefused | None]:
    """Return what a seekable file holds, and every reason why it is not fit to be parsed.

    ``sha256`` is of all its bytes, whatever is wrong with them. Unpacking stops at the first byte
    that does not unpack or is one too many; the other facts are then of what came before. Raises
    OSError when the bytes cannot be read.
    """
    size = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    hashed = _Hashed(stream)
    content = _Parquet(name) if source.format == "parquet" else _Text(name, source)
    problems: list[Problem] = []
    try:
        _refuse_large(size, name, source)
        for piece in _unpacking(hashed, stream, name, source):
            content.take(piece)
            _refuse_grown(content.size, size, name, source)
    except FileRefused as error:
        problems += error.problems
    else:
        problems += content.ended()
    hashed.drain()
    if isinstance(content, _Text) and content.bad_from is not None:
        line = _line(stream, name, content.encoding, content.bad_from)
        expected, found = f"text in {content.encoding}", f"other bytes in line {line}"
        fix = "Deliver the file in the declared encoding, or declare the one it has."
        problems.append(landed_problem(name, expected, found, fix))
    inspected = Inspected(
        sha256=hashed.digest.hexdigest(),
        unpacked_bytes=content.size,
        quoted=content.quoted,
        ascii=content.ascii,
    )
    return inspected, FileRefused(*problems) if problems else None


def opened(path: Path) -> io.BufferedReader:
    """Open a regular file for reading its bytes as they lie; a link or a device raises OSError."""
    # Without O_NONBLOCK, opening a pipe would wait for its writer.
    file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError(errno.EINVAL, "not a regular file")
    return os.fdopen(file, "rb")


def unpacked(path: Path) -> IO[bytes]:
    """Open a landed file for its unpacked bytes, as its suffix says; see ``opened``.

    Reading raises FileRefused where they do not unpack: checksums are verified here too.
    """
    file = opened(path)
    return io.BufferedReader(_Unpacked(file, path.name)) if is_packed(path.name) else file


def _unpacking(hashed: "_Hashed", stream: IO[bytes], name: str, source: Files) -> Iterator[bytes]:
    """Yield the unpacked bytes, hashing those that lie there along the way where that can be."""
    if source.format == "parquet":
        yield from iter(lambda: hashed.read(CHUNK_BYTES), b"")
    elif is_zip(name):  # it is read from its end, where its directory lies
        hashed.drain()
        yield from pieces(stream, name)
    else:
        yield from pieces(hashed, name)


def _refuse_large(size: int, name: str, source: Files) -> None:
    if size > source.maximum_bytes:
        expected = f"at most {source.maximum_bytes} bytes"
        fix = "Deliver smaller files, or raise maximum_bytes of the source."
        raise FileRefused(landed_problem(name, expected, str(size), fix))


def _refuse_grown(unpacked_bytes: int, size: int, name: str, source: Files) -> None:
    if unpacked_bytes > source.maximum_bytes:
        expected = f"at most {source.maximum_bytes} bytes unpacked"
        fix = "Deliver smaller files, or raise maximum_bytes of the source."
        raise FileRefused(landed_problem(name, expected, "more", fix))
    if unpacked_bytes > max(LEAST_RATIO_BYTES, size * source.maximum_ratio):
        expected = f"at most {source.maximum_ratio:g} times its {size} bytes unpacked"
        fix = "If the source is trusted to pack that well, raise maximum_ratio of the source."
        raise FileRefused(landed_problem(name, expected, "more", fix))


def _line(stream: IO[bytes], name: str, encoding: str, offset: int) -> int:
    """Return the number of the line that holds a byte; read again, since counting costs each file."""
    decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
    line = 1
    stream.seek(0)
    for piece in pieces(stream, name):
        before = piece[:offset]
        try:
            line += decoder.decode(before).count("\n") if before else 0
        except UnicodeError:  # UTF-16 without its mark: no byte of it is text
            return 1
        offset -= len(before)
        if not offset:
            break
    return line


class _Text:
    """The unpacked bytes of a text file as they pass, and whether they are whole lines of text."""

    def __init__(self, name: str, source: Files) -> None:
        self.size, self.quoted, self.ascii = 0, False, True
        self.encoding = source.encoding if source.format == "csv" else "utf-8"
        self.bad_from: int | None = None
        self._name, self._no_records = name, NO_RECORDS[source.format]
        self._quote = source.quote
        self._head, self._last, self._within_letter = b"", "", False
        self._holds_ascii = _holds_ascii(self.encoding)
        self._decoder = codecs.getincrementaldecoder(self.encoding)()

    def take(self, piece: bytes) -> None:
        """Look at the next bytes, none of them twice where all are ASCII."""
        is_ascii = piece.isascii()
        self.ascii = self.ascii and is_ascii
        self._head = (self._head + piece[:4])[:4]
        if self._holds_ascii:
            self._last = chr(piece[-1])
        if not (is_ascii and self._holds_ascii and not self._within_letter):
            self._decode(piece)
        elif not self.quoted and self._quote and self._quote.isascii():
            self.quoted = self._quote.encode() in piece
        self.size += len(piece)

    def ended(self) -> list[Problem]:
        """Return what is wrong at the end; bytes that are no text are left to ``bad_from``."""
        self._decode(b"", final=True)
        if self.size == 0 or (self.size <= 4 and self._head in BYTE_ORDER_MARKS):
            self.bad_from = None
            expected, fix = self._no_records
            return [landed_problem(self._name, expected, "an empty file", fix)]
        if self._last != "\n" and (self.bad_from is None or self._holds_ascii):
            expected = "a last line that ends with a newline"
            return [
                landed_problem(self._name, expected, "a file cut in the middle of a line", AGAIN)
            ]
        return []

    def _decode(self, piece: bytes, *, final: bool = False) -> None:
        if self.bad_from is not None:
            return
        try:
            text = self._decoder.decode(piece, final)
        except UnicodeError as error:
            self.bad_from = self.size
            if isinstance(error, UnicodeDecodeError):
                # The decoder may have kept the first bytes of a letter back from the last piece.
                kept = len(error.object) - len(piece)
                self.bad_from = max(self.size - kept + error.start, 0)
            return
        self._within_letter = bool(self._decoder.getstate()[0])
        if not self._holds_ascii:
            self._last = text[-1:] or self._last
        self.quoted = self.quoted or bool(self._quote and self._quote in text)


class _Parquet:
    """The bytes of a Parquet file as they pass, and whether it begins and ends as one."""

    def __init__(self, name: str) -> None:
        self.size, self.quoted, self.ascii = 0, False, False
        self._name, self._head, self._tail = name, b"", b""

    def take(self, piece: bytes) -> None:
        """Look at the next bytes."""
        self._head = (self._head + piece[:4])[:4]
        self._tail = (self._tail + piece[-8:])[-8:]
        self.size += len(piece)

    def ended(self) -> list[Problem]:
        """Return what is wrong with its ends; what lies between is the reader's business."""
        footer_bytes = int.from_bytes(self._tail[:4], "little")
        if self.size < LEAST_PARQUET_BYTES or self._head != PARQUET_MAGIC:
            found = "one that does not begin as such"
        elif not self._tail.endswith(PARQUET_MAGIC):
            found = "one that does not end as such: cut, damaged or encrypted"
        elif footer_bytes > self.size - LEAST_PARQUET_BYTES:
            found = "one with a footer larger than the file"
        else:
            return []
        return [landed_problem(self._name, "a whole Parquet file", found, AGAIN)]


class _Hashed:
    """A file whose bytes are hashed as they are read."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.digest = hashlib.sha256()
        self._whole = False

    def read(self, size: int = -1, /) -> bytes:
        taken = self._stream.read(size)
        self.digest.update(taken)
        return taken

    def drain(self) -> None:
        """Hash what was not read yet; afterwards the stream may be read elsewhere."""
        while not self._whole:
            self._whole = not self.read(CHUNK_BYTES)


class _Unpacked(io.RawIOBase):
    """The unpacked bytes of an open file, which is closed with it."""

    def __init__(self, file: IO[bytes], name: str) -> None:
        super().__init__()
        self._file, self._pieces, self._left = file, pieces(file, name), memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "Buffer", /) -> int:
        into = memoryview(buffer).cast("B")
        if not self._left:
            self._left = memoryview(next(self._pieces, b""))
        size = min(len(into), len(self._left))
        into[:size], self._left = self._left[:size], self._left[size:]
        return size

    def close(self) -> None:
        self._file.close()
        super().close()


def _holds_ascii(encoding: str) -> bool:
    """Tell whether ASCII bytes are ASCII letters in ``encoding``, as they are not in UTF-16."""
    ascii_bytes = bytes(range(128))
    try:
        return ascii_bytes.decode(encoding) == ascii_bytes.decode("ascii")
    except UnicodeError:
        return False
