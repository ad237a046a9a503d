"""Landing: delivered files, when each was delivered, and whether one is fit to be read."""

import gzip
import hashlib
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from pipelines.adapters import delta_tables
from pipelines.domain.contract import Files
from pipelines.domain.delivery import Delivery
from pipelines.errors import FileRefused, Problem

SIDECAR = ".delivered.json"
"""Suffix of the file that says when its neighbour was delivered."""

CHUNK_BYTES = 1 << 20


def deliveries(
    landing: Path, use_case: str, source: Files, seen_index: Path
) -> tuple[list[Delivery], list[FileRefused]]:
    """Return every landed file that matches ``source``, sorted by name, and those not readable.

    A file's delivered-at comes from its sidecar, else from the moment it was first seen, which is
    recorded in ``seen_index`` before this returns and never changes. Files seen before with the
    same size and modification time are not hashed again.
    """
    folder = landing / use_case
    seen = _seen(seen_index, use_case)
    found, refused, fresh = [], [], []
    for path in sorted(folder.glob(source.pattern)):
        if path.name.startswith(".") or path.name.endswith(SIDECAR):
            continue
        name = path.relative_to(folder).as_posix()
        try:
            delivery = _delivery(name, path, folder, seen)
        except FileRefused as error:
            refused.append(error)
            continue
        found.append(delivery)
        if name not in seen or seen[name]["sha256"] != delivery.sha256:
            fresh.append(delivery)
    if fresh:
        _remember(seen_index, use_case, fresh)
    return found, refused


def preflight(delivery: Delivery, source: Files) -> None:
    """Read the file once, whole, and raise FileRefused unless its bytes are fit to be parsed.

    Checks the gzip checksum, the decompressed size, and that the last line is whole.
    """
    total, last = 0, b""
    try:
        with opened(delivery.path) as stream:
            while chunk := stream.read(CHUNK_BYTES):
                total, last = total + len(chunk), chunk[-1:]
                if total > source.maximum_bytes:
                    raise _refused(
                        delivery.name,
                        f"at most {source.maximum_bytes} bytes decompressed",
                        "more",
                        "Deliver smaller files, or raise maximum_bytes of the source.",
                    )
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise _refused(
            delivery.name,
            "a whole gzip file",
            f"one that does not decompress ({type(error).__name__})",
            "The file was cut or damaged on its way: deliver it again under a new name.",
        ) from error
    if total == 0:
        raise _refused(
            delivery.name,
            "a header line",
            "an empty file",
            "Deliver at least the header, also on a day without rows.",
        )
    if last != b"\n":
        raise _refused(
            delivery.name,
            "a last line that ends with a newline",
            "a file cut in the middle of a line",
            "Deliver the file again, whole, under a new name.",
        )


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """Open a landed file for reading its decompressed bytes."""
    if path.suffix == ".gz":
        with gzip.open(path, "rb") as stream:
            yield stream  # type: ignore[misc]
    else:
        with path.open("rb") as stream:
            yield stream


def _delivery(name: str, path: Path, folder: Path, seen: dict[str, dict[str, object]]) -> Delivery:
    if path.is_symlink() or not path.resolve().is_relative_to(folder.resolve()):
        raise _refused(
            name,
            "a regular file inside the landing folder",
            "a symbolic link",
            "Copy the file itself into landing.",
        )
    status = path.stat()
    record = seen.get(name)
    unchanged = record is not None and (record["size"], record["mtime_ns"]) == (
        status.st_size,
        status.st_mtime_ns,
    )
    sha256 = str(record["sha256"]) if record and unchanged else _sha256(path)
    if record and not unchanged and sha256 != record["sha256"]:
        raise _refused(
            name,
            "the bytes that were first seen; landed files never change",
            "other bytes under the same name",
            "Deliver the new content under a new name and restore the old file.",
        )
    told = _sidecar(name, path)
    first_seen = record["delivered_at"] if record else datetime.now(UTC)
    delivered_at = told or first_seen
    assert isinstance(delivered_at, datetime)  # noqa: S101 - narrows the type
    return Delivery(
        name=name, path=path, size=status.st_size, sha256=sha256, delivered_at=delivered_at
    )


def _sidecar(name: str, path: Path) -> datetime | None:
    sidecar = path.with_name(path.name + SIDECAR)
    if not sidecar.exists():
        return None
    try:
        moment = datetime.fromisoformat(json.loads(sidecar.read_text())["delivered_at"])
    except (ValueError, KeyError, TypeError) as error:
        raise _bad_sidecar(name, type(error).__name__) from error
    if moment.tzinfo is None:
        raise _bad_sidecar(name, "a time without an offset")
    return moment.astimezone(UTC)


def _bad_sidecar(name: str, found: str) -> FileRefused:
    expected = '{"delivered_at": "2013-01-31T20:00:00Z"}'
    return _refused(name + SIDECAR, expected, found, "Write the sidecar again; the file waits.")


def _seen(seen_index: Path, use_case: str) -> dict[str, dict[str, object]]:
    """Return name -> record of this use case; of several records the first seen stands."""
    if not delta_tables.exists(seen_index):
        return {}
    rows = delta_tables.read(seen_index, where=f"use_case = {delta_tables.quoted(use_case)}")
    records = sorted(rows.to_pylist(), key=lambda r: (r["delivered_at"], r["sha256"]), reverse=True)
    return {record["name"]: record for record in records}


def _remember(seen_index: Path, use_case: str, fresh: list[Delivery]) -> None:
    import pyarrow as pa

    schema = pa.schema(
        [
            ("use_case", pa.string()),
            ("name", pa.string()),
            ("size", pa.int64()),
            ("mtime_ns", pa.int64()),
            ("sha256", pa.string()),
            ("delivered_at", pa.timestamp("us", tz="UTC")),
        ]
    )
    rows = [
        {
            "use_case": use_case,
            "name": delivery.name,
            "size": delivery.size,
            "mtime_ns": delivery.path.stat().st_mtime_ns,
            "sha256": delivery.sha256,
            "delivered_at": delivery.delivered_at,
        }
        for delivery in fresh
    ]
    # No transaction: two writers may both record a first sight; the earlier one stands.
    delta_tables.commit_rows(
        seen_index,
        pa.Table.from_pylist(rows, schema=schema),
        transactions={},
        metadata={"files": len(rows)},
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _refused(name: str, expected: str, found: str, fix: str) -> FileRefused:
    return FileRefused(Problem(where=f"landing/{name}", expected=expected, found=found, fix=fix))
