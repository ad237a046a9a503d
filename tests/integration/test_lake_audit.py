"""Lake audit: a lake of the worst day is clean, and each thing done to it by hand is found."""

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.settings import Settings
from pipelines.adapters.silver import lake_audit
from pipelines.adapters.silver.lake_audit import LakeAudit
from pipelines.adapters.silver.publishing import SEQUENCE
from pipelines.domain.contract import quarantine_schema
from pipelines.stages.replay import replay
from tests import shop
from tests.integration.test_replay import BAD, MENDED
from tests.shop import at, land_orders, order, quarantine, silver, take_in

# GX imports two modules of regular expressions that the standard library renamed.
pytestmark = pytest.mark.filterwarnings(
    "ignore:module 'sre_(constants|parse)' is deprecated:DeprecationWarning"
)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a home after a bad day, its repetition, a correction, a repeat, a file without rows."""
    home = shop.settings_in(tmp_path_factory.mktemp("template"))
    land_orders(home, "a.csv", BAD, at(1))
    take_in(home)
    land_orders(home, "b.csv", [*BAD, order(6), order(6)], at(1))
    land_orders(home, "c.csv", [order(1, "9"), order(8, amount="x")], at(3))
    land_orders(home, "d.csv", [], at(4))
    land_orders(home, "e.csv", ["x", "y", order(1)], at(4))
    shop.land(home, "prices/a.csv", b"product,price\ntea,1\n", at(1))
    take_in(home)
    take_in(home)
    return home.home


@pytest.fixture
def home(template: Path, tmp_path: Path) -> Settings:
    """Return a fresh copy of the template."""
    return shop.settings_in(shutil.copytree(template, tmp_path / "home"))


def audit(home: Settings) -> LakeAudit:
    return lake_audit.audit(home, shop.NAME, shop.SHOP.tables)


def found(home: Settings) -> list[str]:
    return [f"{problem.expected} | {problem.found}" for problem in audit(home).problems]


def orders(home: Settings) -> Path:
    folder = lake.silver(home, "shop", "orders")
    assert isinstance(folder, Path)
    return folder


def data_file(folder: Path) -> Path:
    return max((Path(path) for path in delta_tables.files(folder)), key=lambda p: p.stat().st_size)


def test_a_lake_after_the_worst_day_is_clean(home: Settings) -> None:
    clean = audit(home)
    assert clean.problems == []
    assert [table.warnings for table in clean.tables] == [(), ()]
    assert [(table.table, table.rows, table.quarantined) for table in clean.tables] == [
        ("shop.orders", silver(home).num_rows, len(quarantine(home))),
        ("shop.prices", 1, 0),
    ]


def test_a_lake_that_holds_nothing_yet_is_clean(tmp_path: Path) -> None:
    assert audit(shop.settings_in(tmp_path)).problems == []


def test_a_lake_is_clean_after_replays_and_compaction(home: Settings) -> None:
    from deltalake import DeltaTable

    for _ in range(2):
        replay(MENDED, home, table="orders", as_of=shop.NEVER_ENDS, run="test")
        assert found(home) == []
    land_orders(home, "f.csv", BAD, at(9))
    take_in(home)
    before = len(delta_tables.files(orders(home)))
    DeltaTable(str(orders(home))).optimize.compact()
    assert len(delta_tables.files(orders(home))) < before
    assert found(home) == []


def test_a_data_file_that_is_gone_is_named(home: Settings) -> None:
    data_file(orders(home)).unlink()
    (problem,) = found(home)
    assert problem.startswith("its data file to be there | no part-")


def test_a_data_file_that_was_edited_is_named(home: Settings) -> None:
    path = data_file(orders(home))
    rows = pq.read_table(path)
    pq.write_table(rows.slice(1), path)
    sizes, counts = found(home)
    assert "bytes" in sizes
    assert counts.startswith(f"{rows.num_rows} rows in {path.name} | {rows.num_rows - 1}")


def test_a_data_file_that_is_no_parquet_is_named(home: Settings) -> None:
    path = data_file(orders(home))
    path.write_bytes(b"x" * path.stat().st_size)
    (problem,) = found(home)
    assert problem == f"{path.name} to be a Parquet file | one that cannot be read (ArrowInvalid)"


def test_rows_appended_past_the_law_are_found(home: Settings) -> None:
    rows = silver(home).slice(0, 2)
    delta_tables.commit_rows(orders(home), rows, transactions={}, metadata={})
    found_now = found(home)
    assert found_now[0].startswith("every change of its rows to say where they came from | 2 rows")
    accepted = silver(home).num_rows - 2
    assert found_now[1] == f"the {accepted} rows that its commits accepted | {accepted + 2}"


def test_rows_appended_under_a_law_that_is_true_are_found_by_their_names(home: Settings) -> None:
    rows = silver(home).slice(0, 2)
    law = {"landed": 2, "accepted": 2, "repeated": 0, "quarantined": 0, "unparsed": 0}
    told = {"stage": "ingest", "law": law}
    delta_tables.commit_rows(orders(home), rows, transactions={}, metadata=told)
    assert found(home) == ["every landed row once | 2 there more than once"]


@pytest.mark.parametrize(
    ("law", "expected"),
    [
        ({"landed": 9}, "landed = accepted + repeated + quarantined + unparsed"),
        ({"landed": 9, "accepted": 9}, "the 9 rows that version"),
    ],
)
def test_a_commit_whose_law_is_not_true_is_found(
    home: Settings, law: dict[str, int], expected: str
) -> None:
    nothing = dict.fromkeys(("landed", "accepted", "repeated", "quarantined", "unparsed"), 0)
    told = {"stage": "ingest", "law": {**nothing, **law}}
    none = silver(home).slice(0, 0)
    delta_tables.commit_rows(orders(home), none, transactions={}, metadata=told)
    assert found(home)[0].startswith(expected)


def test_rows_deleted_from_silver_are_found(home: Settings) -> None:
    none = silver(home).slice(0, 0)
    delta_tables.commit_rows(
        orders(home), none, transactions={}, metadata={}, replace="order_id = 1"
    )
    problems = found(home)
    assert problems[0].startswith("every change of its rows to say where they came from")
    assert problems[1] == "the 4 rows that its commits accepted | 2"


def test_rows_deleted_from_quarantine_are_found(home: Settings) -> None:
    folder = lake.quarantine(home, "shop", "orders")
    before = len(quarantine(home))
    delta_tables.commit_rows(
        folder,
        quarantine_schema().empty_table(),
        transactions={},
        metadata={},
        replace="_row = 3",
    )
    left = len(quarantine(home))
    assert left < before
    assert found(home) == [f"the {before} rows that were set aside | {left}"]


def test_quarantined_rows_that_are_there_twice_are_found(home: Settings) -> None:
    folder = lake.quarantine(home, "shop", "orders")
    rows = delta_tables.read(folder).slice(0, 1)
    delta_tables.commit_rows(folder, rows, transactions={}, metadata={})
    assert found(home)[0] == "every quarantined row once | 1 there more than once"


def test_a_row_in_silver_and_in_quarantine_is_found_with_what_mends_it(home: Settings) -> None:
    row = silver(home).slice(0, 1)
    doubled = pa.table(
        {
            **{name: row[name] for name in ("known_at", "_file", "_row", "_sha256")},
            "_failed": [["rule"]],
            "_payload": ["{}"],
        },
        schema=quarantine_schema(),
    )
    folder = lake.quarantine(home, "shop", "orders")
    delta_tables.commit_rows(folder, doubled, transactions={}, metadata={})
    (problem,) = audit(home).problems
    assert problem.found == "1 of them, left by a replay that was cut off"
    assert "headframe quarantine replay orders" in problem.fix
    replay(shop.SHOP, home, table="orders", as_of=shop.NEVER_ENDS, run="test")
    assert found(home) == []


def test_bounds_in_the_log_that_hide_rows_are_found(home: Settings) -> None:
    log = orders(home) / "_delta_log"
    entry = next(path for path in sorted(log.glob("*.json")) if '"add"' in path.read_text())
    lines = [json.loads(line) for line in entry.read_text().splitlines()]
    for line in lines:
        if "add" in line:
            statistics = json.loads(line["add"]["stats"])
            statistics["maxValues"]["known_at"] = "2026-03-01T11:00:00+00:00"
            statistics["minValues"]["known_at"] = "2026-03-01T11:00:00+00:00"
            line["add"]["stats"] = json.dumps(statistics)
    entry.write_text("".join(json.dumps(line) + "\n" for line in lines))
    (problem,) = found(home)
    assert problem.endswith("rows outside, which a reader at a time may miss")


def test_rows_of_files_that_silver_never_took_are_a_warning(home: Settings) -> None:
    folder = lake.quarantine(home, "shop", "orders")
    rows = delta_tables.read(folder).slice(0, 2)
    strange = rows.set_column(3, "_sha256", pa.array(["0" * 64] * 2))
    delta_tables.commit_rows(folder, strange, transactions={}, metadata={})
    found_now = audit(home)
    assert found_now.problems == []
    (warning,) = found_now.tables[0].warnings
    assert warning.startswith(
        "shop.orders: 2 quarantined rows of 1 files that silver has not taken"
    )


def test_a_log_whose_old_entries_were_removed_is_a_warning(home: Settings) -> None:
    from deltalake import DeltaTable

    DeltaTable(str(orders(home))).create_checkpoint()
    (orders(home) / "_delta_log" / f"{0:020}.json").unlink()
    (orders(home) / "_delta_log" / f"{1:020}.json").unlink()
    found_now = audit(home)
    assert found_now.problems == []
    assert found_now.tables[0].warnings[0].startswith("shop.orders: commits before version 2")


def test_an_ingest_number_alone_is_nothing_wrong(home: Settings) -> None:
    number = delta_tables.transaction(orders(home), SEQUENCE) or 0
    none = silver(home).slice(0, 0)
    delta_tables.commit_rows(orders(home), none, transactions={SEQUENCE: number + 1}, metadata={})
    assert found(home) == []


def test_names_are_compared_in_parts_with_the_same_answer(
    home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = silver(home).slice(0, 3)
    law = {"landed": 3, "accepted": 3, "repeated": 0, "quarantined": 0, "unparsed": 0}
    told = {"stage": "ingest", "law": law}
    delta_tables.commit_rows(orders(home), rows, transactions={}, metadata=told)
    monkeypatch.setattr(lake_audit, "PART_ROWS", 2)
    assert found(home) == ["every landed row once | 3 there more than once"]
