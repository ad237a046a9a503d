"""Landed files: when each was delivered, that its bytes never change, and each as a local file."""

import os
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from pipelines.adapters.delta import delta_tables
from pipelines.adapters.landing import seen_files
from pipelines.adapters.landing.landed_folders import matching
from pipelines.adapters.landing.landing import Landed, deliveries, known, local_file
from pipelines.domain.contract import Files
from pipelines.domain.delivery import Delivery, LocalFile
from pipelines.errors import FileRefused
from tests.faults.forked import processes
from tests.goldens import assert_golden

SOURCE = Files(pattern="orders/*.csv*", maximum_bytes=1000)
CSV = b"order_id\n1\n2\n"


@pytest.fixture
def orders(tmp_path: Path) -> Path:
    folder = tmp_path / "landing" / "shop" / "orders"
    folder.mkdir(parents=True)
    return folder


def seen_by(orders: Path, source: Files = SOURCE) -> Landed:
    return deliveries(root(orders), "shop", source, index(orders))


def root(orders: Path) -> Path:
    return orders.parent.parent


def index(orders: Path) -> Path:
    return orders.parent.parent.parent / "landed_files"


def only(orders: Path) -> Delivery:
    landed = seen_by(orders)
    (found,) = landed.deliveries
    assert (landed.refused, landed.waiting) == ((), ())
    return found


def names(orders: Path, source: Files = SOURCE) -> list[str]:
    return [delivery.name for delivery in seen_by(orders, source).deliveries]


def refusal(orders: Path) -> str:
    landed = seen_by(orders)
    (error,) = landed.refused
    assert (landed.deliveries, landed.waiting) == ((), ())
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
    assert delta_tables.read(index(orders), columns=["name"]).to_pydict() == {
        "name": ["orders/a.csv"]
    }


def test_use_cases_do_not_share_what_they_have_seen(orders: Path) -> None:
    (orders / "a.csv").write_bytes(CSV)
    first = only(orders)
    elsewhere = root(orders) / "o'ther" / "orders"
    elsewhere.mkdir(parents=True)
    (elsewhere / "a.csv").write_bytes(CSV + b"3\n")
    (other,) = deliveries(root(orders), "o'ther", SOURCE, index(orders)).deliveries
    assert other.delivered_at > first.delivered_at
    assert other.sha256 != first.sha256
    assert only(orders) == first


def test_of_two_that_see_a_file_first_both_get_the_recorded_moment(orders: Path) -> None:
    for number in range(5):
        (orders / f"{number}.csv").write_bytes(CSV)
    context = processes()
    barrier, answers = context.Barrier(3), context.SimpleQueue()
    running = [context.Process(target=see_first, args=(orders, barrier, answers)) for _ in range(3)]
    for process in running:
        process.start()
    told = [answers.get() for _ in running]
    for process in running:
        process.join()
        assert process.exitcode == 0
    recorded = [delivery.delivered_at for delivery in seen_by(orders).deliveries]
    assert told == [recorded, recorded, recorded]


def see_first(orders: Path, barrier: Barrier, answers: SimpleQueue[list[datetime]]) -> None:
    barrier.wait()
    answers.put([delivery.delivered_at for delivery in seen_by(orders).deliveries])


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


def test_a_file_that_did_not_change_is_not_read_again(orders: Path) -> None:
    path = orders / "a.csv"
    path.write_bytes(CSV)
    first, modified = only(orders), path.stat().st_mtime_ns
    # Other bytes behind the same size and time are seen only by reading.
    path.write_bytes(b"order_id\n1\n3\n")
    os.utime(path, ns=(modified, modified))
    assert only(orders) == first
    os.utime(path, ns=(1, 1))
    assert "other bytes under the same name" in refusal(orders)


def test_a_file_that_was_only_touched_is_read_once_more_and_then_known(orders: Path) -> None:
    path = orders / "a.csv"
    path.write_bytes(CSV)
    first = only(orders)
    os.utime(path, ns=(1, 1))
    assert "orders/a.csv" in seen_by(orders).inspected
    assert seen_by(orders).inspected == {}
    assert only(orders) == replace(first, mtime_ns=1)
    assert delta_tables.read(index(orders), columns=["mtime_ns"]).to_pydict() == {"mtime_ns": [1]}


