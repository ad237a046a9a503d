"""Staged files: bounded memory, shared by small deliveries, without a trace of a refused one."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.adapters.delta import staged_files
from pipelines.adapters.delta.staged_files import Staging
from pipelines.adapters.delta.staged_rows import take_out
from pipelines.errors import LakeError

SCHEMA = pa.schema(
    [
        ("value", pa.int64()),
        ("known_at", pa.timestamp("us", tz="UTC")),
        ("_file", pa.string()),
        ("_row", pa.int64()),
    ]
)
MONDAY = datetime(2026, 3, 2, tzinfo=UTC)


def rows(file: str, count: int, first: int = 1, known_at: datetime = MONDAY) -> pa.Table:
    return pa.table(
        {
            "value": list(range(first, first + count)),
            "known_at": pa.array([known_at] * count, SCHEMA.field("known_at").type),
            "_file": pa.DictionaryArray.from_arrays(pa.array([0] * count, pa.int32()), [file]),
            "_row": list(range(first, first + count)),
        }
    )


def held(staging: Staging) -> list[tuple[str, int]]:
    tables = [pq.read_table(staged.path) for staged in staging.files()]
    return sorted((row["_file"], row["_row"]) for table in tables for row in table.to_pylist())


@pytest.fixture
def staging(tmp_path: Path) -> Staging:
    return Staging(tmp_path / "orders", SCHEMA)


@pytest.fixture
def tiny_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staged_files, "HELD_BYTES", 1000)
    monkeypatch.setattr(staged_files, "GROUP_BYTES", 2000)
    monkeypatch.setattr(staged_files, "FILE_BYTES", 6000)


def test_small_deliveries_share_one_file(staging: Staging) -> None:
    for name in ("a.csv", "b.csv"):
        with staging.delivery() as delivery:
            delivery.add(rows(name, 2))
    (staged,) = staging.files()
    assert staged.rows == 4
    assert held(staging) == [("a.csv", 1), ("a.csv", 2), ("b.csv", 1), ("b.csv", 2)]
    assert pq.read_schema(staged.path).field("_file").type == pa.string()


@pytest.mark.usefixtures("tiny_limits")
def test_a_large_delivery_is_spread_over_groups_and_files_of_its_own(staging: Staging) -> None:
    with staging.delivery() as small:
        small.add(rows("small.csv", 3))
    with staging.delivery() as large:
        for first in range(1, 1001, 20):
            large.add(rows("large.csv", 20, first))
    files = staging.files()
    assert len(files) > 2
    assert sum(staged.rows for staged in files) == 1003
    assert len(held(staging)) == len(set(held(staging))) == 1003
    assert {staged.rows for staged in files if staged.rows < 10} == {3}
    largest = max(files, key=lambda staged: staged.rows)
    assert pq.read_metadata(largest.path).num_row_groups > 1


@pytest.mark.usefixtures("tiny_limits")
@pytest.mark.parametrize("count", [3, 2000])
def test_a_refused_delivery_leaves_nothing_however_large(staging: Staging, count: int) -> None:
    with staging.delivery() as good:
        good.add(rows("good.csv", 2))

    def refuse() -> None:
        with staging.delivery() as bad:
            for first in range(1, count, 20):
                bad.add(rows("bad.csv", 20, first))
            raise ValueError("refused")

    with pytest.raises(ValueError, match="refused"):
        refuse()
    assert held(staging) == [("good.csv", 1), ("good.csv", 2)]
    assert len(list(staging.folder.iterdir())) == 1


def test_rows_of_another_schema_are_refused_before_anything_is_written(staging: Staging) -> None:
    wrong = rows("a.csv", 1).set_column(0, "value", pa.array([1.5]))
    with pytest.raises(LakeError, match="value"), staging.delivery() as delivery:
        delivery.add(wrong)
    assert staging.files() == []


def test_statistics_hold_the_rows_and_the_bounds_of_known_at(staging: Staging) -> None:
    staging.write(rows("a.csv", 2, known_at=MONDAY + timedelta(days=1)))
    staging.write(rows("b.csv", 3))
    (staged,) = staging.files()
    assert json.loads(staged.statistics) == {
        "numRecords": 5,
        "minValues": {"known_at": "2026-03-02T00:00:00+00:00"},
        "maxValues": {"known_at": "2026-03-03T00:00:00+00:00"},
        "nullCount": {"known_at": 0},
    }


def test_discarding_removes_all_but_what_was_committed(staging: Staging) -> None:
    staging.write(rows("a.csv", 2))
    (first,) = staging.files()
    staging.write(rows("b.csv", 2))
    assert len(staging.files()) == 2
    staging.discard({first.path.name})
    assert list(staging.folder.iterdir()) == [first.path]


@pytest.mark.usefixtures("tiny_limits")
def test_rows_are_taken_out_by_name_and_only_their_files_are_written_anew(staging: Staging) -> None:
    with staging.delivery() as delivery:
        for first in range(1, 1001, 20):
            delivery.add(rows("large.csv", 20, first))
    before = {staged.path for staged in staging.files()}
    oldest = min(staging.files(), key=lambda s: pq.read_table(s.path)["_row"][0].as_py())
    wanted = pq.read_table(oldest.path)["_row"].to_pylist()[:2]
    names = pa.table({"_file": ["large.csv", "large.csv", "other.csv"], "_row": [*wanted, 5]})
    taken = pa.concat_tables(take_out(staging, names))
    assert (taken.schema, taken["_row"].to_pylist()) == (SCHEMA, wanted)
    assert len(held(staging)) == 998
    assert before - {staged.path for staged in staging.files()} == {oldest.path}
    staging.discard(set())
    assert list(staging.folder.iterdir()) == []


def test_a_file_of_which_every_row_is_taken_out_is_gone(staging: Staging) -> None:
    staging.write(rows("a.csv", 2))
    names = pa.table({"_file": ["a.csv", "a.csv"], "_row": [1, 2]})
    assert [rows.num_rows for rows in take_out(staging, names)] == [2]
    assert staging.files() == []
