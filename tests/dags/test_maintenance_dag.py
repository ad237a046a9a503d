"""The DAG platform__maintenance: its shape, its report, and what it does when it cannot work."""

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from mlflow import MlflowClient

from pipelines.adapters.delta import delta_tables
from pipelines.adapters.models import code_archive, decisions
from pipelines.adapters.platform import incident_ledger, notifications
from pipelines.adapters.settings import Settings
from pipelines.use_case import load
from tests import lakes, machines
from tests.dags import airflow_runs
from tests.dags.conftest import REPOSITORY
from tests.lakes import append, orders, rows

DAG_ID = "platform__maintenance"


@pytest.fixture(autouse=True)
def dag_file(dags_folder: Path) -> Path:
    """Put the platform's DAG file into Airflow's folder."""
    return Path(shutil.copy(REPOSITORY / "dags" / f"{DAG_ID}.py", dags_folder))


def test_it_runs_daily_by_itself_as_two_tasks(dags_folder: Path) -> None:
    from airflow.serialization.serialized_objects import DagSerialization

    dag = airflow_runs.read_dags(dags_folder).dags[DAG_ID]
    timetable = DagSerialization.to_dict(dag)["dag"]["timetable"]["__var"]
    assert (timetable["expression"], timetable["timezone"]) == ("40 3 * * *", "UTC")
    # Nothing runs in the middle of someone's first hour.
    assert timetable["run_immediately"] is False
    assert (dag.is_paused_upon_creation, dag.catchup, dag.max_active_runs) == (False, False, 1)
    assert (dag.task_ids, dag.tags) == (["maintain", "reconcile"], {"platform"})
    assert "headframe maintain --dry-run" in (dag.doc_md or "")


def test_a_run_maintains_the_lake_and_is_green_with_a_report(settings: Settings) -> None:
    append(orders(settings), *range(16))
    ended = airflow_runs.run(DAG_ID)
    assert (ended.state, ended.tasks) == (
        "success",
        {"maintain": "success", "reconcile": "success"},
    )
    told = ended.returned["maintain"]
    assert "silver.shop.orders: 16 files became 1" in told["says"]
    assert (told["removed_bytes"], told["problems"]) == (0, 0)
    (entry,) = delta_tables.history(orders(settings), 1)
    assert (entry["headframe.stage"], entry["headframe.run"]) == ("maintain", ended.run_id)
    assert rows(orders(settings)) == list(range(16))


def test_a_table_that_cannot_be_maintained_leaves_it_green_and_is_told(settings: Settings) -> None:
    append(orders(settings), *range(16))
    broken = orders(settings).with_name("broken")
    append(broken, 1)
    entry = broken / "_delta_log" / f"{0:020}.json"
    entry.write_text(entry.read_text().replace('"headframe.format":"1"', '"headframe.format":"9"'))
    ended = airflow_runs.run(DAG_ID)
    assert (ended.state, ended.returned["maintain"]["problems"]) == ("success", 1)
    assert len(delta_tables.files(orders(settings))) == 1
    (message,) = notifications.recent(settings, 5)
    assert message.title == "maintenance left 1 tables as they were"
    assert "silver.shop.broken" in message.body
    assert str(settings.root) not in json.dumps(ended.returned)


def test_it_fails_and_removes_nothing_when_the_models_needs_are_unknown(settings: Settings) -> None:
    decided = decisions.Decision(
        use_case="shop", kind="evaluated", version="1", actor="sam", reason="",
        as_of=lakes.MOMENT, artifact_sha256="a", evidence_digest="b",
    )  # fmt: skip
    decisions.append(settings, lambda _: decided)
    append(orders(settings), *range(16))
    ended = airflow_runs.run(DAG_ID)
    assert (ended.state, ended.tasks) == ("failed", {"maintain": "failed", "reconcile": "success"})
    assert "MLflow's database" in ended.reasons["maintain"]
    assert len(delta_tables.files(orders(settings))) == 16


# To know a model's types, skops asks every module for each name, Airflow's old ones included.
@pytest.mark.filterwarnings("ignore:The .*is deprecated")
def test_a_champion_that_is_not_what_was_promoted_is_frozen_and_an_incident(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelines.dag_factory import maintenance, tasks

    monkeypatch.setattr("pipelines.adapters.models.code_archive.PACKAGE", tmp_path / "no_library")
    machines.build_promoted(machines.build_template(tmp_path / "home"), tmp_path / "promoted")
    home = machines.settings_in(tmp_path / "promoted")
    monkeypatch.setenv("HEADFRAME_HOME", str(home.home))
    monkeypatch.setenv("HEADFRAME_DAGS", str(home.dags))
    run = {"run_id": "scheduled__1"}
    assert maintenance._reconcile(run) == {
        "says": "machines: ledger, alias and artifacts agree", "problems": 0,
    }  # fmt: skip
    assert incident_ledger.incidents(home) == {}
    # A promotion whose run was due long ago is of the moment at which it is made.
    returned = {
        "train": {"version": "2", "code": code_archive.code_digest(home, "machines")},
        "evaluate": {"promotable": True},
    }
    late = {
        **run,
        "params": {"as_of": None},
        "ti": SimpleNamespace(xcom_pull=lambda task_ids: returned[task_ids]),
    }
    began = datetime.now(UTC)
    tasks.promote(load(home.dags / "machines.py"), late)
    last = decisions.read_all(home)[-1].decision
    assert (last.kind, last.version) == ("promoted", "2")
    assert last.as_of >= began
    MlflowClient(home.mlflow_uri).delete_model_version("machines-candidates", "2")
    assert maintenance._reconcile(run)["problems"] == 1
    assert maintenance._reconcile(run)["problems"] == 1
    (incident,) = incident_ledger.incidents(home).values()
    assert (incident.severity, incident.owner, incident.state) == ("PAGE", "plant", "open")
    assert "machines-candidates version 2: expected a registered model version" in incident.title
    last = decisions.read_all(home)[-1].decision
    assert (last.kind, last.version, last.actor) == ("frozen", "2", "headframe")


def test_a_run_that_failed_is_told_once(dags_folder: Path, settings: Settings) -> None:
    dag = airflow_runs.read_dags(dags_folder).dags[DAG_ID]
    dag.on_failure_callback({"run_id": "scheduled__1", "dag": dag})
    (message,) = notifications.recent(settings, 5)
    assert (message.title, message.body.splitlines()[0]) == (f"{DAG_ID} failed", "run scheduled__1")
