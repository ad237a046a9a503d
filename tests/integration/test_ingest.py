"""Ingest: every landed row is accounted for once, however often, late or jumbled files arrive."""

import hashlib
import json
from collections import Counter
from datetime import datetime, timedelta
from itertools import islice, permutations
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.settings import Settings
from pipelines.adapters.silver import intake
from pipelines.adapters.stores.object_store import local
from pipelines.domain.contract import KNOWN_AT, Table
from pipelines.domain.delivery import LocalFile, ParsedFile
from pipelines.domain.features import KnownTables
from pipelines.domain.lineage import Law
from pipelines.errors import CommitLost, QualityRefused
from pipelines.stages import ingest as ingest_stage
from pipelines.stages.ingest import describe, refusals
from tests import shop
from tests.goldens import assert_golden
from tests.shop import at, land_orders, order, quarantine, silver, take_in

# GX imports two modules of regular expressions that the standard library renamed.
pytestmark = pytest.mark.filterwarnings(
    "ignore:module 'sre_(constants|parse)' is deprecated:DeprecationWarning"
)

ISO = "2026-03-01T10:00:00Z"
PLANTED = [
    order(1, note='"two\nlines"'),
    order(2, amount="N/A"),
    order(3),
    f"4,1.5,{ISO}",
    order(5, amount=""),
    order(3),
    "6.5,free,tomorrow,2026-02-30,maybe,x",
    order(8),
]


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    return shop.settings_in(tmp_path)


def ids(rows: pa.Table) -> list[int]:
    return sorted(rows["order_id"].to_pylist())


def values(rows: pa.Table) -> list[str]:
    """Return what rows say and when they were known, without where they came from."""
    return sorted(repr(row) for row in rows.drop(["_file", "_row", "_sha256"]).to_pylist())


def view(home: Settings, moment: datetime) -> dict[int, float]:
    """Return the amount of every order as known at a moment."""
    known = KnownTables({"orders": silver(home)}, [shop.ORDERS], None)
    known.cut(moment)
    return dict(known.sql('select order_id, amount from "orders"').fetchall())


def test_every_planted_fault_is_counted_once_and_the_law_holds(home: Settings) -> None:
    land_orders(home, "a.csv", PLANTED, at(1))
    taken = take_in(home)["orders"]
    assert taken.law == Law(landed=8, accepted=3, repeated=1, quarantined=3, unparsed=1)
    assert ids(silver(home)) == [1, 3, 8]
    assert taken.reasons == {
        "contract:not_null:amount": 1,
        "contract:type:amount:double": 2,
        "contract:type:order_id:int64": 1,
        "contract:type:sold_at:timestamp[us, tz=UTC]": 1,
        "contract:type:day:date32[day]": 1,
        "contract:type:paid:bool": 1,
        "contract:columns": 1,
    }
    path = lake.silver(home, "shop", "orders")
    newest = delta_tables.history(path, 1)[0]
    assert json.loads(newest["headframe.law"]) == taken.law.as_json()
    assert (newest["headframe.stage"], newest["headframe.run"]) == ("ingest", "test")


def test_a_row_set_aside_says_why_from_where_and_what_it_said(home: Settings) -> None:
    land_orders(home, "a.csv", PLANTED, at(1))
    take_in(home)
    found = [
        (row["_file"], row["_row"], row["_failed"], json.loads(str(row["_payload"])))
        for row in quarantine(home)
    ]
    cells = {"sold_at": ISO, "day": "2026-03-01", "paid": "true", "note": None}
    typed = {**cells, "sold_at": "2026-03-01 10:00:00+00:00", "paid": True}
    assert found[:3] == [
        (
            "orders/a.csv",
            2,
            ["contract:type:amount:double"],
            {"order_id": "2", "amount": "N/A", **cells},
        ),
        ("orders/a.csv", 4, ["contract:columns"], {"line": f"4,1.5,{ISO}"}),
        (
            "orders/a.csv",
            5,
            ["contract:not_null:amount"],
            {"order_id": 5, "amount": None, **typed},
        ),
    ]
    assert len(found) == 4
    assert {row[KNOWN_AT] for row in quarantine(home)} == {at(1)}
    assert {row["_sha256"] for row in quarantine(home)} == set(silver(home)["_sha256"].to_pylist())


