"""Probation tasks: the shadow scores what the champion on probation scored; final labels judge both."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from pipelines.adapters.settings import Settings
from pipelines.dag_factory import alarms, runs
from pipelines.dag_factory.run_code import refuse_changed_code
from pipelines.dag_factory.runs import Context
from pipelines.dag_factory.stage_task import say
from pipelines.use_case import UseCase

if TYPE_CHECKING:
    from pipelines.domain.scoring import Scored
    from pipelines.stages.probation import Judged

SCORED = "shadow"
"""XCom key under which a scoring task leaves what it scored, for the shadow."""

NOTHING_TO_COMPARE = "No champion is on probation, or none of these windows belongs to it."


def remember(use_case: UseCase, context: Context, scored: "Scored") -> None:
    """Leave what was planned, and with which version, to the task ``shadow``.

    Nothing is looked up here: whatever is wrong with the version before, consumers get theirs.
    """
    if use_case.probation_rule is not None:
        context["ti"].xcom_push(SCORED, replace(scored, windows=()).to_plain())


def shadow(use_case: UseCase, context: Context, *, after: str) -> dict[str, Any]:
    """Score the windows that the task ``after`` scored in the slot that nobody is given."""
    from pipelines.domain.scoring import Scored
    from pipelines.stages.shadow import asked
    from pipelines.stages.shadow import shadow as stage

    settings = Settings()
    first = context["ti"].xcom_pull(task_ids="champion")
    refuse_changed_code(settings, use_case, first, purpose="score")
    told = context["ti"].xcom_pull(task_ids=after, key=SCORED)
    windows = asked(use_case, settings, Scored.from_plain(told)) if told else ()
    scored = stage(use_case, settings, windows=windows, run=context["run_id"])
    if scored is None:
        raise AirflowSkipException(NOTHING_TO_COMPARE)
    return {"says": say(f"shadow, {scored.describe()}"), "version": scored.model_version}


def probation(use_case: UseCase, context: Context) -> dict[str, Any]:
    """Judge the champion on probation by final labels; a roll back and no answer are incidents.

    So is an end that no incident tells of yet: its run was cut off, or another finished the roll back.
    """
    from pipelines.stages.probation import probation as stage

    settings, as_of = Settings(), runs.as_of(context)
    judged = stage(use_case, settings, as_of=as_of)
    said = say(judged.describe())
    ended = judged if judged.is_alarming else _untold(use_case, settings)
    alarms.probation(
        use_case,
        settings,
        None if ended is None else ended.describe(),
        rolled_back=ended is not None and ended.outcome == "rolled_back",
        as_of=as_of,
    )
    return {"says": said, "outcome": judged.outcome, "version": judged.version}


def _untold(use_case: UseCase, settings: Settings) -> "Judged | None":
    """Return how a probation ended that no incident tells of, where somebody has to know."""
    from pipelines.stages.probation import last_ended

    ended = last_ended(use_case, settings)
    if ended is None or not ended.is_alarming:
        return None
    return None if alarms.knows_probation(use_case, settings, ended.describe()) else ended
