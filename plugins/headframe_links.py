"""Links in Airflow's UI: from a task that made or judged a model to its MLflow run."""

import json
import os
from typing import Any, ClassVar

from airflow.plugins_manager import AirflowPlugin
from airflow.sdk import BaseOperatorLink

from pipelines.dag_factory.stage_task import ModelTask


class MlflowRun(BaseOperatorLink):  # type: ignore[misc]  # Airflow is untyped here
    """The MLflow run that a task's return value names, in MLflow's UI."""

    name = "MLflow run"
    operators: ClassVar[list[type]] = [ModelTask]

    def get_link(self, operator: Any, *, ti_key: Any) -> str:  # noqa: ANN401 - untyped library
        """Return the address; empty while the task has named no run, or MLflow has no server."""
        del operator
        address = mlflow_address()
        run_id = _run_id(ti_key) if address else None
        return f"{address}/#/runs/{run_id}" if run_id else ""


class HeadframeLinks(AirflowPlugin):  # type: ignore[misc]  # Airflow is untyped here
    """Registers the links."""

    name = "headframe_links"
    operator_extra_links: ClassVar[list[BaseOperatorLink]] = [MlflowRun()]


def mlflow_address() -> str:
    """Return where a browser finds MLflow: HEADFRAME_MLFLOW_UI, else HEADFRAME_MLFLOW over http."""
    for variable in ("HEADFRAME_MLFLOW_UI", "HEADFRAME_MLFLOW"):
        address = os.environ.get(variable, "")
        if address.startswith(("http://", "https://")):
            return address.rstrip("/")
    return ""


def _run_id(ti_key: Any) -> str | None:  # noqa: ANN401 - untyped library
    """Return the ``run_id`` of the task's return value, as Airflow stores it."""
    # Airflow asks for links where it has its database; a worker never gets here.
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    with create_session() as session:
        found = session.execute(
            XComModel.get_many(
                key="return_value",
                run_id=ti_key.run_id,
                dag_ids=ti_key.dag_id,
                task_ids=ti_key.task_id,
                map_indexes=ti_key.map_index,
            ).with_only_columns(XComModel.value)
        ).first()
    # A JSON column: text on one database, already read on another.
    value = found.value if found else None
    if isinstance(value, str):
        value = json.loads(value)
    return value.get("run_id") if isinstance(value, dict) else None
