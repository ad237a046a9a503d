"""New files: several files written where none is yet, all of them or none."""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from pipelines.errors import Problem, SettingsError


def refuse_existing(files: Mapping[Path, str], root: Path) -> None:
    """Raise SettingsError, naming each by its path below ``root``, where one of ``files`` is there."""
    problems = [_exists(path, root) for path in files if os.path.lexists(path)]
    if problems:
        raise SettingsError(*problems)


def write_all(files: Mapping[Path, str], root: Path) -> None:
    """Write every file, the last one last, and never over another; what fails leaves nothing behind.

    Raises SettingsError where one came to be there meanwhile, or a folder cannot be written.
    """
    refuse_existing(files, root)
    made: list[Path] = []
    try:
        for path, text in files.items():
            made += _made_folders(path.parent)
            try:
                _write(path, text)
            except FileExistsError as error:
                raise SettingsError(_exists(path, root)) from error
            made.append(path)
    except BaseException as error:
        _take_back(made)
        if isinstance(error, OSError):
            place = _below(Path(error.filename), root) if error.filename else "the disk"
            raise SettingsError(
                Problem(
                    where="headframe new",
                    expected="files that can be written",
                    found=f"{place} ({error.strerror})",
                    fix="Nothing was written. Correct what stands in the way, and run it again.",
                )
            ) from error
        raise


def _made_folders(folder: Path) -> list[Path]:
    """Make a folder and those above it; return the ones that were not there."""
    made = []
    for above in [*reversed(folder.parents), folder]:
        if not above.is_dir():
            above.mkdir(exist_ok=True)
            made.append(above)
    return made


def _take_back(made: Sequence[Path]) -> None:
    """Remove files and folders, the last one first; a folder in which others wrote is kept."""
    for path in reversed(made):
        if not path.is_dir():
            path.unlink(missing_ok=True)
            continue
        with suppress(OSError):
            path.rmdir()


def _write(path: Path, text: str) -> None:
    """Make the file appear whole under its name, or raise FileExistsError."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with unfinished.open("x", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.link(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def _exists(path: Path, root: Path) -> Problem:
    return Problem(
        where=_below(path, root),
        expected="no such file yet",
        found="one",
        fix="Nothing was written. Choose another name, or move that file away.",
    )


def _below(path: Path, root: Path) -> str:
    return str(path.relative_to(root)) if path.is_relative_to(root) else path.name
