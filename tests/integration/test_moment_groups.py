"""Moment groups: the row groups of some moments, in order, whatever file they were written to."""

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.adapters.delta import delta_tables, moment_groups
from pipelines.adapters.models import feature_store
from pipelines.domain.sql_text import delta_moment
from pipelines.errors import LakeError, VersionGone

DAYS = [datetime(2026, 3, day, tzinfo=UTC) for day in range(1, 7)]
MOMENT = pa.timestamp("us", tz="UTC")


def block(day: int, keys: list[int]) -> pa.Table:
    moments = pa.array([DAYS[day]] * len(keys), MOMENT)
    return pa.table({"key": keys, "as_of": moments, "text": [f"{day}-{key}" for key in keys]})


def write(table: Path, days: list[int]) -> None:
    """Write each day into a row group of its own, all into one file and commit."""
    feature_store.add(
        table,
        [block(day, [1, 2, 3]) for day in days],
        transactions={f"days:{days}": 1},
        metadata={},
    )


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Return a table of five days, the later ones written first."""
    found = tmp_path / "lake" / "features"
    write(found, [3, 4])
    write(found, [0, 1, 2])
    return found


def days_of(rows: pa.Table) -> list[int]:
    return [DAYS.index(moment) for moment in rows["as_of"].to_pylist()[::3]]


def test_groups_come_in_the_order_of_their_moments(table: Path) -> None:
    rows = moment_groups.read(table, "as_of", DAYS)
    assert days_of(rows) == [0, 1, 2, 3, 4]
    assert rows["text"].to_pylist()[:4] == ["0-1", "0-2", "0-3", "1-1"]
    assert rows.schema == delta_tables.schema(table)


def test_what_is_read_lies_in_one_piece(table: Path) -> None:
    write(table, [5])
    rows = moment_groups.read(table, "as_of", DAYS)
    assert {column.num_chunks for column in rows.columns} == {1}
    assert rows["key"].to_pylist() == [1, 2, 3] * 6
    assert moment_groups.read(table, "as_of", DAYS[:1])["text"].num_chunks == 1


def test_some_columns_come_in_the_order_asked_for(table: Path) -> None:
    rows = moment_groups.read(table, "as_of", [DAYS[0], DAYS[4]], columns=["text", "as_of"])
    assert rows.column_names == ["text", "as_of"]
    assert rows["text"].to_pylist() == ["0-1", "0-2", "0-3", "4-1", "4-2", "4-3"]


def test_only_groups_that_may_hold_a_wanted_moment_are_read(table: Path) -> None:
    assert days_of(moment_groups.read(table, "as_of", [DAYS[4], DAYS[1]])) == [1, 4]
    nothing = moment_groups.read(table, "as_of", [DAYS[5]])
    assert nothing.num_rows == 0
    assert nothing.schema == delta_tables.schema(table)


def test_a_version_is_read_as_it_was(table: Path) -> None:
    version = delta_tables.version(table)
    delta_tables.commit_rows(
        table,
        block(1, [7, 8, 9]),
        transactions={"again": 1},
        metadata={},
        replace=f"as_of = {delta_moment(DAYS[1])}",
    )
    now = moment_groups.read(table, "as_of", [DAYS[1]])
    assert [row["key"] for row in now.to_pylist() if row["as_of"] == DAYS[1]] == [7, 8, 9]
    before = moment_groups.read(table, "as_of", [DAYS[1]], at_version=version)
    assert before["key"].to_pylist() == [1, 2, 3]


def test_a_group_that_does_not_say_what_it_holds_is_read(table: Path) -> None:
    for file in table.glob("*.parquet"):
        pq.write_table(pq.read_table(file), file, write_statistics=False)
    rows = moment_groups.read(table, "as_of", [DAYS[1]])
    assert DAYS[1] in rows["as_of"].to_pylist()


def test_a_file_that_is_gone_or_broken_is_told(table: Path) -> None:
    (first, *_) = table.glob("*.parquet")
    first.write_bytes(b"PAR1 and no more")
    with pytest.raises(LakeError, match="one that cannot be read"):
        moment_groups.read(table, "as_of", DAYS)
    first.unlink()
    with pytest.raises(VersionGone, match="one that is there no more"):
        moment_groups.read(table, "as_of", DAYS)
