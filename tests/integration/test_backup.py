"""Backups: a copy of a live home that opens, that is whole, and that is a home itself."""

import json
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.models import champion, decisions, mlflow_registry
from pipelines.adapters.settings import Settings
from pipelines.adapters.stores import backups, plain_copies
from pipelines.adapters.stores.backups import Backup, backup
from pipelines.adapters.stores.object_store import StoreUrl
from pipelines.cli import app
from pipelines.errors import LakeError, PlatformError, VersionGone
from pipelines.use_case import UseCase
from tests import lakes
from tests.faults.forked import processes
from tests.lakes import append, orders, replace, rows

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lakes.make_registry(tmp_path_factory.mktemp("registry"))


@pytest.fixture
def home(tmp_path: Path, registry: Path) -> Iterator[Settings]:
    """Return a home with a table, a landed file, a decision, a registry, and secrets."""
    found = lakes.settings_in(tmp_path)
    lakes.use_registry(found, registry)
    append(orders(found), 1, 2, 3)
    decide(found)
    landed = found.root / "landing" / "shop" / "orders" / "01.csv"
    landed.parent.mkdir(parents=True)
    landed.write_text("number\n1\n")
    lakes.age(landed)
    airflow = found.root / "airflow"
    airflow.mkdir(mode=0o700)
    with closing(sqlite3.connect(airflow / "airflow.db")) as database:
        database.execute("create table run (id)")
        database.execute("insert into run values (7)")
        database.commit()
    (airflow / "secrets.json").write_text('{"jwt_secret": "s"}')
    (airflow / "secrets.json").chmod(0o600)
    (airflow / "logs").mkdir()
    (airflow / "logs" / "task.log").write_text("long")
    (found.root / "run").mkdir()
    (found.root / "run" / "platform.json").write_text("{}")
    (found.root / "replays" / "0a" / "never").mkdir(parents=True)
    (found.root / "replays" / "0a" / "never" / "journal.json").write_text("{}")
    (found.root / "environments" / "0a").mkdir(parents=True)
    (found.root / "environments" / "0a" / "pyvenv.cfg").write_text("home = /usr")
    found.users_file.write_text("[users]\n")
    yield found
    import mlflow

    mlflow.set_tracking_uri(None)


def decide(home: Settings) -> None:
    decided = decisions.Decision(
        use_case="shop", kind="evaluated", version="1", actor="sam", reason="", as_of=NOW,
        artifact_sha256="a", evidence_digest="b",
    )  # fmt: skip
    decisions.append(home, lambda _: decided)


def copy_of(home: Settings, destination: Path) -> Settings:
    return home.model_copy(update={"home": destination})