def test_every_silver_row_says_where_it_came_from_and_when_it_was_known(home: Settings) -> None:
    land_orders(home, "a.csv.gz", [order(1), "x,,,,,", order(3)], at(1))
    take_in(home)
    rows = silver(home).sort_by("_row").select([KNOWN_AT, "_file", "_row"]).to_pylist()
    assert rows == [
        {KNOWN_AT: at(1), "_file": "orders/a.csv.gz", "_row": 1},
        {KNOWN_AT: at(1), "_file": "orders/a.csv.gz", "_row": 3},
    ]


LINE = st.sampled_from(
    [order(1), order(1, note="b"), order(2), order(3, amount="2"), "x" + order(1), "1,2", ",,,,,"]
)


@settings(
    deadline=None, max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.tuples(st.integers(1, 3), st.lists(LINE, max_size=6)), max_size=4))
def test_no_row_is_lost_or_made_whatever_lands(
    tmp_path_factory: pytest.TempPathFactory, files: list[tuple[int, list[str]]]
) -> None:
    home = shop.settings_in(tmp_path_factory.mktemp("law"))
    landed = Counter[str]()
    for number, (day, lines) in enumerate(files):
        land_orders(home, f"{number}.csv", lines, at(day))
        taken = take_in(home)["orders"]
        landed.update(taken.law.as_json())
    law = Law(**{name: landed[name] for name in Law.__slots__})
    assert silver(home).num_rows == law.accepted
    assert len(quarantine(home)) == law.quarantined + law.unparsed
    assert len(set(values(silver(home)))) == law.accepted


def test_ingesting_twice_is_ingesting_once(home: Settings) -> None:
    land_orders(home, "a.csv", PLANTED, at(1))
    shop.land(home, "prices/a.csv", b"product,price\ntea,1\n", at(1))
    take_in(home)
    before = shop.versions(home), sorted(local(home.lake).rglob("*"))
    again = take_in(home)
    assert (shop.versions(home), sorted(local(home.lake).rglob("*"))) == before
    assert (again["orders"].files, again["orders"].already_taken) == (0, 1)
    assert again["orders"].law.landed == 0
    assert again["orders"].version == before[0]["silver.shop.orders"]


def test_a_use_case_without_files_takes_in_nothing_and_makes_no_table(home: Settings) -> None:
    taken = take_in(home)
    assert (taken["orders"].files, taken["orders"].version) == (0, -1)
    assert shop.versions(home) == {}


def test_the_same_bytes_under_another_name_are_taken_once_by_the_first_name(home: Settings) -> None:
    land_orders(home, "b.csv", [order(1)], at(1))
    land_orders(home, "a.csv", [order(1)], at(2))
    first = take_in(home)["orders"]
    land_orders(home, "c.csv", [order(1)], at(3))
    second = take_in(home)["orders"]
    assert (first.files, first.law.landed, second.files, second.law.landed) == (1, 1, 0, 0)
    assert silver(home)["_file"].to_pylist() == ["orders/b.csv"]


def test_an_exact_repeat_is_counted_and_not_written(home: Settings) -> None:
    land_orders(home, "a.csv", [order(1), order(1), order(2)], at(1))
    assert take_in(home)["orders"].law == Law(
        landed=3, accepted=2, repeated=1, quarantined=0, unparsed=0
    )
    land_orders(home, "b.csv", [order(2), order(3)], at(1))
    assert take_in(home)["orders"].law == Law(
        landed=2, accepted=1, repeated=1, quarantined=0, unparsed=0
    )
    assert ids(silver(home)) == [1, 2, 3]


