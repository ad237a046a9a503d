"""Packed files: what a .gz, .zip or .zst holds, piece by piece, with every checksum checked."""

import io
import struct
import sys
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import IO, Protocol, cast

from pipelines.domain.delivery import landed_problem
from pipelines.errors import FileRefused

CHUNK_BYTES = 1 << 20
"""Most unpacked bytes in one piece."""

PACKED_BYTES = 1 << 16
"""Packed bytes read at once; what one of many small gzip members leaves over is copied each time."""

MOST_DIRECTORY_BYTES = 1 << 20
"""Largest zip directory read; that of one member with the longest name takes 192 KiB."""

ENCRYPTED = 0x1
"""Flag bit of an encrypted zip member (PKWARE, APPNOTE.TXT, section 4.4.4)."""

LOCAL_HEADER = struct.Struct("<4s22xHH")
"""Signature, lengths of name and extra field: the start of a zip member (APPNOTE.TXT, 4.3.7)."""

LOCAL_SIGNATURE = b"PK\x03\x04"

DAMAGED = "The file was cut or damaged on its way: deliver it again under a new name."
ONE_MEMBER = "Pack one plain file, deflated, without a password, and deliver it under a new name."


class Readable(Protocol):
    """A file that is read from its start to its end."""

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes, at most ``size``; none at the end."""


def is_packed(name: str) -> bool:
    """Tell whether the suffix says that the file is packed."""
    return _suffix(name) in (".gz", ".zip", ".zst")


def is_zip(name: str) -> bool:
    """Tell whether the file is a zip: then it is unpacked from its end, where the directory lies."""
    return _suffix(name) == ".zip"


def pieces(file: Readable, name: str) -> Iterator[bytes]:
    """Yield the unpacked bytes of the file ``name``, at most CHUNK_BYTES at once, none empty.

    The suffix says how it is packed. ``file`` is read from where it stands; only a zip must be
    seekable, and is read as a whole. Raises FileRefused at the first byte that is not as its
    checksum, its declared size or its format says, and OSError when it cannot be read. A checksum
    is optional in zstd: of a frame without one, damage may be seen by the parser only.
    """
    packings = {".gz": _gunzip, ".zst": _unzstd, ".zip": _unzip}
    unpack = packings.get(_suffix(name), _plain)
    yield from unpack(file, name)


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def _plain(file: Readable, name: str) -> Iterator[bytes]:
    while piece := file.read(CHUNK_BYTES):
        yield piece


def _gunzip(file: Readable, name: str) -> Iterator[bytes]:
    packed = file.read(PACKED_BYTES)
    while packed:
        member = zlib.decompressobj(zlib.MAX_WBITS | 16)  # the gzip format, and no other
        try:
            while not member.eof:
                piece = member.decompress(packed, CHUNK_BYTES)
                if piece:
                    yield piece
                elif not packed:
                    raise _damaged(name, "gzip", "one that is cut")
                if not member.eof:
                    packed = member.unconsumed_tail or file.read(PACKED_BYTES)
        except zlib.error as error:
            raise _damaged(name, "gzip", f"bytes that do not unpack ({_why(error)})") from error
        packed = member.unused_data or file.read(PACKED_BYTES)


def _unzstd(file: Readable, name: str) -> Iterator[bytes]:
    """Unpack all frames; Arrow's decoder refuses a window above 128 MiB, so memory is bounded."""
    import pyarrow as pa

    try:
        stream = pa.CompressedInputStream(pa.PythonFile(_Lent(file), mode="r"), "zstd")
        while piece := stream.read(CHUNK_BYTES):
            yield piece
    except OSError as error:
        if error.errno is not None:  # the file's own, not the decoder's
            raise
        raise _damaged(name, "zstd", f"bytes that do not unpack ({_why(error)})") from error


