"""Maintenance: what it makes small, what it removes, and what must survive it."""

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from deltalake import DeltaTable, write_deltalake
from mlflow import MlflowClient
from typer.testing import CliRunner

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_handles, delta_tables, table_upkeep
from pipelines.adapters.delta.table_upkeep import Compacted
from pipelines.adapters.models import data_pins, decisions, judged_tags, mlflow_registry
from pipelines.adapters.settings import Settings
from pipelines.adapters.stores import object_store
from pipelines.adapters.stores.object_store import StoreUrl
from pipelines.cli import app
from pipelines.errors import ChampionUnresolved, LakeError, ServiceUnavailable, VersionGone
from pipelines.stages.maintain import NOT_IN_A_STORE, Maintained, Retention, maintain
from pipelines.use_case import UseCase
from tests import lakes
from tests.faults.forked import processes
from tests.lakes import SCHEMA, age, append, numbers, orders, replace, rows

AT_ONCE = Retention(files_hours=0, staging_hours=0)
"""No grace: everything that is not needed goes."""


JUDGED = decisions.Decision(
    use_case="shop", kind="evaluated", version="1", actor="sam", reason="", as_of=lakes.MOMENT,
    artifact_sha256="a", evidence_digest="b",
)  # fmt: skip


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lakes.make_registry(tmp_path_factory.mktemp("registry"))


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Settings]:
    """Return an empty home; MLflow's address is forgotten afterwards."""
    yield lakes.settings_in(tmp_path)
    import mlflow

    mlflow.set_tracking_uri(None)


def run(home: Settings, retention: Retention = AT_ONCE, *, dry_run: bool = False) -> Maintained:
    now = datetime.now(UTC) + timedelta(seconds=5)
    return maintain(home, now=now, run="test", retention=retention, dry_run=dry_run)


def test_many_small_files_become_one_with_the_same_rows(home: Settings) -> None:
    append(orders(home), *range(16))
    (done,) = run(home, Retention()).tables
    assert done.compacted == Compacted(before=16, after=1)
    assert len(delta_tables.files(orders(home))) == 1
    assert rows(orders(home)) == list(range(16))


def test_few_small_files_stay_as_they_are(home: Settings) -> None:
    append(orders(home), *range(15))
    assert table_upkeep.compact(orders(home)) == Compacted(before=15, after=15)


def test_a_large_file_is_not_rewritten_with_the_small_ones(home: Settings) -> None:
    delta_tables.commit_rows(orders(home), numbers(*range(5000)), transactions={}, metadata={})
    (large,) = delta_tables.files(orders(home))
    append(orders(home), *range(16))
    target = Path(large).stat().st_size
    table_upkeep.compact(orders(home), target_bytes=target)
    assert large in delta_tables.files(orders(home))
    assert len(delta_tables.files(orders(home))) == 2


def test_maintenance_signs_its_commits_and_changes_no_transaction(home: Settings) -> None:
    for number in range(16):
        delta_tables.commit_rows(
            orders(home), numbers(number), transactions={f"file:{number}": 1}, metadata={}
        )
    before = delta_tables.version(orders(home))
    run(home)
    new = [entry for entry in delta_tables.history(orders(home)) if entry["version"] > before]
    assert [entry["operation"] for entry in new] == [
        "VACUUM END", "VACUUM START", "OPTIMIZE",
    ]  # fmt: skip
    assert {(e["headframe.stage"], e["headframe.run"]) for e in new} == {("maintain", "test")}
    names = {f"file:{number}" for number in range(16)}
    assert delta_tables.committed(orders(home), names) == names


def test_a_second_run_finds_nothing_to_do(home: Settings) -> None:
    append(orders(home), *range(20))
    first = run(home)
    assert first.removed_bytes > 0
    before = lakes.tree(home.root)
    second = run(home)
    assert second.describe() == (
        "silver.shop.orders: nothing to do\n"
        "1 tables, 0 bytes removed, 0 bytes of no table, 0 problems"
    )
    assert lakes.tree(home.root) == before


def test_a_dry_run_says_what_would_go_and_changes_nothing(home: Settings) -> None:
    append(orders(home), 1, 2)
    replace(orders(home), 3)
    before = lakes.tree(home.root)
    found = run(home, dry_run=True)
    assert lakes.tree(home.root) == before
    assert found.describe().startswith("Dry run: nothing was changed.\nsilver.shop.orders: 2 data")
    assert run(home).removed_bytes == found.removed_bytes


def _always(change: delta_tables.Change, number: int) -> delta_tables.Change:
    del number
    return change


