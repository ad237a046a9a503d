"""Process logs: what each process of a home wrote, kept within bounds."""

import shutil
from pathlib import Path

LARGEST_LOG_BYTES = 20 * 1024 * 1024
"""A log beyond this size is set aside once; two such files a process are enough to look back."""

TAIL_BYTES = 64 * 1024
"""How far from its end a log is read for its last lines."""


def log_file(root: Path, name: str) -> Path:
    """Where the process ``name`` of the home ``root`` writes."""
    return root / "logs" / f"{name}.log"


def names(root: Path) -> tuple[str, ...]:
    """Name the processes of the home ``root`` that have a log."""
    return tuple(sorted(path.stem for path in (root / "logs").glob("*.log")))


def tail(path: Path, lines: int) -> str:
    """Read the last ``lines`` lines of a log; empty when there is no log yet."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - TAIL_BYTES))
            text = file.read().decode("utf-8", errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


def shorten(path: Path) -> bool:
    """Set a log that grew too large aside as ``<name>.log.1``; whether that was necessary.

    The file itself stays, since its process keeps appending to it.
    """
    if not path.exists() or path.stat().st_size <= LARGEST_LOG_BYTES:
        return False
    shutil.copyfile(path, path.with_name(f"{path.name}.1"))
    with path.open("r+b") as file:
        file.truncate(0)
    return True
