"""Text of a landed file, as UTF-8, chunk by chunk in one piece of memory."""

import codecs
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, cast

if TYPE_CHECKING:
    import io

    import numpy as np
    import pyarrow as pa

CACHED_BYTES = 64 << 10
"""Bytes looked at in one step of NumPy: results of this size stay in the processor's cache."""

PIECE_BYTES = 256 << 10
"""Bytes read at first, or recoded at once: small files cost little, and results stay cached."""


class Utf8Text:
    """The text read and not yet parsed: ``memory`` up to ``end``; ``is_last`` when all was read.

    One piece of memory serves the whole file: new memory for each chunk costs a fifth more CPU.
    What was parsed must not refer to it. Reading raises UnicodeError where bytes are no text in
    an ``encoding`` other than UTF-8; for that, see ``refuse_other_bytes``.
    """

    def __init__(self, stream: IO[bytes], encoding: str, size: int) -> None:
        self.memory, self.end, self.is_last = bytearray(), 0, False
        self._size = size
        self._stream = cast("io.BufferedReader", stream)
        self._pieces = None if _is_utf8(encoding) else _recoded(stream, encoding)

    def fill(self) -> bool:
        """Read on until there are ``size`` bytes, or all. Return whether there are any."""
        while self.end < self._size and not self.is_last:
            before = self.end
            if self._pieces is not None:
                self._append(next(self._pieces, b""))
            else:
                self._reserve(min(self._size, 2 * self.end + PIECE_BYTES))
                with memoryview(self.memory) as view:
                    self.end += self._stream.readinto(view[self.end : self._size])
            self.is_last = self.end == before
        return self.end > 0

    def skip(self, length: int) -> None:
        """Read and forget so many bytes."""
        while length and self.fill():
            passed = min(length, self.end)
            self.drop(passed)
            length -= passed

    def widen(self) -> None:
        """Let ``fill`` read on, to twice as much."""
        self._size = 2 * max(self._size, self.end)

    def drop(self, end: int) -> None:
        """Forget the text before ``end``."""
        rest = self.memory[end : self.end]
        self.memory[: len(rest)] = rest
        self.end = len(rest)

    def holds(self, letters: bytes, end: int) -> bool:
        """Tell whether the text before ``end`` holds these letters; no letters are in no text."""
        return bool(letters) and self.memory.find(letters, 0, end) >= 0

    def holds_hexadecimal(self, end: int) -> bool:
        """Tell whether ``0x`` or ``0X`` begins a word in the text before ``end``."""
        import numpy as np

        if not (self.holds(b"x", end) or self.holds(b"X", end)):
            return False
        text = np.frombuffer(self.memory, np.uint8, end)
        for at in range(0, end, CACHED_BYTES):
            step = text[at : at + CACHED_BYTES + 1]
            found = np.flatnonzero(((step[1:] | 32) == ord("x")) & (step[:-1] == ord("0"))) + at
            # A number is no hexadecimal one where a letter or digit precedes, as in N10XA.
            if any(place == 0 or not chr(text[place - 1]).isalnum() for place in found.tolist()):
                return True
        return False

    def likely_end(self, quote: bytes) -> int:
        """Return where a line ends last outside of quotes, if quotes only enclose cells; else 0."""
        last = end = self.memory.rfind(b"\n", 0, self.end) + 1
        inside = self._count(quote, end) % 2 if self.holds(quote, end) else 0
        while inside and end:
            before = self.memory.rfind(b"\n", 0, end - 1) + 1
            inside = (inside + self.memory.count(quote, before, end)) % 2
            end = before
        return end or last

    @contextmanager
    def followed_by(self, suffix: bytes, end: int) -> "Iterator[pa.Buffer]":
        """Lend the text before ``end``, as if ``suffix`` came next."""
        import pyarrow as pa

        whole = end + len(suffix)
        self._reserve(whole)
        kept = self.memory[end:whole]
        self.memory[end:whole] = suffix
        try:
            yield pa.py_buffer(memoryview(self.memory)[:whole])
        finally:
            self.memory[end:whole] = kept

    def refuse_other_bytes(self, end: int) -> None:
        """Raise UnicodeDecodeError unless the text before ``end`` is UTF-8."""
        if not self.memory.isascii():
            codecs.utf_8_decode(memoryview(self.memory)[:end], "strict", True)  # noqa: FBT003 - by position only

    def line_ends(self, end: int) -> "np.ndarray[tuple[int], np.dtype[np.int64]] | None":
        """Return the places behind the newlines before ``end``; None when a CR alone ends a line."""
        import numpy as np

        if self.holds(b"\r", end) and (
            self.memory.count(b"\r", 0, end) != self.memory.count(b"\r\n", 0, end)
        ):
            return None
        return np.flatnonzero(np.frombuffer(self.memory, np.uint8, end) == ord("\n")) + 1

    def _append(self, piece: bytes) -> None:
        self._reserve(self.end + len(piece))
        self.memory[self.end : self.end + len(piece)] = piece
        self.end += len(piece)

    def _reserve(self, size: int) -> None:
        if size > len(self.memory):
            self.memory = self.memory + bytes(max(size, 2 * len(self.memory)) - len(self.memory))

    def _count(self, letter: bytes, end: int) -> int:
        import numpy as np

        text = np.frombuffer(self.memory, np.uint8, end)
        steps = range(0, end, CACHED_BYTES)
        return sum(int(np.count_nonzero(text[i : i + CACHED_BYTES] == letter[0])) for i in steps)


def _is_utf8(encoding: str) -> bool:
    return codecs.lookup(encoding).name == "utf-8"


def _recoded(stream: IO[bytes], encoding: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)()
    more = True
    while more:
        piece = stream.read(PIECE_BYTES)
        more = bool(piece)
        if text := decoder.decode(piece, final=not more):
            yield text.encode()
