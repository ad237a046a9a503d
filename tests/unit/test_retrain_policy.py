"""Retrain policy: a table of what is known, and of what is decided by it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from pipelines.domain.retrain_attempts import Attempt, Outcome, OutcomeKind
from pipelines.domain.retrain_policy import (
    Answer,
    Cause,
    Facts,
    budget_left,
    decide,
    given_up,
)
from pipelines.domain.retraining import CauseKind, Retraining

DECLARED = Retraining(
    on_harm=True, on_drift=True, on_labels=1000, cooldown=timedelta(days=10), per_quarter=2
)
HARM = Cause(kind="harm", reason="the loss rose", since="2026-03-01")
DRIFT = Cause(kind="drift", reason="miles are higher", since="2026-03-02")
LABELS = Cause(kind="labels", reason="1,200 labels became final")
BROKEN = "data is broken, incident 7: plan refused"


def day(number: int) -> datetime:
    return datetime(2026, 1, 1, 8, tzinfo=UTC) + timedelta(days=number)


NOW = day(90)


def tried(
    number: int,
    outcome: OutcomeKind,
    cause: CauseKind = "harm",
    *,
    champion: str = "3",
    begun: bool = True,
) -> Attempt:
    """Return an attempt of a day, whose newest block was that day's."""
    return Attempt(
        number=number,
        at=day(number),
        cause=cause,
        reason="",
        champion=champion,
        block=f"{day(number):%Y-%m-%d}",
        since="",
        run=f"run {number}" if begun else "",
        outcome=Outcome(kind=outcome, text=f"{outcome}!"),
    )


def facts(
    *causes: Cause,
    attempts: tuple[Attempt, ...] = (),
    obstacles: tuple[str, ...] = (),
    champion: str = "3",
) -> Facts:
    return Facts(
        as_of=NOW,
        champion=champion,
        block="2026-04-01",
        causes=causes,
        attempts=attempts,
        obstacles=obstacles,
    )


def said(answer: Answer) -> tuple[str, str, str]:
    """Return what is done, for which cause, and what holds it back."""
    return answer.action, answer.cause.kind if answer.cause else "", answer.why


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        (facts(), ("nothing", "", "")),
        (facts(HARM), ("train", "harm", "")),
        (facts(DRIFT, LABELS), ("train", "drift", "")),
        (facts(LABELS), ("train", "labels", "")),
        (facts(HARM, champion=""), ("nothing", "", "")),
        (facts(HARM, obstacles=(BROKEN,)), ("hold", "harm", "obstacle")),
        (facts(obstacles=(BROKEN,)), ("nothing", "", "")),
        # The cooldown counts from every training, whatever its cause and however it ended.
        (facts(HARM, attempts=(tried(81, "promoted", "schedule"),)), ("hold", "harm", "cooldown")),
        (facts(HARM, attempts=(tried(81, "failed", "by hand"),)), ("hold", "harm", "cooldown")),
        (facts(HARM, attempts=(tried(80, "promoted", "schedule"),)), ("train", "harm", "")),
        (facts(HARM, attempts=(tried(85, "asked", begun=False),)), ("hold", "harm", "cooldown")),
        # A monitoring may be late; what began long after its time was begun as of another year.
        (facts(HARM, attempts=(tried(99, "running", "by hand"),)), ("hold", "harm", "cooldown")),
        (facts(HARM, attempts=(tried(100, "running", "by hand"),)), ("train", "harm", "")),
        # The budget counts early trainings that began within 90 days, and no others.
        (
            facts(HARM, attempts=(tried(20, "promoted"), tried(40, "promoted", "drift"))),
            ("hold", "harm", "budget"),
        ),
        (facts(HARM, attempts=(tried(0, "promoted"), tried(40, "promoted"))), ("train", "harm", "")),
        (
            facts(HARM, attempts=(tried(20, "promoted", "schedule"), tried(40, "promoted"))),
            ("train", "harm", ""),
        ),
        (
            facts(HARM, attempts=(tried(20, "asked", begun=False), tried(40, "promoted"))),
            ("train", "harm", ""),
        ),
        # What the month's CPU seconds did not allow was no try: it is asked for again.
        (
            facts(HARM, attempts=(tried(61, "not afforded"), tried(72, "not afforded"))),
            ("train", "harm", ""),
        ),
        (facts(HARM, attempts=(tried(85, "not afforded"),)), ("hold", "harm", "cooldown")),
        # Given up is what trainings of the same cause, champion and episode did not mend.
        (
            facts(HARM, attempts=(tried(61, "did not help"), tried(72, "refused"))),
            ("hold", "harm", "gave_up"),
        ),
        (
            facts(HARM, attempts=(tried(61, "rolled back"), tried(72, "awaits approval"))),
            ("hold", "harm", "gave_up"),
        ),
        (
            facts(HARM, DRIFT, attempts=(tried(61, "failed"), tried(72, "running"))),
            ("hold", "harm", "gave_up"),
        ),
    ],
)  # fmt: skip
def test_the_same_facts_give_the_decision_of_the_table(
    known: Facts, expected: tuple[str, str, str]
) -> None:
    assert said(decide(known, DECLARED)) == expected


