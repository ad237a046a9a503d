"""Ingest in corners: where two things that are each harmless meet."""

import gzip
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables, staged_files, table_upkeep
from pipelines.adapters.settings import Settings
from pipelines.adapters.stores.object_store import local
from pipelines.domain.contract import Column
from pipelines.errors import LakeError, QualityRefused
from pipelines.stages import ingest as ingest_stage
from pipelines.use_case import UseCase
from tests import shop
from tests.shop import ORDERS, PRICES, at, land_orders, order, quarantine, silver, take_in


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    return shop.settings_in(tmp_path)


def ids(home: Settings) -> list[int]:
    return sorted(silver(home)["order_id"].to_pylist())


def expect(home: Settings, name: str, **rule: Any) -> None:  # noqa: ANN401 - GX's own JSON
    path = home.expectations / "shop" / "orders.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"name": "shop.orders", "expectations": [{"type": name, **rule}]}))


def test_a_large_file_with_repeats_that_is_refused_at_its_end_is_told(
    home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staged_files, "HELD_BYTES", 10)
    monkeypatch.setattr(staged_files, "GROUP_BYTES", 10)
    land_orders(home, "a.csv", [order(1), order(1), *["x,,,,,"] * 4], at(1))
    taken = take_in(home)["orders"]
    assert [refused.problems[0].found for refused in taken.refused] == ["4 of 6"]
    assert (taken.files, taken.law.landed) == (0, 0)


def test_what_another_run_has_set_aside_for_good_is_not_cleared(
    home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other run ingests the same file, whole, after this one has read it."""
    land_orders(home, "a.csv", [order(1), "x,,,,,"], at(1))
    whole, waiting = ingest_stage._commit, [True]

    def commit(*args: Any, **more: Any) -> None:  # noqa: ANN401 - handed on
        if waiting:
            waiting.clear()
            take_in(home)
        whole(*args, **more)

    monkeypatch.setattr(ingest_stage, "_commit", commit)
    second = take_in(home)["orders"]
    assert (second.files, second.already_taken) == (0, 1)
    assert (ids(home), len(quarantine(home))) == ([1], 1)
    version = delta_tables.version(lake.quarantine(home, "shop", "orders"))
    assert version == 1  # created, and the other run's rows: this one wrote nothing


@pytest.mark.parametrize("year", [1, 1600, 2300, 9999])
def test_a_far_moment_in_a_known_at_column_does_not_stop_a_table(home: Settings, year: int) -> None:
    table = replace(ORDERS, known_at="sold_at")
    use_case = UseCase(name="shop", owner="till", tables=[table])
    land_orders(home, "a.csv", [order(1)], at(1))
    take_in(home, use_case=use_case)
    far = datetime(year, 1, 2, tzinfo=UTC).isoformat()
    land_orders(home, "b.csv", [f"2,1.5,{far},,,", order(1)], at(2))
    taken = take_in(home, use_case=use_case)["orders"]
    assert (taken.law.accepted, taken.law.repeated) == (1, 1)
    assert ids(home) == [1, 2]


def test_a_version_stays_readable_when_its_file_is_compacted_before_the_run_ends(
    home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = lake.silver(home, "shop", "orders")

    def compact(name: str) -> None:
        if name == "ingest.after_silver":
            table_upkeep.compact(path, target_bytes=1 << 20, least_files=2, metadata={})

    for day in (1, 2):
        land_orders(home, f"{day}.csv", [order(day)], at(day))
        with monkeypatch.context() as patched:
            patched.setattr(ingest_stage, "failpoint", compact)
            take_in(home)
    assert delta_tables.version(path) == 3  # created, two ingests, and their compaction
    assert delta_tables.read(path, at_version=2).num_rows == 2


def test_bytes_that_were_refused_under_one_name_are_taken_under_another(home: Settings) -> None:
    packed = gzip.compress(shop.csv_of(shop.ORDERS_HEADER, [order(1)]), mtime=0)
    for name in ("a.csv", "b.csv.gz"):
        shop.land_orders(home, name, [], at(1)).write_bytes(packed)
    taken = take_in(home)["orders"]
    assert [refused.problems[0].where for refused in taken.refused] == ["landing/orders/a.csv"]
    assert (taken.files, ids(home)) == (1, [1])


def test_a_contract_that_gained_a_column_says_so_and_holds_back_no_other_table(
    home: Settings,
) -> None:
    land_orders(home, "a.csv", [order(1)], at(1))
    take_in(home)
    wider = replace(
        ORDERS,
        columns=[*ORDERS.columns, Column("till", "int64")],
        key=("order_id", "till"),
        source=replace(ORDERS.files, pattern="orders/*.csv"),
    )
    land_orders(home, "b.csv", [order(2)], at(2)).write_bytes(
        shop.csv_of(f"{shop.ORDERS_HEADER},till", [f"{order(2)},7"])
    )
    shop.land(home, "prices/a.csv", b"product,price\ntea,1\n", at(1))
    with pytest.raises(LakeError, match=r"rows that differ in till"):
        take_in(home, use_case=UseCase(name="shop", owner="till", tables=[wider, PRICES]))
    assert silver(home, "prices").num_rows == 1
    assert not list(local(lake.quarantine(home, "shop", "orders")).glob("*.parquet"))


def test_the_problems_of_all_tables_are_told_whatever_their_kind(home: Settings) -> None:
    between = {"column": "amount", "min_value": 0, "max_value": 1}
    expect(home, "expect_column_values_to_be_between", kwargs=between, severity="critical")
    (home.expectations / "shop" / "prices.json").write_text("{}")
    land_orders(home, "a.csv", [order(1)], at(1))
    shop.land(home, "prices/a.csv", b"product,price\ntea,1\n", at(1))
    with pytest.raises(QualityRefused) as caught:
        take_in(home)
    told = str(caught.value)
    assert "rule expect_column_values_to_be_between:amount" in told
    assert "prices.json" in told