def write(table: Path, first: int, count: int) -> None:
    """Append rows one by one, with the sequence transaction that an ingest carries."""
    for number in range(first, first + count):
        # One in five as a scoring does it: in place of what its own window holds.
        where = f"number = {number}" if number % 5 == 0 else None
        change = delta_tables.Change(rows=numbers(number), metadata={}, replace=where)
        delta_tables.commit_next(table, SCHEMA, "sequence", partial(_always, change))


def test_live_writers_lose_nothing_and_never_fail_while_tables_are_maintained(
    home: Settings,
) -> None:
    append(orders(home), *range(20))
    fork = processes()
    starts = (1000, 2000)
    writers = [fork.Process(target=write, args=(orders(home), start, 25)) for start in starts]
    for writer in writers:
        writer.start()
    compactions = 0
    while any(writer.is_alive() for writer in writers):
        done = table_upkeep.compact(orders(home), least_files=2)
        compactions += not done.lost and done.before != done.after
        table_upkeep.vacuum(orders(home), keep_versions=(), retention_hours=1)
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert compactions > 0
    expected = [*range(20), *range(1000, 1025), *range(2000, 2025)]
    assert rows(orders(home)) == expected


def test_a_compaction_gives_way_to_a_writer_that_replaces_the_same_files(
    home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(orders(home), *range(16))
    real, others = delta_handles.opened, iter(range(100, 200))

    def open_and_be_overtaken(table: Path, at_version: int | None = None) -> DeltaTable:
        handle = real(table, at_version)
        monkeypatch.setattr(delta_handles, "opened", real)
        replace(table, *[next(others) for _ in range(2)])
        append(table, *range(15))
        monkeypatch.setattr(delta_handles, "opened", open_and_be_overtaken)
        return handle

    monkeypatch.setattr(table_upkeep, "PAUSE_SECONDS", 0)
    monkeypatch.setattr(delta_handles, "opened", open_and_be_overtaken)
    done = table_upkeep.compact(orders(home))
    monkeypatch.setattr(delta_handles, "opened", real)
    assert done.lost
    assert rows(orders(home)) == [*range(15), 104, 105]


def test_every_version_a_model_needs_survives_and_others_go(home: Settings, registry: Path) -> None:
    lakes.use_registry(home, registry)
    pinned = append(orders(home), 1, 2, 3)
    needed = {file.path for file in table_upkeep.files_at(orders(home), pinned)}
    unpinned = append(orders(home), 4)
    replace(orders(home), 5)
    lakes.register_model(home, {"silver.shop.orders": pinned, "silver.shop.gone": -1})
    (done,) = run(home).tables
    assert done.pinned == (pinned,)
    left = {path.name for path in orders(home).glob("*.parquet")}
    newest = {Path(file).name for file in delta_tables.files(orders(home))}
    assert left == needed | newest
    assert rows(orders(home), pinned) == [1, 2, 3]
    assert rows(orders(home)) == [5]
    with pytest.raises(VersionGone, match=r"orders: .* one that is there no more"):
        rows(orders(home), unpinned)


def test_the_control_shows_what_a_vacuum_without_pins_would_destroy(home: Settings) -> None:
    pinned = append(orders(home), 1, 2, 3)
    replace(orders(home), 5)
    run(home)
    with pytest.raises(VersionGone, match=r"orders: .* one that is there no more"):
        rows(orders(home), pinned)


def test_a_model_pins_the_table_of_the_feature_view_it_was_trained_with(
    home: Settings, registry: Path
) -> None:
    lakes.use_registry(home, registry)
    lakes.register_model(
        home, {"gold.features.shop": 3, "silver.shop.orders": 0}, features="ab" * 32
    )
    lakes.register_model(home, {"gold.features.shop": 4}, features="cd" * 32)
    assert data_pins.pinned_versions(home) == {
        "gold.features.shop__abababababab": {3},
        "gold.features.shop__cdcdcdcdcdcd": {4},
        "silver.shop.orders": {0},
    }
    folder = lake.features(home, "shop", "ab" * 32)
    append(folder, 1)
    assert "gold.features.shop__abababababab" in lake.table_paths(home)


def test_a_model_whose_tags_were_changed_keeps_what_its_run_says_too(
    home: Settings, registry: Path
) -> None:
    lakes.use_registry(home, registry)
    lakes.register_model(home, {"gold.features.shop": 3, "silver.shop.orders": 0})
    client, model = MlflowClient(home.mlflow_uri), "shop-candidates"
    for tag in ("headframe.data_versions", "headframe.features"):
        client.delete_model_version_tag(model, "1", tag)
    of_run = {"gold.features.shop__ffffffffffff": {3}, "silver.shop.orders": {0}}
    assert data_pins.pinned_versions(home) == of_run
    other = json.dumps({"silver.shop.orders": 7})
    client.set_model_version_tag(model, "1", "headframe.data_versions", other)
    assert data_pins.pinned_versions(home) == {**of_run, "silver.shop.orders": {0, 7}}
    client.set_model_version_tag(model, "1", "headframe.data_versions", "7")
    with pytest.raises(LakeError, match=r"shop-candidates version 1 in MLflow: .* cannot be read"):
        data_pins.pinned_versions(home)


def test_tags_that_mlflow_cuts_short_on_a_run_change_nothing(
    home: Settings, registry: Path
) -> None:
    lakes.use_registry(home, registry)
    versions = {f"silver.shop.a_table_of_a_long_name_{number}": number for number in range(300)}
    lakes.register_model(home, versions)
    assert data_pins.pinned_versions(home) == {name: {made} for name, made in versions.items()}
    client, name = MlflowClient(home.mlflow_uri), "shop-candidates"
    columns = json.dumps([f"a_feature_of_a_long_name_{number}" for number in range(400)])
    model = mlflow_registry.candidate(home, "shop", "1")
    client.set_tag(model.run_id, "headframe.numeric", columns)
    client.set_model_version_tag(name, "1", "headframe.numeric", columns)
    assert len(judged_tags.of_run(home, model.run_id)["headframe.numeric"]) == judged_tags.LONGEST
    model = mlflow_registry.candidate(home, "shop", "1")
    judged_tags.refuse_changed(home, "shop", model)
    swapped = columns.replace('name_1"', 'name_2"', 1)
    client.set_model_version_tag(name, "1", "headframe.numeric", swapped)
    with pytest.raises(ChampionUnresolved, match=r"headframe\.numeric"):
        judged_tags.refuse_changed(home, "shop", mlflow_registry.candidate(home, "shop", "1"))


def test_what_the_training_stage_recorded_is_what_survives(
    promoted: tuple[UseCase, Settings],
) -> None:
    _, settings = promoted
    tables = lake.table_paths(settings)
    pins = data_pins.pinned_versions(settings)
    assert sorted(pins) == [
        next(name for name in tables if name.startswith("gold.features.machines__")),
        "silver.machines.outcome",
        "silver.machines.plan",
    ]
    needed = {
        (name, version): delta_tables.read(tables[name], at_version=version).num_rows
        for name, versions in pins.items()
        for version in versions
    }
    for name in pins:
        every = delta_tables.read(tables[name])
        delta_tables.commit_rows(
            tables[name], every.slice(0, 1), transactions={}, metadata={}, replace="true"
        )
    assert run(settings).problems == ()
    for (name, version), count in needed.items():
        assert delta_tables.read(tables[name], at_version=version).num_rows == count > 1


def test_what_was_replaced_lately_stays_for_runs_that_still_read_it(home: Settings) -> None:
    append(orders(home), *range(20))
    (done,) = run(home, Retention()).tables
    assert (done.compacted.after, done.data.files) == (1, 0)
    assert len(list(orders(home).glob("*.parquet"))) == 21


def test_the_staging_of_a_live_writer_stays_and_that_of_a_killed_one_goes(home: Settings) -> None:
    append(orders(home), 1)
    live = [orders(home) / name for name in ("part-live.parquet", "part-live.parquet#1")]
    dead = [
        orders(home) / name
        for name in (
            "part-dead.parquet", "part-dead.parquet#1", "_delta_log/_commit_0.json.tmp",
            f"_delta_log/{9:020}.json#1",
        )
    ]  # fmt: skip
    for path in (*live, *dead):
        path.write_bytes(b"half")
    age(*dead)
    (done,) = run(home, Retention()).tables
    assert [path.exists() for path in live] == [True, True]
    assert [path.exists() for path in dead] == [False] * 4
    assert (done.data.files, done.staging.files) == (1, 3)
    assert rows(orders(home)) == [1]


def made_before(table: Path) -> Path:
    """Make a table as it was before log entries were kept, with the default behaviour of delta-rs."""
    table.mkdir(parents=True)
    DeltaTable.create(
        str(table),
        SCHEMA,
        configuration={"headframe.format": "1"},
        raise_if_key_not_exists=False,
    )
    return table


def test_delta_rs_deletes_old_log_entries_of_older_tables_until_they_are_maintained(
    home: Settings,
) -> None:
    kept, control = made_before(orders(home)), made_before(orders(home).with_name("prices"))
    assert table_upkeep.keep_log(kept)
    assert delta_tables.history(kept)[0]["headframe.stage"] == "maintain"
    assert not table_upkeep.compact(kept).lost
    for table in (kept, control):
        handle = DeltaTable(str(table))  # one, that knows the log: no entry of it is read again
        while handle.version() < 98:
            write_deltalake(handle, numbers(1), mode="append")
        assert delta_tables.version(table) == 98
        age(*(table / "_delta_log").glob("*.json"))
        # Version 99, at which delta-rs by itself writes a checkpoint and deletes.
        write_deltalake(DeltaTable(str(table)), numbers(1), mode="append")
    assert len(rows(kept, 4)) == 3
    assert not (control / "_delta_log" / f"{0:020}.json").exists()
    with pytest.raises(LakeError):
        rows(control, 4)


@pytest.fixture(scope="module")
def old_orders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a table with 70 commits, to be copied: checkpoints at 20, 40, 60, its own at 25 and 50."""
    table = orders(lakes.settings_in(tmp_path_factory.mktemp("old")))
    for number in range(70):
        append(table, number)
        if delta_tables.version(table) in (20, 40, 60):
            DeltaTable(str(table)).create_checkpoint()
    return table


@pytest.fixture
def old_log(home: Settings, old_orders: Path) -> Path:
    """Return the home's table with 70 commits and five checkpoints, all long ago."""
    table = orders(home)
    shutil.copytree(old_orders, table)
    age(*(table / "_delta_log").iterdir())
    return table


def test_a_pinned_version_stays_openable_when_old_log_entries_are_removed(
    home: Settings, old_log: Path, registry: Path
) -> None:
    lakes.use_registry(home, registry)
    table = old_log
    lakes.register_model(home, {"silver.shop.orders": 33})
    (done,) = run(home, Retention(files_hours=0, log_days=30)).tables
    assert done.problems == ()
    # Removed: entries 0 to 24 and 34 to 59, checkpoints at 20 and 40 and the writers' own at 50.
    assert done.log.files == 25 + 26 + 3
    assert rows(table, 33) == list(range(33))
    assert rows(table) == list(range(70))
    assert append(table, 70) > 70
    with pytest.raises(LakeError):
        rows(table, 45)
    newest = delta_tables.version(table)
    assert [entry["version"] for entry in delta_tables.history(table, 3)] == [
        newest, newest - 1, newest - 2,
    ]  # fmt: skip


def test_log_entries_stay_without_a_limit_and_only_superseded_checkpoints_go(
    home: Settings, old_log: Path
) -> None:
    table = old_log
    (done,) = run(home).tables
    checkpoints = sorted(path.name[:20] for path in table.glob("_delta_log/*.checkpoint.parquet"))
    assert checkpoints == [f"{60:020}"]
    assert done.log.files == 4
    assert all((table / "_delta_log" / f"{number:020}.json").exists() for number in range(71))
    assert DeltaTable(str(table), version=5).version() == 5


def test_the_checkpoint_that_readers_are_pointed_to_stays(home: Settings, old_log: Path) -> None:
    """Two writers of checkpoints may leave the pointer at the older one."""
    table = old_log
    hint = table / "_delta_log" / "_last_checkpoint"
    hint.write_text(hint.read_text().replace('"version":60', '"version":40'))
    (done,) = run(home, Retention(files_hours=0, log_days=30)).tables
    assert done.problems == ()
    assert (table / "_delta_log" / f"{40:020}.checkpoint.parquet").exists()
    assert not (table / "_delta_log" / f"{20:020}.checkpoint.parquet").exists()
    assert rows(table) == list(range(70))


def test_a_pin_that_cannot_be_opened_stops_the_removal_and_is_named(
    home: Settings, registry: Path
) -> None:
    lakes.use_registry(home, registry)
    append(orders(home), 1, 2)
    replace(orders(home), 3)
    lakes.register_model(home, {"silver.shop.orders": 99})
    other = lake.silver(home, "shop", "prices")
    append(other, 1)
    replace(other, 2)
    done = run(home)
    orders_done, prices_done = done.tables
    assert "expected version 99" in orders_done.problems[0]
    assert len(list(orders(home).glob("*.parquet"))) == 3
    assert prices_done.data.files == 1


def test_nothing_is_removed_while_nobody_knows_what_models_need(
    home: Settings, registry: Path
) -> None:
    append(orders(home), 1)
    replace(orders(home), 2)
    before = lakes.tree(home.lake)  # type: ignore[arg-type]  # a local lake
    away = home.model_copy(update={"mlflow": "http://127.0.0.1:9"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        with pytest.raises(ServiceUnavailable):
            run(away)
    assert lakes.tree(home.lake) == before  # type: ignore[arg-type]  # a local lake


def test_nothing_is_removed_when_the_registry_of_judged_models_is_gone(home: Settings) -> None:
    decisions.append(home, lambda _: JUDGED)
    append(orders(home), 1)
    replace(orders(home), 2)
    with pytest.raises(LakeError, match="MLflow's database"):
        run(home)
    assert len(list(orders(home).glob("*.parquet"))) == 2


def test_the_decisions_chain_holds_over_a_compaction(home: Settings) -> None:
    for _ in range(17):
        decisions.append(home, lambda _: JUDGED)
    table = lake.ledger(home, "decisions")
    before = decisions.read_all(home)
    assert table_upkeep.compact(table) == Compacted(before=17, after=1)
    assert decisions.read_all(home) == before


def test_a_table_inside_another_is_not_taken_for_its_leftovers(home: Settings) -> None:
    append(orders(home), 1)
    inner = orders(home) / "inner"
    append(inner, 7)
    age(*inner.rglob("*.parquet"), *inner.rglob("*.json"))
    outer_done, inner_done = run(home).tables
    assert "another table inside it" in outer_done.problems[0]
    assert inner_done.problems == ()
    assert rows(inner) == [7]


def test_what_no_table_knows_is_reported_and_left_alone(home: Settings) -> None:
    append(orders(home), 1)
    for name in ("notes.txt", "silver/shop/forgotten/a.parquet", "silver/shop/forgotten/b.parquet"):
        path = home.lake / name
        assert isinstance(path, Path)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"12345")
    half_made = lake.silver(home, "shop", "half") / "_delta_log"
    assert isinstance(half_made, Path)
    half_made.mkdir(parents=True)
    (half_made / f"{0:020}.json#1").write_bytes(b"1")
    found = run(home)
    assert [(orphan.path, orphan.bytes) for orphan in found.orphans] == [
        ("notes.txt", 5),
        ("silver/shop/forgotten", 10),
        ("silver/shop/half/_delta_log", 1),
    ]
    assert "no table's: silver/shop/forgotten, 10 bytes" in found.describe()
    assert (home.lake / "notes.txt").exists()  # type: ignore[union-attr]  # a local lake


def test_a_lake_in_a_store_is_maintained_as_far_as_it_goes(
    home: Settings, registry: Path, store: StoreUrl
) -> None:
    lakes.use_registry(home, registry)
    away = home.model_copy(update={"lake_folder": str(store)})
    table = lake.silver(away, "shop", "orders")
    pinned = append(table, 1, 2, 3)
    replace(table, 9)
    append(table, *range(100, 115))
    lakes.register_model(home, {"silver.shop.orders": pinned})
    object_store.put_bytes(store / "silver" / "notes.txt", b"12345")
    (done,) = run(away, dry_run=True).tables
    assert (done.compacted.after, done.data.files) == (16, 0)
    found = run(away)
    (done,) = found.tables
    assert (done.problems, done.compacted) == ((), Compacted(before=16, after=1))
    assert done.data.files == 16
    assert found.notes == (NOT_IN_A_STORE,)
    assert [(orphan.path, orphan.bytes) for orphan in found.orphans] == [("silver/notes.txt", 5)]
    assert (rows(table), rows(table, pinned)) == ([9, *range(100, 115)], [1, 2, 3])
    with pytest.raises(VersionGone, match="one that is there no more"):
        rows(table, pinned + 1)
    (again,) = run(away).tables
    assert (again.data.files, again.compacted) == (0, Compacted(before=1, after=1))


def test_an_empty_home_needs_no_maintenance(home: Settings) -> None:
    assert run(home).tables == ()


def test_the_command_says_what_it_did(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    append(orders(home), *range(16))
    monkeypatch.setenv("HEADFRAME_HOME", str(home.root))
    dry = CliRunner().invoke(app, ["maintain", "--dry-run"])
    assert (dry.exit_code, len(delta_tables.files(orders(home)))) == (0, 16)
    assert dry.output.startswith("Dry run: nothing was changed.")
    done = CliRunner().invoke(app, ["maintain", "--json"])
    assert done.exit_code == 0
    (table,) = json.loads(done.output)["tables"]
    assert table["compacted"] == {"before": 16, "after": 1, "lost": False}
