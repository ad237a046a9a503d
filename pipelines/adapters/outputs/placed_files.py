"""Placed files: outputs that readers see whole, the old one or the new one, each with a sidecar."""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from pipelines.adapters.delta import durable
from pipelines.adapters.failpoints import failpoint
from pipelines.adapters.settings import Settings
from pipelines.adapters.stores import object_store
from pipelines.adapters.stores.object_store import Folder, StoreUrl
from pipelines.adapters.stores.whole_files import write_whole

SIDECAR = ".delivered.json"
"""Ending of the file beside an output that says what it is; the same as beside landed files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sidecar:
    """What lies in an output's file: which generation of which window, how many rows, which bytes.

    ``declared`` is the digest of the output's declaration, so that another one is written anew.
    """

    use_case: str
    output: str
    kind: str
    consumer: str
    window: str
    scored_for: str
    generation: int
    run_key: str
    declared: str
    rows: int
    sha256: str


def folder(settings: Settings, use_case: str, output: str) -> Folder:
    """Return the folder of one output: under the home, or beside a lake that is in a store.

    Beside it, not in it: what lies in the lake and belongs to no table is reported as left over.
    """
    lake = settings.lake
    if isinstance(lake, StoreUrl):
        name = f"{lake.name}-outputs" if lake.name else "outputs"
        return lake.parent / name / use_case / output
    return settings.root / "outputs" / use_case / output


def shown(settings: Settings, file: Folder) -> str:
    """Return where a file is, as records say it: below the home, or its URL, which has no secret."""
    if isinstance(file, Path):
        return file.relative_to(settings.root).as_posix()
    return str(file)


def file_name(scored_for: datetime, ending: str) -> str:
    """Return the name of a window's file, which sorts by time and needs no quotes.

    >>> file_name(datetime(2013, 7, 1, 9, tzinfo=UTC), "csv")
    '2013-07-01T090000Z.csv'
    """
    return f"{scored_for.astimezone(UTC):%Y-%m-%dT%H%M%SZ}.{ending}"


@contextmanager
def locked(place: Folder) -> Iterator[None]:
    """Keep other processes on this machine from delivering into the folder; a kill gives it free.

    A store has no lock: there two deliveries at once may leave either's file, each of them whole,
    and the next delivery puts the current one in place.
    """
    if not isinstance(place, Path):
        yield
        return
    place.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(place / ".lock", os.O_WRONLY | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        for left in place.glob(
            ".unfinished-*"
        ):  # of a process that was killed, since we hold the lock
            left.unlink()
        yield
    finally:
        os.close(descriptor)


@contextmanager
def unfinished(place: Folder, name: str) -> Iterator[Path]:
    """Lend the path of a file to write, which no reader takes for an output; it is gone at the end."""
    if isinstance(place, Path):
        path = place / f".unfinished-{name}"
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)
        return
    with TemporaryDirectory(prefix="headframe-") as scratch:
        yield Path(scratch) / name


def standing(place: Folder, name: str) -> Sidecar | None:
    """Return what the file holds, None where there is none or its bytes are not those of its sidecar."""
    try:
        found = Sidecar(**json.loads(_read(place, name + SIDECAR)))
        digest = _digest(place, name)
    except (FileNotFoundError, ValueError, TypeError):
        return None
    return found if digest == found.sha256 else None


def put(place: Folder, name: str, written: Path, told: Sidecar) -> None:
    """Put a finished file in place of the old one, then its sidecar.

    Killed in between, the new file lies beside the old sidecar, whose digest is not the file's: a
    reader who compares them waits, and the next delivery writes both again.
    """
    text = json.dumps(asdict(told), ensure_ascii=False, indent=1) + "\n"
    if isinstance(place, Path):
        durable.settle([written])
        failpoint("deliver.before_file")
        written.replace(place / name)
        durable.settle([place])
        failpoint("deliver.between_file_and_sidecar")
        write_whole(place / (name + SIDECAR), text)
        durable.settle([place])
        return
    failpoint("deliver.before_file")
    object_store.put(written, place / name)
    failpoint("deliver.between_file_and_sidecar")
    object_store.put_bytes(place / (name + SIDECAR), text.encode())


def digest_of_file(path: Path) -> str:
    """Return the SHA-256 (hex) of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read(place: Folder, name: str) -> bytes:
    """Return the bytes of an output's file. Raises FileNotFoundError."""
    return _read(place, name)


def _read(place: Folder, name: str) -> bytes:
    if isinstance(place, Path):
        return (place / name).read_bytes()
    return object_store.read_bytes(place / name)


def _digest(place: Folder, name: str) -> str:
    if isinstance(place, Path):
        return digest_of_file(place / name)
    with TemporaryDirectory(prefix="headframe-") as scratch:
        path = Path(scratch) / "fetched"
        object_store.fetch(place / name, path)
        return digest_of_file(path)
