"""History: the decisions in words, and what was in production at a moment."""

import dataclasses
from typing import get_args

from pipelines.domain.decision import Kind, Recorded, chained
from pipelines.domain.history import TEXTS, production, timeline
from tests.unit.test_succession import BACK, TWO, day, ledger


def with_reasons(entries: list[Recorded], reasons: dict[int, tuple[str, str]]) -> list[Recorded]:
    """Return the entries with these actors and reasons, by sequence."""
    told: list[Recorded] = []
    for entry in entries:
        actor, reason = reasons.get(entry.sequence, ("gates", ""))
        decision = dataclasses.replace(entry.decision, actor=actor, reason=reason)
        told.append(chained(entry.sequence, decision, told[-1].digest if told else ""))
    return told


def test_every_kind_of_decision_has_words() -> None:
    assert set(TEXTS) == set(get_args(Kind))


def test_the_timeline_tells_each_decision_in_a_line_and_each_move_once() -> None:
    entries = with_reasons(
        ledger(("requested", "1"), *BACK, ("accepted", ""), ("promoting", "3")),
        {
            1: ("sam", "spring data"),
            8: ("olga", ""),
            9: ("olga", "late trains " + "x" * 200),
            11: ("ann", ""),
        },
    )
    assert [line.describe() for line in timeline(entries)] == [
        "   1  2026-05-01 00:00  sam asked for version 1: spring data",
        "   2  2026-05-02 00:00  gates judged version 1, evidence e1",
        "   4  2026-05-04 00:00  gates made version 1 the champion",
        "   5  2026-05-05 00:00  gates judged version 2, evidence e2",
        "   7  2026-05-07 00:00  gates made version 2 the champion after version 1",
        "   9  2026-05-09 00:00  olga rolled back to version 1, withdrawing version 2: late trains ...",
        "  10  2026-05-10 00:00  gates accepted the declaration e",
        "  11  2026-05-11 00:00  ann began to promote version 3, which was cut off",
    ]


def test_a_moment_has_the_champion_of_then_and_who_answered_for_it() -> None:
    entries = with_reasons(
        ledger(
            *TWO[:4], ("approved", "2"), *TWO[4:], ("frozen", "2"), ("rolling_back", "1"),
            ("rolled_back", "1"),
        ),
        {5: ("ann", "fine"), 7: ("ann", ""), 8: ("headframe", "other files"), 10: ("olga", "")},
    )  # fmt: skip
    said = {number: production("machines", entries, day(number)) for number in range(1, 11)}
    assert [found.version for found in said.values()] == ["", "", *["1"] * 4, *["2"] * 3, "1"]
    assert [found.approver for found in said.values()] == [*[""] * 6, *["ann"] * 3, ""]
    assert [found.stopped for found in said.values()] == [
        "",
        "version 1 was about to take over",
        *[""] * 3,
        "version 2 was about to take over",
        "",
        "it was frozen by headframe, other files",
        "version 1 was about to take over",
        "",
    ]


def test_the_answer_is_one_sentence() -> None:
    entries = with_reasons(ledger(*TWO), {6: ("ann", "")})
    found = dataclasses.replace(
        production("machines", entries, day(7)), data_versions={"silver.machines.plan": 50}
    )
    assert found.describe() == (
        "At 2026-05-07 00:00 UTC machines was served by version 2, champion since 2026-05-06 00:00 "
        "(promoted by ann), approved by its gates alone on evidence e2, artifact aa, trained on "
        "silver.machines.plan 50."
    )
    lost = dataclasses.replace(found, data_versions=None, lost="run 1: none")
    assert "trained on data that is no longer known (run 1: none)." in lost.describe()
    before = production("machines", entries, day(1))
    assert before.describe() == "At 2026-05-01 00:00 UTC machines had no champion."
