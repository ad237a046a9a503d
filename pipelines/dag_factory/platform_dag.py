"""DAGs of the platform: what is no use case's, runs on its own schedule from the first day."""

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable

from pipelines.adapters.platform import notifications
from pipelines.adapters.settings import Settings
from pipelines.dag_factory.runs import FIRST_DAY, Context


def platform_dag(
    dag_id: str, *, description: str, runbook: str, cron: str, longest: timedelta | None = None
) -> DAG:
    """Return a DAG to declare tasks in, for the file that Airflow is reading.

    ``cron`` is in UTC. A run that takes ``longest`` fails, and each that fails sends one message.
    """
    return DAG(
        dag_id=dag_id,
        description=description,
        doc_md=runbook,
        schedule=CronTriggerTimetable(cron, timezone="UTC"),
        start_date=FIRST_DAY,
        catchup=False,
        max_active_runs=1,
        dagrun_timeout=longest,
        # Nobody has to think of it: unlike a use case, it is on from the first day.
        is_paused_upon_creation=False,
        tags=["platform"],
        default_args={"owner": "platform", "retries": 1},
        on_failure_callback=_tell,
    )


def _tell(context: Context) -> None:
    body = f"run {context['run_id']}\nThe reason is in the log of its task; the runbook is in Dag Docs."
    notifications.notify(Settings(), f"{context['dag'].dag_id} failed", body)
