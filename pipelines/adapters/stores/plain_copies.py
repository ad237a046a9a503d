"""Plain copies: files and SQLite databases copied whole, with their modes, and compared."""

import hashlib
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from pipelines.errors import PlatformError, Problem

SQLITE_HEADER = b"SQLite format 3\0"
"""First bytes of every SQLite database."""

SQLITE_SIDES = ("-wal", "-shm", "-journal")
"""Suffixes of files that belong to a database in use; its copy is whole without them."""

CHUNK_BYTES = 1 << 20
TRIES = 3
"""Copies of a file that is being written, before it is left out."""


def copy_file(source: Path, target: Path) -> int | None:
    """Copy a file, and return its bytes; None, and no copy, when it vanished or does not hold still.

    The copy has the source's mode from its first byte, and its modification time. Raises
    PlatformError when what was written reads back otherwise.
    """
    for _ in range(TRIES):
        try:
            before = source.stat()
            digest = _copy(source, target, before.st_mode & 0o777)
            after = source.stat()
        except FileNotFoundError:
            break
        if (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns):
            if _sha256(target) != digest:
                raise PlatformError(_damaged(target))
            shutil.copystat(source, target)
            return after.st_size
    target.unlink(missing_ok=True)
    return None


def copy_database(source: Path, target: Path) -> None:
    """Copy a SQLite database, also one in use, as it was at one moment. Raises PlatformError."""
    _make_folder(source.parent, target.parent)
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, source.stat().st_mode & 0o777))
    with (
        closing(sqlite3.connect(f"{source.as_uri()}?mode=ro", uri=True)) as live,
        closing(sqlite3.connect(target)) as copy,
    ):
        live.backup(copy)
        copy.execute("pragma journal_mode=delete")
        (found,) = copy.execute("pragma quick_check").fetchone()
    if found != "ok":
        raise PlatformError(_damaged(target))


def is_database(path: Path) -> bool:
    """Tell a SQLite database by its first bytes."""
    with path.open("rb") as file:
        return file.read(len(SQLITE_HEADER)) == SQLITE_HEADER


def _copy(source: Path, target: Path, mode: int) -> str:
    """Copy the bytes and return the digest of what was read."""
    _make_folder(source.parent, target.parent)
    target.unlink(missing_ok=True)
    digest = hashlib.sha256()
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with source.open("rb") as read, os.fdopen(descriptor, "wb") as write:
        while chunk := read.read(CHUNK_BYTES):
            digest.update(chunk)
            write.write(chunk)
    return digest.hexdigest()


def _make_folder(source: Path, target: Path) -> None:
    """Make ``target`` and the folders above it that are missing, with the mode of their sources."""
    if target.exists():
        return
    _make_folder(source.parent, target.parent)
    target.mkdir(mode=source.stat().st_mode & 0o777, exist_ok=True)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _damaged(target: Path) -> Problem:
    return Problem(
        where=f"the copy of {target.name}",
        expected="to read back as it was written",
        found="other bytes",
        fix="Check the disk of the destination, empty it, and run `headframe backup` again.",
    )
