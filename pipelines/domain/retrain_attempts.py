"""Retrain attempts: each training that was asked for or begun, why, and what came of it."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal, TypeAlias

from pipelines.domain.decision import Recorded
from pipelines.domain.retraining import CauseKind

EntryKind: TypeAlias = Literal["asked", "held", "begun", "trained", "failed"]
"""What the ledger tells: a training was asked for or held back; one began, made a model, or failed."""

OutcomeKind: TypeAlias = Literal[
    "asked",
    "running",
    "failed",
    "not afforded",
    "not judged",
    "awaits approval",
    "promoted",
    "did not help",
    "refused",
    "rolled back",
]

OPEN: tuple[OutcomeKind, ...] = ("running", "not judged", "awaits approval")
"""Outcomes that may still become others."""

UNHELPFUL: tuple[OutcomeKind, ...] = ("failed", "did not help", "refused", "rolled back")

COSTS = "costs"
"""What held a run back that the month's budget of CPU seconds refused: ``why`` of its "failed" entry."""

NOT_PASSED = re.compile(r"(?:^|; )([A-Z]\w+) (failed|too_few): ")
"""A gate's refusal in the ledger's line about an evaluation (``stages.evaluate`` writes it)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the retraining ledger; ``sequence`` is its place, 0 before it is written.

    ``at`` (UTC) is the as_of of what it tells; ``block`` the newest judged block then, ``champion`` the
    version in place, ``since`` the block that the cause began with. ``why`` names what held a
    training back. ``decision`` is the place of the entry that asked for a training, 0 where none did.
    """

    use_case: str
    kind: EntryKind
    at: datetime
    cause: CauseKind
    reason: str
    why: str = ""
    champion: str = ""
    block: str = ""
    since: str = ""
    decision: int = 0
    run: str = ""
    version: str = ""
    sequence: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a training, and in words."""

    kind: OutcomeKind
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A training that was asked for or begun: when (UTC), why, by which run, and what came of it.

    ``afforded`` is False where the month's budget refused it before anything was learned.
    """

    number: int
    at: datetime
    cause: CauseKind
    reason: str
    champion: str
    block: str
    since: str
    run: str = ""
    version: str = ""
    failure: str = ""
    afforded: bool = True
    outcome: Outcome

    @property
    def is_early(self) -> bool:
        """Whether it is of those that the budget counts: neither on schedule nor by hand."""
        return self.cause not in ("schedule", "by hand")


def attempts(entries: Iterable[Entry], decided: Sequence[Recorded]) -> list[Attempt]:
    """Return the attempts of one use case, oldest first, with what the decisions ledger says of them.

    A run that made several models made an attempt of each.
    """
    found: dict[int, Attempt] = {}
    stopped: dict[int, Attempt] = {}
    for entry in entries:
        match entry.kind:
            case "held":
                # What stops a run that was asked for leaves it as if it had not been, until the run
                # is tried again and begins.
                if entry.decision in found:
                    stopped[entry.decision] = found.pop(entry.decision)
            case "asked":
                found[entry.sequence] = _attempt(entry)
            case "begun":
                asked = found.get(entry.decision) or stopped.get(entry.decision)
                begun = _attempt(entry) if asked is None else replace(asked, run=entry.run)
                found[begun.number] = begun
            case "trained":
                mine = _of_run(found.values(), entry.run, "")
                begun = _attempt(entry) if mine is None else mine
                found[begun.number] = replace(begun, version=entry.version)
            case "failed":
                mine = _of_run(found.values(), entry.run, "")
                if mine is not None:
                    afforded = entry.why != COSTS
                    found[mine.number] = replace(mine, failure=entry.reason, afforded=afforded)
    ordered = [found[number] for number in sorted(found)]
    return [replace(one, outcome=_outcome(one, decided)) for one in ordered]


def waiting(entries: Sequence[Entry], *, as_of: datetime, cooldown: timedelta) -> Entry | None:
    """Return the newest entry that asked for a training which was neither begun nor held back.

    One from before the cooldown is none any more: nobody knows whether it is still wanted.
    """
    answered = {one.decision for one in entries if one.kind in ("begun", "held")}
    found = [
        one
        for one in entries
        if one.kind == "asked"
        and one.sequence not in answered
        and one.at <= as_of < one.at + cooldown
    ]
    return found[-1] if found else None


def held_back(entries: Iterable[Entry]) -> frozenset[int]:
    """Return the places of what was asked for, was held back when it was to begin, and has not begun."""
    answers = {one.decision: one.kind for one in entries if one.kind in ("begun", "held")}
    return frozenset(decision for decision, kind in answers.items() if kind == "held")


def _attempt(entry: Entry) -> Attempt:
    return Attempt(
        number=entry.sequence,
        at=entry.at,
        cause=entry.cause,
        reason=entry.reason,
        champion=entry.champion,
        block=entry.block,
        since=entry.since,
        run=entry.run,
        outcome=Outcome(kind="asked", text=""),
    )


def _of_run(found: Iterable[Attempt], run: str, version: str) -> Attempt | None:
    """Return the newest attempt of a run that has this version ("": none yet)."""
    mine = [one for one in found if one.run == run and one.version == version]
    return mine[-1] if mine else None


def _outcome(attempt: Attempt, decided: Sequence[Recorded]) -> Outcome:
    version = attempt.version
    if version and version == attempt.champion:
        return Outcome(
            kind="did not help", text=f"did not help: the same model as champion {version}"
        )
    if version:
        return _of_version(version, decided)
    if not attempt.afforded:
        return Outcome(kind="not afforded", text=f"not afforded: {attempt.failure}")
    if attempt.failure:
        return Outcome(kind="failed", text=f"failed: {attempt.failure}")
    if attempt.run:
        return Outcome(kind="running", text="begun; no model came of it yet")
    return Outcome(kind="asked", text="asked for, and not begun yet")


def _of_version(version: str, decided: Sequence[Recorded]) -> Outcome:
    """Tell what was decided about a version."""
    about = [entry.decision for entry in decided if entry.decision.version == version]
    if any(decision.kind == "promoted" for decision in about):
        return _after_promotion(version, decided)
    judged = [decision for decision in about if decision.kind == "evaluated"]
    if not judged:
        return Outcome(kind="not judged", text=f"version {version}, not judged yet")
    if gates := [name for name, _ in NOT_PASSED.findall(judged[-1].reason)]:
        told = f"did not help: version {version} did not pass {', '.join(gates)}"
        return Outcome(kind="did not help", text=told)
    answers = [decision for decision in about if decision.kind in ("approved", "rejected")]
    if answers and answers[-1].kind == "rejected":
        told = f"refused by approver {answers[-1].actor}: version {version}"
        return Outcome(kind="refused", text=told)
    return Outcome(
        kind="awaits approval", text=f"version {version} passed, and is not promoted yet"
    )


def _after_promotion(version: str, decided: Sequence[Recorded]) -> Outcome:
    """Tell whether a promoted version was rolled back from since."""
    standing, back = "", False
    for entry in decided:
        if entry.decision.kind == "rolled_back":
            back = back or standing == version
        if entry.decision.kind in ("promoted", "rolled_back"):
            standing = entry.decision.version
            back = back and standing != version
    if back:
        told = f"version {version} was promoted, and rolled back from"
        return Outcome(kind="rolled back", text=told)
    return Outcome(kind="promoted", text=f"version {version} was promoted")
