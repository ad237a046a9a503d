"""Landed files: when each was delivered, that its bytes never change, and which are fit to read."""

import gzip
import multiprocessing
import os
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from pipelines.adapters import delta_tables, landing
from pipelines.adapters.landing import deliveries, preflight, refuse_changed
from pipelines.domain.contract import Files
from pipelines.domain.delivery import Delivery
from pipelines.errors import FileRefused
from tests.goldens import assert_golden

SOURCE = Files(pattern="orders/*.csv*", maximum_bytes=1000)
CSV = b"order_id\n1\n2\n"


@pytest.fixture
def orders(tmp_path: Path) -> Path:
    folder = tmp_path / "landing" / "shop" / "orders"
    folder.mkdir(parents=True)
    return folder


def seen_by(orders: Path) -> tuple[list[Delivery], list[FileRefused]]:
    root = orders.parent.parent
    return deliveries(root, "shop", SOURCE, root.parent / "landed_files")


def only(orders: Path) -> Delivery:
    (found,), refused = seen_by(orders)
    assert refused == []
    return found


def refusal(orders: Path) -> str:
    found, (error,) = seen_by(orders)
    assert found == []
    return str(error)


def tell(path: Path, text: str) -> None:
    path.with_name(f"{path.name}.delivered.json").write_text(text, "utf-8")


def test_a_sidecar_tells_when_its_file_was_delivered(orders: Path) -> None:
    path = orders / "a.csv"
    path.write_bytes(CSV)
    tell(path, '{"delivered_at": "2013-01-31T20:00:00.000001+02:00"}')
    found = only(orders)
    assert found.delivered_at == datetime(2013, 1, 31, 18, 0, 0, 1, tzinfo=UTC)
    assert (found.name, found.size) == ("orders/a.csv", len(CSV))
    # sha256sum (GNU coreutils) of the same bytes.
    known = "7a1fdcedede71601b8b80e9d1fac157ade705eec988a1278e89143c0a58fc7cd"
    assert found.sha256 == known


def test_the_moment_of_first_sight_is_recorded_once_and_never_changes(orders: Path) -> None:
    before = datetime.now(UTC)
    path = orders / "a.csv"
    path.write_bytes(CSV)
    first = only(orders)
    assert before <= first.delivered_at <= datetime.now(UTC)
    assert only(orders) == first
    os.utime(path, ns=(1, 1))
    assert only(orders).delivered_at == first.delivered_at
    index = orders.parent.parent.parent / "landed_files"
    assert delta_tables.read(index, columns=["name"]).to_pydict() == {"name": ["orders/a.csv"]}


def test_use_cases_do_not_share_what_they_have_seen(orders: Path) -> None:
    (orders / "a.csv").write_bytes(CSV)
    first = only(orders)
    root = orders.parent.parent
    (root / "o'ther" / "orders").mkdir(parents=True)
    (root / "o'ther" / "orders" / "a.csv").write_bytes(CSV + b"3\n")
    (other,), _ = deliveries(root, "o'ther", SOURCE, root.parent / "landed_files")
    assert other.delivered_at > first.delivered_at
    assert other.sha256 != first.sha256
    assert only(orders) == first


def test_of_two_that_see_a_file_first_both_get_the_recorded_moment(orders: Path) -> None:
    for number in range(5):
        (orders / f"{number}.csv").write_bytes(CSV)
    context = multiprocessing.get_context("spawn")
    barrier, answers = context.Barrier(3), context.SimpleQueue()
    processes = [
        context.Process(target=see_first, args=(orders, barrier, answers)) for _ in range(3)
    ]
    for process in processes:
        process.start()
    told = [answers.get() for _ in processes]
    for process in processes:
        process.join()
        assert process.exitcode == 0
    recorded = [delivery.delivered_at for delivery in seen_by(orders)[0]]
    assert told == [recorded, recorded, recorded]