def _unzip(file: Readable, name: str) -> Iterator[bytes]:
    """Unpack the one member, and hold its bytes against the directory: both sizes and the CRC."""
    file = cast("IO[bytes]", file)
    member = _only_member(file, name)
    file.seek(member.header_offset)
    header = file.read(LOCAL_HEADER.size)
    signature, name_bytes, extra_bytes = LOCAL_HEADER.unpack(header.ljust(LOCAL_HEADER.size))
    if signature != LOCAL_SIGNATURE:
        raise _damaged(name, "zip", "a member that does not lie where the directory says")
    file.seek(name_bytes + extra_bytes, io.SEEK_CUR)
    stored = member.compress_type == zipfile.ZIP_STORED
    packed = _Limited(file, member.compress_size)
    size = checksum = 0
    for piece in _plain(packed, name) if stored else _inflate(packed, name):
        size, checksum = size + len(piece), zlib.crc32(piece, checksum)
        if size > member.file_size:
            break
        yield piece
    if packed.left or (size, checksum) != (member.file_size, member.CRC):
        raise _damaged(name, "zip", "a member of another size or checksum than its directory says")


def _only_member(file: IO[bytes], name: str) -> zipfile.ZipInfo:
    try:
        with zipfile.ZipFile(_Directory(file)) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError, struct.error) as error:
        raise _damaged(name, "zip", f"no directory to read ({_why(error)})") from error
    if len(members) != 1:
        raise _refused(name, "a zip file of one member", f"{len(members)} members", ONE_MEMBER)
    (member,) = members
    found = [
        (not 0 <= member.header_offset < sys.maxsize, "one outside of the file"),
        (member.is_dir() or _is_link(member), "a folder or a link"),
        (_has_path(member.orig_filename), "a name with a path in it"),
        (bool(member.flag_bits & ENCRYPTED), "an encrypted one"),
        (member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED), "another packing"),
    ]
    if odd := [words for wrong, words in found if wrong]:
        expected = "a zip member that is a plain file, stored or deflated"
        raise FileRefused(*(landed_problem(name, expected, words, ONE_MEMBER) for words in odd))
    return member


def _is_link(member: zipfile.ZipInfo) -> bool:
    """Tell whether the member's Unix mode names anything but a regular file."""
    kind = member.external_attr >> 16 & 0o170000
    return kind not in (0, 0o100000)


def _has_path(member: str) -> bool:
    return member in ("", ".", "..") or any(sign in member for sign in "/\\:\0")


def _inflate(packed: "_Limited", name: str) -> Iterator[bytes]:
    raw = zlib.decompressobj(-zlib.MAX_WBITS)
    taken = b""
    try:
        while not raw.eof:
            taken = raw.unconsumed_tail or packed.read(PACKED_BYTES)
            piece = raw.decompress(taken, CHUNK_BYTES)
            if piece:
                yield piece
            elif not taken and not raw.eof:
                raise _damaged(name, "zip", "one that is cut")
    except zlib.error as error:
        raise _damaged(name, "zip", f"bytes that do not unpack ({_why(error)})") from error
    if raw.unused_data:
        raise _damaged(name, "zip", "bytes behind the end of its member")


class _Limited:
    """The next bytes of a file, so many of them."""

    def __init__(self, file: IO[bytes], left: int) -> None:
        self._file = file
        self.left = left

    def read(self, size: int = -1, /) -> bytes:
        taken = self._file.read(min(size, self.left))
        self.left -= len(taken)
        return taken


class _Lent:
    """A file that stays open when its reader is closed."""

    closed = False

    def __init__(self, file: Readable) -> None:
        self.read = file.read

    def close(self) -> None: ...


class _Directory:
    """A zip file as its directory is read: no more than may be held, and from where the file is."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.tell, self.seekable = file.tell, file.seekable

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        if whence == io.SEEK_SET and not 0 <= offset < sys.maxsize:
            raise zipfile.BadZipFile("a directory outside of the file")
        return self._file.seek(offset, whence)

    def read(self, size: int = -1, /) -> bytes:
        if size > MOST_DIRECTORY_BYTES:
            raise zipfile.BadZipFile("a directory of many members")
        return self._file.read(size)


def _why(error: Exception) -> str:
    """Return what a decoder found; its words name no byte of the file."""
    return (
        str(error).partition("while decompressing data: ")[2] or str(error).split(":")[-1].strip()
    )


def _damaged(name: str, packing: str, found: str) -> FileRefused:
    return _refused(name, f"a whole {packing} file", found, DAMAGED)


def _refused(name: str, expected: str, found: str, fix: str) -> FileRefused:
    return FileRefused(landed_problem(name, expected, found, fix))
