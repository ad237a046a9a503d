"""Succession: who was champion when, by what the decisions ledger says."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from pipelines.domain.decision import (
    Anchor,
    Decision,
    Kind,
    Recorded,
    chained,
    first_break,
    rewritten,
)
from pipelines.domain.succession import Succession, succession


def day(number: int) -> datetime:
    return datetime(2026, 5, number, tzinfo=UTC)


def ledger(*told: tuple[Kind, str]) -> list[Recorded]:
    """Return a ledger of one entry a day, from the first of May on."""
    entries: list[Recorded] = []
    for number, (kind, version) in enumerate(told, start=1):
        decision = Decision(
            use_case="machines",
            kind=kind,
            version=version,
            actor="ann",
            as_of=day(number),
            reason="",
            artifact_sha256="aa",
            evidence_digest=f"e{version}",
        )
        entries.append(chained(number, decision, entries[-1].digest if entries else ""))
    return entries


def told(*decisions: tuple[Kind, str]) -> Succession:
    return succession(ledger(*decisions))


ONE: tuple[tuple[Kind, str], ...] = (("evaluated", "1"), ("promoting", "1"), ("promoted", "1"))
TWO: tuple[tuple[Kind, str], ...] = (
    *ONE, ("evaluated", "2"), ("promoting", "2"), ("promoted", "2"),
)  # fmt: skip
BACK: tuple[tuple[Kind, str], ...] = (*TWO, ("rolling_back", "1"), ("rolled_back", "1"))


def versions(found: Succession) -> tuple[str, str, str]:
    """Return champion, champion before and unfinished version; empty for none."""
    now, before, cut = found.champion, found.before, found.unfinished
    return (
        now.version if now else "",
        before.version if before else "",
        cut.version if cut else "",
    )


@pytest.mark.parametrize(
    ("decisions", "expected"),
    [
        ((), ("", "", "")),
        (ONE[:1], ("", "", "")),
        (ONE[:2], ("", "", "1")),
        (ONE, ("1", "", "")),
        (TWO[:5], ("1", "", "2")),
        (TWO, ("2", "1", "")),
        ((*TWO[:5], ("undone", "2")), ("1", "", "")),
        ((*TWO[:5], ("promoted", "1")), ("1", "", "")),
        (BACK[:7], ("2", "1", "1")),
        (BACK, ("1", "", "")),
        ((*BACK, ("promoting", "3"), ("promoted", "3")), ("3", "1", "")),
        ((*BACK[:7], ("undone", "1")), ("2", "1", "")),
        ((*TWO, ("accepted", ""), ("requested", "3"), ("rejected", "3")), ("2", "1", "")),
        ((*TWO, ("frozen", "2")), ("2", "1", "")),
        ((*TWO, ("promoting", "3"), ("frozen", "2")), ("2", "1", "3")),
        ((*ONE, ("frozen", "1"), ("retired", "1")), ("", "", "")),
        ((*ONE, ("retired", "1"), ("promoting", "2"), ("promoted", "2")), ("2", "", "")),
        ((*ONE, ("retired", "1"), ("promoting", "1"), ("promoted", "1")), ("1", "", "")),
    ],
)
def test_a_ledger_says_who_is_champion_who_was_before_and_what_was_cut_off(
    decisions: tuple[tuple[Kind, str], ...], expected: tuple[str, str, str]
) -> None:
    assert versions(told(*decisions)) == expected


THREE: tuple[tuple[Kind, str], ...] = (
    *ONE, ("probation_declared", "2"), *TWO[4:], ("probation_declared", "3"),
)  # fmt: skip


@pytest.mark.parametrize(
    ("ended", "before"),
    [
        ((), "1"),
        ((("probation_passed", "2"),), "2"),
        ((("probation_untested", "2"),), "2"),
    ],
)
def test_one_step_back_leads_to_the_last_version_that_stood_its_time(
    ended: tuple[tuple[Kind, str], ...], before: str
) -> None:
    declared, promoted = THREE[:-1], (*THREE[-1:], ("promoting", "3"), ("promoted", "3"))
    found = told(*declared, *ended, *promoted)
    assert versions(found) == ("3", before, "")


def test_a_champion_is_frozen_until_it_is_repaired_or_replaced() -> None:
    frozen = (*TWO, ("frozen", "2"))
    assert told(*frozen).frozen is not None
    assert told(*frozen, ("repaired", "2")).frozen is None
    assert told(*frozen, ("promoting", "3")).frozen is not None
    assert told(*frozen, ("promoting", "3"), ("promoted", "3")).frozen is None
    assert told(*frozen, ("rolling_back", "1"), ("rolled_back", "1")).frozen is None


def test_a_version_rolled_back_from_is_withdrawn_until_it_is_judged_on_other_evidence() -> None:
    entries = ledger(*BACK, ("evaluated", "2"))
    assert list(succession(entries).withdrawn) == ["2"], "the same evidence again is no news"
    other = replace(entries[-1].decision, evidence_digest="e2 again")
    anew = [*entries, chained(len(entries) + 1, other, entries[-1].digest)]
    assert succession(anew).withdrawn == {}


def test_a_retired_version_is_withdrawn_and_its_reign_is_over() -> None:
    found = told(*TWO, ("frozen", "2"), ("retired", "2"))
    assert (found.champion, found.frozen, list(found.withdrawn)) == (None, None, ["2"])
    ended = found.reigns[-1].ended
    assert ended is not None
    assert ended.sequence == 8


def test_a_reign_lasts_until_the_next_one_begins() -> None:
    found = told(*BACK).reigns
    assert [(reign.version, reign.began.sequence) for reign in found] == [
        ("1", 3), ("2", 6), ("1", 8),
    ]  # fmt: skip
    assert [reign.ended.sequence if reign.ended else None for reign in found] == [6, 8, None]


def test_promoting_the_standing_champion_again_begins_no_reign() -> None:
    found = told(*ONE, ("promoted", "1"))
    assert [reign.began.sequence for reign in found.reigns] == [3]


def test_the_first_break_of_a_chain_is_named() -> None:
    entries = ledger(*TWO)
    assert first_break(entries, appended=6) is None
    changed = replace(entries[3], decision=replace(entries[3].decision, actor="eve"))
    found = first_break([*entries[:3], changed, *entries[4:]], appended=6)
    assert found is not None
    assert (found.sequence, found.found) == (
        4, "an entry that was changed, removed or added by hand",
    )  # fmt: skip
    cut = first_break(entries[:4], appended=6)
    assert cut is not None
    assert (cut.sequence, cut.found) == (5, "4 of the 6 entries that were appended")


@pytest.mark.parametrize("entries", [[], ledger(*ONE)])
def test_an_anchor_that_no_ledger_has_is_a_break_of_the_first_entry(
    entries: list[Recorded],
) -> None:
    found = rewritten(entries, [Anchor(0, "ff")])
    assert found is not None
    assert (found.sequence, found.found) == (1, "number 0 published, which no ledger has")


def test_a_chain_made_anew_is_whole_and_only_what_was_published_tells() -> None:
    entries = ledger(*TWO)
    anchors = [Anchor(entry.sequence, entry.digest) for entry in (entries[4], entries[2])]
    forged = succession_of_another(entries)
    assert first_break(forged, appended=6) is None
    assert rewritten(entries, anchors) is None
    found = rewritten(forged, anchors)
    assert found is not None
    assert found.sequence == 3
    short = rewritten(entries[:4], anchors)
    assert short is not None
    assert (short.sequence, short.found) == (5, "4 entries, though number 5 was published")


def succession_of_another(entries: list[Recorded]) -> list[Recorded]:
    """Return the same ledger with another first actor, every digest computed again."""
    forged: list[Recorded] = []
    for entry in entries:
        actor = "eve" if entry.sequence == 1 else entry.decision.actor
        decision = replace(entry.decision, actor=actor)
        forged.append(chained(entry.sequence, decision, forged[-1].digest if forged else ""))
    return forged
