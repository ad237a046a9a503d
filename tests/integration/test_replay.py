"""Replay: rows set aside come in once the contract allows for them, each once, as of their time."""

import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.delta.commit_entries import accounts
from pipelines.adapters.settings import Settings
from pipelines.adapters.silver.publishing import SEQUENCE
from pipelines.adapters.stores.object_store import local
from pipelines.domain.contract import KNOWN_AT, Column, Files
from pipelines.domain.lineage import Law
from pipelines.errors import CommitLost, FileRefused
from pipelines.stages import replay as replay_stage
from pipelines.stages.replay import Replayed, replay
from pipelines.use_case import UseCase
from tests import shop
from tests.shop import ORDERS, at, land_orders, order, quarantine, silver, take_in

# GX imports two modules of regular expressions that the standard library renamed.
pytestmark = pytest.mark.filterwarnings(
    "ignore:module 'sre_(constants|parse)' is deprecated:DeprecationWarning"
)

BAD = [
    order(1),
    order(2, amount=""),
    order(3, amount="N/A"),
    "4,1.5",
    order(5, amount=""),
    order(6),
    order(7),
]

NULLABLE = [
    replace(column, nullable=True) if column.name == "amount" else column
    for column in ORDERS.columns
]
MENDED = UseCase(
    name=shop.NAME, owner="till", tables=[replace(ORDERS, columns=NULLABLE), shop.PRICES]
)
"""The shop once its contract says that an amount may be empty."""


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    return shop.settings_in(tmp_path)


def again(home: Settings, use_case: UseCase = MENDED, *, dry_run: bool = False) -> Replayed:
    return replay(
        use_case, home, table="orders", as_of=shop.NEVER_ENDS, run="test", dry_run=dry_run
    )


def ids(rows: pa.Table) -> list[int]:
    return sorted(rows["order_id"].to_pylist())


def account(home: Settings) -> Law:
    """Return the sum of all accounts of the orders."""
    places = [zone(home, "shop", "orders") for zone in (lake.silver, lake.quarantine)]
    found = Law(landed=0, accepted=0, repeated=0, quarantined=0, unparsed=0)
    for opened in accounts(places[0], places[1]).values():
        found += opened.law
    return found


def test_rows_that_keep_the_mended_contract_go_to_silver_and_the_others_stay(
    home: Settings,
) -> None:
    land_orders(home, "a.csv", BAD, at(1))
    take_in(home)
    assert account(home) == Law(landed=7, accepted=3, repeated=0, quarantined=3, unparsed=1)
    found = again(home)
    assert (found.rows, found.accepted, found.repeated, found.remaining) == (4, 2, 0, 2)
    rows = silver(home).sort_by("_row").select([KNOWN_AT, "_file", "_row", "order_id"])
    assert rows.to_pylist() == [
        {KNOWN_AT: at(1), "_file": "orders/a.csv", "_row": number, "order_id": number}
        for number in (1, 2, 5, 6, 7)
    ]
    assert len(set(silver(home)["_sha256"].to_pylist())) == 1
    assert [(row["_row"], row["_failed"]) for row in quarantine(home)] == [
        (3, ["contract:type:amount:double"]),
        (4, ["contract:columns"]),
    ]
    assert account(home) == Law(landed=7, accepted=5, repeated=0, quarantined=1, unparsed=1)


def test_a_replay_without_a_mended_contract_changes_no_row(home: Settings) -> None:
    land_orders(home, "a.csv", BAD, at(1))
    take_in(home)
    before = silver(home).to_pylist(), quarantine(home), account(home)
    found = again(home, shop.SHOP)
    assert (found.accepted, found.repeated, found.remaining) == (0, 0, 4)
    assert (silver(home).to_pylist(), quarantine(home), account(home)) == before


