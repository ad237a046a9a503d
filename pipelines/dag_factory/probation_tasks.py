"""Probation tasks: the shadow scores what the champion on probation scored; final labels judge both."""

from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from pipelines.adapters.settings import Settings
from pipelines.dag_factory import alarms, runs
from pipelines.dag_factory.run_code import refuse_changed_code
from pipelines.dag_factory.runs import Context
from pipelines.dag_factory.stage_task import say
from pipelines.domain import plain_values
from pipelines.use_case import UseCase

if TYPE_CHECKING:
    from pipelines.domain.scoring import Scored

WINDOWS = "shadow"
"""XCom key under which a scoring task leaves the windows that the shadow is to score too."""

NOTHING_TO_COMPARE = "No champion is on probation, or none of these windows belongs to it."


def remember(use_case: UseCase, settings: Settings, context: Context, scored: "Scored") -> None:
    """Leave the windows of a probation to the task ``shadow``; nothing where there are none."""
    if use_case.probation_rule is None:
        return
    from pipelines.stages.shadow import asked

    if windows := asked(use_case, settings, scored):
        context["ti"].xcom_push(WINDOWS, [plain_values.to_plain(window) for window in windows])


def shadow(use_case: UseCase, context: Context, *, after: str) -> dict[str, Any]:
    """Score the windows that the task ``after`` scored in the slot that nobody is given."""
    from pipelines.domain.scoring import WindowPlan
    from pipelines.stages.shadow import shadow as stage

    settings = Settings()
    first = context["ti"].xcom_pull(task_ids="champion")
    refuse_changed_code(settings, use_case, first, purpose="score")
    told = context["ti"].xcom_pull(task_ids=after, key=WINDOWS)
    windows = [plain_values.from_plain(WindowPlan, plain) for plain in told or ()]
    scored = stage(use_case, settings, windows=windows, run=context["run_id"])
    if scored is None:
        raise AirflowSkipException(NOTHING_TO_COMPARE)
    return {"says": say(f"shadow, {scored.describe()}"), "version": scored.model_version}


def probation(use_case: UseCase, context: Context) -> dict[str, Any]:
    """Judge the champion on probation by final labels; a roll back and no answer are incidents."""
    from pipelines.stages.probation import probation as stage

    settings, as_of = Settings(), runs.as_of(context)
    judged = stage(use_case, settings, as_of=as_of)
    said = say(judged.describe())
    alarms.probation(
        use_case,
        settings,
        judged.describe() if judged.outcome in ("rolled_back", "untested") else None,
        rolled_back=judged.outcome == "rolled_back",
        as_of=as_of,
    )
    return {"says": said, "outcome": judged.outcome, "version": judged.version}
