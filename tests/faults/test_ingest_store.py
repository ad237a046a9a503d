"""Ingest with landing and lake in an object store, whole and under lost answers: once, and nothing lost."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.settings import Settings
from pipelines.adapters.stores import object_store
from pipelines.adapters.stores.object_store import StoreUrl
from pipelines.errors import CommitLost, ServiceUnavailable
from tests import shop
from tests.shop import at, order, take_in
from tests.stores import Fault, Proxy, proxied

LINES = {
    1: [order(1), order(1), order(2, amount="N/A")],
    2: [order(1, amount="2.5"), order(3), "4,5"],
}
LOG_ENTRY = r"_delta_log/\d{20}\.json$"
FAULTS: tuple[Fault, ...] = ("drop the reply", "answer an error")
DATA_FILE = r"part-[^/]*\.parquet$"


def home_in(store: StoreUrl, folder: Path) -> Settings:
    return Settings(
        home=folder,
        dags=folder / "dags",
        expectations=folder / "expectations",
        lake_folder=f"{store}/lake",
        landing_folder=f"{store}/landing",
    )


def deliver(store: StoreUrl) -> None:
    for day, lines in LINES.items():
        url = store / "landing" / "shop" / "orders" / f"{day}.csv"
        told = json.dumps({"delivered_at": at(day).isoformat()}).encode()
        object_store.put_bytes(url.parent / f"{url.name}.delivered.json", told)
        object_store.put_bytes(url, shop.csv_of(shop.ORDERS_HEADER, lines))


def contents(home: Settings) -> Counter[str]:
    """Return every row of silver and quarantine, with how often it is there."""
    found = Counter[str]()
    for path in (lake.silver(home, "shop", "orders"), lake.quarantine(home, "shop", "orders")):
        found.update(repr(row) for row in delta_tables.read(path).to_pylist())
    return found


@pytest.fixture
def clean(tmp_path: Path) -> Counter[str]:
    """Return what the same deliveries leave in a lake of local files."""
    home = shop.settings_in(tmp_path / "clean")
    for day, lines in LINES.items():
        shop.land_orders(home, f"{day}.csv", lines, at(day))
    take_in(home)
    return contents(home)


def test_a_lake_in_a_store_holds_what_a_lake_of_files_holds(
    store: StoreUrl, tmp_path: Path, clean: Counter[str]
) -> None:
    deliver(store)
    home = home_in(store, tmp_path)
    taken = take_in(home)["orders"]
    assert (taken.files, taken.law.accepted, taken.law.repeated, taken.law.quarantined) == (
        2,
        3,
        1,
        1,
    )
    assert contents(home) == clean
    assert set(clean.values()) == {1}
    assert take_in(home)["orders"].files == 0
    assert not list(tmp_path.glob("lake/**/*"))
    known = object_store.listing(store / "lake" / "silver" / "shop" / "orders")
    assert len([file for file in known if file.name.endswith(".parquet")]) == 1


@pytest.fixture
def proxy(store_address: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    monkeypatch.setattr(object_store, "MOST_RETRIES", 2)
    with proxied(store_address) as found:
        monkeypatch.setenv("AWS_ENDPOINT_URL", found.address)
        yield found


@pytest.mark.parametrize("broken", [(f, p) for f in FAULTS for p in (LOG_ENTRY, DATA_FILE)])
def test_a_store_that_loses_answers_for_a_while_costs_a_retry_and_no_row(
    store: StoreUrl, proxy: Proxy, tmp_path: Path, clean: Counter[str], broken: tuple[Fault, str]
) -> None:
    deliver(store)
    home = home_in(store, tmp_path)
    fault, path = broken
    rule = proxy.rule(fault, "PUT", path, times=40)
    with suppress(CommitLost, ServiceUnavailable):  # which a task retries
        take_in(home)
    assert rule.done > 0
    proxy.clear()
    again = take_in(home)["orders"]
    assert again.files + again.already_taken == 2
    assert contents(home) == clean
