"""The links of tasks: "MLflow run" of those about a model, "Monitoring page" of a report."""

import pytest

from pipelines.adapters.settings import Settings
from tests.dags.airflow_runs import read_dags, run


def link(
    task_id: str, run_id: str, *, dag_id: str = "troubles__model", name: str = "MLflow run"
) -> str | None:
    """Return a link of one task as Airflow's API finds it."""
    import os
    from pathlib import Path

    from airflow.models.taskinstancekey import TaskInstanceKey
    from airflow.serialization.serialized_objects import DagSerialization

    dag = read_dags(Path(os.environ["HEADFRAME_DAGS"])).dags[dag_id]
    read_back = DagSerialization.from_dict(DagSerialization.to_dict(dag))
    task = read_back.get_task(task_id)
    key = TaskInstanceKey(dag_id, task_id, run_id, 1)
    links = task.operator_extra_link_dict
    return links[name].get_link(task, ti_key=key) if name in links else None


def test_a_model_task_links_to_the_run_it_returned(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = run("troubles__model")
    monkeypatch.setenv("HEADFRAME_MLFLOW", "http://127.0.0.1:5000/")
    assert link("model", ended.run_id) == "http://127.0.0.1:5000/#/runs/0123abc"
    assert link("work", ended.run_id) is None, "only tasks about a model have one"
    monkeypatch.setenv("HEADFRAME_MLFLOW_UI", "https://mlflow.example")
    assert link("model", ended.run_id) == "https://mlflow.example/#/runs/0123abc"
    assert link("model", "another_run") == ""


def test_a_database_is_no_address(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADFRAME_MLFLOW", "sqlite:////tmp/mlflow.db")
    assert link("model", "any") == ""


def test_a_report_links_to_its_page_where_a_server_gives_it_out(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = run("troubles__page")

    def page(run_id: str) -> str | None:
        return link("report", run_id, dag_id="troubles__page", name="Monitoring page")

    monkeypatch.delenv("HEADFRAME_REPORTS_UI", raising=False)
    assert page(ended.run_id) == "", "a browser does not follow a link from a server to a file"
    monkeypatch.setenv("HEADFRAME_REPORTS_UI", "https://reports.example/")
    assert page(ended.run_id) == "https://reports.example/troubles/2013-06-01T090000Z.html"
    assert page("another_run") == ""
    assert link("report", ended.run_id, dag_id="troubles__page") is None
