"""Retrain tasks: after monitor a training is asked for, or not; a run of train begins with its cause."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from airflow.sdk.exceptions import AirflowSkipException

from pipelines.adapters.models import retraining_ledger
from pipelines.adapters.settings import Settings
from pipelines.dag_factory import alarms, assets, retrain_events, runs
from pipelines.dag_factory.runs import Context
from pipelines.dag_factory.stage_task import say
from pipelines.domain.retrain_attempts import COSTS
from pipelines.domain.retraining import CauseKind
from pipelines.errors import BudgetSpent, HeadframeError
from pipelines.use_case import UseCase

NOT_ASKED = "Nobody started this run, and no entry of the retraining ledger asks for a training."


@dataclass(frozen=True, slots=True, kw_only=True)
class Called:
    """What called for a run of train: the cause, a sentence, and the ledger's entry (0: none)."""

    cause: CauseKind
    reason: str = ""
    decision: int = 0


def retrain(use_case: UseCase, context: Context) -> dict[str, Any]:
    """Decide whether a challenger is trained, and announce each training that is asked for, once.

    What the asset's last event says is what train was told: a try may have died between the ledger
    and its success. Where it says anything else, the training is announced once more, which does no
    harm: it begins once. A cause that is given up on is part of its incident.
    """
    from pipelines.stages.retrain import retrain as stage

    settings, as_of = Settings(), runs.as_of(context)
    decided = stage(use_case, settings, as_of=as_of)
    said = say(decided.describe())
    alarms.given_up(use_case, settings, decided.given_up, as_of=as_of)
    asset = assets.retrain(settings, use_case)
    asked = decided.asked
    announced = retrain_events.decision_of(runs.last_event(context, asset))
    if asked is not None and asked.sequence != announced:
        extra = {
            "cause": asked.cause,
            "reason": asked.reason,
            "decision": asked.sequence,
            "as_of": asked.at.isoformat(),
        }
        context["outlet_events"][assets.retrain_news(use_case)].add(asset, extra=extra)
    answer = decided.answer
    return {
        "says": said,
        "action": answer.action,
        "cause": answer.cause.kind if answer.cause else None,
        "why": answer.why,
    }


def begin(use_case: UseCase, settings: Settings, context: Context) -> Called:
    """Record that this run of train begins, once, say why first of all in its log, and return that.

    Raises AirflowSkipException where nothing may be learned now, another run does it, or nobody asked.
    """
    from pipelines.stages.begin_training import begin_training as stage

    found = called(context)
    begun = stage(
        use_case,
        settings,
        as_of=runs.as_of(context),
        run=context["run_id"],
        cause=found.cause,
        reason=found.reason,
        decision=found.decision,
        begins_at=runs.now_in_run(context, datetime.now(UTC)),
    )
    say(begun.describe())
    if not begun.goes_on:
        raise AirflowSkipException(begun.describe())
    return found


def called(context: Context) -> Called:
    """Return what called for the run: the newest entry of the ledger that its events name, or who did.

    Raises AirflowSkipException where nobody started it, and no entry asks for it.
    """
    asked = retrain_events.asked_by_event(context)
    if asked is not None:
        return Called(cause=asked.cause, reason=asked.reason, decision=asked.sequence)
    if runs.is_scheduled(context):
        return Called(cause="schedule")
    if runs.started_by(context):
        return Called(cause="by hand", reason=context["params"].get("reason") or "")
    raise AirflowSkipException(say(NOT_ASKED))


@contextmanager
def failing_told(use_case: UseCase, settings: Settings, context: Context) -> Iterator[None]:
    """Record that this try of a training failed, if it had begun; one that succeeds takes its place."""
    try:
        yield
    except AirflowSkipException:
        raise
    except Exception as error:
        # Only the type of an unforeseen error: its text may quote a row.
        told = type(error).__name__
        if isinstance(error, HeadframeError):
            told = str(error).splitlines()[0]
        retraining_ledger.failed(
            settings,
            use_case.name,
            run=context["run_id"],
            reason=told,
            as_of=runs.as_of(context),
            why=COSTS if isinstance(error, BudgetSpent) else "",
        )
        raise
