"""Probation: looks and their levels, what labels say, who is on probation, how often it is wrong."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from benchmarks.gates_worlds import WORLDS, World
from pipelines.domain.decision import Decision, Kind, Recorded, chained
from pipelines.domain.on_probation import (
    ACTOR,
    ProbationResult,
    declared_reason,
    last_result,
    looked_reason,
    on_probation,
    opponent,
)
from pipelines.domain.probation import Probation
from pipelines.domain.probation_verdict import (
    PairedBlock,
    ProbationVerdict,
    judge,
    paired_blocks,
)

RULE = Probation(blocks=14, look_every=7, confidence=0.95, loss="log_loss")
AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def blocks(increases: Sequence[float | None], rows: int = 100) -> list[PairedBlock]:
    return [
        PairedBlock(
            block=f"2026-03-{day:02}",
            rows=rows if increase is not None else 3,
            champion=None if increase is None else 0.4 + increase,
            shadow=None if increase is None else 0.4,
        )
        for day, increase in enumerate(increases, start=1)
    ]


def judged(increases: Sequence[float | None], rule: Probation = RULE) -> ProbationVerdict:
    return judge(rule, blocks(increases), against="1", unit="nats")


WORSE_WEEK = [0.11, 0.09, 0.1, 0.12, 0.1, 0.08, 0.1]
SAME_WEEK = [0.1, -0.1, 0.05, -0.05, 0.02, -0.02, 0.0]


def test_the_level_of_all_looks_is_the_declared_one_and_grows_from_look_to_look() -> None:
    for rule in (RULE, Probation(blocks=91, confidence=0.9), Probation(blocks=20, look_every=9)):
        level = 1 - rule.confidence
        for look in rule.looks:
            spent = sum(1 - bound.confidence for bound in rule.bounds if bound.look <= look)
            assert spent == pytest.approx(level * (look / rule.blocks) ** 2)
        assert rule.looks[-1] == rule.blocks
    assert [(bound.look, bound.first) for bound in Probation(blocks=20, look_every=9).bounds] == [
        (9, 0), (18, 0), (18, 9), (20, 0), (20, 11),
    ]  # fmt: skip
    assert Probation(blocks=20, look_every=9).looks == (9, 18, 20)
    assert Probation(blocks=7, look_every=7).looks == (7,)


def test_before_the_first_look_nothing_is_said_however_bad_it_looks() -> None:
    found = judged([0.5] * 6)
    assert found.outcome == "waiting"
    assert found.reason == (
        "Not compared with version 1 yet: the labels of 6 of 14 blocks are final, and the first look"
        " is at 7."
    )


def test_a_champion_that_is_worse_is_found_at_the_first_look() -> None:
    found = judged(WORSE_WEEK)
    # By hand: mean 0.1, spread 0.012910; Student's t of 6 degrees at 1 - 0.05 / 4 is 2.968687.
    by_scipy = stats.ttest_1samp(WORSE_WEEK, 0.0).confidence_interval(1 - 2 * 0.0125).low
    assert found.outcome == "worse"
    assert found.figures["at_least"] == pytest.approx(by_scipy)
    assert found.figures["increase"] == pytest.approx(0.1)
    assert found.reason.startswith(
        "On final labels the champion's mean log_loss is above that of version 1 by 0.1 nats over 7"
        " blocks; at 0.9875 confidence the increase is at least 0.08"
    )
    assert found.reason.endswith(", which is above 0.")


def test_what_is_within_the_tolerance_is_not_worse() -> None:
    tolerant = Probation(blocks=14, look_every=7, tolerance=0.2, loss="log_loss")
    assert judged([*WORSE_WEEK, *WORSE_WEEK], tolerant).outcome == "no_worse"
    assert judged([*WORSE_WEEK, *WORSE_WEEK]).outcome == "worse"


def test_between_two_looks_the_last_one_stands() -> None:
    one_week = judged(SAME_WEEK)
    later = judged([*SAME_WEEK, 0.9, 0.9, 0.9])
    assert (one_week.outcome, later.outcome) == ("waiting", "waiting")
    assert later.figures == one_week.figures
    assert later.reason.endswith("4 of 14 blocks are waited for.")


def test_a_champion_that_only_turns_bad_in_the_second_week_is_found_at_the_second_look() -> None:
    found = judged([*[0.01, -0.01, 0.0, 0.01, -0.01, 0.0, 0.005], *[0.3 + x for x in WORSE_WEEK]])
    assert (found.outcome, found.figures["look"], found.figures["first"]) == ("worse", 14, 7)
    assert "over the newest 7 blocks; at 0.9812 confidence" in found.reason


def test_a_champion_that_is_no_worse_has_passed_once_every_block_is_final() -> None:
    found = judged([*SAME_WEEK, *SAME_WEEK])
    assert found.outcome == "no_worse"
    assert found.figures["confidence"] == pytest.approx(0.98125)
    assert found.figures["measured"] == 14
    assert found.figures["at_least"] < 0 < found.figures["at_most"]


def test_blocks_without_enough_labels_are_too_few_and_never_a_pass() -> None:
    few: list[float | None] = [0.5, 0.4, 0.6, 0.5] + [None] * 10
    found = judged(few)
    assert found.outcome == "too_few"
    assert found.reason == (
        "Not tested: of 14 blocks 4 were scored by the champion and by version 1 and have enough"
        " final labels, worth 4 independent ones; 5 are needed."
    )
    assert judged(few[:7]).outcome == "waiting"
    assert judged([None] * 14).outcome == "too_few"


def test_the_loss_of_a_block_is_that_of_rows_that_both_scored_and_whose_label_is_final() -> None:
    rows = pa.table(
        {
            "id": [1, 2, 3, 4],
            "block": ["b", "b", "a", "b"],
            "champion": [0.9, 0.5, 0.5, 0.25],
            "shadow": [0.5, 0.5, 0.9, 0.5],
        }
    )
    states = pa.table(
        {
            "id": [1, 2, 3, 5],
            "state": ["final", "pending", "final", "final"],
            "value": [True, None, False, True],
        }
    )
    found = paired_blocks(
        rows, states, key=["id"], blocks=["a", "b", "c"], loss="brier", minimum_labels=1
    )
    # Row 2 is pending, row 4 has no label, and entity 5 was not scored.
    assert [(one.block, one.rows) for one in found] == [("a", 1), ("b", 1), ("c", 0)]
    assert [one.champion for one in found] == [pytest.approx(0.25), pytest.approx(0.01), None]
    assert [one.shadow for one in found] == [pytest.approx(0.81), pytest.approx(0.25), None]
    few = paired_blocks(rows, states, key=["id"], blocks=["a"], loss="brier", minimum_labels=2)
    assert few == [PairedBlock(block="a", rows=1, champion=None, shadow=None)]
    none = paired_blocks(None, states, key=["id"], blocks=["a"], loss="brier", minimum_labels=1)
    assert none == [PairedBlock(block="a", rows=0, champion=None, shadow=None)]


def test_numbers_are_compared_by_a_loss_of_numbers() -> None:
    rows = pa.table(
        {"id": [1, 2], "block": ["a", "a"], "champion": [5.0, 8.0], "shadow": [7.0, 9.0]}
    )
    states = pa.table({"id": [1, 2], "state": ["final", "final"], "value": [7.0, 7.0]})
    (found,) = paired_blocks(
        rows, states, key=["id"], blocks=["a"], loss="absolute_error", minimum_labels=1
    )
    assert (found.champion, found.shadow) == (1.5, 1.0)


def ledger(*steps: tuple[str, str] | tuple[str, str, str]) -> list[Recorded]:
    """Return a ledger of (kind, version) or (kind, version, actor or, of a declaration, against)."""
    entries: list[Recorded] = []
    for place, (kind, version, *more) in enumerate(steps, start=1):
        declares = kind == "probation_declared"
        decision = Decision(
            use_case="shop",
            kind=kind,  # type: ignore[arg-type]  # a literal of the tests
            version=version,
            actor="gates" if declares or not more else more[0],
            as_of=AT,
            reason=declared_reason(more[0], RULE, minimum_labels=30) if declares else "",
            artifact_sha256="a",
            evidence_digest="e",
        )
        entries.append(chained(place, decision, entries[-1].digest if entries else ""))
    return entries


FIRST = (("promoting", "1"), ("promoted", "1"))
SECOND = (("probation_declared", "2", "1"), ("promoting", "2"), ("promoted", "2"))
BACK = (("rolling_back", "1", ACTOR), ("rolled_back", "1", ACTOR))


@pytest.mark.parametrize(
    ("entries", "version", "against", "next_against"),
    [
        ((), None, None, None),
        (FIRST, None, None, "1"),
        ((*FIRST, *SECOND[:2]), None, None, "1"),
        ((*FIRST, *SECOND), "2", "1", "1"),
        # The champion was promoted again, by a run that found it there already.
        ((*FIRST, *SECOND, ("promoting", "3"), ("undone", "3")), "2", "1", "1"),
        ((*FIRST, *SECOND, ("probation_passed", "2")), None, None, "2"),
        ((*FIRST, *SECOND, ("probation_untested", "2")), None, None, "2"),
        ((*FIRST, *SECOND, *BACK), None, None, "1"),
        ((*FIRST, *SECOND, BACK[0]), "2", "1", "1"),
        # Promoted without a declaration: by an earlier release, or where none is declared.
        ((*FIRST, *SECOND[1:]), None, None, "2"),
        # Declared for an earlier try of it, before another version was promoted.
        (
            (*FIRST, SECOND[0], ("promoting", "3"), ("promoted", "3"), *SECOND[1:]),
            None, None, "2",
        ),
        # A promotion during the probation begins another, against the one that stood its time.
        (
            (*FIRST, *SECOND, ("probation_declared", "3", "1"), ("promoting", "3"), ("promoted", "3")),
            "3", "1", "1",
        ),
        (
            (
                *FIRST, *SECOND, ("probation_passed", "2"),
                ("probation_declared", "3", "2"), ("promoting", "3"), ("promoted", "3"),
            ),
            "3", "2", "2",
        ),
        # A person rolls back to one that never stood its time: it vouches for nobody either.
        (
            (
                *FIRST, *SECOND,
                ("probation_declared", "3", "1"), ("promoting", "3"), ("promoted", "3"),
                ("rolling_back", "2", "op"), ("rolled_back", "2", "op"),
            ),
            None, None, "1",
        ),
    ],
)  # fmt: skip
def test_who_is_on_probation_is_what_the_ledger_says(
    entries: tuple[tuple[str, str]], version: str | None, against: str | None, next_against: str
) -> None:
    told = ledger(*entries)
    found = on_probation(told)
    assert (found and found.version, found and found.against) == (version, against)
    assert opponent(told) == next_against
    if found is not None:
        assert (found.rule, found.minimum_labels) == (RULE, 30)


def test_a_probation_that_an_earlier_release_declared_names_no_number_of_labels() -> None:
    told = ledger(*FIRST, *SECOND)
    old = replace(told[2].decision, reason=f"against=1 {RULE.as_text()}")
    found = on_probation([*told[:2], chained(3, old, ""), *told[3:]])
    assert found is not None
    assert (found.against, found.rule, found.minimum_labels) == ("1", RULE, None)


def test_the_blocks_of_the_last_look_are_those_of_the_present_reign() -> None:
    seven = [f"2026-03-{day:02}" for day in range(2, 9)]
    told = ledger(*FIRST, *SECOND, ("probation_looked", "2"), ("probation_looked", "3"))
    entries = [
        replace(
            entry, decision=replace(entry.decision, reason=looked_reason(seven, "Nothing, yet."))
        )
        if entry.sequence == 6
        else entry
        for entry in told
    ]
    found = on_probation(entries)
    assert found is not None
    assert found.looked == tuple(seven)


def test_a_look_that_found_nothing_is_not_asked_again() -> None:
    found = blocks([*WORSE_WEEK, 0.1, 0.1])
    again = judge(RULE, found, against="1", unit="nats", looked=7)
    assert again.outcome == "waiting"
    assert judge(RULE, found, against="1", unit="nats").outcome == "worse"
    week = [0.01, -0.01, 0.0, 0.01, -0.01, 0.0, 0.005]
    last = judge(RULE, blocks([*WORSE_WEEK, *week]), against="1", unit="nats", looked=7)
    assert (last.outcome, last.figures["look"]) == ("no_worse", 14)


def result(outcome: str, kind: Kind, entries: list[Recorded], champion: str) -> ProbationResult:
    (decision,) = (entry.decision for entry in entries if entry.decision.kind == kind)
    return ProbationResult(
        outcome=outcome,  # type: ignore[arg-type]  # a literal of the tests
        version="2",
        against="1",
        decision=decision,
    )


def test_how_the_last_probation_ended_is_told_until_the_champion_moves_again() -> None:
    passed = ledger(*FIRST, *SECOND, ("probation_passed", "2"))
    untested = ledger(*FIRST, *SECOND, ("probation_untested", "2"))
    back = ledger(*FIRST, *SECOND, *BACK)
    assert last_result(passed) == result("passed", "probation_passed", passed, "2")
    assert last_result(untested) == result("untested", "probation_untested", untested, "2")
    assert last_result(back) == result("rolled_back", "rolled_back", back, "1")
    by_hand = ledger(*FIRST, *SECOND, ("rolling_back", "1", "op"), ("rolled_back", "1", "op"))
    third = (("promoting", "3"), ("promoted", "3"))
    for entries in (
        ledger(),
        ledger(*FIRST, *SECOND),
        by_hand,
        ledger(*FIRST, *SECOND, *BACK, *third),
    ):
        assert last_result(entries) is None


def found_worse(
    world: World,
    *,
    worse: float,
    runs: int,
    seed: int,
    mirrored: bool = False,
    blocks: int = 14,
    since: int = 0,
) -> tuple[float, float]:
    """Return the shares of runs rolled back at all, and at the first look.

    ``worse`` is in standard deviations of a day, from block number ``since`` on. In a world of bad
    days they are the champion's, or (``mirrored``) those of the version before it.
    """
    rule = Probation(blocks=blocks, look_every=7, loss="log_loss")
    days, rows = world.sample(np.random.default_rng(seed), runs, blocks)
    increases = (days if mirrored else -days) + worse * (np.arange(blocks) >= since)
    outcomes = []
    for increase, count in zip(increases, rows, strict=True):
        paired = [
            PairedBlock(block=str(day), rows=int(n), champion=10.0 + value, shadow=10.0)
            for day, (value, n) in enumerate(zip(increase, count, strict=True))
        ]
        verdict = judge(rule, paired, against="1", unit="nats")
        outcomes.append((verdict.outcome == "worse", verdict.figures["look"]))
    every = sum(is_worse for is_worse, _ in outcomes) / runs
    return every, sum(is_worse and look == 7 for is_worse, look in outcomes) / runs


BANDS = {
    "independent days": (0.05, 0.05),
    "days of unequal size": (0.05, 0.05),
    "days of very unequal size": (0.05, 0.05),
    "autocorrelation 0.2": (0.05, 0.05),
    "autocorrelation 0.3, unequal size": (0.05, 0.05),
    "autocorrelation 0.5": (0.08, 0.08),
    "autocorrelation 0.7": (0.12, 0.12),
    "weekdays": (0.05, 0.05),
    "heavy tails": (0.05, 0.05),
    "bad days": (0.02, 0.09),
    "rare bad days": (0.02, 0.14),
    "extreme bad days": (0.02, 0.16),
    "spells of bad days": (0.02, 0.16),
}
"""Most champions that are no worse and are rolled back, of 14 blocks: where bad days are the
champion's, and where they are those of the version before it."""