def see_first(
    orders: Path, barrier: Barrier, answers: "multiprocessing.SimpleQueue[list[datetime]]"
) -> None:
    barrier.wait()
    answers.put([delivery.delivered_at for delivery in seen_by(orders)[0]])


@pytest.mark.parametrize("same_size", [True, False])
def test_other_bytes_under_a_name_that_was_seen_are_refused(orders: Path, same_size: bool) -> None:  # noqa: FBT001 - pytest gives it
    path = orders / "a.csv"
    path.write_bytes(CSV)
    first = only(orders)
    path.write_bytes(b"order_id\n1\n3\n" if same_size else CSV + b"3\n")
    os.utime(path, ns=(1, 1))
    assert_golden("files/other_bytes", refusal(orders))
    path.write_bytes(CSV)
    assert only(orders).sha256 == first.sha256


def test_a_file_that_did_not_change_is_not_hashed_again(
    orders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = orders / "a.csv"
    path.write_bytes(CSV)
    first = only(orders)
    hashed: list[str] = []

    def hash_noted(path: Path) -> str:
        hashed.append(path.name)
        return first.sha256

    monkeypatch.setattr(landing, "_sha256", hash_noted)
    assert only(orders) == first
    assert hashed == []
    os.utime(path, ns=(1, 1))
    assert only(orders).sha256 == first.sha256
    assert hashed == ["a.csv"]


def test_dot_files_sidecars_and_other_patterns_are_no_deliveries(orders: Path) -> None:
    for name in (".a.csv", ".a.csv.123", "a.csv", "b.csv.gz", "notes.txt", "a.csv.delivered.json"):
        (orders / name).write_bytes(CSV)
    tell(orders / "a.csv", '{"delivered_at": "2013-01-31T20:00:00Z"}')
    found, refused = seen_by(orders)
    assert [delivery.name for delivery in found] == ["orders/a.csv", "orders/b.csv.gz"]
    assert refused == []


def test_an_empty_landing_has_no_deliveries_and_makes_no_table(tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert deliveries(home / "landing", "shop", SOURCE, home / "landed_files") == ([], [])
    assert not home.exists()


def linked(orders: Path) -> None:
    outside = orders.parent.parent / "secret"
    outside.write_bytes(CSV)
    (orders / "a.csv").symlink_to(outside)


def linked_inside(orders: Path) -> None:
    (orders.parent / "b").write_bytes(CSV)
    (orders / "a.csv").symlink_to(orders.parent / "b")


def folder(orders: Path) -> None:
    (orders / "a.csv").mkdir()


def pipe(orders: Path) -> None:
    os.mkfifo(orders / "a.csv")


@pytest.mark.parametrize("place", [linked, linked_inside, folder, pipe])
def test_what_is_no_regular_file_is_refused_and_never_opened(
    orders: Path, place: Callable[[Path], None]
) -> None:
    place(orders)
    assert_golden("files/not_regular", refusal(orders))


def test_a_folder_that_leads_out_of_landing_is_refused(orders: Path) -> None:
    outside = orders.parent.parent.parent / "elsewhere"
    outside.mkdir()
    (outside / "a.csv").write_bytes(CSV)
    orders.rmdir()
    orders.symlink_to(outside)
    assert_golden("files/not_regular", refusal(orders))


def test_a_refused_file_does_not_hold_back_others(orders: Path) -> None:
    linked(orders)
    (orders / "b.csv").write_bytes(CSV)
    found, refused = seen_by(orders)
    assert [delivery.name for delivery in found] == ["orders/b.csv"]
    assert len(refused) == 1


def test_a_name_that_is_no_text_is_refused(orders: Path) -> None:
    Path(os.fsdecode(os.fsencode(orders) + b"/Zo\xeb.csv")).write_bytes(CSV)
    assert refusal(orders).startswith("landing/orders/Zo?.csv: expected a name in UTF-8")


@pytest.mark.parametrize(
    "text",
    [
        '{"delivered_at": "2013-01-31T20:00:00"}',
        '{"delivered_at": "2013-01-31"}',
        '{"delivered_at": "yesterday"}',
        '{"delivered_at": 5}',
        '{"delivered_at": "0001-01-01T00:00:00+10:00"}',
        "{}",
        "[]",
        "not json",
        "",
    ],
)
def test_a_sidecar_that_tells_no_moment_makes_its_file_wait(orders: Path, text: str) -> None:
    path = orders / "a.csv"
    path.write_bytes(CSV)
    tell(path, text)
    message = refusal(orders)
    assert message.startswith("landing/orders/a.csv.delivered.json: expected {")
    assert message.endswith("Write the sidecar again; the file waits.")
    tell(path, '{"delivered_at": "2013-01-31T20:00:00Z"}')
    assert only(orders).delivered_at == datetime(2013, 1, 31, 20, tzinfo=UTC)


def damaged() -> bytes:
    packed = bytearray(gzip.compress(CSV, mtime=0))
    packed[-8] ^= 1  # the first byte of the checksum
    return bytes(packed)


@pytest.mark.parametrize(
    ("golden", "name", "content"),
    [
        ("empty_file", "a.csv", b""),
        ("empty_file", "a.csv.gz", gzip.compress(b"", mtime=0)),
        ("no_final_newline", "a.csv", CSV[:-1]),
        ("no_final_newline", "a.csv.gz", gzip.compress(CSV[:-1], mtime=0)),
        ("gzip_cut", "a.csv.gz", gzip.compress(CSV, mtime=0)[:-9]),
        ("gzip_cut", "a.csv.gz", gzip.compress(CSV, mtime=0)[:15]),
        ("gzip_bad_checksum", "a.csv.gz", damaged()),
        ("gzip_trailing_garbage", "a.csv.gz", gzip.compress(CSV, mtime=0) + b"garbage"),
        ("gzip_not_at_all", "a.csv.gz", CSV),
        ("too_large", "a.csv", b"x" * 1001),
        ("too_large", "a.csv.gz", gzip.compress(b"0" * 10_000_000, mtime=0)),
    ],
)
def test_a_file_that_is_not_fit_to_be_read_is_refused(
    orders: Path, golden: str, name: str, content: bytes
) -> None:
    (orders / name).write_bytes(content)
    with pytest.raises(FileRefused) as caught:
        preflight(only(orders), SOURCE)
    assert_golden(f"files/{golden}", str(caught.value).replace(name, "FILE"))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", CSV),
        ("a.csv", b"x" * 999 + b"\n"),
        ("a.csv.gz", gzip.compress(CSV, mtime=0)),
        ("a.csv.gz", gzip.compress(CSV, mtime=0) + gzip.compress(CSV, mtime=0)),
    ],
)
def test_a_whole_file_passes(orders: Path, name: str, content: bytes) -> None:
    (orders / name).write_bytes(content)
    preflight(only(orders), SOURCE)


def test_a_file_that_disappears_is_refused(orders: Path) -> None:
    path = orders / "a.csv"
    path.write_bytes(CSV)
    found = only(orders)
    path.unlink()
    with pytest.raises(FileRefused, match="cannot be read"):
        preflight(found, SOURCE)
    with pytest.raises(FileRefused, match="cannot be read"):
        refuse_changed(found)


def test_a_file_that_changes_while_it_is_read_is_refused(orders: Path) -> None:
    path = orders / "a.csv"
    path.write_bytes(CSV)
    found = only(orders)
    refuse_changed(found)
    path.write_bytes(CSV + b"3\n")
    with pytest.raises(FileRefused) as caught:
        refuse_changed(found)
    assert_golden("files/changed_while_read", str(caught.value))


def test_the_trap_is_real_zlib_alone_does_not_look_at_the_checksum() -> None:
    assert zlib.decompressobj(-zlib.MAX_WBITS).decompress(damaged()[10:]) == CSV
