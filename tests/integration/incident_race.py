"""A race for the incident ledger; apart from its test, so that its processes import little."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.adapters.platform import incident_ledger
from pipelines.adapters.settings import Settings
from pipelines.domain.incidents import Severity, Signal

if TYPE_CHECKING:
    from multiprocessing.synchronize import Barrier

WRITERS = 3


def at(hour: int) -> datetime:
    return datetime(2026, 3, 1, hour, tzinfo=UTC)


def alarm(subject: str, *, hour: int = 9, severity: Severity = "WARN") -> Signal:
    return Signal(
        use_case="till",
        kind="feed missing",
        about=(subject,),
        severity=severity,
        owner="shop",
        text=f"{subject} is missing",
        at=at(hour),
        since=at(6),
        runbook="the button Dag Docs",
    )


def report(folder: str, hour: int = 9) -> None:
    """Report two alarms about two tables."""
    signals = [alarm("table:orders", hour=hour), alarm("table:prices", hour=hour)]
    incident_ledger.report(Settings(home=Path(folder)), at=at(hour), signals=signals)


def race(folder: str, start: "Barrier") -> None:
    """Report the same two alarms as every other writer, at the same moment."""
    start.wait(120)
    report(folder)
