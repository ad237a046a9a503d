"""Linked tables: a version readable elsewhere; what happens to either is not seen in the other."""

from pathlib import Path

import pyarrow as pa
import pytest

from pipelines.adapters.delta import delta_tables, linked_tables
from pipelines.errors import LakeError


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Return a table of two versions with rows, one row each."""
    table = tmp_path / "real" / "machines"
    for number in (1, 2):
        add(table, number)
    return table


def add(table: Path, number: int) -> None:
    rows = pa.table({"number": pa.array([number], pa.int64())})
    delta_tables.commit_rows(
        table, rows, transactions={f"n{number}": 1}, metadata={"stage": "test"}
    )


def numbers(table: Path) -> list[int]:
    found: list[int] = delta_tables.read(table)["number"].to_pylist()
    return sorted(found)


def test_a_linked_table_reads_the_same_and_copies_no_row(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "replay" / "machines"
    assert linked_tables.link(source, target) == delta_tables.version(source)
    assert numbers(target) == [1, 2]
    assert delta_tables.committed(target, ["n1", "n2", "n3"]) == {"n1", "n2"}
    for file in target.glob("*.parquet"):
        assert file.samefile(source / file.name)


def test_what_is_committed_to_either_is_not_seen_in_the_other(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "replay" / "machines"
    linked_tables.link(source, target)
    before = {path.name: path.read_bytes() for path in source.rglob("*") if path.is_file()}
    add(target, 10)
    assert {path.name: path.read_bytes() for path in source.rglob("*") if path.is_file()} == before
    add(source, 3)
    assert (numbers(source), numbers(target)) == ([1, 2, 3], [1, 2, 10])


def test_an_earlier_version_is_linked_without_what_came_later(source: Path, tmp_path: Path) -> None:
    earlier = delta_tables.version(source) - 1
    target = tmp_path / "replay" / "machines"
    assert linked_tables.link(source, target, version=earlier) == earlier
    assert numbers(target) == [1]


def test_a_linked_table_outlives_the_files_of_its_source(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "replay" / "machines"
    linked_tables.link(source, target)
    for file in source.glob("*.parquet"):  # as a vacuum does
        file.unlink()
    assert numbers(target) == [1, 2]


def test_a_table_that_is_linked_stays_as_it_is(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "replay" / "machines"
    linked_tables.link(source, target)
    add(source, 3)
    assert linked_tables.link(source, target) == delta_tables.version(source) - 1
    assert numbers(target) == [1, 2]


def test_what_a_kill_left_of_a_link_is_made_anew(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "replay" / "machines"
    half = target.with_name(".machines.half")
    (half / "_delta_log").mkdir(parents=True)
    (half / "_delta_log" / "00000000000000000000.json").write_text("half a line")
    linked_tables.link(source, target)
    assert numbers(target) == [1, 2]
    assert not half.exists()


def test_an_absent_table_links_to_nothing(tmp_path: Path) -> None:
    assert linked_tables.link(tmp_path / "none", tmp_path / "target") == -1
    assert not (tmp_path / "target").exists()


def test_a_version_that_is_not_there_is_refused(source: Path, tmp_path: Path) -> None:
    with pytest.raises(LakeError, match="version 99"):
        linked_tables.link(source, tmp_path / "target", version=99)
