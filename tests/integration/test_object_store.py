"""Object stores: folders by URL, objects, refusals in our words, and tables that lose no commit."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from pipelines.adapters import lake, lake_sql
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.delta.delta_tables import Commit
from pipelines.adapters.settings import Settings
from pipelines.adapters.stores import object_store
from pipelines.adapters.stores.object_store import StoreUrl, folder_of
from pipelines.errors import HeadframeError, LakeError, ServiceUnavailable, SettingsError
from tests import stores
from tests.stores import environment, proxied

ROWS = pa.table({"product": ["tea", "milk"], "price": [1.5, 2.5]})
NO_STORE = "http://127.0.0.1:9"
"""The discard port: nothing listens there."""


def test_a_folder_is_a_path_or_a_url(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert folder_of("lake") == tmp_path / "lake"
    assert folder_of("/data/lake") == Path("/data/lake")
    assert folder_of("file:///data/lake") == Path("/data/lake")
    assert folder_of("s3://bucket/a/b/") == StoreUrl("s3://bucket", "a/b")
    assert folder_of("az://container") == StoreUrl("az://container")
    account = "abfss://container@account.dfs.core.windows.net"
    assert folder_of(f"{account}/a") == StoreUrl(account, "a")


def test_a_url_behaves_like_a_path() -> None:
    folder = folder_of("s3://bucket/lake")
    assert isinstance(folder, StoreUrl)
    table = folder / "silver" / "shop/orders"
    assert str(table) == "s3://bucket/lake/silver/shop/orders"
    assert (table.name, table.parent.name) == ("orders", "shop")
    assert table.parts == ("lake", "silver", "shop", "orders")
    assert table.relative_to(folder) == "silver/shop/orders"
    assert (folder / "a b").as_uri() == "s3://bucket/lake/a%20b"
    assert (str(folder.parent), str(folder.parent.parent)) == ("s3://bucket", "s3://bucket")
    assert sorted([folder / "b", folder / "a"]) == [folder / "a", folder / "b"]
    with pytest.raises(ValueError, match="not below"):
        folder.relative_to(table)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("s4://bucket/lake", "did you mean s3://"),
        ("S3://bucket", "begins with s3://, gs://, az://, abfss://; found S3://"),
        ("http://user:canary@host/lake", "found http://"),
        ("s3://key:canary@bucket/lake", "the name of a bucket after s3://; found something else"),
        ("abfss://container:canary@account/lake", "credentials belong in environment variables"),
        ("s3:///lake", "the name of a bucket"),
        ("s3://bucket/../canary", "letters, digits, and . _ - = in a store's folder"),
        ("s3://bucket/a//canary", "other characters, or an empty name"),
        ("s3://bucket/canary?x=1", "other characters"),
        ("gs://bucket/canary canary", "other characters"),
        ("s3://bucket/canary-é", "other characters"),
    ],
)
def test_a_url_that_is_not_ours_is_refused_without_showing_it(text: str, told: str) -> None:
    with pytest.raises(SettingsError) as caught:
        folder_of(text)
    assert told in str(caught.value)
    assert "canary" not in str(caught.value)


def test_settings_lead_the_lake_and_the_landing_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    home = Settings(home=Path("/home/of"))
    assert (home.lake, home.landing) == (Path("/home/of/lake"), Path("/home/of/landing"))
    monkeypatch.setenv("HEADFRAME_LAKE", "s3://bucket/lake")
    monkeypatch.setenv("HEADFRAME_LANDING", "/data/landing")
    moved = Settings(home=Path("/home/of"))
    assert (moved.lake, moved.landing) == (StoreUrl("s3://bucket", "lake"), Path("/data/landing"))
    assert Settings(lake_folder="gs://other").lake == StoreUrl("gs://other")
    assert object_store.local(moved.landing) == Path("/data/landing")
    with pytest.raises(SettingsError, match="expected a folder on this machine"):
        object_store.local(moved.lake)


def test_objects_are_written_read_listed_and_removed(store: StoreUrl, tmp_path: Path) -> None:
    names = ["a", "b/with space", "b/Zoë #1?.csv", "b/a%20b"]
    for name in names:
        assert object_store.put_bytes(store / name, name.encode())
    assert [(found.name, found.size) for found in object_store.listing(store)] == sorted(
        (name, len(name.encode())) for name in names
    )
    assert object_store.read_bytes(store / "b/a%20b") == b"b/a%20b"
    assert object_store.folders(store) == ["b"]
    assert (object_store.has(store), object_store.has(store / "c")) == (True, False)
    found = {listed.name: listed.etag for listed in object_store.listing(store)}
    object_store.put_bytes(store / "a", b"other")
    changed = {listed.name: listed.etag for listed in object_store.listing(store)}
    assert {name for name in names if found[name] != changed[name]} == {"a"}
    object_store.delete(store / "a")
    object_store.delete(store / "a")
    assert not object_store.exists(store / "a")
    with pytest.raises(FileNotFoundError):
        object_store.read_bytes(store / "a")
    with pytest.raises(FileNotFoundError):
        object_store.fetch(store / "a", tmp_path / "a")


def test_a_file_larger_than_a_part_arrives_whole(store: StoreUrl, tmp_path: Path) -> None:
    content = os.urandom(2 * object_store.CHUNK_BYTES + 1)
    (tmp_path / "file").write_bytes(content)
    object_store.put(tmp_path / "file", store / "file")
    object_store.fetch(store / "file", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == content


def test_an_object_is_created_only_where_there_is_none(store: StoreUrl) -> None:
    assert object_store.put_bytes(store / "a", b"first", create_only=True)
    assert not object_store.put_bytes(store / "a", b"second", create_only=True)
    assert object_store.read_bytes(store / "a") == b"first"


@pytest.mark.parametrize(
    ("setting", "kind", "told"),
    [
        (("AWS_SECRET_ACCESS_KEY", "another-canary"), SettingsError, "status 403"),
        (
            ("AWS_ENDPOINT_URL", NO_STORE),
            ServiceUnavailable,
            "an answer of 127.0.0.1:9; found none",
        ),
        (("AWS_ENDPOINT_URL", "http://me:canary@127.0.0.1:9"), ServiceUnavailable, "found none"),
        (("AWS_ENDPOINT_URL", "canary"), SettingsError, "variable AWS_ENDPOINT_URL"),
    ],
)
def test_a_store_that_refuses_or_is_silent_is_told_without_a_secret(
    store: StoreUrl,
    monkeypatch: pytest.MonkeyPatch,
    setting: tuple[str, str],
    kind: type[HeadframeError],
    told: str,
) -> None:
    monkeypatch.setattr(object_store, "MOST_RETRIES", 1)
    delta_tables.commit_rows(store / "t", ROWS, transactions={"t": 1}, metadata={})
    monkeypatch.setenv(*setting)
    for use in (
        lambda: object_store.listing(store),
        lambda: object_store.exists(store / "a"),
        lambda: object_store.read_bytes(store / "a"),
        lambda: object_store.put_bytes(store / "a", b"", create_only=True),
        lambda: delta_tables.read(store / "t"),
        lambda: delta_tables.commit_rows(store / "t", ROWS, transactions={"u": 1}, metadata={}),
    ):
        with pytest.raises(kind) as caught:
            use()
        assert told in str(caught.value)
        shown = f"{caught.value!r} {caught.value} {caught.value.__cause__}"
        assert "canary" not in shown
        assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_bucket_that_does_not_exist_is_told(store: StoreUrl) -> None:
    absent = StoreUrl("s3://absent-bucket", store.path)
    for use in (
        lambda: object_store.listing(absent),
        lambda: object_store.read_bytes(absent / "a"),
        lambda: delta_tables.read(absent / "t"),
    ):
        with pytest.raises(SettingsError, match="status 404 NoSuchBucket"):
            use()


def test_a_table_in_a_store_keeps_every_promise_of_a_local_one(store: StoreUrl) -> None:
    table = store / "silver" / "orders"
    assert (delta_tables.exists(table), delta_tables.version(table)) == (False, -1)
    assert delta_tables.history(table) == []
    assert delta_tables.committed(table, ["one"]) == set()
    with pytest.raises(LakeError, match="table silver/orders: expected a Delta table"):
        delta_tables.read(table)

    def commit(name: str, replace: str | None = None) -> Commit:
        return delta_tables.commit_rows(
            table, ROWS, transactions={name: 1}, metadata={"run": name}, replace=replace
        )

    assert [commit("one"), commit("one"), commit("two")] == [
        Commit(1, written=True),
        Commit(1, written=False),
        Commit(2, written=True),
    ]
    assert commit("three", replace="price > 0") == Commit(3, written=True)
    assert delta_tables.read(table).sort_by("price").equals(ROWS)
    assert delta_tables.read(table, at_version=2).num_rows == 4
    found = delta_tables.read(table, columns=["price"], where="product = 'tea'")
    assert found.to_pydict() == {"price": [1.5]}
    assert delta_tables.history(table, 1)[0]["headframe.run"] == "three"
    names = [f"no:{number}" for number in range(9)] + ["one", "three"]
    assert delta_tables.committed(table, names) == {"one", "three"}
    assert delta_tables.transaction(table, "two") == 1


def test_staged_files_lie_on_this_machine_until_they_are_committed_to_the_store(
    store: StoreUrl,
) -> None:
    table = store / "silver" / "orders"
    for number, written in ((1, True), (1, False), (2, True)):
        with delta_tables.stage(table, ROWS.schema) as staging:
            staging.write(ROWS)
            (staged,) = staging.files()
            made = delta_tables.commit_staged(
                table, [staged], table_schema=ROWS.schema, transactions={"t": number}, metadata={}
            )
        assert made.written is written
        assert not staged.path.exists()
    assert delta_tables.read(table).num_rows == 4
    uploaded = [found.name for found in object_store.listing(table) if "part-" in found.name]
    assert sorted(uploaded) == sorted(
        url.removeprefix(f"{table}/") for url in delta_tables.files(table)
    )
    with delta_tables.stage(table, ROWS.schema) as staging:
        staging.write(ROWS)
    assert delta_tables.read(table).num_rows == 4
    with delta_tables.stage(table, ROWS.schema) as staging:
        staging.write(ROWS)
        delta_tables.replace_all_staged(
            table,
            staging.files(),
            table_schema=ROWS.schema,
            made_from=2,
            transactions={"rebuild": 1},
            metadata={},
        )
    assert delta_tables.read(table).sort_by("price").equals(ROWS)


def test_a_name_that_delta_rs_would_look_for_elsewhere_is_refused(store: StoreUrl) -> None:
    with pytest.raises(LakeError, match="expected a path that delta-rs can read; found   é"):
        delta_tables.commit_rows(store / "a é", ROWS, transactions={}, metadata={})
    assert not object_store.has(store / "a é")


def test_the_lake_in_a_store_answers_sql(store: StoreUrl) -> None:
    settings = Settings(lake_folder=str(store / "lake"))
    for name, rows in (("prices", ROWS), ("empty", ROWS.slice(0, 0))):
        path = lake.silver(settings, "shop", name)
        delta_tables.commit_rows(path, rows, transactions={"t": 1}, metadata={})
    tables = lake.table_paths(settings)
    assert tables == {
        "silver.shop.empty": store / "lake/silver/shop/empty",
        "silver.shop.prices": store / "lake/silver/shop/prices",
    }
    question = (
        "select a.price from silver.shop.prices a join silver.shop.prices b using (product) "
        "where product = 'tea' and not exists (from silver.shop.empty)"
    )
    assert lake_sql.query(tables, question).to_pydict() == {"price": [1.5]}
    assert lake.table_paths(Settings(lake_folder=str(store / "nothing"))) == {}


def test_a_store_that_keeps_commits_apart_passes_the_probe(store: StoreUrl) -> None:
    object_store.refuse_unsafe(store)
    assert object_store.listing(store) == []


def test_a_store_that_would_lose_commits_is_refused_before_anything_is_written(
    store: StoreUrl, store_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with proxied(store_address) as proxy:
        for name, value in environment(proxy.address, signed=False).items():
            monkeypatch.setenv(name, value)
        stripped = proxy.rule("strip a header", "PUT", ".", header="If-None-Match", times=99)
        with pytest.raises(SettingsError, match="this store would lose commits"):
            delta_tables.commit_rows(store / "t", ROWS, transactions={"t": 1}, metadata={})
        assert stripped.done == 2
        assert object_store.listing(store) == []


@pytest.mark.parametrize("safe", [True, False])
def test_the_trap_is_real_such_a_store_loses_commits_that_it_reported(
    store: StoreUrl,
    store_address: str,
    monkeypatch: pytest.MonkeyPatch,
    safe: bool,  # noqa: FBT001 - pytest gives it
) -> None:
    table = str(store / "t")
    with proxied(store_address) as proxy:
        for name, value in environment(proxy.address, signed=False).items():
            monkeypatch.setenv(name, value)
        if not safe:
            proxy.rule("strip a header", "PUT", "_delta_log", header="If-None-Match", times=99)
        write_deltalake(table, ROWS)
        first, second = DeltaTable(table), DeltaTable(table)
        late = proxy.rule("delay", "PUT", f"{1:020}.json", seconds=1.0)
        with ThreadPoolExecutor() as pool:
            delayed = pool.submit(write_deltalake, first, ROWS, mode="append")
            while not late.done:
                time.sleep(0.01)
            write_deltalake(second, ROWS, mode="append")
            delayed.result()
        assert all(rule.done for rule in proxy.rules())
        rows = pa.table(DeltaTable(table).scan()).num_rows
    assert rows == (6 if safe else 4), "three appends of two rows, each reported as done"


def test_the_proxy_is_a_store_as_good_as_the_one_behind_it(
    store: StoreUrl, store_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with proxied(store_address) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.address)
        proxy.rule("answer an error", "PUT", "nowhere")
        delta_tables.commit_rows(store / "t", ROWS, transactions={"t": 1}, metadata={})
        assert delta_tables.read(store / "t").num_rows == 2
        assert [(rule.seen, rule.done) for rule in proxy.rules()] == [(0, 0)]
    assert os.environ["AWS_SECRET_ACCESS_KEY"] == stores.SECRET
