"""Approval: whose answer to which evidence lets a challenger become the champion."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from pipelines.errors import Problem

TASK = "approve"
"""The task of the train DAG that asks."""

EVIDENCE = "evidence"
"""Field of the question's form that holds the evidence digest: fixed when it is asked."""

REASON = "why"
"""Field of the question's form in which the approver says what decided it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Someone who can log in to Airflow. ``id`` is Airflow's own; ``mail`` may be empty."""

    id: str
    name: str
    mail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """A person's answer to one evidence digest."""

    actor: str
    answer: Literal["approved", "rejected"]
    evidence_digest: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """An answer as Airflow keeps it: given by whom, when (UTC), to the question of which run.

    ``asked`` is the digest of the evidence that the question showed.
    """

    approval: Approval
    asked: str
    actor_id: str
    answered_at: datetime
    run_id: str
    asked_for_by: str
    """The user who started that run; empty when it started itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What an answer is held against: who may give it, to what, and until when."""

    role: str
    holders: tuple[Person, ...]
    """Everyone who has the role now."""
    roles_in: str
    """Where people get roles, for a person to read."""
    requesters: frozenset[str]
    """Names of those who asked for the training."""
    evidence_digest: str
    expires: timedelta
    """How long after it was given an answer counts."""


def approvers(terms: Terms) -> tuple[Person, ...]:
    """Return who has the role and did not ask for the training; may be empty."""
    return tuple(person for person in terms.holders if person.name not in terms.requesters)


def nobody_left(where: str, terms: Terms) -> Problem:
    """Return the problem of a question that nobody may answer."""
    asked = _and(terms.requesters)
    return Problem(
        where=where,
        expected=f"a user with role {terms.role!r} who did not ask for the training",
        found=f"no approver other than {asked}" if terms.holders else "nobody with that role",
        fix=f"Give the role to a second person in {terms.roles_in}, and clear the task {TASK}.",
    )


def last_answer(answers: Iterable[Answered]) -> Answered | None:
    """Return the answer that was given last; None without any."""
    return max(answers, key=lambda answer: (answer.answered_at, answer.run_id), default=None)


def problems(where: str, approval: Approval, terms: Terms) -> list[Problem]:
    """Return every reason for which an answer does not count, however recent it is."""
    found = []
    names = [person.name for person in terms.holders]
    if approval.actor not in names:
        expected = f"a user with role {terms.role!r} ({', '.join(names) or 'none'})"
        fix = f"Give the role in {terms.roles_in}, or ask one who has it."
        found.append(Problem(where=where, expected=expected, found=approval.actor, fix=fix))
    if approval.actor in terms.requesters:
        found.append(
            Problem(
                where=where,
                expected=f"someone other than {_and(terms.requesters)}, who asked for the training",
                found=approval.actor,
                fix="A second person decides: ask another approver.",
            )
        )
    if approval.evidence_digest != terms.evidence_digest:
        found.append(
            Problem(
                where=where,
                expected=f"an answer to the evidence {terms.evidence_digest[:12]}",
                found=f"an answer to {approval.evidence_digest[:12] or 'none'}",
                fix="Look at the present evidence and answer again.",
            )
        )
    return found


def problems_in_force(
    where: str, answered: Answered, terms: Terms, *, now: datetime
) -> list[Problem]:
    """Return every reason for which an answer in Airflow does not promote at ``now`` (UTC)."""
    found = problems(where, answered.approval, terms)
    ids = {person.id for person in terms.holders if person.name == answered.approval.actor}
    if ids and answered.actor_id not in ids:
        found.append(
            Problem(
                where=where,
                expected=f"an answer by the present user {answered.approval.actor}",
                found="one by an earlier user of that name",
                fix="Start the training again, and answer it.",
            )
        )
    if now - answered.answered_at > terms.expires:
        found.append(
            Problem(
                where=where,
                expected=f"an answer of the last {span(terms.expires)}",
                found=f"one of {answered.answered_at:%Y-%m-%d %H:%M} UTC, which has expired",
                fix="Start the training again, and answer its question.",
            )
        )
    return found


def span(length: timedelta) -> str:
    """Return a length of time in days, below one in hours, for a person to read."""
    days = length / timedelta(days=1)
    return f"{days:g} days" if days >= 1 else f"{length / timedelta(hours=1):g} hours"


def _and(names: Collection[str]) -> str:
    return " and ".join(sorted(names))
