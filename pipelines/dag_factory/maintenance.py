"""The DAG platform__maintenance: once a day the lake is kept small, and champions are reconciled."""

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

The task `maintain` is green with a report. Tables that could not be maintained are named in it and
sent as one message; the next run tries again.

The task `reconcile` holds every champion against the decisions ledger: its alias, its registered
version, its files. What disagrees is an incident of that use case. A champion that is not what was
promoted is frozen: nothing is scored with it until somebody repairs or rolls back. Nothing else is
changed: `headframe reconcile USE_CASE --repair` does that.

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
headframe reconcile USE_CASE
headframe ledger verify
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
        StageTask(task_id="reconcile", work=_reconcile)


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


def _reconcile(context: Context) -> dict[str, Any]:
    """Hold every champion against the ledger; one that is not what was promoted is frozen.

    What disagrees is an incident of its use case, and what agrees again ends it.
    """
    from pipelines.dag_factory import alarms
    from pipelines.stages.reconcile import reconcile
    from pipelines.use_case import load_all

    settings, now = Settings(), datetime.now(UTC)
    sound, _ = load_all(settings.dags.absolute())
    left = 0
    said = []
    for name, use_case in sound.items():
        if use_case.tier == "explore":
            continue
        found = reconcile(name, settings, as_of=now, extent="freeze")
        alarms.registry(use_case, settings, found.left, as_of=now)
        left += len(found.left)
        said.append(found.describe())
        for line in said[-1].splitlines():
            logger.info("%s", line)
    return {"says": "\n".join(said) or "no use case has models", "problems": left}


def _tell(context: Context) -> None:
    """Send one message for a run that failed."""
    body = f"run {context['run_id']}\nThe reason is in the log of its task; the runbook is in Dag Docs."
    notifications.notify(Settings(), f"{DAG_ID} failed", body)