def test_replaying_twice_is_replaying_once(home: Settings) -> None:
    land_orders(home, "a.csv", BAD, at(1))
    take_in(home)
    again(home)
    before = silver(home).to_pylist(), quarantine(home), account(home)
    second = again(home)
    assert (second.accepted, second.mended, second.remaining) == (0, 0, 2)
    assert (silver(home).to_pylist(), quarantine(home), account(home)) == before


def test_a_dry_run_says_what_would_happen_and_changes_nothing(home: Settings) -> None:
    land_orders(home, "a.csv", BAD, at(1))
    take_in(home)
    before = shop.versions(home), sorted(local(home.lake).rglob("*"))
    assert (again(home, dry_run=True).accepted, again(home, dry_run=True).remaining) == (2, 2)
    assert (shop.versions(home), sorted(local(home.lake).rglob("*"))) == before


def test_rows_that_repeat_another_are_counted_and_dropped(home: Settings) -> None:
    land_orders(
        home, "a.csv", [order(2, amount=""), order(1), order(2, amount=""), order(4)], at(1)
    )
    take_in(home)
    land_orders(home, "b.csv", [order(3), order(3, "4"), order(2, amount="")], at(1))
    take_in(home)
    assert account(home) == Law(landed=7, accepted=4, repeated=0, quarantined=3, unparsed=0)
    found = again(home)
    assert (found.accepted, found.repeated, found.remaining) == (1, 2, 0)
    assert ids(silver(home)) == [1, 2, 3, 3, 4]
    assert quarantine(home) == []
    assert account(home) == Law(landed=7, accepted=5, repeated=2, quarantined=0, unparsed=0)


def test_a_replayed_row_is_compared_with_what_silver_knew_at_the_same_time(home: Settings) -> None:
    land_orders(home, "a.csv", [order(1), order(2, amount="")], at(1))
    take_in(home)
    land_orders(home, "b.csv", [order(2, amount=""), order(9)], at(1))
    land_orders(home, "c.csv", [order(2, amount=""), order(8)], at(2))
    take_in(home, use_case=MENDED)
    assert len(quarantine(home)) == 1
    found = again(home)
    assert (found.accepted, found.repeated, found.remaining) == (0, 1, 0)
    assert ids(silver(home)) == [1, 2, 2, 8, 9]
    assert account(home).repeated == 1


def test_only_rows_named_in_quarantine_are_taken(home: Settings) -> None:
    """The repeat of order 1 was dropped by ingest; a replay does not bring it back."""
    land_orders(home, "a.csv", [order(1), order(1), order(2, amount="")], at(1))
    take_in(home)
    again(home)
    assert ids(silver(home)) == [1, 2]


def test_rows_of_other_files_stay_as_they_are(home: Settings) -> None:
    land_orders(home, "a.csv", BAD, at(1))
    take_in(home)
    land_orders(home, "b.csv", [order(7), order(8, amount="x")], at(2))
    take_in(home)
    again(home)
    assert [(row["_file"], row["_row"]) for row in quarantine(home)] == [
        ("orders/a.csv", 3), ("orders/a.csv", 4), ("orders/b.csv", 2),
    ]  # fmt: skip


def test_the_suite_of_today_decides(home: Settings) -> None:
    suite = home.expectations / "shop" / "orders.json"
    suite.parent.mkdir(parents=True)
    rule = {
        "type": "expect_column_values_to_be_between",
        "kwargs": {"column": "amount", "min_value": 0},
        "severity": "warning",
        "meta": {"on_fail": "quarantine"},
    }
    suite.write_text(json.dumps({"name": "orders", "expectations": [rule]}))
    land_orders(home, "a.csv", [order(1), order(2, "-1"), order(3, "-9")], at(1))
    take_in(home)
    assert ids(silver(home)) == [1]
    rule["kwargs"] = {"column": "amount", "min_value": -5}
    suite.write_text(json.dumps({"name": "orders", "expectations": [rule]}))
    assert again(home, shop.SHOP).accepted == 1
    assert ids(silver(home)) == [1, 2]
    assert [(row["_row"], row["_failed"]) for row in quarantine(home)] == [
        (3, ["expect_column_values_to_be_between:amount"])
    ]


