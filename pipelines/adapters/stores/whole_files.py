"""Whole files: small files, and lines of one, that a reader sees complete or not at all."""

import os
from pathlib import Path


def write_whole(path: Path, text: str, *, mode: int = 0o644) -> None:
    """Replace ``path`` by ``text`` in one step.

    The file has ``mode`` from its first byte on, so a secret is never readable by others. Raises
    OSError where it cannot, and leaves nothing.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise


def append_line(path: Path, text: str) -> None:
    """Append ``text`` as a line of its own; the file is its owner's alone (0600).

    One write a line: processes that append at the same time do not mix. A line that a full disk cut
    off stays as it is, and keeps nothing from the next one. Raises OSError where it cannot.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "rb+", buffering=0) as file:
        file.write(f"{_line_break(descriptor)}{text}\n".encode())


def _line_break(descriptor: int) -> str:
    """Return what ends the last line of a file; nothing where it is ended."""
    size = os.fstat(descriptor).st_size
    return "\n" if size and os.pread(descriptor, 1, size - 1) != b"\n" else ""
