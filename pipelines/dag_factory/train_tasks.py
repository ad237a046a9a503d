"""Train tasks: the search laid out, its trials made by tuners side by side, the best registered."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from pipelines.adapters.settings import Settings
from pipelines.dag_factory import alarms, runs
from pipelines.dag_factory.retrain_tasks import Called, begin, called, failing_told
from pipelines.dag_factory.run_code import refuse_changed_code, remember_code
from pipelines.dag_factory.runs import Context
from pipelines.dag_factory.stage_task import say
from pipelines.domain.training import Asked
from pipelines.use_case import UseCase

if TYPE_CHECKING:
    from pipelines.stages.train import Trained

PLAN = "plan"
"""XCom key of the search: the return value of that task is the numbers of its tuners."""

DRY_RUN = "This was a dry run: the log says what would have been trained."
NOT_PLANNED = "plan did not lay a search out: its log says why."


def train(use_case: UseCase, context: Context) -> dict[str, Any]:
    """Fit and register a challenger; a retry goes on only with the code of the first try."""
    from pipelines.stages.train import train as stage

    settings, wanted = Settings(), asked(context)
    with failing_told(use_case, settings, context):
        code, found = _begun(use_case, settings, context, wanted)
        trained = stage(
            use_case,
            settings,
            as_of=runs.as_of(context),
            run=context["run_id"],
            requester=runs.requester(context, use_case),
            asked=_because(found, wanted),
            told=say,
        )
    return _told(trained, code, found)


def plan(use_case: UseCase, context: Context) -> list[int]:
    """Lay the search out, and return the numbers of its tuners; none when there is nothing to try."""
    from pipelines.stages.train import plan as stage

    settings, wanted = Settings(), asked(context)
    with failing_told(use_case, settings, context):
        code, _ = _begun(use_case, settings, context, wanted)
        planned = stage(use_case, settings, as_of=runs.as_of(context), asked=wanted)
    say(planned.says)
    context["ti"].xcom_push(PLAN, {"study": planned.study, "code": code})
    return list(range(planned.tuners))


def tune(use_case: UseCase, context: Context, tuner: int) -> dict[str, Any]:
    """Make trials until none waits; a retry begins anew what the try before it left."""
    from pipelines.stages.train import tune as stage

    settings = Settings()
    with failing_told(use_case, settings, context):
        planned = _planned(use_case, settings, context)
        searched = stage(
            use_case,
            settings,
            as_of=runs.as_of(context),
            asked=asked(context),
            study=planned["study"],
            tuner=tuner,
            told=say,
        )
    worker = runs.worker()
    return {"says": say(f"{searched}, by {worker}"), "worker": worker}


def finish(use_case: UseCase, context: Context) -> dict[str, Any]:
    """Fit and register the best of the search, once every tuner has ended.

    Skips itself where there is no search: after a dry run, and where plan was skipped.
    """
    from pipelines.stages.train import finish as stage

    settings = Settings()
    with failing_told(use_case, settings, context):
        planned = _planned(use_case, settings, context)
        found = called(context)
        trained = stage(
            use_case,
            settings,
            as_of=runs.as_of(context),
            run=context["run_id"],
            requester=runs.requester(context, use_case),
            asked=_because(found, asked(context)),
            told=say,
        )
    return _told(trained, planned["code"], found)


def asked(context: Context) -> Asked:
    """Return what the run's form asks for in place of what is declared."""
    given = context["params"]
    return Asked(
        candidates=tuple(given.get("candidates") or ()),
        window_days=given.get("window_days"),
        trials=given.get("trials"),
        reason=given.get("reason") or "",
        dry_run=bool(given.get("dry_run")),
    )


def _begun(
    use_case: UseCase, settings: Settings, context: Context, wanted: Asked
) -> tuple[str, Called]:
    """Do what comes before anything is learned; return the code's digest and what called for the run.

    Raises AirflowSkipException after a dry run and where nothing may be learned now, CodeChanged on a
    retry with other code, BudgetSpent where the month's budget refuses the training.
    """
    code = remember_code(settings, use_case, context)
    if wanted.dry_run:
        _say_only(use_case, settings, context)
    found = begin(use_case, settings, context)
    _refuse_unaffordable(use_case, settings, context, wanted)
    return code, found


def _refuse_unaffordable(
    use_case: UseCase, settings: Settings, context: Context, wanted: Asked
) -> None:
    """Hold the training against what is left of the month; what it nearly or wholly spends is told.

    Raises BudgetSpent where the use case refuses it.
    """
    from pipelines.stages.afford import afford

    found = afford(use_case, settings, now=datetime.now(UTC), run=context["run_id"], asked=wanted)
    if found is None:
        return
    told = say(found.describe())
    as_of = runs.as_of(context)
    alarms.budget(use_case, settings, told if found.level == "warn" else "", as_of=as_of)


def _planned(use_case: UseCase, settings: Settings, context: Context) -> dict[str, Any]:
    """Return what the first task laid out. Raises CodeChanged when this process has other code."""
    planned: dict[str, Any] | None = context["ti"].xcom_pull(task_ids="plan", key=PLAN)
    if planned is None:
        raise AirflowSkipException(say(NOT_PLANNED))
    refuse_changed_code(settings, use_case, planned)
    return planned


def _say_only(use_case: UseCase, settings: Settings, context: Context) -> None:
    """Say what a training would do, and skip it. Raises AirflowSkipException."""
    from pipelines.stages.train import plan as stage

    planned = stage(use_case, settings, as_of=runs.as_of(context), asked=asked(context))
    say(f"would learn from {planned.says}")
    raise AirflowSkipException(DRY_RUN)


def _because(found: Called, wanted: Asked) -> Asked:
    """Return what is asked, with what called for it."""
    return replace(wanted, cause=found.cause, reason=wanted.reason or found.reason)


def _told(trained: "Trained", code: str, found: Called) -> dict[str, Any]:
    return {
        "says": say(trained.describe()),
        "version": trained.version,
        "run_id": trained.run_id,
        "rows": trained.rows,
        "code": code,
        "cause": found.cause,
        "reason": found.reason,
    }
