"""Extract files: the Parquet extracts of a table in landing, and what the sidecar of each tells."""

import fcntl
import json
import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.adapters.failpoints import failpoint
from pipelines.adapters.landing.landing import SIDECAR
from pipelines.adapters.stores import object_store
from pipelines.adapters.stores.object_store import Folder
from pipelines.adapters.stores.whole_files import write_whole
from pipelines.errors import CommitLost, FileRefused, Problem

if TYPE_CHECKING:
    import pyarrow as pa

MOMENT = "%Y%m%dT%H%M%S.%fZ"
"""How an extract is named: by the UTC time it was landed, so that names sort as extracts follow."""

NAME = re.compile(r"\d{8}T\d{6}\.\d{6}Z\.parquet")

UNFINISHED = ".unfinished-"
"""Beginning of a file that is being written; hidden, and no extract yet."""

ASKED = ".asked.json"
"""The hidden file that tells when the source was last asked, also when it had nothing new."""

GROUP_ROWS = 100_000
GROUP_BYTES = 64 << 20
"""A row group of an extract is written as soon as it has so many rows or bytes."""


class Unfinished:
    """An extract that is being written, row group by row group, out of landing's sight."""

    def __init__(self, working: Path) -> None:
        self.path = working / f"{UNFINISHED}{uuid.uuid4().hex}.parquet"
        self.rows = 0
        self._writer: Any = None
        self._waiting: list[pa.RecordBatch] = []

    def write(self, batch: "pa.RecordBatch") -> None:
        """Add rows; the first batch gives the columns, and may be without rows."""
        import pyarrow.parquet as pq

        if self._writer is None:
            self._writer = pq.ParquetWriter(
                self.path, batch.schema, compression="zstd", compression_level=1
            )
        self.rows += batch.num_rows
        self._waiting.append(batch)
        rows = sum(waiting.num_rows for waiting in self._waiting)
        if rows >= GROUP_ROWS or sum(waiting.nbytes for waiting in self._waiting) >= GROUP_BYTES:
            self._flush()

    def finish(self) -> None:
        """Make the file whole, and put it on the disk."""
        if self._writer is None:
            return
        self._flush()
        self._writer.close()
        self._writer = None
        with self.path.open("rb") as file:
            os.fsync(file.fileno())

    def discard(self) -> None:
        """Remove the file, if it was not landed."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        self.path.unlink(missing_ok=True)

    def _flush(self) -> None:
        import pyarrow as pa

        rows = (
            pa.Table.from_batches(self._waiting, self._waiting[0].schema) if self._waiting else []
        )
        if len(rows):
            self._writer.write_table(rows)
        self._waiting.clear()


@contextmanager
def alone(folder: Folder, spool: Path) -> Iterator[Path]:
    """Be the only extract of a table on this machine, and give a local folder to write in.

    That is ``folder`` itself where it is local, so that landing a file is a rename; else ``spool``.
    What a killed extract left is removed first. Raises CommitLost where another extract is at work.
    """
    working = folder if isinstance(folder, Path) else spool
    working.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(working, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _lock(descriptor, folder)
        _sweep(folder, working)
        yield working
    finally:
        os.close(descriptor)


def names(folder: Folder) -> list[str]:
    """Return the names of the landed extracts, oldest first."""
    return sorted(name for name in _all_names(folder) if NAME.fullmatch(name))


def told(folder: Folder, name: str) -> dict[str, Any]:
    """Return what the sidecar of an extract tells. Raises FileRefused for one that is not whole."""
    try:
        found = json.loads(_read(folder, name + SIDECAR))
        found["delivered_at"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        where = f"landing/{_below(folder)}/{name}{SIDECAR}"
        raise FileRefused(
            Problem(
                where=where,
                expected="the sidecar that was landed with this extract",
                found=f"none that can be read ({type(error).__name__})",
                fix="It tells where the next extract begins: restore it, or move extract and "
                "sidecar away to extract those rows again.",
            )
        ) from error
    return dict(found)


@contextmanager
def local(folder: Folder, name: str, working: Path) -> Iterator[Path]:
    """Give the path of a landed extract on this machine: itself, or a copy."""
    if isinstance(folder, Path):
        yield folder / name
        return
    with tempfile.TemporaryDirectory(prefix=UNFINISHED, dir=working) as copies:
        object_store.fetch(folder / name, Path(copies) / name)
        yield Path(copies) / name


def land(folder: Folder, unfinished: Unfinished, tells: Mapping[str, object]) -> str:
    """Land a finished extract with its sidecar, at once and for good, and return its name.

    The sidecar comes first: killed in between, this leaves one without an extract, which counts for
    nothing and is removed by the next.
    """
    moment = datetime.now(UTC)
    if earlier := names(folder):  # a clock that was set back must not change the order
        last = datetime.strptime(earlier[-1], f"{MOMENT}.parquet").replace(tzinfo=UTC)
        moment = max(moment, last + timedelta(microseconds=1))
    name = f"{moment.strftime(MOMENT)}.parquet"
    failpoint("extract.before_sidecar")
    _write(folder, name + SIDECAR, {"delivered_at": moment.isoformat(), **tells})
    failpoint("extract.before_rename")
    _put_extract(folder, name, unfinished.path)
    failpoint("extract.after_rename")
    return name


def note_asked(folder: Folder, tells: Mapping[str, object]) -> None:
    """Record that the source was asked just now, and what it had."""
    _write(folder, ASKED, {"asked_at": datetime.now(UTC).isoformat(), **tells})


def asked(folder: Folder) -> dict[str, Any] | None:
    """Return what ``note_asked`` recorded last; None where the source was never asked."""
    try:
        return dict(json.loads(_read(folder, ASKED)))
    except FileNotFoundError:
        return None


def _lock(descriptor: int, folder: Folder) -> None:
    try:
        # The kernel lets go of the lock when its holder dies, however it dies.
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise CommitLost(
            Problem(
                where=f"landing/{_below(folder)}",
                expected="one extract at a time",
                found="another at work",
                fix="Nothing was lost; the task tries again and goes on where the other ended.",
            )
        ) from error


def _sweep(folder: Folder, working: Path) -> None:
    for left in working.glob(f"{UNFINISHED}*"):
        if left.is_dir():
            shutil.rmtree(left)
        else:
            left.unlink()
    found = set(_all_names(folder))
    for name in found:
        extract = name.removesuffix(SIDECAR)
        if extract != name and NAME.fullmatch(extract) and extract not in found:
            _remove(folder, name)


def _put_extract(folder: Folder, name: str, path: Path) -> None:
    if not isinstance(folder, Path):
        object_store.put(path, folder / name)
        return
    path.rename(folder / name)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _all_names(folder: Folder) -> list[str]:
    if isinstance(folder, Path):
        return [path.name for path in folder.iterdir()]
    return [listed.name for listed in object_store.listing(folder)]


def _read(folder: Folder, name: str) -> bytes:
    if isinstance(folder, Path):
        return (folder / name).read_bytes()
    return object_store.read_bytes(folder / name)


def _write(folder: Folder, name: str, content: Mapping[str, object]) -> None:
    text = json.dumps(content, indent=1)
    if isinstance(folder, Path):
        write_whole(folder / name, text)
    else:
        object_store.put_bytes(folder / name, text.encode())


def _remove(folder: Folder, name: str) -> None:
    if isinstance(folder, Path):
        (folder / name).unlink(missing_ok=True)
    else:
        object_store.delete(folder / name)


def _below(folder: Folder) -> str:
    return "/".join(folder.parts[-2:])
