"""The DAG platform__maintenance: one task a day that keeps the lake small."""

import logging
from datetime import UTC, datetime
from typing import Any

from airflow.sdk import DAG, CronTriggerTimetable

from pipelines.adapters.platform import notifications
from pipelines.adapters.settings import Settings
from pipelines.dag_factory.runs import Context
from pipelines.dag_factory.stage_task import StageTask

DAG_ID = "platform__maintenance"

DAILY = "40 3 * * *"
"""Between a day's last deliveries and the first scoring of the next, for most of the world."""

FIRST_DAY = datetime(2000, 1, 1, tzinfo=UTC)
"""Fixed, so that the DAG reads the same each time."""

RUNBOOK = """\
# platform: maintenance

Makes few large files of many small ones, removes data that was replaced more than a week ago, and
reports what lies in the lake and belongs to no table. Versions that a registered model was made
from stay readable. It runs daily and by hand; running it again finds nothing left to do.

The task is green with a report. Tables that could not be maintained are named in it and sent as one
message; the next run tries again.

## When it fails
| the log says | do |
|---|---|
| MLflow does not answer | Look at `headframe status`; nothing is removed while nobody knows what models need. |
| MLflow's database is gone | Restore it from a backup (docs/operations.md). |
| anything else | Look at `headframe doctor`, then clear the task. |

## By hand
```
headframe maintain --dry-run
headframe maintain
```"""

logger = logging.getLogger(__name__)


def declare_maintenance() -> None:
    """Declare the DAG with the file that Airflow is reading."""
    with DAG(
        dag_id=DAG_ID,
        description="Compacts tables, removes what no version needs, reports what it found.",
        doc_md=RUNBOOK,
        schedule=CronTriggerTimetable(DAILY, timezone="UTC"),
        start_date=FIRST_DAY,
        catchup=False,
        max_active_runs=1,
        # Nobody has to think of it: unlike a use case, it is on from the first day.
        is_paused_upon_creation=False,
        tags=["platform"],
        default_args={"owner": "platform", "retries": 1},
        on_failure_callback=_tell,
    ):
        StageTask(task_id="maintain", work=_maintain)


def _maintain(context: Context) -> dict[str, Any]:
    """Maintain the lake; what could not be done goes out as one message."""
    from pipelines.stages.maintain import maintain

    settings = Settings()
    maintained = maintain(settings, now=datetime.now(UTC), run=context["run_id"])
    said = maintained.describe()
    for line in said.splitlines():
        logger.info("%s", line)
    if problems := maintained.problems:
        notifications.notify(
            settings, f"maintenance left {len(problems)} tables as they were", "\n".join(problems)
        )
    return {
        "says": said,
        "removed_bytes": maintained.removed_bytes,
        "problems": len(maintained.problems),
    }


def _tell(context: Context) -> None:
    """Send one message for a run that failed."""
    body = f"run {context['run_id']}\nThe reason is in the log of its task; the runbook is in Dag Docs."
    notifications.notify(Settings(), f"{DAG_ID} failed", body)
