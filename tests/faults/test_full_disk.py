"""Full disk: a lake that runs out of room stays whole, says so, and goes on once there is some."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from pipelines.adapters.delta import delta_tables
from pipelines.adapters.delta.delta_tables import Commit
from pipelines.errors import LakeError

MEBIBYTES = 6
ROWS = 20_000
"""Random numbers, which do not compress: about 0.3 MB of Parquet a commit."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Lend a file system that is soon full."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={MEBIBYTES}m", "none", str(folder)],  # noqa: S607 - as root
        check=True,
    )
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)  # noqa: S607 - as root


def rows_of(number: int) -> pa.Table:
    values = pa.array([int.from_bytes(os.urandom(7)) for _ in range(ROWS)], pa.int64())
    return pa.table({"number": pa.array([number] * ROWS, pa.int64()), "value": values})


def append(table: Path, number: int) -> Commit:
    return delta_tables.commit_rows(
        table, rows_of(number), transactions={f"file:{number}": 1}, metadata={}
    )


def append_staged(table: Path, number: int) -> Commit:
    rows = rows_of(number)
    with delta_tables.stage(table, rows.schema) as staging:
        staging.write(rows)
        return delta_tables.commit_staged(
            table,
            staging.files(),
            table_schema=rows.schema,
            transactions={f"file:{number}": 1},
            metadata={},
        )


def fill(table: Path, commit: Callable[[Path, int], Commit]) -> None:
    for number in range(1, 100):
        assert commit(table, number) == Commit(number, written=True)


def held(table: Path) -> dict[int, int]:
    """Return how many rows the table holds of each number."""
    counts = delta_tables.read(table, columns=["number"])["number"].value_counts().to_pylist()
    return {count["values"]: count["counts"] for count in counts}


@pytest.mark.needs_root
@pytest.mark.parametrize("commit", [append, append_staged])
def test_a_full_disk_loses_nothing_doubles_nothing_and_is_told(
    disk: Path, commit: Callable[[Path, int], Commit]
) -> None:
    ballast, table = disk / "ballast", disk / "lake" / "t"
    ballast.write_bytes(bytes(2 << 20))
    with pytest.raises(LakeError) as caught:
        fill(table, commit)
    made = delta_tables.version(table)
    assert made > 0
    assert "expected room on the disk for its files; found a full disk" in str(caught.value)
    whole = dict.fromkeys(range(1, made + 1), ROWS)
    assert held(table) == whole
    with pytest.raises(LakeError, match="found a full disk"):
        commit(table, made + 1)
    assert held(table) == whole
    ballast.unlink()
    assert commit(table, made + 1).written
    assert not commit(table, made + 1).written
    assert held(table) == whole | {made + 1: ROWS}
