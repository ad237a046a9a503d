"""Linked tables: a version of a Delta table made readable elsewhere, without a second copy of its rows."""

import errno
import shutil
from pathlib import Path
from urllib.parse import unquote

from pipelines.adapters.delta import delta_handles
from pipelines.adapters.delta.log_files import FOLDER, log_files
from pipelines.errors import LakeError


def link(source: Path, target: Path, *, version: int | None = None) -> int:
    """Make ``target`` a table that holds what ``source`` does at ``version``; return that version.

    Its log is a copy up to there and its own from then on: whatever is committed to it, compacted or
    vacuumed, never reaches the source. Data files are hard links, which outlive a vacuum of the
    source, and symbolic ones between two disks. A target that is there stays as it is; one that a
    kill cut short is none. Returns -1 where there is no source. Raises LakeError where the version
    cannot be read any more.
    """
    if delta_handles.exists(target):
        return int(delta_handles.opened(target).version())
    handle = delta_handles.opened_if_exists(source, version)
    if handle is None:
        return -1
    at = int(handle.version())
    half = target.with_name(f".{target.name}.half")
    shutil.rmtree(half, ignore_errors=True)
    for uri in handle.file_uris():
        file = Path(unquote(str(uri).removeprefix("file://")))
        place = half / file.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        _link(file, place)
    _copy_log(source, half / FOLDER, at)
    found = int(delta_handles.opened(half).version())
    if found != at:
        fix = "Restore the folder, or replay once the log is whole."
        raise LakeError(delta_handles.problem(source, f"a log up to version {at}", f"{found}", fix))
    half.rename(target)
    return at


def _link(file: Path, place: Path) -> None:
    try:
        place.hardlink_to(file)
    except OSError as error:
        # Another disk, or a file system without hard links.
        if error.errno not in (errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.EMLINK):
            raise
        place.symlink_to(file)


def _copy_log(source: Path, target: Path, version: int) -> None:
    """Copy a table's entries and checkpoints up to a version; the hint to the last checkpoint is left out."""
    target.mkdir(parents=True, exist_ok=True)
    for file in log_files(source):
        if file.version <= version:
            shutil.copyfile(file.path, target / file.path.name)
