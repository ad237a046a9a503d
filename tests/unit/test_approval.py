"""Approval: who is asked, and why an answer does not count."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from pipelines.domain.approval import (
    Answered,
    Approval,
    Person,
    Terms,
    approvers,
    last_answer,
    nobody_left,
    problems_in_force,
    span,
)

ANN, SAM = Person(id="2", name="ann"), Person(id="3", name="sam")
AT = datetime(2026, 2, 20, 13, tzinfo=UTC)

TERMS = Terms(
    role="approver",
    holders=(ANN, SAM),
    roles_in="users.toml",
    requesters=frozenset({"sam"}),
    evidence_digest="a" * 64,
    expires=timedelta(days=7),
)
YES = Answered(
    approval=Approval(actor="ann", answer="approved", evidence_digest="a" * 64, reason="looked"),
    asked="a" * 64,
    actor_id="2",
    answered_at=AT,
    run_id="manual__1",
    asked_for_by="sam",
)


def found(answered: Answered, terms: Terms = TERMS, *, after: timedelta = timedelta()) -> list[str]:
    told = problems_in_force("approval", answered, terms, now=AT + after)
    return [f"{problem.expected}; {problem.found}" for problem in told]


def by(name: str, user_id: str) -> Answered:
    return replace(YES, approval=replace(YES.approval, actor=name), actor_id=user_id)


def test_an_answer_by_another_approver_to_this_evidence_counts() -> None:
    assert found(YES) == []


@pytest.mark.parametrize(
    ("answered", "expected"),
    [
        (by("sam", "3"), ["someone other than sam, who asked for the training; sam"]),
        (by("eve", "9"), ["a user with role 'approver' (ann, sam); eve"]),
        (
            by("ann", "9"),
            ["an answer by the present user ann; one by an earlier user of that name"],
        ),
        (
            replace(YES, approval=replace(YES.approval, evidence_digest="b" * 64)),
            ["an answer to the evidence aaaaaaaaaaaa; an answer to bbbbbbbbbbbb"],
        ),
    ],
)
def test_every_reason_against_an_answer_is_told(answered: Answered, expected: list[str]) -> None:
    assert found(answered) == expected


def test_all_reasons_are_told_at_once() -> None:
    stale = replace(by("eve", "9").approval, evidence_digest="b" * 64)
    terms = replace(TERMS, requesters=frozenset({"eve", "sam"}))
    assert len(found(replace(YES, approval=stale), terms, after=timedelta(days=8))) == 4


@pytest.mark.parametrize(
    ("after", "expires"), [(timedelta(days=7), False), (timedelta(days=7, seconds=1), True)]
)
def test_an_answer_expires(after: timedelta, *, expires: bool) -> None:
    told = [
        "an answer of the last 7 days; one of 2026-02-20 13:00 UTC, which has expired"
    ] * expires
    assert found(YES, after=after) == told


def test_who_asked_is_not_asked() -> None:
    assert approvers(TERMS) == (ANN,)


@pytest.mark.parametrize(
    ("holders", "requesters", "told"),
    [
        ((ANN,), {"ann"}, "no approver other than ann"),
        ((ANN, SAM), {"ann", "sam"}, "no approver other than ann and sam"),
        ((), {"ann"}, "nobody with that role"),
    ],
)
def test_nobody_left_is_told_by_name(
    holders: tuple[Person, ...], requesters: set[str], told: str
) -> None:
    terms = replace(TERMS, holders=holders, requesters=frozenset(requesters))
    assert approvers(terms) == ()
    assert nobody_left("approval", terms).found == told


def test_the_answer_given_last_is_the_one_that_counts() -> None:
    later = replace(YES, answered_at=AT + timedelta(seconds=1), run_id="manual__2")
    assert last_answer([later, YES]) == last_answer([YES, later]) == later
    assert last_answer([]) is None


def test_a_span_is_told_in_days_or_hours() -> None:
    assert [span(timedelta(days=7)), span(timedelta(hours=36)), span(timedelta(hours=2))] == [
        "7 days", "1.5 days", "2 hours",
    ]  # fmt: skip
