"""SQL over the lake: tables under their dotted names, questions only."""

from pathlib import Path

import pyarrow as pa
import pytest

from pipelines.adapters import lake, lake_sql
from pipelines.adapters.delta import delta_tables, partitions, unseen_files
from pipelines.adapters.stores.object_store import Folder
from pipelines.errors import LakeError
from tests import shop
from tests.goldens import assert_golden


@pytest.fixture
def tables(tmp_path: Path) -> dict[str, Folder]:
    home = shop.settings_in(tmp_path / "a home with a space")
    rows = pa.table({"product": ["tea", "milk"], "price": [1.5, 2.5]})
    for name, content in (("prices", rows), ("empty", rows.slice(0, 0))):
        path = lake.silver(home, "shop", name)
        delta_tables.commit_rows(path, content, transactions={}, metadata={})
    delta_tables.commit_rows(lake.ledger(home, "runs"), rows, transactions={}, metadata={})
    return lake.table_paths(home)


@pytest.mark.parametrize(
    ("statement", "answer"),
    [
        ("select sum(price) as total from silver.shop.prices", {"total": [4.0]}),
        ("select price from ledger.runs where product = 'tea'", {"price": [1.5]}),
        ("select product from silver.shop.empty", {"product": []}),
        ("with t as (from silver.shop.prices) select count(*) as n from t", {"n": [2]}),
        ("select column_name from (describe silver.shop.empty)", {"column_name": ["product", "price"]}),
    ],
)  # fmt: skip
def test_a_question_is_answered(
    tables: dict[str, Path], statement: str, answer: dict[str, list[object]]
) -> None:
    assert lake_sql.query(tables, statement).to_pydict() == answer


@pytest.mark.parametrize(
    "statement",
    [
        "copy (select 1) to '{file}'",
        "explain analyze copy (select 1) to '{file}'",
        "create table mine as select 1",
        "drop view silver.shop.prices",
        "set threads = 1",
        "select 1; select 2",
        "-- nothing",
        "",
    ],
)
def test_what_is_no_question_is_refused_before_it_runs(
    tables: dict[str, Path], tmp_path: Path, statement: str
) -> None:
    file = tmp_path / "written"
    with pytest.raises(LakeError, match="expected one query over"):
        lake_sql.query(tables, statement.format(file=file))
    assert not file.exists()


def test_a_wrong_question_is_told_in_the_words_of_duckdb(tables: dict[str, Path]) -> None:
    with pytest.raises(LakeError) as caught:
        lake_sql.query(tables, "select prize from silver.shop.prices")
    assert_golden("lake/wrong_query", str(caught.value))
    with pytest.raises(LakeError, match="a lake \\(it is empty\\)"):
        lake_sql.query({}, "select 1 from silver.shop.prices")


def test_a_filter_finds_rows_of_a_partition_whose_bounds_nobody_told(tmp_path: Path) -> None:
    home = shop.settings_in(tmp_path / "home")
    layout = partitions.Layout(
        schema=pa.schema([("part", pa.string()), ("slot", pa.string()), ("price", pa.float64())]),
        partition_by=("part",),
    )
    folder, files = lake.predictions(home, "shop"), []
    for part, prices in (("a b/c", [1.0, None]), ("d", [3.0])):
        with unseen_files.unseen(folder, bounds={}) as file:
            file.write(pa.table({"slot": ["champion"] * len(prices), "price": prices}))
            files += [(one, {"part": part}) for one in file.finish()]
    made = partitions.Swap(files=files, replace=None, transactions={"made": 1}, metadata={})
    partitions.swap(folder, layout, lambda _: made)
    tables = lake.table_paths(home)
    for where, count in {
        "true": 3,
        "slot = 'champion'": 3,
        "slot <> 'champion'": 0,
        "price >= 2": 1,
        "price is null": 1,
        "part = 'a b/c'": 2,
        "part = 'd' and slot = 'champion'": 1,
        "part = 'e'": 0,
    }.items():
        found = lake_sql.query(tables, f"select count(*) as n from predictions.shop where {where}")
        assert found.to_pydict() == {"n": [count]}, where
