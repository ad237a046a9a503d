"""Retrain history: what was decided about trainings and what came of them, told in order of time."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from pipelines.domain.decision import Recorded
from pipelines.domain.retrain_attempts import Entry, attempts
from pipelines.domain.retraining import CauseKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One training, or one reason that held some back: when (UTC), why, and what came of it.

    ``decision`` is "train" or "held". ``times`` counts the decisions that are told in one line, the
    last of which was ``last_at``; ``run`` and ``version`` are empty where there is none.
    """

    at: datetime
    cause: CauseKind
    decision: str
    reason: str
    outcome: str
    run: str = ""
    version: str = ""
    times: int = 1
    last_at: datetime


def history(entries: Sequence[Entry], decided: Sequence[Recorded]) -> list[Line]:
    """Return the lines of one use case; decisions that hold the same back in a row are one line."""
    trained = {
        one.number: Line(
            at=one.at,
            cause=one.cause,
            decision="train",
            reason=one.reason,
            outcome=one.outcome.text,
            run=one.run,
            version=one.version,
            last_at=one.at,
        )
        for one in attempts(entries, decided)
    }
    return _joined(
        (trained.get(entry.sequence) or _held(entry), entry.why)
        for entry in entries
        if entry.sequence in trained or entry.kind == "held"
    )


def _held(entry: Entry) -> Line:
    return Line(
        at=entry.at,
        cause=entry.cause,
        decision="held",
        reason=entry.reason,
        outcome=f"held back: {entry.reason}",
        run=entry.run,
        last_at=entry.at,
    )


def _joined(lines: Iterable[tuple[Line, str]]) -> list[Line]:
    """Join neighbours that were held back for one cause by the same thing; the newest reason counts."""
    found: list[tuple[Line, str]] = []
    for line, why in lines:
        if found and why and (found[-1][0].cause, found[-1][1]) == (line.cause, why):
            first = found[-1][0]
            line = replace(line, at=first.at, times=first.times + 1)  # noqa: PLW2901 - what it became
            found[-1] = line, why
        else:
            found.append((line, why))
    return [line for line, _ in found]
