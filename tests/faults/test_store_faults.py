"""Store faults: answers lost, errors and silence between us and a store double nothing, lose nothing."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from deltalake.exceptions import DeltaError

from pipelines.adapters.delta import delta_commits, delta_tables
from pipelines.adapters.delta.delta_tables import Change, Commit
from pipelines.adapters.stores import object_store
from pipelines.adapters.stores.object_store import StoreUrl
from pipelines.errors import ServiceUnavailable
from tests.stores import Fault, Proxy, proxied

SCHEMA = pa.schema([("name", pa.string()), ("count", pa.int64())])
ENTRY = rf"/_delta_log/{2:020}\.json"
"""The log entry of the second commit, which every test spoils; the first is the table's."""

DATA = r"/part-[^/]*\.parquet"
ALWAYS = 1_000_000


def rows_of(*numbers: int) -> pa.Table:
    return pa.table({"name": ["n"] * len(numbers), "count": numbers}, schema=SCHEMA)


@pytest.fixture
def proxy(store: StoreUrl, store_address: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """Lend a proxy that the environment leads to, before a table that holds the number 1."""
    monkeypatch.setattr(object_store, "MOST_RETRIES", 2)
    append(store / "t", 1)
    with proxied(store_address) as found:
        monkeypatch.setenv("AWS_ENDPOINT_URL", found.address)
        yield found


def append(table: StoreUrl, number: int) -> Commit:
    transactions = {f"file:{number}": 1}
    return delta_tables.commit_rows(
        table, rows_of(number), transactions=transactions, metadata={"n": number}
    )


def replace(table: StoreUrl, number: int) -> Commit:
    """Replace the rows above 1, of which there are none, so that it can be told from no replacing."""
    return delta_tables.commit_rows(
        table, rows_of(number), transactions={"r": number}, metadata={}, replace="count > 1"
    )


def append_next(table: StoreUrl, number: int) -> Commit:
    """Append ``number`` as what comes first in a sequence."""

    def make(current: int) -> Change | None:
        return None if current else Change(rows=rows_of(number), metadata={})

    return delta_tables.commit_next(table, SCHEMA, "sequence", make)


def append_staged(table: StoreUrl, number: int) -> Commit:
    with delta_tables.stage(table, SCHEMA) as staging:
        staging.write(rows_of(number))
        return delta_tables.commit_staged(
            table,
            staging.files(),
            table_schema=SCHEMA,
            transactions={f"file:{number}": 1, "ingest": number},
            metadata={},
        )


def rebuild(table: StoreUrl, number: int) -> Commit:
    with delta_tables.stage(table, SCHEMA) as staging:
        staging.write(rows_of(1, number))
        return delta_tables.replace_all_staged(
            table,
            staging.files(),
            table_schema=SCHEMA,
            made_from=1,
            transactions={"rebuild": number},
            metadata={},
        )


OPERATIONS = [append, replace, append_next, append_staged, rebuild]
Operation = Callable[[StoreUrl, int], Commit]


def numbers(table: StoreUrl) -> list[int]:
    return sorted(delta_tables.read(table)["count"].to_pylist())


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("times", [1, ALWAYS])
def test_a_commit_whose_answer_was_lost_is_known_to_be_made_and_made_once(
    proxy: Proxy, store: StoreUrl, operation: Operation, times: int
) -> None:
    lost = proxy.rule("drop the reply", "PUT", ENTRY, times=times)
    assert operation(store / "t", 2) == Commit(2, written=True)
    assert lost.done == min(times, 1 + object_store.MOST_RETRIES)
    assert numbers(store / "t") == [1, 2]
    assert operation(store / "t", 2) == Commit(2, written=False)
    assert numbers(store / "t") == [1, 2]


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("path", [DATA, ENTRY])
def test_an_error_of_the_store_is_waited_out(
    proxy: Proxy, store: StoreUrl, operation: Operation, path: str
) -> None:
    failed = proxy.rule("answer an error", "PUT", path)
    assert operation(store / "t", 2) == Commit(2, written=True)
    assert (failed.done, numbers(store / "t")) == (1, [1, 2])


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(
    ("fault", "path"),
    [("answer an error", ENTRY), ("answer an error", DATA), ("drop the reply", DATA)],
)
def test_a_store_that_stays_broken_is_told_and_the_next_run_does_the_work_once(
    proxy: Proxy, store: StoreUrl, operation: Operation, fault: Fault, path: str
) -> None:
    broken = proxy.rule(fault, "PUT", path, times=ALWAYS)
    with pytest.raises(ServiceUnavailable, match="run the stage again") as caught:
        operation(store / "t", 2)
    assert caught.value.retryable
    assert broken.done > 1
    assert numbers(store / "t") == [1]
    proxy.clear()
    assert operation(store / "t", 2) == Commit(2, written=True)
    assert numbers(store / "t") == [1, 2]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_commit_that_the_store_makes_after_we_gave_up_is_whole_and_the_next_run_finds_it(
    proxy: Proxy, store: StoreUrl, operation: Operation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_TIMEOUT", "1s")
    late = proxy.rule("delay", "PUT", ENTRY, times=ALWAYS, seconds=2.5)
    with pytest.raises(ServiceUnavailable):
        operation(store / "t", 2)
    assert numbers(store / "t") == [1], "it came too early to be late"
    deadline = time.monotonic() + 30
    while delta_tables.version(store / "t") == 1:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert late.done == delta_commits.MOST_OUTAGES
    assert numbers(store / "t") == [1, 2]
    assert operation(store / "t", 2) == Commit(2, written=False)
    assert numbers(store / "t") == [1, 2]


def test_a_reader_waits_out_an_error_and_tells_an_outage(proxy: Proxy, store: StoreUrl) -> None:
    once = proxy.rule("answer an error", "GET", DATA)
    assert numbers(store / "t") == [1]
    assert once.done == 1
    always = proxy.rule("answer an error", "GET", DATA, times=ALWAYS)
    with pytest.raises(ServiceUnavailable, match="found status 503"):
        numbers(store / "t")
    assert always.done > 1


def test_what_was_uploaded_for_work_that_another_did_meanwhile_is_removed(
    store: StoreUrl, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = store / "t"
    append(table, 1)
    put = object_store.put

    def put_behind_another(path: Path, url: StoreUrl) -> None:
        put(path, url)
        monkeypatch.setattr(object_store, "put", put)
        append_staged(table, 2)

    monkeypatch.setattr(object_store, "put", put_behind_another)
    assert append_staged(table, 2) == Commit(2, written=False)
    assert numbers(table) == [1, 2]
    lying = {found.name for found in object_store.listing(table) if "part-" in found.name}
    assert lying == {url.removeprefix(f"{table}/") for url in delta_tables.files(table)}


@pytest.mark.parametrize("naive", [True, False])
def test_the_trap_is_real_a_naive_retry_doubles_what_a_lost_answer_hid(
    proxy: Proxy,
    store: StoreUrl,
    naive: bool,  # noqa: FBT001 - pytest gives it
) -> None:
    lost = proxy.rule("drop the reply", "PUT", ENTRY)
    for _ in range(2):
        if naive:
            naive_append(store / "t", rows_of(2))
        else:
            append(store / "t", 2)
    assert lost.done == 1
    assert numbers(store / "t") == ([1, 2, 2] if naive else [1, 2])


def naive_append(table: StoreUrl, rows: pa.Table) -> None:
    """Append as a task does that leaves retrying to its scheduler."""
    with suppress(OSError, DeltaError):
        write_deltalake(str(table), rows, mode="append", storage_options={"max_retries": "0"})
