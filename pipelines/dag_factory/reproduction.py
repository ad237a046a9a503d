"""The DAG platform__reproduction: one task a night that makes every champion again."""

from datetime import UTC, datetime, timedelta
from typing import Any

from pipelines.adapters.platform import incident_ledger
from pipelines.adapters.settings import Settings
from pipelines.dag_factory.failure_message import runbook_page
from pipelines.dag_factory.platform_dag import platform_dag
from pipelines.dag_factory.runs import Context
from pipelines.dag_factory.stage_task import StageTask, say
from pipelines.domain.signals import of_reproduction, reproduction_area

DAG_ID = "platform__reproduction"

NIGHTLY = "10 2 * * *"
"""Before the day's maintenance, which removes what no model is known to need."""

LONGEST = timedelta(hours=20)
"""A night that hangs is told before the next one is due."""

RUNBOOK = """\
# platform: reproduction

Makes the champion of every use case again: in a process of its own, with the code, the table
versions, the parameters, the seed and the threads that were recorded when it was registered. Its
predictions on the pinned probe set must be the recorded ones, bit for bit.

The task is green with a report. A champion that comes out otherwise, or cannot be made, is an
incident (WARN) of its use case, which names the layer; it is over once a later night finds the
champion as it was. Nothing stops being scored: the champion's own file is checked at each load.

## When a champion differs
| layer | do |
|---|---|
| data | Rows of a recorded version were changed or are gone: restore the table from a backup. |
| code | The archive beside the model was changed: restore MLflow's artifacts; nothing of it was run. |
| environment | `headframe reproduce USE_CASE --rebuild-environment` tells whether the packages are why. |
| seed | The candidate draws at random without its seed, or the record was changed: see the evidence. |
| threads | Fit on as many threads as recorded. |
| unknown | Nothing recorded differs: look at the processor, the BLAS build, and the candidate. Or the process was killed or stopped: look at memory and its log. |

## By hand
```
headframe reproduce USE_CASE
headframe pins
```"""


def declare_reproduction() -> None:
    """Declare the DAG with the file that Airflow is reading."""
    with platform_dag(
        DAG_ID,
        description="Makes every champion again and compares it bit for bit.",
        runbook=RUNBOOK,
        cron=NIGHTLY,
        longest=LONGEST,
    ):
        StageTask(task_id="reproduce", work=_reproduce)


def _reproduce(context: Context) -> dict[str, Any]:
    """Prove every champion; each that is not what it was opens an incident, or keeps it open."""
    from pipelines.stages.reproduce import prove_champions
    from pipelines.use_case import load_all

    settings, now = Settings(), datetime.now(UTC)
    declared, _ = load_all(settings.dags.absolute())
    proven = []
    for one in prove_champions(settings, as_of=now, run=context["run_id"]):
        proven.append(one)
        owner = declared[one.use_case].owner if one.use_case in declared else "platform"
        signal = of_reproduction(
            one.use_case,
            one.wrong,
            owner=owner,
            at=now,
            runbook=f"{runbook_page(DAG_ID)}, button Dag Docs",
        )
        incident_ledger.report(
            settings,
            at=now,
            signals=[signal] if one.wrong else [],
            looked_at=[reproduction_area(one.use_case)],
        )
    wrong = sum(bool(one.wrong) for one in proven)
    lines = [
        *(one.describe() for one in proven),
        f"{len(proven)} champions, {wrong} not as they were",
    ]
    return {"says": say("\n".join(lines)), "champions": len(proven), "wrong": wrong}
