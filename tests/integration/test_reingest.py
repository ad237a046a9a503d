"""Reingest: a table is what its landed files say today, whatever they were taken in as."""

from dataclasses import replace
from datetime import datetime
from itertools import permutations
from pathlib import Path
from random import Random

import pyarrow as pa
import pytest

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.settings import Settings
from pipelines.adapters.silver import lake_audit
from pipelines.adapters.stores.object_store import local
from pipelines.domain.contract import Column, Files, Table
from pipelines.domain.lineage import Law
from pipelines.errors import CommitLost, FileRefused, LakeError
from pipelines.stages import reingest as reingest_stage
from pipelines.stages.reingest import Reingested, reingest
from pipelines.stages.replay import replay
from pipelines.use_case import UseCase
from tests import shop
from tests.integration.test_replay import BAD, MENDED
from tests.shop import ORDERS, at, land_orders, order, quarantine, silver, take_in

# GX imports two modules of regular expressions that the standard library renamed.
pytestmark = pytest.mark.filterwarnings(
    "ignore:module 'sre_(constants|parse)' is deprecated:DeprecationWarning"
)


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    return shop.settings_in(tmp_path)


def shop_of(orders: Table) -> UseCase:
    return UseCase(name=shop.NAME, owner="till", tables=[orders, shop.PRICES])


def typed(name: str, kind: str) -> UseCase:
    """Return the shop with another type for one column of its orders."""
    columns = [replace(c, type=kind) if c.name == name else c for c in ORDERS.columns]
    return shop_of(replace(ORDERS, columns=columns))


def again(
    home: Settings,
    use_case: UseCase = MENDED,
    *,
    since: datetime | None = None,
    dry_run: bool = False,
) -> Reingested:
    return reingest(
        use_case,
        home,
        table="orders",
        as_of=shop.NEVER_ENDS,
        run="test",
        since=since,
        dry_run=dry_run,
    )


def rows_of(home: Settings) -> list[str]:
    """Return every row of silver and quarantine whole, in one order."""
    path = lake.silver(home, "shop", "orders")
    kept = delta_tables.read(path).to_pylist()
    return sorted(map(repr, [*kept, *quarantine(home)]))


def problems(home: Settings, use_case: UseCase = MENDED) -> list[str]:
    return [str(found) for found in lake_audit.audit(home, shop.NAME, use_case.tables).problems]


def test_a_table_becomes_what_an_ingest_of_all_files_would_make_it_today(
    home: Settings, tmp_path: Path
) -> None:
    fresh = shop.settings_in(tmp_path / "fresh")
    for place in (home, fresh):
        land_orders(place, "a.csv", BAD, at(1))
        land_orders(place, "b.csv", [order(2, amount=""), order(9)], at(1))
        land_orders(place, "c.csv", [order(1, "7"), order(1, "7"), "x"], at(2))
    take_in(home)
    take_in(fresh, use_case=MENDED)
    found = again(home)
    assert (found.files, found.kept_files) == (3, 0)
    assert rows_of(home) == rows_of(fresh)
    assert found.law == Law(landed=12, accepted=7, repeated=2, quarantined=1, unparsed=2)
    assert problems(home) == []


def test_a_column_may_get_another_type_and_earlier_versions_stay_readable(home: Settings) -> None:
    land_orders(home, "a.csv", [order(1), order(2)], at(1))
    take_in(home)
    before = delta_tables.version(lake.silver(home, "shop", "orders"))
    again(home, typed("order_id", "string"))
    path = lake.silver(home, "shop", "orders")
    assert sorted(delta_tables.read(path)["order_id"].to_pylist()) == ["1", "2"]
    assert delta_tables.schema(path).field("order_id").type == pa.string()
    old = delta_tables.read(path, at_version=before)
    assert sorted(old["order_id"].to_pylist()) == [1, 2]
    assert problems(home) == []


def test_a_later_ingest_takes_nothing_twice_and_goes_on_with_new_files(home: Settings) -> None:
    land_orders(home, "a.csv", BAD, at(1))
    take_in(home)
    again(home)
    assert take_in(home, use_case=MENDED)["orders"].files == 0
    land_orders(home, "b.csv", [order(5, amount=""), order(20)], at(1))
    taken = take_in(home, use_case=MENDED)["orders"]
    assert (taken.files, taken.law.accepted, taken.law.repeated) == (1, 1, 1)
    assert problems(home) == []


def test_reingesting_twice_is_reingesting_once(home: Settings) -> None:
    land_orders(home, "a.csv", BAD, at(1))
    take_in(home)
    first = again(home)
    before = rows_of(home)
    second = again(home)
    assert (second.law, rows_of(home)) == (first.law, before)
    assert problems(home) == []


