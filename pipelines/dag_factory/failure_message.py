"""The failure message: a failed run becomes part of an incident, which tells a person, once."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from airflow.sdk.configuration import conf

from pipelines.adapters.models import retraining_ledger
from pipelines.adapters.platform import incident_ledger
from pipelines.adapters.settings import Settings
from pipelines.dag_factory import runs
from pipelines.dag_factory.runs import Context
from pipelines.dag_factory.stage_task import FAILURE, FAILURE_ABOUT
from pipelines.domain.signals import of_run, run_area
from pipelines.use_case import UseCase

REASON_LINES = 12
"""Lines of the reason that the message repeats; the rest is in the task's log."""

NO_REASON = "The task left no reason: it was killed, or it lost Airflow. Look at its log."
UNREAD_REASON = "The reason is in the task's log."

logger = logging.getLogger(__name__)


def failure_message(use_case: UseCase) -> Callable[[Context], None]:
    """Return what Airflow calls for each failed task and each failed run.

    A task that fails says why in its own process; one that was killed, or a run that never began
    its task, is told of by the process that reads DAG files, which may know no reason. Whichever
    comes second adds nothing: it is the same alarm.
    """

    def tell(context: Context) -> None:
        dag_id, run_id = context["dag"].dag_id, context["run_id"]
        task = context.get("ti")
        page = runbook_page(dag_id)
        first, *more = _reason(context)
        signal = of_run(
            use_case.name,
            dag_id,
            about=_about(context),
            owner=use_case.owner,
            at=_at(context),
            reason=first,
            details=[
                *more,
                f"run {run_id}",
                f"failed task {task.task_id if task else 'unknown'}",
                f"Run: {page}/runs/{run_id}" + (f"/tasks/{task.task_id}" if task else ""),
            ],
            runbook=f"{page}, button Dag Docs",
        )
        incident_ledger.report(Settings(), at=signal.at, signals=[signal])

    return tell


def success_message(use_case: UseCase) -> Callable[[Context], None]:
    """Return what Airflow calls once for each run that went well: what failed before no longer does.

    To Airflow a run whose every task was skipped went well; it says nothing of what failed before.
    """

    def tell(context: Context) -> None:
        if not _has_worked(use_case, context):
            return
        area = run_area(use_case.name, context["dag"].dag_id)
        incident_ledger.report(Settings(), at=runs.as_of(context), looked_at=[area])

    return tell


def runbook_page(dag_id: str) -> str:
    """Return the address of a DAG's page, which holds its runbook."""
    return f"{conf.get('api', 'base_url', fallback='').rstrip('/')}/dags/{dag_id}"


def _has_worked(use_case: UseCase, context: Context) -> bool:
    """Tell whether a run that ended did what it is for; one of train made a model."""
    if "ti" not in context:  # Airflow names the last task that succeeded
        return False
    if context["dag"].dag_id != f"{use_case.name}__train":
        return True
    return retraining_ledger.has_trained(Settings(), use_case.name, context["run_id"])


def _at(context: Context) -> datetime:
    """Return the run's as_of; the present where Airflow knows neither a task nor the run's form."""
    return runs.as_of(context) if "params" in context else datetime.now(UTC)


def _reason(context: Context) -> list[str]:
    lines = str(_kept(context, FAILURE, UNREAD_REASON) or NO_REASON).splitlines()
    more = [f"... and {len(lines) - REASON_LINES} more lines in the task's log."]
    return lines[:REASON_LINES] + (more if len(lines) > REASON_LINES else [])


def _about(context: Context) -> list[str]:
    return [str(name) for name in _kept(context, FAILURE_ABOUT, None) or []]


def _kept(context: Context, key: str, otherwise: str | None) -> Any:  # noqa: ANN401 - of an XCom
    task = context.get("ti")
    try:
        # Of this part alone, where the task is one of many parts.
        own = {"task_ids": task.task_id, "map_indexes": task.map_index} if task else {}
        return task.xcom_pull(**own, key=key) if task else None
    except Exception:  # noqa: BLE001 - a message without a reason is better than none
        logger.warning("The reason of the failure could not be read.")
        return otherwise
