"""Seen files: when each landed file was first seen, recorded once and never changed."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, cast

from pipelines.adapters.delta import delta_tables
from pipelines.domain.delivery import Delivery

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

    from pipelines.adapters.stores.object_store import Folder

COMMITS_PER_FILE = 32
"""Commits of a use case after which its rows become one file, so that a read opens few of them."""

MOST_NAMES_ASKED = 100
"""Names that a read of the index asks for; for more of them it reads all."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def recorded(
    seen_index: "Folder", use_case: str, folder: "Folder", names: Collection[str]
) -> dict[str, Delivery]:
    """Return what is recorded under ``names``, by name; ``folder`` is where the files lie."""
    if not names:
        return {}
    rows = _read(seen_index, use_case, names if len(names) <= MOST_NAMES_ASKED else ())
    columns = [rows[name].to_pylist() for name in ("name", "size", "mtime_ns", "sha256")]
    moments = rows["delivered_at"].cast("int64").to_pylist()
    return {
        name: Delivery(
            name=name,
            path=cast("Path", folder / name),  # or where the object lies: see landing.local_file
            size=size,
            mtime_ns=mtime_ns,
            sha256=sha256,
            delivered_at=EPOCH + timedelta(microseconds=moment),
        )
        for name, size, mtime_ns, sha256, moment in zip(*columns, moments, strict=True)
        if name in names
    }


def record(
    seen_index: "Folder", use_case: str, folder: "Folder", found: Mapping[str, Delivery]
) -> dict[str, Delivery]:
    """Record files by name and return what is recorded under these names.

    The first sight of a name stands, whichever run had it. Where its bytes were found again behind
    another modification time, that one is kept, so that they are not read next time.
    """
    import pyarrow as pa

    now: dict[str, Delivery] = {}

    def make(number: int) -> delta_tables.Change | None:
        nonlocal now
        now = recorded(seen_index, use_case, folder, found) if number else {}
        fresh = {name: file for name, file in found.items() if name not in now}
        touched = {
            name: replace(now[name], size=file.size, mtime_ns=file.mtime_ns)
            for name, file in found.items()
            if name in now and _is_touched(now[name], file)
        }
        now |= fresh | touched
        if not fresh and not touched:
            return None
        metadata = {"use_case": use_case, "files": len(fresh)}
        rows = _rows(use_case, fresh | touched)
        if not touched and (number + 1) % COMMITS_PER_FILE:
            return delta_tables.Change(rows=rows, metadata=metadata)
        others = _without(_read(seen_index, use_case), touched)
        return delta_tables.Change(
            rows=pa.concat_tables([others, rows]).combine_chunks(),
            metadata=metadata,
            replace=_where(use_case),
        )

    delta_tables.commit_next(seen_index, _schema(), f"landed:{use_case}", make)
    return now


def _read(seen_index: "Folder", use_case: str, names: Collection[str] = ()) -> "pa.Table":
    if not delta_tables.exists(seen_index):
        return _schema().empty_table()
    listed = ", ".join(delta_tables.quoted(name) for name in names)
    only = f" and name in ({listed})" if names else ""
    return delta_tables.read(seen_index, where=_where(use_case) + only)


def _where(use_case: str) -> str:
    return f"use_case = {delta_tables.quoted(use_case)}"


def _without(rows: "pa.Table", names: Collection[str]) -> "pa.Table":
    import pyarrow as pa
    import pyarrow.compute as pc

    named = pc.is_in(rows["name"], value_set=pa.array(list(names), pa.string()))
    return rows.filter(pc.invert(named))


def _is_touched(before: Delivery, now: Delivery) -> bool:
    same_state = (before.size, before.mtime_ns) == (now.size, now.mtime_ns)
    return before.sha256 == now.sha256 and not same_state


def _rows(use_case: str, files: Mapping[str, Delivery]) -> "pa.Table":
    import pyarrow as pa

    values = files.values()
    columns = {
        "use_case": [use_case] * len(files),
        "name": list(files),
        "size": [file.size for file in values],
        "mtime_ns": [file.mtime_ns for file in values],
        "sha256": [file.sha256 for file in values],
        "delivered_at": [file.delivered_at for file in values],
    }
    return pa.table(columns, schema=_schema())


def _schema() -> "pa.Schema":
    import pyarrow as pa

    return pa.schema(
        [
            ("use_case", pa.string()),
            ("name", pa.string()),
            ("size", pa.int64()),
            ("mtime_ns", pa.int64()),
            ("sha256", pa.string()),
            ("delivered_at", pa.timestamp("us", tz="UTC")),
        ]
    )