def test_a_dry_run_says_what_would_happen_and_changes_nothing(home: Settings) -> None:
    land_orders(home, "a.csv", BAD, at(1))
    take_in(home)
    before = shop.versions(home), sorted(local(home.lake).rglob("*"))
    assert again(home, dry_run=True).law.accepted == 5
    assert (shop.versions(home), sorted(local(home.lake).rglob("*"))) == before


def test_a_table_that_took_nothing_yet_stays_as_it_is(home: Settings) -> None:
    land_orders(home, "a.csv", BAD, at(1))
    assert again(home).files == 0
    assert "silver.shop.orders" not in shop.versions(home)


def test_rows_of_earlier_files_stay_as_they_were_taken(home: Settings) -> None:
    land_orders(home, "a.csv", [order(1), order(2), order(3, amount="")], at(1))
    take_in(home)
    land_orders(home, "b.csv", [order(4, amount=""), order(5)], at(4))
    take_in(home)
    found = again(home, since=at(4))
    assert (found.files, found.kept_files) == (1, 1)
    assert sorted(silver(home)["order_id"].to_pylist()) == [1, 2, 4, 5]
    assert [(row["_file"], row["_row"]) for row in quarantine(home)] == [("orders/a.csv", 3)]
    assert found.law == Law(landed=5, accepted=4, repeated=0, quarantined=1, unparsed=0)
    assert problems(home) == []


def test_a_row_that_repeats_a_kept_one_is_counted_and_dropped(home: Settings) -> None:
    told = shop_of(replace(ORDERS, known_at="sold_at"))
    land_orders(home, "a.csv", [order(1), order(2)], at(1))
    land_orders(home, "b.csv", [order(2), order(3)], at(4))
    take_in(home, use_case=told)
    found = again(home, told, since=at(4))
    assert found.law == Law(landed=4, accepted=3, repeated=1, quarantined=0, unparsed=0)
    assert sorted(silver(home)["order_id"].to_pylist()) == [1, 2, 3]
    assert problems(home) == []


def test_a_number_may_become_wider_in_kept_rows(home: Settings) -> None:
    land_orders(home, "a.csv", [order(1)], at(1))
    land_orders(home, "b.csv", [order(2)], at(4))
    take_in(home)
    again(home, typed("order_id", "double"), since=at(4))
    found = delta_tables.read(lake.silver(home, "shop", "orders"))["order_id"]
    assert (sorted(found.to_pylist()), found.type) == ([1.0, 2.0], pa.float64())


@pytest.mark.parametrize(
    ("use_case", "says"),
    [
        (typed("order_id", "string"), "order_id (int64, now string)"),
        (
            shop_of(replace(ORDERS, columns=[*ORDERS.columns, Column("tip", "double", nullable=True)],
                            on_missing_column="fill")),
            "tip (absent, now double)",
        ),
    ],
)  # fmt: skip
def test_kept_rows_that_do_not_fit_the_contract_are_refused(
    home: Settings, use_case: UseCase, says: str
) -> None:
    land_orders(home, "a.csv", [order(1)], at(1))
    land_orders(home, "b.csv", [order(2)], at(4))
    take_in(home)
    before = shop.versions(home)
    with pytest.raises(LakeError) as caught:
        again(home, use_case, since=at(4))
    assert says in str(caught.value)
    assert "without --from" in str(caught.value)
    assert shop.versions(home) == before
    assert again(home, use_case).files == 2


def test_kept_rows_without_a_value_that_is_required_now_are_refused(home: Settings) -> None:
    land_orders(home, "a.csv", [order(1)], at(1))
    land_orders(home, "b.csv", [order(2, note="x")], at(4))
    take_in(home)
    columns = [replace(c, nullable=False) if c.name == "note" else c for c in ORDERS.columns]
    with pytest.raises(LakeError, match="a value in every note"):
        again(home, shop_of(replace(ORDERS, columns=columns)), since=at(4))


def test_a_landed_file_that_is_gone_is_named_and_nothing_changes(home: Settings) -> None:
    land_orders(home, "a.csv", [order(1)], at(1))
    path = land_orders(home, "b.csv", [order(2)], at(1))
    take_in(home)
    path.unlink()
    before = shop.versions(home)
    with pytest.raises(FileRefused, match=r"landing/orders/b\.csv"):
        again(home)
    assert shop.versions(home) == before
    assert again(home, since=at(2)).files == 0