def test_a_late_correction_keeps_every_version_and_none_is_seen_too_early(home: Settings) -> None:
    land_orders(home, "a.csv", [order(1, "1"), order(2, "2")], at(1))
    land_orders(home, "b.csv", [order(1, "10")], at(3))
    land_orders(home, "c.csv", [order(1, "1")], at(5))
    take_in(home)
    assert sorted(silver(home)["amount"].to_pylist()) == [1.0, 1.0, 2.0, 10.0]
    assert view(home, at(1) - timedelta(microseconds=1)) == {}
    assert view(home, at(1)) == {1: 1.0, 2: 2.0}
    assert view(home, at(3)) == {1: 10.0, 2: 2.0}
    assert view(home, at(5)) == {1: 1.0, 2: 2.0}


def test_files_delivered_after_as_of_wait_for_their_time(home: Settings) -> None:
    land_orders(home, "a.csv", [order(1)], at(1))
    land_orders(home, "b.csv", [order(2)], at(3))
    assert take_in(home, as_of=at(1))["orders"].files == 1
    assert ids(silver(home)) == [1]
    assert take_in(home, as_of=at(3) - timedelta(microseconds=1))["orders"].files == 0
    assert take_in(home, as_of=at(3))["orders"].files == 1
    assert ids(silver(home)) == [1, 2]


DELIVERIES = {
    "a.csv": (at(1), [order(1, "1"), order(2, "2"), "x,,,,,"]),
    "b.csv": (at(3), [order(1, "10"), order(3, "3"), order(3, "3")]),
    "c.csv": (at(2), [order(1, "5"), order(2, "2")]),
    "d.csv": (at(3), [order(4, "4"), order(3, "3")]),
}


@pytest.mark.parametrize("every", [5, pytest.param(1, marks=pytest.mark.prove)])
def test_the_order_of_arrival_does_not_matter(every: int, tmp_path: Path) -> None:
    moments = [at(day) for day in (1, 2, 3)]
    seen = set()
    for number, names in enumerate(islice(permutations(DELIVERIES), 0, None, every)):
        home = shop.settings_in(tmp_path / str(number))
        for name in names:
            moment, lines = DELIVERIES[name]
            land_orders(home, name, lines, moment)
            # A few arrive together; most alone.
            if name != names[number % len(names)]:
                take_in(home)
        take_in(home)
        set_aside = [(row["_file"], row["_row"], row["_payload"]) for row in quarantine(home)]
        views = [sorted(view(home, moment).items()) for moment in moments]
        seen.add(repr((values(silver(home)), set_aside, views)))
    assert len(seen) == 1
    assert views == [
        [(1, 1.0), (2, 2.0)],
        [(1, 5.0), (2, 2.0)],
        [(1, 10.0), (2, 2.0), (3, 3.0), (4, 4.0)],
    ]


def test_files_that_disagree_at_the_same_moment_give_one_view_in_any_order(tmp_path: Path) -> None:
    ones = sorted(
        (shop.csv_of(shop.ORDERS_HEADER, [order(1, "1"), order(n)]) for n in range(9)), key=sha256
    )
    twos = sorted(
        (shop.csv_of(shop.ORDERS_HEADER, [order(1, "2"), order(n)]) for n in range(9)), key=sha256
    )
    files = [ones[0], twos[4], ones[-1]]
    assert sorted(files, key=sha256) == files
    found = set()
    for number, jumbled in enumerate(permutations(files)):
        home = shop.settings_in(tmp_path / str(number))
        for name, content in enumerate(jumbled):
            shop.land(home, f"orders/{name}.csv", content, at(1))
            take_in(home)
        found.add(view(home, at(1))[1])
    assert len(found) == 1


