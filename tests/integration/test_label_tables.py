"""Label tables: where all is described, a training reads less and learns from the same labels."""

import traceback
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipelines.adapters import lake
from pipelines.adapters.models import feature_store, known
from pipelines.adapters.settings import Settings
from pipelines.domain.features import FeatureView, KnownTables
from pipelines.domain.labels import Label
from pipelines.errors import DeclarationError
from pipelines.use_case import Column, Files, Table, UseCase
from tests import shop
from tests.shop import ORDERS, at, csv_of, land, land_orders, order, take_in

if TYPE_CHECKING:
    import duckdb

# GX imports two modules of regular expressions that the standard library renamed.
pytestmark = pytest.mark.filterwarnings(
    "ignore:module 'sre_(constants|parse)' is deprecated:DeprecationWarning"
)

RETURNS = Table(
    name="returns",
    source=Files(pattern="returns/*.csv"),
    columns=[Column("order_id", "int64"), Column("share", "double")],
    key=("order_id",),
)
RETURNED = Label(
    name="returned",
    table=RETURNS,
    rule="share > 0.5",
    expected_after=timedelta(days=1),
    final_after=timedelta(days=3),
)
SHOP = UseCase(name=shop.NAME, owner="till", tables=[ORDERS, RETURNS])


def described(known: KnownTables) -> "duckdb.DuckDBPyRelation":
    return known.sql("select order_id, amount from asked")


VIEW = FeatureView(entity=ORDERS, reads=(RETURNS,), function=described)
BLOCKS = [(at(day, 9), at(day + 1, 9)) for day in (1, 2)]


def sold(number: int, day: int, amount: str = "1.5") -> str:
    return order(number, amount).replace("2026-03-01T10", f"2026-03-{day:02}T10")


def land_returns(home: Settings, name: str, lines: list[str], moment: datetime) -> None:
    land(home, f"returns/{name}", csv_of("order_id,share", lines), moment)


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    """Return a home with three orders on two days, two of them returned, one in part."""
    home = shop.settings_in(tmp_path)
    land_orders(home, "a.csv", [sold(1, 1), sold(2, 1)], at(1, 8))
    land_orders(home, "b.csv", [sold(3, 2)], at(2, 8))
    land_returns(home, "a.csv", ["1,1.0", "2,0.1"], at(3))
    take_in(home, use_case=SHOP)
    return home


def again(home: Settings) -> None:
    """Correct an order's event time and a return, later."""
    land_orders(home, "c.csv", [sold(1, 2)], at(2, 20))
    land_returns(home, "b.csv", ["2,0.9"], at(3, 20))
    take_in(home, use_case=SHOP)


def twice_at_once(home: Settings) -> None:
    """Deliver two contents of an order at one moment: the greater amount stands, and its time."""
    land_orders(home, "e.csv", [sold(9, 2, "9.5")], at(2, 9))
    land_orders(home, "f.csv", [sold(9, 4, "2.5")], at(2, 9))
    take_in(home, use_case=SHOP)


@pytest.mark.parametrize("change", [None, again, twice_at_once])
def test_labels_are_those_of_the_whole_tables(home: Settings, change: object) -> None:
    if callable(change):
        change(home)
    versions = known.silver_versions(home, shop.NAME, VIEW)
    whole = known.load(home, shop.NAME, VIEW, RETURNED, at=versions)
    few = known.for_labels(home, shop.NAME, VIEW, RETURNED, at=versions)
    for day in range(1, 9):
        assert few.label_states(ORDERS, at(day)).equals(whole.label_states(ORDERS, at(day)))
        assert few.edition(at(day)) == whole.edition(at(day))
    values = whole.label_states(ORDERS, at(8))["value"].to_pylist()
    assert values[:3] == [True, change is again, None]


WRONG = {
    "a conversion error of column note in DuckDB": replace(
        RETURNED, table=ORDERS, rule="note::int > 1"
    ),
    "a conversion error in DuckDB": replace(RETURNED, rule="(share * 1e30)::int > 0"),
}
"""What is told -> a label whose rule holds where there is no row, and fails on one."""


@pytest.mark.parametrize("told", WRONG)
def test_a_rule_that_fails_on_a_row_is_told_without_the_row(told: str, home: Settings) -> None:
    land_orders(home, "g.csv", [order(7, "1.5", "Jane Doe")], at(2, 10))
    take_in(home, use_case=SHOP)
    label = WRONG[told]
    assert known.rehearse(VIEW, label) == []
    versions = known.silver_versions(home, shop.NAME, VIEW)
    for read in (known.load, known.for_labels):
        with pytest.raises(DeclarationError) as caught:
            read(home, shop.NAME, VIEW, label, at=versions)
        (problem,) = caught.value.problems
        assert (problem.where, problem.found) == (
            "label 'returned', rule",
            f"{told}, on at least one",
        )
        assert "Jane" not in "".join(traceback.format_exception(caught.value))


def test_of_an_entity_whose_versions_have_a_time_each_only_key_and_event_time_are_read(
    home: Settings,
) -> None:
    again(home)
    versions = known.silver_versions(home, shop.NAME, VIEW)
    few = known.for_labels(home, shop.NAME, VIEW, RETURNED, at=versions)
    stamps = ["known_at", "_sha256", "_row", "superseded_at"]
    assert few.sql("from orders__versions").columns == ["order_id", "sold_at", *stamps]
    twice_at_once(home)
    versions = known.silver_versions(home, shop.NAME, VIEW)
    all_of_it = known.for_labels(home, shop.NAME, VIEW, RETURNED, at=versions)
    assert "amount" in all_of_it.sql("from orders__versions").columns


def test_blocks_are_described_once_current_and_not_before(home: Settings) -> None:
    folder = lake.features(home, shop.NAME, "0" * 64)

    def current() -> bool:
        versions = known.silver_versions(home, shop.NAME, VIEW)
        unread = known.unread(home, shop.NAME, VIEW, at=versions)
        return feature_store.is_described(folder, unread, BLOCKS)

    def describe() -> None:
        tables = known.load(home, shop.NAME, VIEW, RETURNED)
        feature_store.describe(folder, VIEW, tables, BLOCKS)

    assert not current()
    describe()
    assert current()
    land_orders(home, "late.csv", [sold(7, 1)], at(1, 7))
    take_in(home, use_case=SHOP)
    assert not current()
    describe()
    assert current()
