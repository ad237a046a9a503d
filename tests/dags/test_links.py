"""The link "MLflow run" of the tasks that make and judge a model."""

import pytest

from pipelines.adapters.settings import Settings
from tests.dags.airflow_runs import read_dags, run


def link(task_id: str, run_id: str) -> str | None:
    """Return the link of one task as Airflow's API finds it."""
    import os
    from pathlib import Path

    from airflow.models.taskinstancekey import TaskInstanceKey
    from airflow.serialization.serialized_objects import DagSerialization

    dag = read_dags(Path(os.environ["HEADFRAME_DAGS"])).dags["troubles__model"]
    read_back = DagSerialization.from_dict(DagSerialization.to_dict(dag))
    task = read_back.get_task(task_id)
    key = TaskInstanceKey("troubles__model", task_id, run_id, 1)
    links = task.operator_extra_link_dict
    return links["MLflow run"].get_link(task, ti_key=key) if "MLflow run" in links else None


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