def test_a_file_that_changes_while_it_is_read_is_not_taken(
    home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = land_orders(home, "a.csv", [order(1)], at(1))
    whole = intake.READERS["csv"]

    def read_late(file: LocalFile, table: Table) -> ParsedFile:
        path.write_bytes(shop.csv_of(shop.ORDERS_HEADER, [order(1), order(2)]))
        return whole(file, table)

    monkeypatch.setitem(intake.READERS, "csv", read_late)
    assert len(take_in(home)["orders"].refused) == 1
    assert silver(home).num_rows == 0


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_a_refused_file_does_not_hold_back_others_and_is_named(home: Settings) -> None:
    land_orders(home, "a.csv", [order(1)], at(1))
    shop.land(home, "orders/b.csv", b"order_id\n1\n", at(1))
    shop.land(home, "orders/c.csv", b"", at(1))
    land_orders(home, "d.csv", ["x,,,,,", "y,,,,,", order(3)], at(1))
    (local(home.landing) / "shop" / "orders" / "e.csv").symlink_to("a.csv")
    shop.land(home, "prices/a.csv", b"product,price\ntea,1\n", at(1))
    taken = take_in(home)
    assert ids(silver(home)) == [1]
    assert silver(home, "prices")["product"].to_pylist() == ["tea"]
    error = refusals(list(taken.values()))
    assert error is not None
    assert [problem.where for problem in error.problems] == [
        "landing/orders/e.csv", *["landing/orders/b.csv"] * 5, "landing/orders/c.csv",
        "landing/orders/d.csv",
    ]  # fmt: skip
    assert_golden("files/too_many_bad_rows", str(error.problems[-1]))
    # The next run says so again, until the source is mended.
    again = take_in(home)["orders"]
    assert len(again.refused) == 4


def test_a_file_whose_required_column_is_empty_is_refused_whole(home: Settings) -> None:
    land_orders(home, "a.csv", [order(n, amount="") for n in range(5)], at(1))
    (refused,) = take_in(home)["orders"].refused
    assert refused.problems[0].found == "5 of 5"
    assert quarantine(home) == []


def test_columns_ignored_by_the_contract_are_named_in_the_commit(home: Settings) -> None:
    shop.land(home, "prices/a.csv", b"colour,product,price\nred,tea,1\n", at(1))
    take_in(home)
    newest = delta_tables.history(lake.silver(home, "shop", "prices"), 1)[0]
    assert json.loads(newest["headframe.ignored_columns"]) == {"prices/a.csv": ["colour"]}


def test_a_file_without_rows_is_taken(home: Settings) -> None:
    land_orders(home, "a.csv", [], at(1))
    taken = take_in(home)["orders"]
    assert (taken.files, taken.law.landed, taken.version) == (1, 0, 1)
    assert take_in(home)["orders"].files == 0
    assert silver(home).num_rows == 0


def test_a_run_that_comes_second_with_the_same_files_takes_nothing(
    home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    land_orders(home, "a.csv", [order(1), "x,,,,,"], at(1))
    in_between(monkeypatch, lambda: take_in(home))
    second = take_in(home)["orders"]
    assert (second.files, second.already_taken, second.law.landed) == (0, 1, 0)
    assert (ids(silver(home)), len(quarantine(home))) == ([1], 1)


def test_a_run_that_overlaps_another_looks_again_and_repeats_no_row(
    home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other run takes a file of the same row at the same moment, which this one cannot see."""
    land_orders(home, "a.csv", [order(1)], at(1))

    def other_run() -> None:
        aside = local(home.landing) / "shop" / "orders" / "a.csv"
        aside.rename(aside.with_suffix(".aside"))
        land_orders(home, "b.csv", [order(1), order(2)], at(1))
        take_in(home)
        aside.with_suffix(".aside").rename(aside)

    in_between(monkeypatch, other_run)
    taken = take_in(home)["orders"]
    assert (taken.files, taken.already_taken, taken.law.repeated) == (1, 1, 1)
    assert ids(silver(home)) == [1, 2]


def test_a_run_that_is_always_second_gives_up_and_may_be_retried(
    home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def always_another(name: str) -> None:
        if name == "ingest.between_quarantine_and_silver":
            number = delta_tables.transaction(path, "ingest") or 0
            none = silver(home).slice(0, 0)
            delta_tables.commit_rows(path, none, transactions={"ingest": number + 1}, metadata={})

    land_orders(home, "a.csv", [order(1)], at(1))
    path = lake.silver(home, "shop", "orders")
    with monkeypatch.context() as patched:
        patched.setattr(ingest_stage, "failpoint", always_another)
        with pytest.raises(CommitLost) as caught:
            take_in(home)
    assert caught.value.retryable
    assert take_in(home)["orders"].files == 1


def in_between(monkeypatch: pytest.MonkeyPatch, work: Any) -> None:  # noqa: ANN401 - any callable
    """Do ``work`` once, between the two commits of the ingest that runs next."""
    waiting = [work]

    def reached(name: str) -> None:
        if name == "ingest.between_quarantine_and_silver" and waiting:
            waiting.pop()()

    monkeypatch.setattr(ingest_stage, "failpoint", reached)


def expect(home: Settings, *expectations: dict[str, Any]) -> None:
    path = home.expectations / "shop" / "orders.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"name": "shop.orders", "expectations": expectations}), "utf-8")


def amount_between(severity: str, **meta: str) -> dict[str, Any]:
    return {
        "type": "expect_column_values_to_be_between",
        "kwargs": {"column": "amount", "min_value": 0, "max_value": 100},
        "severity": severity,
        "meta": meta,
    }


def test_a_critical_expectation_that_fails_publishes_nothing_of_its_table_and_all_of_others(
    home: Settings,
) -> None:
    expect(home, amount_between("critical"))
    land_orders(home, "a.csv", [order(1), order(2, "-1"), "x,,,,,"], at(1))
    shop.land(home, "prices/a.csv", b"product,price\ntea,1\n", at(1))
    with pytest.raises(QualityRefused) as caught:
        take_in(home)
    assert_golden("lake/critical_expectation", str(caught.value))
    assert "silver.shop.orders" not in shop.versions(home)
    assert quarantine(home) == []
    assert list((local(home.lake) / "silver" / "shop" / "orders").glob("*.parquet")) == []
    assert silver(home, "prices").num_rows == 1
    expect(home, amount_between("warning"))
    assert take_in(home)["orders"].flagged == ("expect_column_values_to_be_between:amount",)
    assert ids(silver(home)) == [1, 2]


def test_a_rule_sets_its_rows_aside_and_the_law_counts_them(home: Settings) -> None:
    expect(home, amount_between("critical", on_fail="quarantine"))
    land_orders(home, "a.csv", [order(1), order(2, "-1"), order(3, "x"), order(1)], at(1))
    taken = take_in(home)["orders"]
    assert taken.law == Law(landed=4, accepted=1, repeated=1, quarantined=2, unparsed=0)
    assert [(row["_row"], row["_failed"]) for row in quarantine(home)] == [
        (2, ["expect_column_values_to_be_between:amount"]),
        (3, ["contract:type:amount:double"]),
    ]
    assert ids(silver(home)) == [1]
    assert_golden("lake/ingest_line", describe([taken]))


def test_what_an_unfinished_run_set_aside_is_replaced_when_the_rules_changed_since(
    home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    expect(home, amount_between("warning", on_fail="quarantine"))
    land_orders(home, "a.csv", [order(1), order(2, "-1")], at(1))

    def stop(name: str) -> None:
        raise InterruptedError(name)

    with monkeypatch.context() as patched:
        patched.setattr(ingest_stage, "failpoint", stop)
        with pytest.raises(InterruptedError):
            take_in(home)
    assert (len(quarantine(home)), silver(home).num_rows) == (1, 0)
    (home.expectations / "shop" / "orders.json").unlink()
    take_in(home)
    assert (quarantine(home), ids(silver(home))) == ([], [1, 2])
