"""Landed files in an object store: the same promises, kept by etags and checked copies."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipelines.adapters.landing.landing import Landed, deliveries, known, local_file
from pipelines.adapters.stores import object_store
from pipelines.adapters.stores.object_store import StoreUrl
from pipelines.domain.contract import Files
from pipelines.errors import FileRefused

SOURCE = Files(pattern="orders/**/*.csv*")
CSV = b"order_id\n1\n2\n"


def put(store: StoreUrl, name: str, content: bytes = CSV) -> None:
    object_store.put_bytes(store / "landing" / "shop" / name, content)


def seen_by(store: StoreUrl, source: Files = SOURCE) -> Landed:
    return deliveries(store / "landing", "shop", source, store / "landed_files")


def names(landed: Landed) -> list[str]:
    assert landed.refused == ()
    return [delivery.name for delivery in landed.deliveries]


def test_a_pattern_chooses_objects_as_it_chooses_files(store: StoreUrl) -> None:
    for name in (
        "orders/a.csv",
        "orders/2026/05/b.csv",
        "orders/.hidden/c.csv",
        "orders/.d.csv",
        "orders/e.csv.part",
        "orders/a.csv.delivered.json",
        "returns/f.csv",
    ):
        put(store, name, b'{"delivered_at": "2013-01-31T20:00:00Z"}\n')
    assert names(seen_by(store)) == ["orders/2026/05/b.csv", "orders/a.csv"]
    assert names(seen_by(store, Files(pattern="*/*.csv"))) == ["orders/a.csv", "returns/f.csv"]


def test_a_sidecar_or_the_first_sight_tells_when_an_object_was_delivered(store: StoreUrl) -> None:
    before = datetime.now(UTC)
    put(store, "orders/told.csv")
    put(store, "orders/told.csv.delivered.json", b'{"delivered_at": "2013-01-31T20:00:00Z"}')
    put(store, "orders/seen.csv")
    first = seen_by(store).deliveries
    assert before <= first[0].delivered_at <= datetime.now(UTC)
    assert first[1].delivered_at == datetime(2013, 1, 31, 20, tzinfo=UTC)
    put(store, "orders/told.csv.delivered.json", b"not json")
    put(store, "orders/seen.csv.delivered.json", b"not json")
    assert seen_by(store).deliveries == first


def test_an_object_is_read_as_a_checked_copy_that_is_removed(store: StoreUrl) -> None:
    put(store, "orders/a.csv")
    landed = seen_by(store)
    with local_file(landed.deliveries[0], SOURCE, known=landed) as file:
        assert file.path.read_bytes() == CSV
        assert file.inspected.unpacked_bytes == len(CSV)
        assert file.delivery == landed.deliveries[0]
    assert not file.path.parent.exists()


def test_an_object_that_is_not_fit_is_refused(store: StoreUrl) -> None:
    put(store, "orders/a.csv", CSV[:-1])
    landed = seen_by(store)
    with (
        pytest.raises(FileRefused, match="cut in the middle"),
        local_file(landed.deliveries[0], SOURCE, known=landed),
    ):
        pytest.fail("its rows were read")


def test_another_object_of_the_same_size_under_a_name_is_refused(store: StoreUrl) -> None:
    put(store, "orders/a.csv")
    first = seen_by(store)
    put(store, "orders/a.csv", b"order_id\n1\n3\n")
    (error,) = seen_by(store).refused
    assert "other bytes under the same name" in str(error)
    with pytest.raises(FileRefused, match="other bytes"), local_file(first.deliveries[0], SOURCE):
        pytest.fail("its rows were read")
    put(store, "orders/a.csv")
    assert seen_by(store).deliveries == first.deliveries


def test_an_object_that_did_not_change_is_not_fetched_again(
    store: StoreUrl, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, "orders/a.csv")
    first = seen_by(store)
    fetched: list[str] = []
    fetch = object_store.fetch

    def fetch_noted(url: StoreUrl, to: Path) -> None:
        fetched.append(url.name)
        fetch(url, to)

    monkeypatch.setattr(object_store, "fetch", fetch_noted)
    assert seen_by(store).deliveries == first.deliveries
    assert fetched == []
    put(store, "orders/b.csv")
    seen_by(store)
    assert fetched == ["b.csv"]


def test_an_object_waits_until_it_has_been_quiet(store: StoreUrl) -> None:
    put(store, "orders/a.csv")
    put(store, "orders/b.csv")
    put(store, "orders/b.csv.delivered.json", b'{"delivered_at": "2013-01-31T20:00:00Z"}')
    landed = seen_by(store, replace(SOURCE, quiet=timedelta(minutes=5)))
    assert (names(landed), landed.waiting) == (["orders/b.csv"], ("orders/a.csv",))
    assert names(seen_by(store)) == ["orders/a.csv", "orders/b.csv"]


def test_recorded_objects_are_found_by_name_and_missed_by_name(store: StoreUrl) -> None:
    put(store, "orders/a.csv")
    (first,) = seen_by(store).deliveries
    places = (store / "landing", "shop", store / "landed_files")
    assert known(*places, ["orders/a.csv"]) == {"orders/a.csv": first}
    object_store.delete(store / "landing" / "shop" / "orders" / "a.csv")
    with pytest.raises(FileRefused, match=r"landing/orders/a.csv: expected the file that was"):
        known(*places, ["orders/a.csv"])
    with pytest.raises(FileRefused, match="cannot be read"), local_file(first, SOURCE):
        pytest.fail("its rows were read")
