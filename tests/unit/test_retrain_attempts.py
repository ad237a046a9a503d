"""Retrain attempts: what the two ledgers together tell of each training."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from pipelines.domain.decision import Decision, Kind, Recorded, chained
from pipelines.domain.retrain_attempts import Entry, EntryKind, attempts, held_back, waiting
from pipelines.domain.verdict import OUTCOMES, Outcome

START = datetime(2026, 3, 1, tzinfo=UTC)


def entry(
    sequence: int, kind: EntryKind, *, decision: int = 0, run: str = "", version: str = ""
) -> Entry:
    return Entry(
        use_case="parcels", kind=kind, at=START + timedelta(days=sequence), cause="harm",
        reason=f"told by {sequence}", champion="1", block="2026-03-01", decision=decision, run=run,
        version=version, sequence=sequence,
    )  # fmt: skip


def decided(*kinds: tuple[Kind, str, str]) -> list[Recorded]:
    """Return a chain of decisions (kind, version, reason)."""
    found: list[Recorded] = []
    for number, (kind, version, reason) in enumerate(kinds, start=1):
        decision = Decision(
            use_case="parcels", kind=kind, version=version, actor="alice", as_of=START,
            reason=reason, artifact_sha256="", evidence_digest="",
        )  # fmt: skip
        found.append(chained(number, decision, found[-1].digest if found else ""))
    return found


ASKED = entry(1, "asked")
BEGUN = entry(2, "begun", decision=1, run="a")
TRAINED = entry(3, "trained", run="a", version="2")

PASSED = ("evaluated", "2", "BeatsBaseline passed: by 0.1; BeatsChampion passed: by 0.2")
FAILED = ("evaluated", "2", "BeatsBaseline passed: by 0.1; BeatsChampion failed: no better; why")
FIRST: tuple[Kind, str, str] = ("promoted", "1", "")


@pytest.mark.parametrize(
    ("entries", "decisions", "expected"),
    [
        ([ASKED], [], ("asked", "asked for, and not begun yet")),
        ([ASKED, BEGUN], [], ("running", "begun; no model came of it yet")),
        ([ASKED, BEGUN, entry(3, "failed", run="a")], [], ("failed", "failed: told by 3")),
        (
            [ASKED, BEGUN, replace(entry(3, "failed", run="a"), why="costs")], [],
            ("not afforded", "not afforded: told by 3"),
        ),
        # Cleared when a new month had begun, it came further.
        (
            [ASKED, BEGUN, replace(entry(3, "failed", run="a"), why="costs"),
             entry(4, "failed", run="a")],
            [], ("failed", "failed: told by 4"),
        ),
        ([ASKED, BEGUN, TRAINED], [], ("not judged", "version 2, not judged yet")),
        (
            [ASKED, BEGUN, entry(3, "failed", run="a"), entry(4, "trained", run="a", version="2")],
            [], ("not judged", "version 2, not judged yet"),
        ),
        (
            [ASKED, BEGUN, TRAINED], [FAILED],
            ("did not help", "did not help: version 2 did not pass BeatsChampion"),
        ),
        (
            [ASKED, BEGUN, TRAINED], [PASSED],
            ("awaits approval", "version 2 passed, and is not promoted yet"),
        ),
        (
            [ASKED, BEGUN, TRAINED], [PASSED, ("rejected", "2", "no")],
            ("refused", "refused by approver alice: version 2"),
        ),
        (
            [ASKED, BEGUN, TRAINED], [FIRST, PASSED, ("promoted", "2", "")],
            ("promoted", "version 2 was promoted"),
        ),
        (
            [ASKED, BEGUN, TRAINED],
            [FIRST, PASSED, ("promoted", "2", ""), ("rolled_back", "1", "")],
            ("rolled back", "version 2 was promoted, and rolled back from"),
        ),
        (
            [ASKED, BEGUN, TRAINED],
            [FIRST, PASSED, ("promoted", "2", ""), ("promoted", "3", ""), ("rolled_back", "2", "")],
            ("promoted", "version 2 was promoted"),
        ),
        (
            [ASKED, BEGUN, entry(3, "trained", run="a", version="1")], [FIRST],
            ("did not help", "did not help: the same model as champion 1"),
        ),
    ],
)  # fmt: skip
def test_an_attempt_is_what_was_decided_of_its_model(
    entries: list[Entry], decisions: list[tuple[Kind, str, str]], expected: tuple[str, str]
) -> None:
    (found,) = attempts(entries, decided(*decisions))
    assert (found.outcome.kind, found.outcome.text) == expected
    assert (found.number, found.cause, found.reason) == (1, "harm", "told by 1")


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_each_verdict_of_the_ledger_is_read_as_it_is_written(outcome: Outcome) -> None:
    told = f"BeatsBaseline passed: failed: not; Fresh {outcome}: because"
    (found,) = attempts([ASKED, BEGUN, TRAINED], decided(("evaluated", "2", told)))
    helped = outcome in ("passed", "not_applicable")
    assert found.outcome.kind == ("awaits approval" if helped else "did not help")
    assert ("Fresh" in found.outcome.text) is not helped


def test_a_training_that_nobody_asked_the_ledger_for_is_an_attempt_of_its_own() -> None:
    by_hand = entry(4, "trained", run="cli", version="5")
    scheduled = entry(5, "begun", run="b")
    found = attempts([ASKED, BEGUN, TRAINED, by_hand, scheduled], [])
    assert [(one.number, one.run, one.version) for one in found] == [
        (1, "a", "2"),
        (4, "cli", "5"),
        (5, "b", ""),
    ]


def test_what_is_held_back_when_it_begins_was_no_attempt_and_waits_no_more() -> None:
    held = entry(2, "held", decision=1, run="a")
    assert attempts([ASKED, held], []) == []
    assert waiting([ASKED, held], as_of=START + timedelta(days=2), cooldown=timedelta(9)) is None


def test_what_was_held_back_and_begins_after_all_is_the_attempt_that_was_asked_for() -> None:
    held, begun = entry(2, "held", decision=1, run="a"), entry(3, "begun", decision=1, run="a")
    bare = replace(begun, champion="", block="", since="")
    (found,) = attempts([ASKED, held, bare], [])
    assert (found.number, found.run, found.champion, found.block) == (1, "a", "1", "2026-03-01")
    assert held_back([ASKED, held]) == {1}
    assert held_back([ASKED, held, begun]) == set()
    assert held_back([ASKED, BEGUN]) == set()


@pytest.mark.parametrize(("days", "waits"), [(0, False), (1, True), (9, True), (10, False)])
def test_a_training_waits_to_be_begun_until_the_cooldown_is_over(days: int, *, waits: bool) -> None:
    as_of = START + timedelta(days=days)
    found = waiting([ASKED], as_of=as_of, cooldown=timedelta(days=9))
    assert found == (ASKED if waits else None)
    assert waiting([ASKED, BEGUN], as_of=as_of, cooldown=timedelta(days=9)) is None