def test_a_landed_file_that_is_gone_is_named_and_nothing_changes(home: Settings) -> None:
    path = land_orders(home, "a.csv", BAD, at(1))
    take_in(home)
    path.unlink()
    before = shop.versions(home)
    with pytest.raises(FileRefused, match=r"landing/orders/a\.csv"):
        again(home)
    assert shop.versions(home) == before


def test_a_file_whose_records_are_counted_otherwise_now_keeps_its_rows_set_aside(
    home: Settings,
) -> None:
    land_orders(home, "a.csv", [order(1, note='"two\nlines"'), order(2, amount="")], at(1))
    take_in(home)
    unquoted = replace(MENDED.tables[0], source=Files(pattern="orders/*.csv*", quote=""))
    found = again(home, replace(MENDED, tables=[unquoted, shop.PRICES]))
    assert (found.accepted, found.remaining, len(found.refused)) == (0, 1, 1)
    assert "headframe reingest orders" in str(found.refused[0])
    assert len(quarantine(home)) == 1


def test_a_file_that_the_contract_refuses_now_is_named_and_its_rows_stay(home: Settings) -> None:
    land_orders(home, "a.csv", BAD, at(1))
    take_in(home)
    wider = replace(MENDED.tables[0], columns=[*NULLABLE, Column("colour", "string")])
    found = again(home, replace(MENDED, tables=[wider, shop.PRICES]), dry_run=True)
    assert (found.files, found.remaining, len(found.refused)) == (0, 4, 1)


def test_rows_of_a_file_that_no_ingest_took_wait_for_it(home: Settings) -> None:
    land_orders(home, "a.csv", [order(1), order(2, amount="")], at(1))
    take_in(home)
    left = delta_tables.read(lake.quarantine(home, "shop", "orders"))
    strange = left.set_column(3, "_sha256", pa.array(["0" * 64]))
    delta_tables.commit_rows(
        lake.quarantine(home, "shop", "orders"), strange, transactions={}, metadata={}
    )
    found = again(home)
    assert (found.accepted, found.unfinished, found.remaining) == (1, 1, 1)
    assert [row["_sha256"] for row in quarantine(home)] == ["0" * 64]


def test_a_replay_looks_again_when_an_ingest_was_first(
    home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ingest takes the same row from another file, which this replay could not see."""
    land_orders(home, "a.csv", [order(1), order(2, amount="")], at(1))
    take_in(home)
    whole, pending = replay_stage._moved, [True]

    def in_between(*arguments: object) -> object:
        if pending.pop() if pending else False:
            land_orders(home, "b.csv", [order(2, amount=""), order(5)], at(1))
            take_in(home, use_case=MENDED)
        return whole(*arguments)  # type: ignore[arg-type] # passed on as they came

    monkeypatch.setattr(replay_stage, "_moved", in_between)
    found = again(home)
    assert (found.accepted, found.repeated) == (0, 1)
    assert ids(silver(home)) == [1, 2, 5]


def test_a_replay_that_is_always_second_gives_up_and_may_be_retried(
    home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    land_orders(home, "a.csv", BAD, at(1))
    take_in(home)
    path, whole = lake.silver(home, "shop", "orders"), replay_stage._moved

    def always_another(*arguments: object) -> object:
        number = delta_tables.transaction(path, SEQUENCE) or 0
        none = silver(home).slice(0, 0)
        delta_tables.commit_rows(path, none, transactions={SEQUENCE: number + 1}, metadata={})
        return whole(*arguments)  # type: ignore[arg-type] # passed on as they came

    with monkeypatch.context() as patched:
        patched.setattr(replay_stage, "_moved", always_another)
        with pytest.raises(CommitLost):
            again(home)
    assert again(home).accepted == 2
