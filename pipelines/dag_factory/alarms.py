"""Alarms: what the tasks of a use case report as incidents, and what they see to be over."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from pipelines.adapters.platform import incident_ledger
from pipelines.adapters.settings import Settings
from pipelines.dag_factory.failure_message import runbook_page
from pipelines.domain.feeds import FeedFinding
from pipelines.domain.incidents import Signal
from pipelines.domain.reconciliation import Finding
from pipelines.domain.signals import (
    feed_area,
    gates_area,
    of_budget,
    of_feed,
    of_gates,
    of_given_up,
    of_probation,
    of_registry,
    of_standing,
    registry_area,
    table,
    watched_areas,
)
from pipelines.domain.verdict import Verdict
from pipelines.domain.watched import Watched
from pipelines.use_case import UseCase


def feeds(
    use_case: UseCase, settings: Settings, findings: Sequence[FeedFinding], *, as_of: datetime
) -> None:
    """Report what was found about the use case's feeds, all of which were looked at."""
    scoring = use_case.scoring
    signals = of_feed(
        use_case.name,
        findings,
        owner=use_case.owner,
        at=as_of,
        paging=scoring is not None and scoring.on_stale == "fail_closed",
        runbook=_runbook(use_case, "ingest"),
    )
    areas = [feed_area(use_case.name, declared.name) for declared in use_case.tables]
    incident_ledger.report(settings, at=as_of, signals=signals, looked_at=areas)


def volume(use_case: UseCase, settings: Settings, text: str | None, *, as_of: datetime) -> None:
    """Report that far fewer rows were scored than usual, or (None) that they were not."""
    entity = use_case.features.entity.name if use_case.features else ""
    signal = Signal(
        use_case=use_case.name,
        kind="volume",
        about=("predictions", table(entity)),
        severity="WARN",
        owner=use_case.owner,
        text=text or "",
        at=as_of,
        runbook=_runbook(use_case, "monitor"),
    )
    found = [] if text is None else [signal]
    incident_ledger.report(settings, at=as_of, signals=found, looked_at=[signal.area])


def registry(
    use_case: UseCase, settings: Settings, findings: Iterable[Finding], *, as_of: datetime
) -> None:
    """Report what ledger, registry and files disagree on; what is not found any more is over."""
    signals = of_registry(
        use_case.name,
        findings,
        owner=use_case.owner,
        at=as_of,
        runbook=_runbook(use_case, "score"),
    )
    areas = [registry_area(use_case.name)]
    incident_ledger.report(settings, at=as_of, signals=signals, looked_at=areas)


def watched(use_case: UseCase, settings: Settings, found: Watched, *, as_of: datetime) -> None:
    """Report the alarms that stand about the champion; where nothing was judged, nothing is over."""
    signals = of_standing(
        use_case.name,
        found.standing,
        owner=use_case.owner,
        at=as_of,
        prediction=found.prediction,
        loss=found.loss,
        runbook=_runbook(use_case, "monitor"),
    )
    areas = [] if found.why_not else watched_areas(use_case.name)
    incident_ledger.report(settings, at=as_of, signals=signals, looked_at=areas)


def probation(
    use_case: UseCase,
    settings: Settings,
    text: str | None,
    *,
    rolled_back: bool,
    as_of: datetime,
) -> None:
    """Report how a probation ended that did not pass, or (None) that none ended so just now."""
    signal = of_probation(
        use_case.name,
        text or "",
        rolled_back=rolled_back,
        owner=use_case.owner,
        at=as_of,
        runbook=_runbook(use_case, "monitor"),
    )
    found = [] if text is None else [signal]
    incident_ledger.report(settings, at=as_of, signals=found, looked_at=[signal.area])


def given_up(use_case: UseCase, settings: Settings, text: str, *, as_of: datetime) -> None:
    """Report that retraining did not help against what still stands, or ("") that it is not so."""
    signal = of_given_up(
        use_case.name, text, owner=use_case.owner, at=as_of, runbook=_runbook(use_case, "monitor")
    )
    found = [signal] if text else []
    incident_ledger.report(settings, at=as_of, signals=found, looked_at=[signal.area])


def budget(use_case: UseCase, settings: Settings, text: str, *, as_of: datetime) -> None:
    """Report that the month has cost most of what it may, or ("") that it has not."""
    signal = of_budget(
        use_case.name, text, owner=use_case.owner, at=as_of, runbook=_runbook(use_case, "train")
    )
    found = [signal] if text else []
    incident_ledger.report(settings, at=as_of, signals=found, looked_at=[signal.area])


def knows_probation(use_case: UseCase, settings: Settings, text: str) -> bool:
    """Tell whether an incident, over or not, tells of just this end of a probation."""
    return any(
        (signal.use_case, signal.kind, signal.text) == (use_case.name, "probation", text)
        for incident in incident_ledger.incidents(settings).values()
        for signal in incident.seen
    )


def gates(
    use_case: UseCase,
    settings: Settings,
    version: str,
    verdicts: Iterable[Verdict],
    *,
    as_of: datetime,
) -> None:
    """Report gates that a challenger failed, unless it merely was no better than the champion."""
    signal = of_gates(
        use_case.name,
        version,
        verdicts,
        owner=use_case.owner,
        at=as_of,
        runbook=_runbook(use_case, "train"),
    )
    found = [] if signal is None else [signal]
    incident_ledger.report(settings, at=as_of, signals=found, looked_at=[gates_area(use_case.name)])


def _runbook(use_case: UseCase, purpose: str) -> str:
    return f"{runbook_page(f'{use_case.name}__{purpose}')}, button Dag Docs"