MISSED = 0.001
"""Chance that a cell whose true share is the band's edge leaves it."""


def at_most(share: float, runs: int) -> float:
    return float(stats.binom.ppf(1 - MISSED, runs, share)) / runs


def at_least(share: float, runs: int) -> float:
    return float(stats.binom.ppf(MISSED, runs, share)) / runs


def test_the_bands_are_about_every_world() -> None:
    assert set(BANDS) == {world.name for world in WORLDS}


@pytest.mark.parametrize("name", ["independent days", "autocorrelation 0.5"])
def test_few_champions_that_are_no_worse_are_rolled_back(name: str) -> None:
    (world,) = (one for one in WORLDS if one.name == name)
    share, _ = found_worse(world, worse=0.0, runs=150, seed=11)
    assert share <= at_most(BANDS[name][0], 150)


def test_most_champions_that_are_worse_by_a_days_spread_are_rolled_back() -> None:
    share, _ = found_worse(WORLDS[0], worse=1.0, runs=100, seed=12)
    assert share >= at_least(0.78, 100)


def test_most_champions_that_turn_bad_half_way_are_rolled_back() -> None:
    share, first = found_worse(WORLDS[0], worse=4.0, runs=100, seed=15, since=7)
    assert share >= at_least(0.8, 100)
    assert first <= at_most(0.0125, 100)


