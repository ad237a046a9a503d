"""Retrain tasks: after monitor a training is asked for, or not; a run of train begins with its cause."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from airflow.sdk.exceptions import AirflowSkipException

from pipelines.adapters.models import retraining_ledger
from pipelines.adapters.settings import Settings
from pipelines.dag_factory import alarms, assets, runs
from pipelines.dag_factory.runs import Context
from pipelines.dag_factory.stage_task import say
from pipelines.domain.retraining import CauseKind
from pipelines.errors import HeadframeError
from pipelines.use_case import UseCase


@dataclass(frozen=True, slots=True, kw_only=True)
class Called:
    """What called for a run of train: the cause, a sentence, and the ledger's entry (0: none)."""

    cause: CauseKind
    reason: str = ""
    decision: int = 0


def retrain(use_case: UseCase, context: Context) -> dict[str, Any]:
    """Decide whether a challenger is trained, and announce each training that is asked for, once.

    What the asset's last event says is what train was told: a try may have died between the ledger
    and its success. A cause that is given up on is part of its incident.
    """
    from pipelines.stages.retrain import retrain as stage

    settings, as_of = Settings(), runs.as_of(context)
    decided = stage(use_case, settings, as_of=as_of)
    said = say(decided.describe())
    alarms.given_up(use_case, settings, decided.given_up, as_of=as_of)
    asset = assets.retrain(settings, use_case)
    asked = decided.asked
    if asked is not None and asked.sequence > int(
        runs.last_event(context, asset).get("decision", 0)
    ):
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

    Raises AirflowSkipException where nothing may be learned now, or another run does it.
    """
    from pipelines.stages.begin_training import begin_training as stage

    found = called(use_case, settings, context)
    begun = stage(
        use_case,
        settings,
        as_of=runs.as_of(context),
        run=context["run_id"],
        cause=found.cause,
        reason=found.reason,
        decision=found.decision,
    )
    say(begun.describe())
    if not begun.goes_on:
        raise AirflowSkipException(begun.describe())
    return found


def called(use_case: UseCase, settings: Settings, context: Context) -> Called:
    """Return what called for the run: the newest entry of the ledger that its events name, or who did.

    What an event says beside is not believed: whoever may make assets' events may write anything.
    """
    named = {
        event.extra.get("decision")
        for events in context["triggering_asset_events"].values()
        for event in events
    } - {None}
    entries = retraining_ledger.read(settings, use_case.name) if named else []
    asked = [one for one in entries if one.kind == "asked" and one.sequence in named]
    if asked:
        return Called(cause=asked[-1].cause, reason=asked[-1].reason, decision=asked[-1].sequence)
    if runs.is_scheduled(context):
        return Called(cause="schedule")
    return Called(cause="by hand", reason=context["params"].get("reason") or "")


@contextmanager
def failing_told(use_case: UseCase, settings: Settings, context: Context) -> Iterator[None]:
    """Record that this try of a training failed; a later one that succeeds takes its place."""
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
            settings, use_case.name, run=context["run_id"], reason=told, as_of=runs.as_of(context)
        )
        raise