@pytest.mark.parametrize(
    "attempts",
    [
        (tried(61, "did not help"), tried(72, "did not help", "drift")),
        (tried(61, "did not help", champion="2"), tried(72, "did not help")),
        (tried(58, "did not help"), tried(72, "did not help")),  # before the block it began with
        (tried(61, "promoted"), tried(72, "did not help")),
        (tried(61, "asked", begun=False), tried(72, "did not help")),
    ],
)
def test_only_what_was_in_vain_against_the_same_cause_is_counted(
    attempts: tuple[Attempt, ...],
) -> None:
    generous = Retraining(on_harm=True, on_drift=True, cooldown=timedelta(days=10), per_quarter=9)
    assert said(decide(facts(HARM, attempts=attempts), generous)) == ("train", "harm", "")


def test_a_drift_that_is_given_up_on_leaves_the_others_their_tries() -> None:
    in_vain = (tried(61, "did not help", "drift"), tried(72, "did not help", "drift"))
    declared = Retraining(on_harm=True, on_drift=True, cooldown=timedelta(days=10), per_quarter=9)
    later = Cause(kind="drift", reason="fares are lower", since="2026-03-20")
    found = decide(facts(DRIFT, later, attempts=in_vain), declared)
    assert (said(found), found.reason) == (("train", "drift", ""), "fares are lower")
    both = (*in_vain, tried(79, "failed", "drift"), tried(80, "failed", "drift"))
    found = decide(facts(DRIFT, later, attempts=both), declared)
    assert said(found) == ("hold", "drift", "gave_up")
    assert "4 trainings for drift since block 2026-03-02" in found.reason
    harm = tuple(replace(one, cause="harm") for one in in_vain)
    assert said(decide(facts(HARM, later, attempts=harm), declared)) == ("hold", "harm", "gave_up")


def test_an_approval_that_may_still_come_is_not_in_vain() -> None:
    declared = Retraining(on_harm=True, cooldown=timedelta(days=20), per_quarter=9)
    waiting = (tried(61, "did not help"), tried(72, "awaits approval"))
    assert decide(facts(HARM, attempts=waiting), declared).why == "cooldown"


def test_new_labels_may_try_again_where_harm_is_given_up_on() -> None:
    in_vain = (tried(61, "did not help"), tried(72, "did not help"))
    declared = Retraining(on_harm=True, on_labels=1000, cooldown=timedelta(days=10), per_quarter=9)
    known = facts(HARM, LABELS, attempts=in_vain)
    assert said(decide(known, declared)) == ("train", "labels", "")
    assert given_up(known, declared).startswith("retraining did not help: 2 trainings for harm")


@pytest.mark.parametrize(
    ("declared", "cause"),
    [
        (Retraining(on_drift=True, on_labels=5), HARM),
        (Retraining(on_harm=True, on_labels=5), DRIFT),
        (Retraining(on_harm=True, on_drift=True), LABELS),
    ],
)
def test_a_cause_that_is_not_declared_starts_nothing(declared: Retraining, cause: Cause) -> None:
    assert said(decide(facts(cause), declared)) == ("nothing", "", "")


def test_what_holds_a_training_back_says_until_when_and_after_what() -> None:
    cooled = decide(facts(HARM, attempts=(tried(81, "did not help", "schedule"),)), DECLARED)
    assert cooled.describe() == (
        "no training for harm: cooldown until 2026-04-02 08:00 UTC, after the training of "
        "2026-03-23 (schedule; did not help!)"
    )
    spent = (tried(20, "promoted"), tried(40, "promoted"))
    assert decide(facts(HARM, attempts=spent), DECLARED).reason == (
        "budget spent: 2 of 2 early trainings in 90 days, the next from 2026-04-21 on"
    )
    assert decide(facts(HARM, obstacles=(BROKEN, "more")), DECLARED).reason == f"{BROKEN}; more"
    assert decide(facts(HARM), DECLARED).describe() == (
        "a training is asked for, harm: the loss rose"
    )


def test_the_budget_left_counts_90_days() -> None:
    early = [tried(0, "promoted"), tried(40, "promoted"), tried(50, "promoted", "by hand")]
    assert budget_left(early, DECLARED, NOW) == 1
    assert budget_left([], DECLARED, NOW) == 2
