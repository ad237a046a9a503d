"""The DAG platform__maintenance: once a day the lake is kept small, and champions are reconciled."""

from datetime import UTC, datetime
from typing import Any

from pipelines.adapters.platform import notifications
from pipelines.adapters.settings import Settings
from pipelines.dag_factory.platform_dag import platform_dag
from pipelines.dag_factory.runs import Context
from pipelines.dag_factory.stage_task import StageTask, say

DAG_ID = "platform__maintenance"

DAILY = "40 3 * * *"
"""Between a day's last deliveries and the first scoring of the next, for most of the world."""

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


def declare_maintenance() -> None:
    """Declare the DAG with the file that Airflow is reading."""
    with platform_dag(
        DAG_ID,
        description="Compacts tables, removes what no version needs, reports what it found.",
        runbook=RUNBOOK,
        cron=DAILY,
    ):
        StageTask(task_id="maintain", work=_maintain)
        StageTask(task_id="reconcile", work=_reconcile)


def _maintain(context: Context) -> dict[str, Any]:
    """Maintain the lake; what could not be done goes out as one message."""
    from pipelines.stages.maintain import maintain

    settings = Settings()
    maintained = maintain(settings, now=datetime.now(UTC), run=context["run_id"])
    said = say(maintained.describe())
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
        said.append(say(found.describe()))
    return {"says": "\n".join(said) or "no use case has models", "problems": left}