def test_files_that_the_contract_refuses_now_are_all_named_and_nothing_changes(
    home: Settings,
) -> None:
    land_orders(home, "a.csv", [order(1)], at(1))
    land_orders(home, "b.csv", [order(2)], at(1))
    take_in(home)
    before = shop.versions(home)
    wider = shop_of(replace(ORDERS, columns=[*ORDERS.columns, Column("colour", "string")]))
    with pytest.raises(FileRefused) as caught:
        again(home, wider)
    named = {problem.where.split()[0] for problem in caught.value.problems}
    assert named == {"landing/orders/a.csv", "landing/orders/b.csv"}
    assert shop.versions(home) == before


def test_records_that_are_told_apart_otherwise_are_taken_anew(home: Settings) -> None:
    land_orders(home, "a.csv", [order(1, note='"say ""hi"""'), order(2, amount="")], at(1))
    take_in(home)
    unquoted = replace(MENDED.tables[0], source=Files(pattern="orders/*.csv*", quote=""))
    again(home, shop_of(unquoted))
    notes = {row["order_id"]: row["note"] for row in silver(home).to_pylist()}
    assert notes == {1: '"say ""hi"""', 2: None}
    assert problems(home) == []


def test_a_reingest_looks_again_when_an_ingest_was_first(
    home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    land_orders(home, "a.csv", BAD, at(1))
    take_in(home)
    whole, pending = reingest_stage._publish, [True]

    def in_between(*arguments: object) -> None:
        if pending.pop() if pending else False:
            land_orders(home, "b.csv", [order(50)], at(1))
            take_in(home, use_case=MENDED)
        whole(*arguments)  # type: ignore[arg-type] # passed on as they came

    monkeypatch.setattr(reingest_stage, "_publish", in_between)
    found = again(home)
    assert (found.files, found.law.accepted) == (2, 6)
    assert problems(home) == []


def test_a_reingest_that_is_always_second_gives_up_and_may_be_retried(
    home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    land_orders(home, "a.csv", BAD, at(1))
    take_in(home)
    path, whole = lake.silver(home, "shop", "orders"), reingest_stage._publish

    def always_another(*arguments: object) -> None:
        none = silver(home).slice(0, 0)
        delta_tables.commit_rows(path, none, transactions={}, metadata={})
        whole(*arguments)  # type: ignore[arg-type] # passed on as they came

    with monkeypatch.context() as patched:
        patched.setattr(reingest_stage, "_publish", always_another)
        with pytest.raises(CommitLost):
            again(home)
    assert again(home).law.accepted == 5


DELIVERIES = {
    "a.csv": (at(1), BAD),
    "b.csv": (at(3), [order(1, "10"), order(2, amount=""), order(3), order(3)]),
    "c.csv": (at(1), [order(2, amount=""), order(1), order(5, "7"), order(5, "7")]),
    "d.csv": (at(2), [order(1, "5"), order(2, "2"), order(2, amount="")]),
    "e.csv": (at(3), [order(4), order(3), order(2, amount="")]),
}


@pytest.mark.parametrize("count", [2, pytest.param(12, marks=pytest.mark.prove)])
def test_any_order_any_batches_and_replays_in_between_end_in_the_same_silver(
    count: int, tmp_path: Path
) -> None:
    chance, seen = Random(20261121), set()  # noqa: S311 - the same orders each time
    orders = chance.sample(list(permutations(DELIVERIES)), count)
    for number, names in enumerate(orders):
        home = shop.settings_in(tmp_path / str(number))
        mended = number % 2 == 0
        for name in names:
            moment, lines = DELIVERIES[name]
            land_orders(home, name, lines, moment)
            if chance.random() < 0.6:
                # The contract is mended somewhere on the way.
                take_in(home, use_case=MENDED if mended else shop.SHOP)
            if chance.random() < 0.4:
                mended = True
                replay(MENDED, home, table="orders", as_of=shop.NEVER_ENDS, run="test")
            assert problems(home) == []
        take_in(home, use_case=MENDED)
        replay(MENDED, home, table="orders", as_of=shop.NEVER_ENDS, run="test")
        assert problems(home) == []
        rows = silver(home).drop(["_file", "_row", "_sha256"]).to_pylist()
        assert len({repr(row) for row in rows}) == len(rows)
        seen.add(tuple(sorted(map(repr, rows))))
        if number % 2:
            again(home)
            assert problems(home) == []
            rows = silver(home).drop(["_file", "_row", "_sha256"]).to_pylist()
            seen.add(tuple(sorted(map(repr, rows))))
    assert len(seen) == 1
