"""The DAG platform__reproduction: its shape, nothing to prove, and a champion that cannot be proven."""

import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from pipelines.adapters.models import decisions
from pipelines.adapters.models.decisions import Decision
from pipelines.adapters.platform import incident_ledger, notifications
from pipelines.adapters.settings import Settings
from tests import lakes
from tests.dags import airflow_runs
from tests.dags.conftest import REPOSITORY

DAG_ID = "platform__reproduction"


@pytest.fixture(autouse=True)
def dag_file(dags_folder: Path) -> Path:
    """Put the platform's DAG file into Airflow's folder."""
    return Path(shutil.copy(REPOSITORY / "dags" / f"{DAG_ID}.py", dags_folder))


def test_it_runs_nightly_by_itself_as_one_task_before_maintenance(dags_folder: Path) -> None:
    from airflow.serialization.serialized_objects import DagSerialization

    from pipelines.dag_factory import maintenance

    dag = airflow_runs.read_dags(dags_folder).dags[DAG_ID]
    timetable = DagSerialization.to_dict(dag)["dag"]["timetable"]["__var"]
    assert (timetable["expression"], timetable["timezone"]) == ("10 2 * * *", "UTC")
    minute, hour = map(int, maintenance.DAILY.split()[:2])
    assert (hour, minute) > (2, 10)
    assert timetable["run_immediately"] is False
    assert (dag.is_paused_upon_creation, dag.catchup, dag.max_active_runs) == (False, False, 1)
    assert dag.dagrun_timeout == timedelta(hours=20)
    assert (dag.task_ids, dag.tags) == (["reproduce"], {"platform"})
    assert "headframe reproduce USE_CASE" in (dag.doc_md or "")


def test_no_champion_is_green_and_one_that_cannot_be_made_again_is_an_incident(
    settings: Settings,
) -> None:
    ended = airflow_runs.run(DAG_ID)
    assert (ended.state, ended.tasks) == ("success", {"reproduce": "success"})
    told = ended.returned["reproduce"]
    assert (told["champions"], told["wrong"]) == (0, 0)
    assert incident_ledger.incidents(settings) == {}
    promoted = Decision(
        use_case="shop", kind="promoted", version="1", actor="gates", reason="",
        as_of=lakes.MOMENT, artifact_sha256="a", evidence_digest="b",
    )  # fmt: skip
    decisions.append(settings, lambda _: promoted)
    ended = airflow_runs.run(DAG_ID)
    told = ended.returned["reproduce"]
    assert (ended.state, told["champions"], told["wrong"]) == ("success", 1, 1)
    (incident,) = incident_ledger.incidents(settings).values()
    assert (incident.use_case, incident.owner, incident.severity) == ("shop", "platform", "WARN")
    assert (incident.state, "shop" in incident.title) == ("open", True)
    (message,) = notifications.recent(settings, 5)
    assert message.title.startswith("WARN, incident 1: ")
    assert "button Dag Docs" in message.body


def test_a_run_that_failed_is_told(dags_folder: Path, settings: Settings) -> None:
    dag = airflow_runs.read_dags(dags_folder).dags[DAG_ID]
    dag.on_failure_callback({"run_id": "scheduled__1", "dag": dag})
    (message,) = notifications.recent(settings, 5)
    assert (message.title, message.body.splitlines()[0]) == (f"{DAG_ID} failed", "run scheduled__1")