@pytest.mark.parametrize("later", ['{"delivered_at": "2013-01-31T20:00:00Z"}', "not json", None])
def test_a_sidecar_that_appears_changes_or_goes_later_changes_nothing(
    orders: Path, later: str | None
) -> None:
    (orders / "without.csv").write_bytes(CSV)
    (orders / "with.csv").write_bytes(CSV)
    tell(orders / "with.csv", '{"delivered_at": "2012-01-31T20:00:00Z"}')
    first = seen_by(orders)
    (orders / "with.csv.delivered.json").unlink()
    if later is not None:
        tell(orders / "with.csv", later)
        tell(orders / "without.csv", later)
    assert first.deliveries[0].delivered_at == datetime(2012, 1, 31, 20, tzinfo=UTC)
    assert seen_by(orders).deliveries == first.deliveries
    os.utime(orders / "with.csv", ns=(1, 1))
    assert seen_by(orders).deliveries[0].delivered_at == first.deliveries[0].delivered_at


def test_dot_files_sidecars_unfinished_files_and_other_patterns_are_no_deliveries(
    orders: Path,
) -> None:
    unfinished = ("c.csv.tmp", "c.csv.part", "c.csv.filepart")
    for name in (".a.csv", ".a.csv.123", "a.csv", "b.csv.gz", "notes.txt", *unfinished):
        (orders / name).write_bytes(CSV)
    tell(orders / "a.csv", '{"delivered_at": "2013-01-31T20:00:00Z"}')
    landed = seen_by(orders)
    assert [delivery.name for delivery in landed.deliveries] == ["orders/a.csv", "orders/b.csv.gz"]
    assert (landed.refused, landed.waiting) == ((), ())
    (orders / "c.csv.part").rename(orders / "c.csv")
    assert names(orders) == ["orders/a.csv", "orders/b.csv.gz", "orders/c.csv"]


def test_a_file_waits_until_it_has_been_quiet_unless_a_sidecar_tells_that_it_is_whole(
    orders: Path,
) -> None:
    patient = replace(SOURCE, quiet=timedelta(minutes=5))
    for name in ("growing.csv", "told.csv", "old.csv"):
        (orders / name).write_bytes(CSV)
    tell(orders / "told.csv", '{"delivered_at": "2013-01-31T20:00:00Z"}')
    six_minutes_ago = time.time_ns() - 6 * 60 * 10**9
    os.utime(orders / "old.csv", ns=(six_minutes_ago, six_minutes_ago))
    landed = seen_by(orders, patient)
    assert [delivery.name for delivery in landed.deliveries] == [
        "orders/old.csv",
        "orders/told.csv",
    ]
    assert (landed.refused, landed.waiting) == ((), ("orders/growing.csv",))
    recorded = delta_tables.read(index(orders), columns=["name"])["name"].to_pylist()
    assert sorted(recorded) == ["orders/old.csv", "orders/told.csv"]
    (orders / "growing.csv").write_bytes(CSV + b"3\n")  # it may, since nobody recorded it
    os.utime(orders / "growing.csv", ns=(six_minutes_ago, six_minutes_ago))
    assert len(seen_by(orders, patient).deliveries) == 3
    os.utime(orders / "growing.csv")  # seen already: only its bytes count
    assert len(seen_by(orders, patient).deliveries) == 3


def test_equal_bytes_under_two_names_are_two_deliveries(orders: Path) -> None:
    for name in ("a.csv", "b.csv"):
        (orders / name).write_bytes(CSV)
    first, second = seen_by(orders).deliveries
    assert (first.name, second.name) == ("orders/a.csv", "orders/b.csv")
    assert first.sha256 == second.sha256


def test_an_empty_landing_has_no_deliveries_and_makes_no_table(tmp_path: Path) -> None:
    home = tmp_path / "home"
    landed = deliveries(home / "landing", "shop", SOURCE, home / "landed_files")
    assert landed == Landed(deliveries=())
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
    message = refusal(orders)
    assert message.startswith("landing/orders: expected a regular file inside the landing folder")


def test_a_folder_that_leads_elsewhere_in_landing_is_followed(orders: Path) -> None:
    inside = orders.parent / "orders-2026"
    inside.mkdir()
    (inside / "a.csv").write_bytes(CSV)
    orders.rmdir()
    orders.symlink_to(inside)
    assert names(orders) == ["orders/a.csv"]


def test_a_refused_file_does_not_hold_back_others(orders: Path) -> None:
    linked(orders)
    (orders / "b.csv").write_bytes(CSV)
    assert names(orders) == ["orders/b.csv"]
    assert len(seen_by(orders).refused) == 1


def test_a_name_that_is_no_text_is_refused(orders: Path) -> None:
    Path(os.fsdecode(os.fsencode(orders) + b"/Zo\xeb.csv")).write_bytes(CSV)
    assert refusal(orders).startswith("landing/orders/Zo?.csv: expected a name in UTF-8")


