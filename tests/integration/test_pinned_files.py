"""Pinned files: rows of the files that are named, on a disk and in a store, and of no other."""

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from pipelines.adapters.delta import delta_tables, pinned_files
from pipelines.adapters.stores.object_store import Folder, StoreUrl
from pipelines.errors import LakeError, VersionGone

MOMENT = pa.timestamp("us", tz="UTC")


def block(day: int) -> pa.Table:
    moment = datetime(2026, 3, day, tzinfo=UTC)
    names = pa.array([f"{day}-a", f"{day}-b"])
    return pa.table({"day": [day] * 2, "at": pa.array([moment] * 2, MOMENT), "name": names})


def written(table: Folder, days: range) -> list[str]:
    """Write a file a day; return their paths, in the order of the days."""
    for day in days:
        delta_tables.commit_rows(table, block(day), transactions={f"day:{day}": 1}, metadata={})
    found = {}
    for file in pinned_files.pinned(table):
        (day,) = set(pinned_files.rows(table, [file.path], ["day"])["day"].to_pylist())
        found[day] = file.path
    return [found[day] for day in days]


def is_read_file_by_file(table: Folder) -> None:
    paths = written(table, range(1, 6))
    rows = pinned_files.rows(table, [paths[3], paths[0]], ["name", "at"])
    assert rows["name"].to_pylist() == ["4-a", "4-b", "1-a", "1-b"]
    assert rows.schema == pa.schema([("name", pa.string()), ("at", MOMENT)])
    every = pinned_files.rows(table, paths, delta_tables.schema(table).names)
    assert every.equals(delta_tables.read(table).sort_by("name"))
    nothing = pinned_files.rows(table, [], ["at"])
    assert (nothing.num_rows, nothing.schema.names) == (0, ["at"])


def test_named_files_are_read_in_their_order(tmp_path: Path) -> None:
    is_read_file_by_file(tmp_path / "lake" / "predictions" / "machines")


def test_named_files_are_read_from_a_store(store: StoreUrl) -> None:
    is_read_file_by_file(store / "predictions" / "machines")


def test_other_files_are_not_opened(tmp_path: Path) -> None:
    table = tmp_path / "lake" / "predictions" / "machines"
    paths = written(table, range(1, 4))
    (table / paths[1]).write_bytes(b"none")
    assert pinned_files.rows(table, [paths[0], paths[2]], ["day"])["day"].to_pylist() == [
        1,
        1,
        3,
        3,
    ]
    with pytest.raises(LakeError, match="one that cannot be read"):
        pinned_files.rows(table, paths, ["day"])
    (table / paths[1]).unlink()
    with pytest.raises(VersionGone):
        pinned_files.rows(table, paths, ["day"])