def test_a_copy_is_a_home_that_answers_when_the_first_is_gone(
    home: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = backup(home, tmp_path / "copy", now=NOW)
    shutil.rmtree(home.root)
    monkeypatch.setenv("HEADFRAME_HOME", str(tmp_path / "copy"))
    query = "select count(*) as total from silver.shop.orders"
    answer = CliRunner().invoke(app, ["sql", query, "--json"])
    assert (answer.exit_code, json.loads(answer.output)) == (0, [{"total": 3}])
    copy = copy_of(home, tmp_path / "copy")
    assert [entry.decision.kind for entry in decisions.read_all(copy)] == ["evaluated"]
    assert append(orders(copy), 4) == taken.tables["silver.shop.orders"].version + 1
    assert rows(orders(copy)) == [1, 2, 3, 4]


def test_a_copy_holds_landing_databases_and_secrets_with_their_modes(
    home: Settings, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    taken = backup(home, copy, now=NOW)
    landed = copy / "landing" / "shop" / "orders" / "01.csv"
    assert (landed.read_text(), landed.stat().st_mtime) == ("number\n1\n", lakes.LONG_AGO)
    assert lakes.ask(copy / "airflow" / "airflow.db", "select id from run") == [(7,)]
    modes = {
        name: (copy / name).stat().st_mode & 0o777
        for name in (".", "airflow", "airflow/secrets.json")
    }
    assert modes == {".": 0o700, "airflow": 0o700, "airflow/secrets.json": 0o600}
    assert sorted(path.name for path in copy.iterdir()) == [
        "airflow", "backup.json", "lake", "landing", "mlflow", "users.toml",
    ]  # fmt: skip
    assert not (copy / "airflow" / "logs").exists()
    assert not (copy / "environments").exists()
    told = json.loads((copy / "backup.json").read_text())
    assert told["tables"]["silver.shop.orders"] == {
        "version": 3, "rows": 3, "files": 3, "pinned": [],
        "bytes": taken.tables["silver.shop.orders"].bytes,
    }  # fmt: skip
    assert (told["taken_at"], told["decisions"]) == ("2026-01-01T00:00:00+00:00", 1)


def test_a_landed_database_is_copied_byte_by_byte(home: Settings, tmp_path: Path) -> None:
    landed = home.root / "landing" / "shop" / "dump" / "till.db"
    landed.parent.mkdir()
    with closing(sqlite3.connect(landed)) as database:
        database.execute("pragma journal_mode=wal")
        database.execute("create table sales (id)")
    (landed.parent / "monthly-journal").write_text("a name like one of SQLite's")
    backup(home, tmp_path / "copy", now=NOW)
    copied = tmp_path / "copy" / "landing" / "shop" / "dump"
    assert (copied / "till.db").read_bytes() == landed.read_bytes()
    assert (copied / "monthly-journal").exists()


def test_models_in_a_copy_use_its_own_artifacts(home: Settings, tmp_path: Path) -> None:
    artifacts = lakes.register_model(home, {})
    copy = copy_of(home, tmp_path / "copy")
    backup(home, copy.root, now=NOW)
    shutil.rmtree(home.root)
    from mlflow import MlflowClient
    from mlflow.artifacts import load_text

    (model,) = mlflow_registry.registered(copy)
    place = MlflowClient(copy.mlflow_uri).get_run(model.run_id).info.artifact_uri
    assert place == str(artifacts).replace(str(home.root), str(copy.root))
    assert load_text(f"{place}/model/weights.txt") == "weights"
    for table, columns in backups.MLFLOW_PATHS.items():
        for column in columns:
            database = copy.root / "mlflow" / "mlflow.db"
            found = lakes.ask(database, f"select {column} from {table}")
            assert not [value for (value,) in found if str(home.root) in str(value)]


def test_a_copy_has_the_champion_and_its_model_when_the_first_home_is_gone(
    promoted: tuple[UseCase, Settings], tmp_path: Path
) -> None:
    use_case, settings = promoted
    copy = copy_of(settings, tmp_path / "copy")
    taken = backup(settings, copy.root, now=NOW)
    shutil.rmtree(settings.root)
    found = champion.resolve(copy, use_case.name)
    assert found is not None
    assert found.model.version == "1"
    assert champion.scorer(copy, use_case.name, found).kind == "pipeline"
    assert taken.decisions == len(decisions.read_all(copy)) > 2


def test_a_backup_of_the_backup_restores_the_first_place(home: Settings, tmp_path: Path) -> None:
    artifacts = lakes.register_model(home, {"silver.shop.orders": 3})
    copy = copy_of(home, tmp_path / "copy")
    backup(home, copy.root, now=NOW)
    before = lakes.ask(home.root / "mlflow" / "mlflow.db", "select artifact_uri from runs")
    shutil.rmtree(home.root)
    backup(copy, home.root, now=NOW)
    restored = lakes.ask(home.root / "mlflow" / "mlflow.db", "select artifact_uri from runs")
    assert before == restored == [(str(artifacts),)]
    assert rows(orders(home)) == [1, 2, 3]


def test_a_copy_keeps_the_versions_that_models_need(home: Settings, tmp_path: Path) -> None:
    lakes.register_model(home, {"silver.shop.orders": 3})
    replace(orders(home), 8)
    replace(orders(home), 9)
    copy = copy_of(home, tmp_path / "copy")
    taken = backup(home, copy.root, now=NOW)
    assert taken.tables["silver.shop.orders"].pinned == (3,)
    assert (rows(orders(copy)), rows(orders(copy), 3)) == ([9], [1, 2, 3])
    with pytest.raises(VersionGone, match="one that is there no more"):
        rows(orders(copy), 4)


def write(home: Path, go_on: Event) -> None:
    """Append to a table, replace parts of another, and decide, until told to stop."""
    settings = Settings(home=home)
    number = 1000
    while go_on.is_set():
        number += 1
        append(orders(settings), number)
        replace(lake.silver(settings, "shop", "prices"), number, number)
        if number % 10 == 0:
            decide(settings)
        time.sleep(0.02)  # without it a copy is mostly of the log of what came meanwhile


def test_a_copy_taken_while_writers_commit_opens_at_one_version_with_all_its_files(
    home: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = processes()
    go_on = context.Event()
    go_on.set()
    writer = context.Process(target=write, args=(home.root, go_on))
    writer.start()
    first = delta_tables.version(orders(home))
    while delta_tables.version(orders(home)) < first + 5:
        assert writer.is_alive()
    moved: list[int] = []
    real = plain_copies.copy_file

    def slowly(source: Path, target: Path) -> int | None:
        """Let the writer go on between files, so that every copy is overtaken."""
        if source.suffix == ".json":
            now = delta_tables.version(orders(home))
            while delta_tables.version(orders(home)) == now and not moved:
                assert writer.is_alive()
            moved.append(now)
        return real(source, target)

    monkeypatch.setattr(plain_copies, "copy_file", slowly)
    monkeypatch.setattr(backups, "TRIES", 50)
    copies = [backup(home, tmp_path / f"copy{number}", now=NOW) for number in range(3)]
    go_on.clear()
    writer.join()
    assert writer.exitcode == 0
    versions = [taken.tables["silver.shop.orders"].version for taken in copies]
    assert versions == sorted(set(versions))
    assert delta_tables.version(orders(home)) > versions[-1]
    for number, taken in enumerate(copies):
        copy = copy_of(home, tmp_path / f"copy{number}")
        version = taken.tables["silver.shop.orders"].version
        assert delta_tables.version(orders(copy)) == version
        assert rows(orders(copy)) == rows(orders(home), version)
        prices = lake.silver(copy, "shop", "prices")
        assert len(rows(prices)) == 2
        assert taken.decisions == len(decisions.read_all(copy))


def test_the_control_shows_what_a_plain_copy_of_a_live_table_is(
    home: Settings, tmp_path: Path
) -> None:
    """Files first and log last, without a pinned version: a commit in between is in the log alone."""
    target = tmp_path / "table"
    shutil.copytree(orders(home), target, ignore=shutil.ignore_patterns("_delta_log"))
    append(orders(home), 4)
    shutil.copytree(orders(home) / "_delta_log", target / "_delta_log")
    with pytest.raises(VersionGone, match="one that is there no more"):
        rows(target)


def refused(home: Settings, destination: Path) -> str:
    with pytest.raises(PlatformError) as caught:
        backup(home, destination, now=NOW)
    return str(caught.value)


def test_a_destination_that_holds_something_is_refused_and_left_alone(
    home: Settings, tmp_path: Path
) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine.txt").write_text("mine")
    assert "a folder that holds something" in refused(home, full)
    assert "a file" in refused(home, full / "mine.txt")
    assert "inside the home" in refused(home, home.root / "copy")
    assert [path.name for path in full.iterdir()] == ["mine.txt"]
    assert not (home.root / "copy").exists()


def test_a_copy_that_did_not_finish_says_so(
    home: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(plain_copies, "copy_file", broken)
    with pytest.raises(OSError, match="No space left"):
        backup(home, tmp_path / "copy", now=NOW)
    monkeypatch.undo()
    assert (tmp_path / "copy" / "backup.unfinished").exists()
    assert not (tmp_path / "copy" / "backup.json").exists()
    assert "a copy that did not finish" in refused(home, tmp_path / "copy")


def test_a_table_whose_file_is_missing_does_not_pass_for_copied(
    home: Settings, tmp_path: Path
) -> None:
    Path(delta_tables.files(orders(home))[0]).unlink()
    with pytest.raises(LakeError, match="1 that are not"):
        backup(home, tmp_path / "copy", now=NOW)


def test_a_broken_decisions_chain_does_not_pass_for_copied(home: Settings, tmp_path: Path) -> None:
    table = lake.ledger(home, "decisions")
    row = delta_tables.read(table).to_pylist()[0] | {"actor": "someone else"}
    import pyarrow as pa

    forged = pa.Table.from_pylist([row], schema=delta_tables.schema(table))
    delta_tables.commit_rows(table, forged, transactions={}, metadata={}, replace="true")
    with pytest.raises(LakeError, match="decisions ledger"):
        backup(home, tmp_path / "copy", now=NOW)


def test_what_lies_elsewhere_is_named(home: Settings, tmp_path: Path) -> None:
    database = "postgresql://user:secret@db/airflow"
    taken = backup(home.model_copy(update={"database": database}), tmp_path / "copy", now=NOW)
    assert isinstance(taken, Backup)
    assert taken.left_out == ("Airflow's database, a server of its own: use its dump command",)
    assert "secret" not in taken.describe()


def test_a_lake_in_a_store_is_named_and_the_rest_copied(
    home: Settings, tmp_path: Path, store: StoreUrl
) -> None:
    away = home.model_copy(update={"lake_folder": str(store)})
    decide(away)
    taken = backup(away, tmp_path / "copy", now=NOW)
    assert (dict(taken.tables), taken.decisions) == ({}, 0)
    assert taken.left_out == (
        "the lake, in an object store: turn on the bucket's versions or replication",
    )
    assert (tmp_path / "copy" / "mlflow" / "mlflow.db").exists()


def test_the_command_copies_a_home(
    home: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADFRAME_HOME", str(home.root))
    done = CliRunner().invoke(app, ["backup", str(tmp_path / "copy")])
    assert done.exit_code == 0
    assert done.output.startswith("2 tables, 4 rows, ")
    again = CliRunner().invoke(app, ["backup", str(tmp_path / "copy")])
    assert again.exit_code == 1
