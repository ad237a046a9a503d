"""Leftovers: what lies in the lake's folders and belongs to no table."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

STAGING = ("*.parquet#*", "_delta_log/*#*", "_delta_log/_commit_*.tmp")
"""Files that delta-rs renames when they are whole; a killed writer leaves them, vacuum never looks."""


@dataclass(frozen=True, slots=True)
class Leftover:
    """A file or folder below the lake, by its path inside it, and its bytes."""

    path: str
    bytes: int


def staging(table: Path, *, before: float) -> list[Path]:
    """Return what killed writers left in ``table``, last written before ``before`` (seconds since 1970)."""
    found = sorted(path for pattern in STAGING for path in table.glob(pattern))
    return [path for path in found if path.is_file() and path.stat().st_mtime < before]


def remove(paths: Iterable[Path]) -> int:
    """Remove files and return their bytes; one that is gone already counts as nothing."""
    total = 0
    for path in paths:
        try:
            size = path.stat().st_size
            path.unlink()
        except FileNotFoundError:
            continue  # another maintenance was first
        total += size
    return total


def orphans(lake: Path, tables: Collection[Path]) -> list[Leftover]:
    """Return files that lie in no table's folder, each folder of them as one, sorted by path."""
    owned = set(tables)
    sizes: dict[str, int] = {}
    waiting = [lake] if lake.is_dir() else []
    while waiting:
        folder = waiting.pop()
        for path in folder.iterdir():
            if path in owned:
                continue
            if path.is_dir() and not path.is_symlink():
                waiting.append(path)
                continue
            place = path if folder == lake else folder
            name = place.relative_to(lake).as_posix()
            sizes[name] = sizes.get(name, 0) + path.lstat().st_size
    return [Leftover(name, size) for name, size in sorted(sizes.items())]