@pytest.mark.parametrize("letter", ["\n", "\x1b", "\x7f", "\u202e", "\u2028"])
def test_a_name_that_would_disturb_a_message_is_refused(orders: Path, letter: str) -> None:
    (orders / f"a{letter}.csv").write_bytes(CSV)
    assert refusal(orders).startswith("landing/orders/a?.csv: expected a name in UTF-8, without")


def test_other_alphabets_are_names(orders: Path) -> None:
    (orders / "Zoë Größe 注文.csv").write_bytes(CSV)
    assert names(orders) == ["orders/Zoë Größe 注文.csv"]


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


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("orders/*.csv", ["orders/a.csv"]),
        ("*/*.csv", ["orders/a.csv", "returns/c.csv"]),
        ("*.csv", ["top.csv"]),
        ("**/*.csv", ["orders/2026/05/b.csv", "orders/a.csv", "returns/c.csv", "top.csv"]),
        ("orders/**/*.csv", ["orders/2026/05/b.csv", "orders/a.csv"]),
        ("orders/**/05/*", ["orders/2026/05/b.csv"]),
        ("orders/**", ["orders/2026/05/b.csv", "orders/a.csv"]),
        ("orders/20[0-9][0-9]/*/?.csv", ["orders/2026/05/b.csv"]),
        ("**/**/b.csv", ["orders/2026/05/b.csv"]),
        ("orders/.*/*.csv", ["orders/.hidden/d.csv"]),
        ("ORDERS/*.csv", []),
        ("orders", []),
    ],
)
def test_a_pattern_is_a_glob_of_paths(orders: Path, pattern: str, expected: list[str]) -> None:
    shop = orders.parent
    there = (
        "orders/a.csv",
        "orders/2026/05/b.csv",
        "orders/.hidden/d.csv",
        "returns/c.csv",
        "top.csv",
    )
    for name in there:
        (shop / name).parent.mkdir(parents=True, exist_ok=True)
        (shop / name).write_bytes(CSV)
    (orders / "elsewhere").symlink_to(shop / "returns")
    assert names(orders, Files(pattern=pattern)) == expected
    assert sorted(matching(there, pattern)) == expected


@pytest.mark.parametrize("pattern", ["../*", "/*", "orders/../../*"])
def test_a_pattern_never_leaves_landing(orders: Path, pattern: str) -> None:
    (orders.parent.parent / "secret").write_bytes(CSV)
    assert names(orders, Files(pattern=pattern)) == []


def test_ten_thousand_known_files_cost_little(orders: Path) -> None:
    for number in range(10_000):
        (orders / f"{number}.csv").write_bytes(CSV)
    assert len(seen_by(orders).deliveries) == 10_000
    seconds = min(cpu_seconds(lambda: seen_by(orders)) for _ in range(3))
    # 0.10 s when measured alone; twice 0.15 s leaves room for a loaded machine.
    assert seconds < 0.3


def cpu_seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def test_the_seen_index_stays_in_few_files_however_many_commits_it_has(
    orders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seen_files, "COMMITS_PER_FILE", 4)
    first = {}
    for number in range(13):
        (orders / f"{number:02d}.csv").write_bytes(CSV)
        first[number] = seen_by(orders).deliveries[-1]
        other = root(orders) / "other" / "orders" / f"{number}.csv"
        other.parent.mkdir(parents=True, exist_ok=True)
        other.write_bytes(CSV)
        deliveries(root(orders), "other", SOURCE, index(orders))
    # A compacted file and at most three commits since, for each of the two use cases.
    assert len(delta_tables.files(index(orders))) <= 8
    assert seen_by(orders).deliveries == tuple(first.values())
    assert delta_tables.read(index(orders)).num_rows == 26


def test_of_runs_that_compact_and_record_at_once_none_loses_a_file(orders: Path) -> None:
    context = processes()
    barrier = context.Barrier(3)
    running = [
        context.Process(target=record_many, args=(orders, barrier, number)) for number in range(3)
    ]
    for process in running:
        process.start()
    for process in running:
        process.join()
        assert process.exitcode == 0
    recorded = delta_tables.read(index(orders), columns=["name"])["name"].to_pylist()
    assert sorted(recorded) == sorted(
        f"orders/{writer}-{number}.csv" for writer in range(3) for number in range(8)
    )


def record_many(orders: Path, barrier: Barrier, writer: int) -> None:
    seen_files.COMMITS_PER_FILE = 2
    barrier.wait()
    for number in range(8):
        (orders / f"{writer}-{number}.csv").write_bytes(CSV)
        seen_by(orders, Files(pattern=f"orders/{writer}-*.csv"))


