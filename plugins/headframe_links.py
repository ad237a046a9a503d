"""Links in Airflow's UI: from a task to its MLflow run, or to the page that it wrote."""

import json
from typing import Any, ClassVar

from airflow.plugins_manager import AirflowPlugin
from airflow.sdk import BaseOperatorLink

from pipelines.dag_factory import page_addresses
from pipelines.dag_factory.approve import Approve
from pipelines.dag_factory.stage_task import EvidenceTask, ModelTask, ReportTask


class MlflowRun(BaseOperatorLink):  # type: ignore[misc]  # Airflow is untyped here
    """The MLflow run that a task's return value names, in MLflow's UI."""

    name = "MLflow run"
    operators: ClassVar[list[type]] = [ModelTask, EvidenceTask]

    def get_link(self, operator: Any, *, ti_key: Any) -> str:  # noqa: ANN401 - untyped library
        """Return the address; empty while the task has named no run, or MLflow has no server."""
        del operator
        address = page_addresses.mlflow()
        run_id = _returned(ti_key).get("run_id") if address else None
        return f"{address}/#/runs/{run_id}" if run_id else ""


class EvidencePage(BaseOperatorLink):  # type: ignore[misc]  # Airflow is untyped here
    """The page of the evidence that the run's task ``evaluate`` froze: for it, and for who approves."""

    name = "Evidence page"
    operators: ClassVar[list[type]] = [EvidenceTask, Approve]

    def get_link(self, operator: Any, *, ti_key: Any) -> str:  # noqa: ANN401 - untyped library
        """Return the address; empty before there is a page, or where no server has it."""
        del operator
        return page_addresses.evidence(_returned(ti_key, of_task="evaluate"))


class MonitoringPage(BaseOperatorLink):  # type: ignore[misc]  # Airflow is untyped here
    """The page that a task's return value names, where a server gives out ``reports`` of the home."""

    name = "Monitoring page"
    operators: ClassVar[list[type]] = [ReportTask]

    def get_link(self, operator: Any, *, ti_key: Any) -> str:  # noqa: ANN401 - untyped library
        """Return the address; empty without HEADFRAME_REPORTS_UI, or before there is a page.

        A browser does not follow a link from a server to a file: the task's log has the path.
        """
        del operator
        page = _returned(ti_key).get("page") if page_addresses.report("") else None
        return page_addresses.report(page) if page else ""


class HeadframeLinks(AirflowPlugin):  # type: ignore[misc]  # Airflow is untyped here
    """Registers the links."""

    name = "headframe_links"
    operator_extra_links: ClassVar[list[BaseOperatorLink]] = [
        MlflowRun(),
        EvidencePage(),
        MonitoringPage(),
    ]


def _returned(ti_key: Any, *, of_task: str = "") -> dict[str, Any]:  # noqa: ANN401 - untyped library
    """Return what a task of the run returned, the key's own or another one; nothing before that."""
    # Airflow asks for links where it has its database; a worker never gets here.
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    with create_session() as session:
        found = session.execute(
            XComModel.get_many(
                key="return_value",
                run_id=ti_key.run_id,
                dag_ids=ti_key.dag_id,
                task_ids=of_task or ti_key.task_id,
                map_indexes=-1 if of_task else ti_key.map_index,
            ).with_only_columns(XComModel.value)
        ).first()
    # A JSON column: text on one database, already read on another.
    value = found.value if found else None
    if isinstance(value, str):
        value = json.loads(value)
    return value if isinstance(value, dict) else {}
