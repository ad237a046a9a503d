"""Links in Airflow's UI: from a task to its MLflow run, or to the page that it wrote."""

import json
import os
from typing import Any, ClassVar
from urllib.parse import quote

from airflow.plugins_manager import AirflowPlugin
from airflow.sdk import BaseOperatorLink

from pipelines.dag_factory.stage_task import ModelTask, ReportTask


class MlflowRun(BaseOperatorLink):  # type: ignore[misc]  # Airflow is untyped here
    """The MLflow run that a task's return value names, in MLflow's UI."""

    name = "MLflow run"
    operators: ClassVar[list[type]] = [ModelTask]

    def get_link(self, operator: Any, *, ti_key: Any) -> str:  # noqa: ANN401 - untyped library
        """Return the address; empty while the task has named no run, or MLflow has no server."""
        del operator
        address = mlflow_address()
        run_id = _returned(ti_key, "run_id") if address else None
        return f"{address}/#/runs/{run_id}" if run_id else ""


class MonitoringPage(BaseOperatorLink):  # type: ignore[misc]  # Airflow is untyped here
    """The page that a task's return value names, where a server gives out ``reports`` of the home."""

    name = "Monitoring page"
    operators: ClassVar[list[type]] = [ReportTask]

    def get_link(self, operator: Any, *, ti_key: Any) -> str:  # noqa: ANN401 - untyped library
        """Return the address; empty without HEADFRAME_REPORTS_UI, or before there is a page.

        A browser does not follow a link from a server to a file: the task's log has the path.
        """
        del operator
        address = _address("HEADFRAME_REPORTS_UI")
        page = _returned(ti_key, "page") if address else None
        return f"{address}/{quote(page)}" if page else ""


class HeadframeLinks(AirflowPlugin):  # type: ignore[misc]  # Airflow is untyped here
    """Registers the links."""

    name = "headframe_links"
    operator_extra_links: ClassVar[list[BaseOperatorLink]] = [MlflowRun(), MonitoringPage()]


def mlflow_address() -> str:
    """Return where a browser finds MLflow: HEADFRAME_MLFLOW_UI, else HEADFRAME_MLFLOW over http."""
    return _address("HEADFRAME_MLFLOW_UI", "HEADFRAME_MLFLOW")


def _address(*variables: str) -> str:
    """Return the first of these settings that is an address of a server; empty when none is."""
    for variable in variables:
        address = os.environ.get(variable, "")
        if address.startswith(("http://", "https://")):
            return address.rstrip("/")
    return ""


def _returned(ti_key: Any, name: str) -> str | None:  # noqa: ANN401 - untyped library
    """Return one entry of the task's return value, as Airflow stores it."""
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
    return value.get(name) if isinstance(value, dict) else None