def test_a_file_is_read_once_in_a_run_and_once_in_a_later_one(orders: Path) -> None:
    (orders / "a.csv").write_bytes(CSV)
    landed = seen_by(orders)
    (delivery,) = landed.deliveries
    with local_file(delivery, SOURCE, known=landed) as first:
        assert first == LocalFile(
            delivery=delivery, path=orders / "a.csv", inspected=landed.inspected["orders/a.csv"][0]
        )
    with local_file(only(orders), SOURCE, known=seen_by(orders)) as again:
        assert again == first
    with local_file(only(orders), SOURCE) as again:
        assert again == first


@pytest.mark.parametrize("read_before", [True, False])
def test_a_file_that_is_not_fit_to_be_parsed_is_a_delivery_and_refused_when_it_is_read(
    orders: Path,
    read_before: bool,  # noqa: FBT001 - pytest gives it
) -> None:
    (orders / "a.csv").write_bytes(CSV[:-1])
    landed = seen_by(orders)
    (delivery,) = landed.deliveries
    with (
        pytest.raises(FileRefused) as caught,
        local_file(delivery, SOURCE, known=landed if read_before else None),
    ):
        pytest.fail("its rows were read")
    assert_golden("files/no_final_newline", str(caught.value).replace("a.csv", "FILE"))


def test_a_file_that_disappears_is_refused(orders: Path) -> None:
    (orders / "a.csv").write_bytes(CSV)
    landed = seen_by(orders)
    (orders / "a.csv").unlink()
    with (
        pytest.raises(FileRefused, match="cannot be read"),
        local_file(landed.deliveries[0], SOURCE, known=landed),
    ):
        pytest.fail("its rows were read")


@pytest.mark.parametrize("read_before", [True, False])
def test_a_file_that_changed_before_or_while_it_is_read_is_refused(
    orders: Path,
    read_before: bool,  # noqa: FBT001 - pytest gives it
) -> None:
    (orders / "a.csv").write_bytes(CSV)
    landed = seen_by(orders)
    known_files = landed if read_before else None
    with local_file(landed.deliveries[0], SOURCE, known=known_files):
        pass
    block = local_file(landed.deliveries[0], SOURCE, known=known_files)
    assert block.__enter__().path.read_bytes() == CSV
    (orders / "a.csv").write_bytes(CSV + b"3\n")
    with pytest.raises(FileRefused) as caught:
        block.__exit__(None, None, None)
    assert_golden("files/changed_while_read", str(caught.value))
    with (
        pytest.raises(FileRefused) as caught,
        local_file(landed.deliveries[0], SOURCE, known=known_files),
    ):
        pytest.fail("its rows were read")
    assert_golden("files/changed_while_read", str(caught.value))


def test_an_error_of_the_reader_is_not_taken_for_one_of_the_file(orders: Path) -> None:
    (orders / "a.csv").write_bytes(CSV)
    with pytest.raises(OSError, match="disk full"), local_file(only(orders), SOURCE):
        raise OSError("disk full")


def test_a_recorded_file_is_found_by_its_name_to_be_read_again(orders: Path) -> None:
    for name in ("a.csv", "b.csv", "c.csv"):
        (orders / name).write_bytes(CSV)
    first = {delivery.name: delivery for delivery in seen_by(orders).deliveries}
    os.utime(orders / "b.csv", ns=(1, 1))
    asked = ["orders/b.csv", "orders/a.csv"]
    found = known(root(orders), "shop", index(orders), asked)
    assert found == {
        "orders/a.csv": first["orders/a.csv"],
        "orders/b.csv": replace(first["orders/b.csv"], mtime_ns=1),
    }
    with local_file(found["orders/b.csv"], SOURCE) as file:
        assert file.path.read_bytes() == CSV


def test_a_recorded_file_with_other_bytes_is_not_read_again(orders: Path) -> None:
    (orders / "a.csv").write_bytes(CSV)
    only(orders)
    (orders / "a.csv").write_bytes(CSV + b"3\n")
    found = known(root(orders), "shop", index(orders), ["orders/a.csv"])
    with pytest.raises(FileRefused) as caught, local_file(found["orders/a.csv"], SOURCE):
        pytest.fail("its rows were read")
    assert_golden("files/other_bytes", str(caught.value))


def test_recorded_files_that_are_gone_or_never_were_are_all_named(orders: Path) -> None:
    (orders / "a.csv").write_bytes(CSV)
    only(orders)
    (orders / "a.csv").unlink()
    with pytest.raises(FileRefused) as caught:
        known(root(orders), "shop", index(orders), ["orders/a.csv", "orders/never.csv"])
    assert_golden("files/no_longer_there", str(caught.value))
