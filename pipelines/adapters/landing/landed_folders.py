"""Landed folders: which files lie below a landing folder, on this machine or in a store."""

import fnmatch
import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import takewhile
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import NamedTuple, TypeAlias

from pipelines.adapters.landing.preflight import opened
from pipelines.adapters.stores import object_store
from pipelines.adapters.stores.object_store import Folder, Listed

UNFINISHED = (".tmp", ".part", ".filepart")
"""Suffixes that writers give to files they have not finished (curl and browsers, WinSCP)."""

SIDECAR = ".delivered.json"
"""Suffix of the file that says when its neighbour was delivered."""

MOST_SIDECAR_BYTES = 1 << 16
"""A sidecar holds a time, and where an extract came from; what is longer is cut, so it is none."""

NO_FILE = "a link, a folder or a device"

_NEVER = (*UNFINISHED, SIDECAR)

_Parts: TypeAlias = tuple[str, ...]

GLOB = frozenset("*?[")
"""Characters of a name that may match several."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class State(NamedTuple):
    """What a file looks like without reading it.

    ``mark`` tells apart contents of one size: it is the modification time in ns since 1970, or in a
    store a number made of the object's etag. ``modified_ns`` is always that time.
    """

    size: int
    mark: int
    modified_ns: int


@dataclass(frozen=True, slots=True)
class Listing:
    """Files by their path below the folder; and what is none that may be read, with what it is."""

    files: dict[str, State] = field(default_factory=dict)
    odd: dict[str, str] = field(default_factory=dict)


def listing(folder: Folder, pattern: str) -> Listing:
    """Return what matches a glob of paths: ``*`` within a name, ``**`` for any folders.

    Never listed are sidecars, names that end as UNFINISHED do (their writers are not done), and, as
    in a shell, names with a leading dot that the pattern does not spell out. A folder is read once.
    Links to folders are followed while they stay below ``folder``, though not by ``**``.
    """
    patterns, found = _parts(pattern), Listing()
    if isinstance(folder, Path):
        _scan(str(folder.resolve()), str(folder), "", patterns, found)
        return found
    for listed in object_store.listing(folder):
        if _matches(listed.name.split("/"), patterns):
            found.files[listed.name] = _object_state(listed)
    return found


def matching(names: Iterable[str], pattern: str) -> set[str]:
    """Return those paths of landed files, below the folder, that match a glob as in ``listing``."""
    patterns, start = _parts(pattern), _literal(pattern)
    return {
        name for name in names if name.startswith(start) and _matches(name.split("/"), patterns)
    }


def state(path: Path) -> State:
    """Return what a local file looks like now, a link itself; raises OSError."""
    return _state(os.lstat(path))


def sidecar(folder: Folder, name: str) -> bytes | None:
    """Return the content of the sidecar of a file; None without one. Raises OSError."""
    beside = folder / f"{name}{SIDECAR}"
    try:
        if not isinstance(beside, Path):
            return object_store.read_bytes(beside)[:MOST_SIDECAR_BYTES]
        with opened(beside) as file:
            return file.read(MOST_SIDECAR_BYTES)
    except FileNotFoundError:
        return None


@contextmanager
def local_copy(place: Folder) -> Iterator[Path]:
    """Yield the local file itself, or a copy of the object that is removed at the end."""
    if isinstance(place, Path):
        yield place
        return
    with TemporaryDirectory(prefix="headframe-landed-") as folder:
        copy = Path(folder) / place.name
        object_store.fetch(place, copy)
        yield copy


def _scan(root: str, folder: str, below: str, patterns: frozenset[_Parts], found: Listing) -> None:
    """Add what matches one of ``patterns`` in ``folder``, which lies at ``below`` under ``root``."""
    patterns = _reached(patterns)
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                name = entry.name
                here, further = _after(patterns, name)
                if here and not name.endswith(_NEVER):
                    _add(entry, below + name, found)
                if further and entry.is_dir():
                    if entry.is_symlink():
                        if not Path(entry.path).resolve().is_relative_to(root):
                            found.odd[below + name] = NO_FILE
                            continue
                        further = frozenset(parts for parts in further if parts[0] != "**")
                    _scan(root, entry.path, f"{below}{name}/", further, found)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        found.odd[below.rstrip("/") or "."] = f"a folder that cannot be read ({error.strerror})"


def _add(entry: "os.DirEntry[str]", name: str, found: Listing) -> None:
    try:
        status = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return  # removed since it was listed
    if stat.S_ISREG(status.st_mode):
        found.files[name] = _state(status)
    else:
        found.odd[name] = NO_FILE


def _matches(names: Sequence[str], patterns: frozenset[_Parts]) -> bool:
    """Tell whether a path, given as its names, matches; see ``listing``."""
    here = False
    for name in names:
        here, patterns = _after(_reached(patterns), name)
    return here and not names[-1].endswith(_NEVER)


def _parts(pattern: str) -> frozenset[_Parts]:
    parts = PurePosixPath(pattern).parts
    return frozenset([(*parts, "*") if parts[-1:] == ("**",) else parts])


def _literal(pattern: str) -> str:
    """Return the folders that every path begins with, before the first name that is a glob."""
    folders = PurePosixPath(pattern).parts[:-1]
    named = takewhile(lambda folder: not GLOB & {*folder}, folders)
    return "".join(f"{folder}/" for folder in named)


def _reached(patterns: frozenset[_Parts]) -> frozenset[_Parts]:
    """Return the patterns, and those that begin where a ``**`` stands for no folder."""
    within = frozenset(parts[1:] for parts in patterns if parts[0] == "**") - patterns
    return patterns | _reached(patterns | within) if within else patterns


def _after(patterns: frozenset[_Parts], name: str) -> tuple[bool, frozenset[_Parts]]:
    """Return whether a pattern ends with ``name``, and what is left of those that go on below it."""
    here, further = False, []
    for parts in patterns:
        if parts[0] == "**":
            if not name.startswith("."):
                further.append(parts)
        elif _named(parts[0])(name):
            if len(parts) == 1:
                here = True
            else:
                further.append(parts[1:])
    return here, frozenset(further)


@cache
def _named(part: str) -> Callable[[str], object]:
    """Return the test of one name by one part of a pattern."""
    visible = "" if part.startswith(".") else r"(?!\.)"
    return re.compile(visible + fnmatch.translate(part), re.DOTALL).match


def _state(status: os.stat_result) -> State:
    return State(status.st_size, status.st_mtime_ns, status.st_mtime_ns)


def _object_state(listed: Listed) -> State:
    modified = (listed.modified - EPOCH) // timedelta(microseconds=1) * 1000
    if not listed.etag:
        return State(listed.size, modified, modified)
    digest = hashlib.sha256(listed.etag.encode()).digest()
    return State(listed.size, int.from_bytes(digest[:8], "big") >> 1, modified)
