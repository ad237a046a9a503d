"""Landing: delivered files, when each was delivered, and whether one is fit to be read."""

import gzip
import hashlib
import json
import stat
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, cast

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
    seen = _seen(seen_index, use_case, folder)
    found: list[Delivery] = []
    refused: list[FileRefused] = []
    for path in sorted(folder.glob(source.pattern)):
        if path.name.startswith(".") or path.name.endswith(SIDECAR):
            continue
        try:
            found.append(_delivery(path, folder, seen))
        except FileRefused as error:
            refused.append(error)
    fresh = [delivery for delivery in found if delivery.name not in seen]
    if not fresh:
        return found, refused
    _remember(seen_index, use_case, folder, fresh)
    # Another run may have recorded them first, so ask again: what is recorded is what counts.
    return deliveries(landing, use_case, source, seen_index)


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
    except OSError as error:
        raise _unreadable(delivery.name, error) from error
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


def opened(path: Path) -> IO[bytes]:
    """Open a landed file for reading its decompressed bytes."""
    return cast("IO[bytes]", gzip.open(path)) if path.suffix == ".gz" else path.open("rb")


def refuse_changed(delivery: Delivery) -> None:
    """Raise FileRefused when the file is not as it was when its bytes were identified."""
    try:
        status = delivery.path.lstat()
    except OSError as error:
        raise _unreadable(delivery.name, error) from error
    if (status.st_size, status.st_mtime_ns) != (delivery.size, delivery.mtime_ns):
        raise _refused(
            delivery.name,
            "a file that stays as it is",
            "one that changed while it was read",
            "Write files under another name and rename them into landing when they are whole.",
        )


def _delivery(path: Path, folder: Path, seen: dict[str, Delivery]) -> Delivery:
    name = path.relative_to(folder).as_posix()
    try:
        name.encode()
        status = path.lstat()
        inside = path.resolve().is_relative_to(folder.resolve())
        if not stat.S_ISREG(status.st_mode) or not inside:
            raise _refused(
                name,
                "a regular file inside the landing folder",
                "a link, a folder or a device",
                "Copy the file itself into landing.",
            )
        record = seen.get(name)
        as_before = record is not None and (record.size, record.mtime_ns) == (
            status.st_size,
            status.st_mtime_ns,
        )
        sha256 = record.sha256 if record and as_before else _sha256(path)
        told = _told(name, path)
    except UnicodeEncodeError as error:
        name = name.encode(errors="replace").decode()
        raise _refused(name, "a name in UTF-8", "other bytes", "Rename the file.") from error
    except OSError as error:
        raise _unreadable(name, error) from error
    if record and sha256 != record.sha256:
        raise _refused(
            name,
            "the bytes that were first seen; landed files never change",
            "other bytes under the same name",
            "Deliver the new content under a new name and restore the old file.",
        )
    return Delivery(
        name=name,
        path=path,
        size=status.st_size,
        mtime_ns=status.st_mtime_ns,
        sha256=sha256,
        delivered_at=told or (record.delivered_at if record else datetime.now(UTC)),
    )


def _told(name: str, path: Path) -> datetime | None:
    """Return the delivered-at that the file's sidecar tells, None without one."""
    sidecar = path.with_name(path.name + SIDECAR)
    if not sidecar.exists():
        return None
    try:
        moment = datetime.fromisoformat(json.loads(sidecar.read_bytes())["delivered_at"])
        told = moment.astimezone(UTC)
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise _bad_sidecar(name, f"{type(error).__name__} on reading it") from error
    if moment.tzinfo is None:
        raise _bad_sidecar(name, "a time without an offset")
    return told


def _bad_sidecar(name: str, found: str) -> FileRefused:
    expected = '{"delivered_at": "2013-01-31T20:00:00Z"}'
    return _refused(name + SIDECAR, expected, found, "Write the sidecar again; the file waits.")


def _seen(seen_index: Path, use_case: str, folder: Path) -> dict[str, Delivery]:
    """Return the recorded deliveries of this use case by name; the first sight of each stands."""
    if not delta_tables.exists(seen_index):
        return {}
    rows = delta_tables.read(seen_index, where=f"use_case = {delta_tables.quoted(use_case)}")
    return {
        row["name"]: Delivery(
            name=row["name"],
            path=folder / row["name"],
            size=row["size"],
            mtime_ns=row["mtime_ns"],
            sha256=row["sha256"],
            delivered_at=row["delivered_at"].astimezone(UTC),
        )
        for row in rows.to_pylist()
    }


def _remember(seen_index: Path, use_case: str, folder: Path, fresh: Sequence[Delivery]) -> None:
    """Record the first sight of files, unless another run did."""
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

    def make(number: int) -> delta_tables.Change | None:
        recorded = _seen(seen_index, use_case, folder) if number else {}
        rows = [
            {
                "use_case": use_case,
                "name": delivery.name,
                "size": delivery.size,
                "mtime_ns": delivery.mtime_ns,
                "sha256": delivery.sha256,
                "delivered_at": delivery.delivered_at,
            }
            for delivery in fresh
            if delivery.name not in recorded
        ]
        if not rows:
            return None
        metadata = {"use_case": use_case, "files": len(rows)}
        return delta_tables.Change(
            rows=pa.Table.from_pylist(rows, schema=schema), metadata=metadata
        )

    delta_tables.commit_next(seen_index, schema, f"landed:{use_case}", make)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _refused(name: str, expected: str, found: str, fix: str) -> FileRefused:
    return FileRefused(Problem(where=f"landing/{name}", expected=expected, found=found, fix=fix))


def _unreadable(name: str, error: OSError) -> FileRefused:
    found = f"one that cannot be read ({error.strerror})"
    return _refused(name, "a file", found, "Mend its permissions, or deliver it again.")
