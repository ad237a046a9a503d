"""The failure message: what one failed run tells a person, once."""

import logging
from collections.abc import Callable

from airflow.sdk.configuration import conf

from pipelines.adapters.platform import notifications
from pipelines.adapters.settings import Settings
from pipelines.dag_factory.runs import Context
from pipelines.dag_factory.stage_task import FAILURE
from pipelines.use_case import UseCase

REASON_LINES = 12
"""Lines of the reason that the message repeats; the rest is in the task's log."""

NO_REASON = "The task left no reason: it was killed, or it lost Airflow. Look at its log."
UNREAD_REASON = "The reason is in the task's log."

logger = logging.getLogger(__name__)


def failure_message(use_case: UseCase) -> Callable[[Context], None]:
    """Return what Airflow calls once for each failed run, in the process that reads DAG files."""

    def tell(context: Context) -> None:
        dag_id, run_id = context["dag"].dag_id, context["run_id"]
        task = context.get("ti")
        page = f"{conf.get('api', 'base_url', fallback='').rstrip('/')}/dags/{dag_id}"
        lines = [
            f"use case {use_case.name}, owner {use_case.owner}",
            f"run {run_id}",
            f"failed task {task.task_id if task else 'unknown'}",
            *_reason(context),
            f"Run: {page}/runs/{run_id}" + (f"/tasks/{task.task_id}" if task else ""),
            f"Runbook: {page}, button Dag Docs",
        ]
        notifications.notify(Settings(), f"{dag_id} failed", "\n".join(lines))

    return tell


def _reason(context: Context) -> list[str]:
    task = context.get("ti")
    try:
        kept = task.xcom_pull(task_ids=task.task_id, key=FAILURE) if task else None
    except Exception:  # noqa: BLE001 - a message without a reason is better than none
        logger.warning("The reason of the failure could not be read.")
        kept = UNREAD_REASON
    lines = str(kept or NO_REASON).splitlines()
    more = [f"... and {len(lines) - REASON_LINES} more lines in the task's log."]
    return lines[:REASON_LINES] + (more if len(lines) > REASON_LINES else [])