@pytest.mark.prove
@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.name)
def test_no_world_leaves_the_declared_level_in_500_runs(world: World) -> None:
    for mirrored, share in zip((False, True), BANDS[world.name], strict=True):
        found, _ = found_worse(world, worse=0.0, runs=500, seed=13, mirrored=mirrored)
        assert found <= at_most(share, 500), (mirrored, found)


@pytest.mark.prove
@pytest.mark.parametrize(
    ("number", "worse", "blocks", "share", "first"),
    [
        # World, days' spreads by which it is worse, blocks; rolled back at least, at the first look.
        (0, 0.6, 14, 0.40, 0.08),
        (0, 1.0, 14, 0.78, 0.20),
        (0, 2.0, 14, 0.97, 0.60),
        (0, 0.6, 28, 0.70, 0.02),
        (0, 1.0, 28, 0.97, 0.06),
        (3, 1.0, 14, 0.67, 0.20),
        (3, 2.0, 14, 0.94, 0.52),
        (5, 2.0, 14, 0.80, 0.39),
    ],
)
def test_worse_champions_are_found_as_often_as_the_docs_say(
    number: int, worse: float, blocks: int, share: float, first: float
) -> None:
    found, at_once = found_worse(WORLDS[number], worse=worse, runs=500, seed=14, blocks=blocks)
    assert found >= at_least(share, 500)
    assert at_once >= at_least(first, 500)


@pytest.mark.prove
@pytest.mark.parametrize(("worse", "share"), [(1.0, 0.37), (2.0, 0.70), (4.0, 0.81)])
def test_champions_that_turn_bad_half_way_are_found_as_often_as_the_docs_say(
    worse: float, share: float
) -> None:
    found, _ = found_worse(WORLDS[0], worse=worse, runs=500, seed=16, since=7)
    assert found >= at_least(share, 500)
