"""Runs: the time a run stands for, who asked for it, and which process does its work."""

import os
import socket
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from pipelines.adapters.models import approvals, decisions
from pipelines.adapters.platform.process_state import PROCESS_MARKER
from pipelines.adapters.settings import Settings
from pipelines.dag_factory.retrain_events import asked_by_event, is_about_retraining
from pipelines.errors import Problem, SettingsError
from pipelines.use_case import UseCase

Context: TypeAlias = Mapping[str, Any]
"""What Airflow tells a task about its run."""

FIRST_DAY = datetime(2000, 1, 1, tzinfo=UTC)
"""Start date of every DAG: fixed, so that a DAG reads the same each time, and before any run's
logical date, which Airflow would otherwise hold back."""


def as_of(context: Context) -> datetime:
    """Return the run's as_of in UTC. Raises SettingsError for a time without an offset.

    It is the form's, else that of the training that was asked for, else the latest of the events that
    started the run, else its scheduled time.
    """
    if given := context["params"].get("as_of"):
        return _moment(given, "as_of of this run")
    if (asked := asked_by_event(context)) is not None:
        return asked.at
    told = [
        _moment(event.extra["as_of"], f"event of {event.asset.name}")
        for events in context["triggering_asset_events"].values()
        for event in events
        if "as_of" in event.extra and not is_about_retraining(event)
    ]
    if told:
        return max(told)
    run = context["dag_run"]
    scheduled: datetime = run.logical_date or run.run_after
    return scheduled.astimezone(UTC)


def now_in_run(context: Context, now: datetime) -> datetime:
    """Return ``now`` (UTC) on the run's own clock, which may stand in another year.

    That is its as_of, and how long it has waited and worked since.
    """
    since_start: timedelta = now - context["dag_run"].run_after
    return as_of(context) + since_start


def decided_at(context: Context, now: datetime) -> datetime:
    """Return when something is decided that the run does at ``now`` (UTC), for the ledger.

    A run whose form names its as_of simulates that time, and decides then. Any other decides when
    it gets to it: an answer may come days after the run's as_of.
    """
    return as_of(context) if context["params"].get("as_of") else now


def until(context: Context) -> datetime | None:
    """Return the end of the window that the form asks for, in UTC; None when it asks for none."""
    given = context["params"].get("until")
    return _moment(given, "until of this run") if given else None


def is_about_late_data(context: Context) -> bool:
    """Return whether a run of score is about late data only: its form says so, or late data did."""
    return bool(context["params"].get("late")) or any(context["triggering_asset_events"].values())


def is_scheduled(context: Context) -> bool:
    """Return whether the schedule started the run, and neither a person nor an event."""
    return not started_by(context) and bool(context["dag_run"].run_type == "scheduled")


def is_backfill(context: Context) -> bool:
    """Return whether Airflow fills a past time in with the run."""
    return bool(context["dag_run"].run_type == "backfill")


def last_event(context: Context, asset: Any) -> dict[str, Any]:  # noqa: ANN401 - untyped library
    """Return what the last event of an asset among the task's inlets said; nothing when it has none."""
    events = list(context["inlet_events"][asset].ascending(False).limit(1))  # noqa: FBT003 - Airflow's
    return dict(events[0].extra) if events else {}


def started_by(context: Context) -> str:
    """Return the user who started the run; empty for one that started itself."""
    return context["dag_run"].triggering_user_name or ""


def requester(context: Context, use_case: UseCase) -> str:
    """Return who asked for what the run does.

    It is the user who started it; for one that started itself, who last accepted the declaration,
    else the use case's owner.
    """
    if user := started_by(context):
        return user
    entries = decisions.read_all(Settings(), use_case.name)
    accepted = approvals.acceptance(entries, use_case.digest())
    return accepted.actor if accepted else use_case.owner


def worker() -> str:
    """Name the process that this task runs in, and its machine, for the log."""
    return f"{os.environ.get(PROCESS_MARKER, 'a process')} on {socket.gethostname()}"


def _moment(text: str, where: str) -> datetime:
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise SettingsError(
            Problem(
                where=where,
                expected="a time with its offset, such as 2013-04-01T09:00:00Z",
                found=repr(text),
                fix="Start the run again with the offset.",
            )
        )
    return found.astimezone(UTC)
