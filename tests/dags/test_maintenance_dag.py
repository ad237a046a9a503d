"""The DAG platform__maintenance: its shape, its report, and what it does when it cannot work."""

import json
import shutil
from pathlib import Path

import pytest

from pipelines.adapters.delta import delta_tables
from pipelines.adapters.models import decisions
from pipelines.adapters.platform import notifications
from pipelines.adapters.settings import Settings
from tests import lakes
from tests.dags import airflow_runs
from tests.dags.conftest import REPOSITORY
from tests.lakes import append, orders, rows

DAG_ID = "platform__maintenance"


@pytest.fixture(autouse=True)
def dag_file(dags_folder: Path) -> Path:
    """Put the platform's DAG file into Airflow's folder."""
    return Path(shutil.copy(REPOSITORY / "dags" / f"{DAG_ID}.py", dags_folder))


def test_it_runs_daily_by_itself_as_one_task(dags_folder: Path) -> None:
    from airflow.serialization.serialized_objects import DagSerialization

    dag = airflow_runs.read_dags(dags_folder).dags[DAG_ID]
    timetable = DagSerialization.to_dict(dag)["dag"]["timetable"]["__var"]
    assert (timetable["expression"], timetable["timezone"]) == ("40 3 * * *", "UTC")
    # Nothing runs in the middle of someone's first hour.
    assert timetable["run_immediately"] is False
    assert (dag.is_paused_upon_creation, dag.catchup, dag.max_active_runs) == (False, False, 1)
    assert (dag.task_ids, dag.tags) == (["maintain"], {"platform"})
    assert "headframe maintain --dry-run" in (dag.doc_md or "")


def test_a_run_maintains_the_lake_and_is_green_with_a_report(settings: Settings) -> None:
    append(orders(settings), *range(16))
    ended = airflow_runs.run(DAG_ID)
    assert (ended.state, ended.tasks) == ("success", {"maintain": "success"})
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
    assert (ended.state, ended.tasks) == ("failed", {"maintain": "failed"})
    assert "MLflow's database" in ended.reasons["maintain"]
    assert len(delta_tables.files(orders(settings))) == 16


def test_a_run_that_failed_is_told_once(settings: Settings) -> None:
    from pipelines.dag_factory import maintenance

    maintenance._tell({"run_id": "scheduled__1"})
    (message,) = notifications.recent(settings, 5)
    assert (message.title, message.body.splitlines()[0]) == (f"{DAG_ID} failed", "run scheduled__1")
