"""Retrain events: which entry of the retraining ledger the events that started a run name."""

from collections.abc import Mapping
from typing import Any

from pipelines.adapters.models import retraining_ledger
from pipelines.adapters.settings import Settings
from pipelines.domain.retrain_attempts import Entry

PREFIX = "retrain."
"""Of the name of the asset by which monitor asks for a training; the use case's follows."""


def is_about_retraining(event: Any) -> bool:  # noqa: ANN401 - untyped library
    """Tell whether an event is one of those that ask for a training."""
    return str(event.asset.name).startswith(PREFIX)


def decision_of(extra: Mapping[str, Any]) -> int | None:
    """Return the place in the ledger that an event names; None for none, or for anything else."""
    found = extra.get("decision")
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def asked_by_event(context: Mapping[str, Any]) -> Entry | None:
    """Return the newest entry that asked for a training and that the run's events name; None for none.

    What an event says beside is not believed: whoever may make assets' events may write anything.
    """
    events = [
        event
        for events in context["triggering_asset_events"].values()
        for event in events
        if is_about_retraining(event)
    ]
    if not events:
        return None
    named = {decision_of(event.extra) for event in events}
    use_case = str(events[-1].asset.name).removeprefix(PREFIX)
    entries = retraining_ledger.read(Settings(), use_case)
    asked = [one for one in entries if one.kind == "asked" and one.sequence in named]
    return asked[-1] if asked else None
