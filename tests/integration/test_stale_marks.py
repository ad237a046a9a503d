"""Stale marks: what was made from a past that changed is found, and features are computed again."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_handles, delta_tables, delta_transactions
from pipelines.adapters.models import feature_store, known
from pipelines.adapters.settings import Settings
from pipelines.adapters.silver import made_marks, stale_marks, stale_results
from pipelines.domain.features import FeatureView, KnownTables
from pipelines.domain.labels import Label
from pipelines.stages.reingest import reingest
from pipelines.stages.replay import replay
from tests import lakes, shop
from tests.integration.test_replay import MENDED
from tests.shop import ORDERS, at, land_orders, order, take_in

if TYPE_CHECKING:
    import duckdb

# GX imports two modules of regular expressions that the standard library renamed.
pytestmark = pytest.mark.filterwarnings(
    "ignore:module 'sre_(constants|parse)' is deprecated:DeprecationWarning"
)

SOLD_AT = "2026-03-{day:02}T13:00:00Z"
TABLE = MENDED.tables[0]
LABEL = Label(
    name="big",
    table=TABLE,
    rule="amount > 5",
    expected_after=timedelta(hours=1),
    final_after=timedelta(hours=2),
)


def counted(known: KnownTables) -> "duckdb.DuckDBPyRelation":
    return known.sql("select order_id, (select count(*) from orders) as orders_known from asked")


VIEW = FeatureView(entity=TABLE, reads=(TABLE,), function=counted)


def sold(number: int, day: int, amount: str = "1.5") -> str:
    return order(number, amount).replace("2026-03-01T10:00:00Z", SOLD_AT.format(day=day))


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    """Return a home with an order on each of days 2 and 4, and one of day 2 that was set aside."""
    home = shop.settings_in(tmp_path)
    land_orders(home, "a.csv", [sold(1, 1), sold(10, 1)], at(1))
    land_orders(home, "b.csv", [sold(2, 2), sold(20, 4, ""), sold(4, 4)], at(2))
    take_in(home)
    return home


BLOCKS = [(at(day), at(day + 1)) for day in (1, 2, 4)]


def features(home: Settings) -> dict[int, int]:
    """Return, by order, how many orders were known when it was described."""
    folder = lake.features(home, "shop", "0" * 64)
    tables = known.load(home, "shop", VIEW, LABEL)
    rows = feature_store.rows_at(folder, VIEW, tables, BLOCKS)
    assert rows is not None
    stored = delta_tables.read(folder)
    assert stored.num_rows == rows.num_rows
    return dict(zip(rows["order_id"].to_pylist(), rows["orders_known"].to_pylist(), strict=True))


def warned(home: Settings) -> list[str]:
    return stale_results.warnings(home, "shop", shop.SHOP.tables, VIEW.tables)


def commits(home: Settings) -> int:
    return delta_tables.version(lake.features(home, "shop", "0" * 64))


def test_a_replay_marks_its_commit_with_the_earliest_time_that_it_changed(home: Settings) -> None:
    path = lake.silver(home, "shop", "orders")
    (taken_in,) = stale_marks.marks(path)
    replay(MENDED, home, table="orders", as_of=shop.NEVER_ENDS, run="test")
    number = delta_tables.transaction(path, "ingest")
    _, mark = stale_marks.marks(path)
    assert (mark.number, mark.reason, mark.since) == (number, "replay", at(2))
    replay(MENDED, home, table="orders", as_of=shop.NEVER_ENDS, run="test")
    assert stale_marks.marks(path) == [taken_in, mark]


def test_an_ingest_marks_its_commit_with_the_oldest_time_that_it_brought(home: Settings) -> None:
    path = lake.silver(home, "shop", "orders")
    land_orders(home, "d.csv", [sold(6, 6)], at(6))
    land_orders(home, "c.csv", [sold(5, 3)], at(3))
    take_in(home, as_of=at(7))
    first, second = stale_marks.marks(path)
    assert (first.number, first.reason, first.since) == (1, "ingest", at(1))
    assert (second.number, second.since, second.taken_in) == (2, at(3), at(7))
    newest = delta_tables.history(path)[0]
    assert newest["headframe.known_from"] == at(3).isoformat()


def test_an_ingest_that_accepts_no_row_marks_nothing(home: Settings) -> None:
    path = lake.silver(home, "shop", "orders")
    before = stale_marks.marks(path)
    land_orders(home, "c.csv", [sold(10, 1), sold(1, 1)], at(1))
    assert take_in(home)["orders"].law.repeated == 2
    assert stale_marks.marks(path) == before
    assert delta_tables.history(path)[0]["headframe.known_from"] == ""


def test_marks_as_of_a_version_are_those_of_the_rows_that_it_holds(home: Settings) -> None:
    path = lake.silver(home, "shop", "orders")
    at_first = delta_tables.version(path)
    land_orders(home, "c.csv", [sold(5, 3)], at(3))
    take_in(home)
    assert [mark.number for mark in stale_marks.marks(path, at_version=at_first)] == [1]
    assert [mark.number for mark in stale_marks.marks(path)] == [1, 2]
    read = known.load(home, "shop", VIEW, LABEL, at={"silver.shop.orders": at_first})
    assert (read.publications, read.edition(at(4))) == ({"orders": 1}, 2)
    assert known.load(home, "shop", VIEW, LABEL, at={}).publications == {"orders": 0}


def test_marks_are_read_beside_a_checkpoint_that_is_just_written(home: Settings) -> None:
    path = lake.silver(home, "shop", "orders")
    opened_before = delta_handles.opened(path)
    land_orders(home, "c.csv", [sold(5, 3)], at(3))
    take_in(home)
    delta_handles.opened(path).create_checkpoint()
    found = delta_transactions.beginning(path, opened_before, stale_marks.PREFIX)
    assert len(found) == 2


def test_features_of_a_time_that_rows_were_late_for_are_computed_again_and_the_others_stay(
    home: Settings,
) -> None:
    assert features(home) == {1: 2, 10: 2, 2: 4, 4: 4}
    before = commits(home)
    land_orders(home, "d.csv", [sold(6, 6)], at(5))
    take_in(home)
    assert features(home) == {1: 2, 10: 2, 2: 4, 4: 4}
    assert (commits(home), warned(home)) == (before, [])
    land_orders(home, "c.csv", [sold(5, 4)], at(3))
    take_in(home)
    assert len(warned(home)) == 1
    assert "1 of 3 blocks are stale" in warned(home)[0]
    assert features(home) == {1: 2, 10: 2, 2: 4, 4: 5, 5: 5}
    assert (commits(home), warned(home)) == (before + 1, [])


def test_feature_rows_at_or_after_a_mark_are_computed_again_and_the_others_stay(
    home: Settings,
) -> None:
    assert features(home) == {1: 2, 10: 2, 2: 4, 4: 4}
    before = commits(home)
    assert features(home) == {1: 2, 10: 2, 2: 4, 4: 4}
    assert (commits(home), warned(home)) == (before, [])
    replay(MENDED, home, table="orders", as_of=shop.NEVER_ENDS, run="test")
    assert warned(home) == [
        "gold.features.shop__000000000000: 2 of 3 blocks are stale; each is computed again when it "
        "is next asked for"
    ]
    assert features(home) == {1: 2, 10: 2, 2: 5, 4: 5, 20: 5}
    assert (commits(home), warned(home)) == (before + 1, [])
    assert features(home) == {1: 2, 10: 2, 2: 5, 4: 5, 20: 5}
    assert commits(home) == before + 1


def test_a_reingest_marks_since_the_first_file_that_it_read_again(home: Settings) -> None:
    assert features(home)[2] == 4
    reingest(MENDED, home, table="orders", as_of=shop.NEVER_ENDS, run="test", since=at(2))
    *_, mark = stale_marks.marks(lake.silver(home, "shop", "orders"))
    assert (mark.reason, mark.since) == ("reingest", at(2))
    assert features(home) == {1: 2, 10: 2, 2: 5, 4: 5, 20: 5}
    reingest(MENDED, home, table="orders", as_of=shop.NEVER_ENDS, run="test")
    assert len(warned(home)) == 1
    assert features(home) == {1: 2, 10: 2, 2: 5, 4: 5, 20: 5}
    assert warned(home) == []


def test_a_block_that_has_no_entities_left_loses_its_rows(home: Settings) -> None:
    features(home)
    columns = [replace(c, nullable=True) if c.name == "amount" else c for c in ORDERS.columns]
    moved = replace(ORDERS, columns=columns, known_at="sold_at")
    use_case = replace(MENDED, tables=[moved, shop.PRICES])
    reingest(use_case, home, table="orders", as_of=shop.NEVER_ENDS, run="test")
    # Known only once they were sold, no order was known before its time.
    folder = lake.features(home, "shop", "0" * 64)
    tables = known.load(home, "shop", VIEW, LABEL)
    assert feature_store.rows_at(folder, VIEW, tables, BLOCKS) is None
    assert delta_tables.read(folder).num_rows == 0


def test_windows_scored_before_a_mark_are_listed_until_they_are_scored_again(
    home: Settings,
) -> None:
    predictions = lake.predictions(home, "shop")
    rows = delta_tables.read(lake.silver(home, "shop", "orders")).slice(0, 1)

    def publish(day: int, digest: str, generation: int) -> None:
        seen = known.load(home, "shop", VIEW, LABEL)
        block = made_marks.block(at(day), digest, seen.publications, seen.edition(at(day)))
        view = lake.features(home, "shop", "0" * 64)
        delta_tables.commit_rows(view, rows, transactions=block, metadata={})
        made = made_marks.segment(
            f"champion/{at(day).isoformat()}",
            at(day),
            features="0" * 64,
            digest=digest,
            stale=[],
            generation=generation,
        )
        delta_tables.commit_rows(predictions, rows, transactions=made, metadata={})

    publish(1, "a" * 64, 1)
    publish(4, "b" * 64, 1)
    assert warned(home) == []
    replay(MENDED, home, table="orders", as_of=shop.NEVER_ENDS, run="test")
    assert warned(home) == [
        "predictions.shop: 1 of 2 windows are stale, 2026-03-04T12:00:00+00:00 the first; "
        "`headframe run score shop --late` scores those of the last days again"
    ]
    publish(4, "c" * 64, 2)
    assert warned(home) == []


def test_models_trained_on_versions_before_a_mark_are_listed(home: Settings) -> None:
    lakes.use_registry(home, lakes.make_registry(home.root))
    path = lake.silver(home, "shop", "orders")
    before = delta_tables.version(path)
    lakes.register_model(home, {"silver.shop.orders": before})
    assert warned(home) == []
    replay(MENDED, home, table="orders", as_of=shop.NEVER_ENDS, run="test")
    after = delta_tables.version(path)
    lakes.register_model(home, {"silver.shop.orders": after})
    assert warned(home) == [
        f"silver.shop.orders: models were trained on versions {before}, before version {after} "
        "changed its past; train again"
    ]
