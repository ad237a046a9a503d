"""Replay result: means with intervals, what ledgers amount to, and policies held against the first."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipelines.cli.replay_results import compared
from pipelines.domain.decision import Decision, Kind, Recorded, chained
from pipelines.domain.drift.drift_result import DriftResult
from pipelines.domain.drift.severity import Alarm, Level
from pipelines.domain.monitored import HARM, Judged
from pipelines.domain.replay_ledgers import alarms, held_back, trainings
from pipelines.domain.replay_result import Figure, HeldResult, gain
from pipelines.domain.retrain_attempts import Entry, EntryKind
from tests.replays import blocks, policy, result

DOCUMENTED = Path(__file__).parents[2] / "docs" / "replay.md"


def test_a_gain_is_the_first_ones_loss_less_the_others_on_the_same_blocks() -> None:
    first = blocks([0.5, 0.7] * 12)
    better = [replace(one, loss=one.loss - 0.1) for one in first if one.loss < 0.6]
    found = gain(blocks([0.5] * 24), blocks([0.4, 0.3] * 12))
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    assert round(found.mean, 12) == 0.15
    assert found.low < 0.15 < found.high
    alone = gain(first, better)
    assert alone is not None
    assert (round(alone.mean, 12), alone.blocks) == (0.1, 12)  # blocks of both alone count
    assert gain(first, []) is None


def test_too_few_blocks_have_a_mean_and_no_interval() -> None:
    assert Figure.of([], []) is None
    assert Figure.of([0.5], [10]) == Figure(mean=0.5, low=None, high=None, blocks=1, effective=1.0)
    few = Figure.of([0.4, 0.6], [10, 30])
    assert few is not None
    assert (round(few.mean, 12), few.low, few.high) == (0.55, None, None)
    assert (few.blocks, round(few.effective, 2)) == (2, 1.6)


def test_many_blocks_that_follow_each_other_are_too_few_and_say_what_they_are_worth() -> None:
    found = Figure.of([0.5] * 16 + [0.9] * 16, [40] * 32)
    assert found is not None
    assert (found.low, found.blocks) == (None, 32)
    assert round(found.effective) == 7


def test_a_mean_weighs_every_row_the_same() -> None:
    found = Figure.of([0.0, 1.0] * 12, [300, 100] * 12)
    assert found is not None
    assert round(found.mean, 12) == 0.25


def test_gains_of_three_policies_are_told_with_wider_intervals_than_that_of_one() -> None:
    never, other = policy("never", [0.5, 0.6] * 12), policy("weekly", [0.4, 0.52] * 12)
    (_, alone), (_, one, *_) = (
        compared([never, other]),
        compared(
            [never, other, replace(other, policy="monthly"), replace(other, policy="declared")]
        ),
    )
    assert alone.gain is not None
    assert one.gain is not None
    assert alone.gain.mean == one.gain.mean
    # t quantiles with 23 degrees of freedom at 1 - 0.025 and 1 - 0.025 / 3 (R: qt).
    assert alone.gain.low is not None
    assert one.gain.low is not None
    ratio = (one.gain.mean - one.gain.low) / (alone.gain.mean - alone.gain.low)
    assert round(ratio, 3) == round(2.5824 / 2.0687, 3)


def judged(day: int, level: Level | None, reason: str = "") -> Judged:
    result = DriftResult(
        test=HARM,
        outcome="quiet" if level is None else "drifted",
        reason=reason,
        window_blocks=7,
        reference_blocks=30,
    )
    alarm = None if level is None else Alarm(level=level, test=HARM, reason=reason, shifts=())
    block = date(2026, 3, day).isoformat()
    return Judged(name=HARM, block=block, result=result, alarm=alarm)


def test_an_alarm_is_as_severe_as_it_ever_was_and_gives_that_reason() -> None:
    told = [
        judged(1, "WARN", "began"), judged(2, "PAGE", "worse"), judged(3, None),
        judged(4, "WARN", "still"), judged(20, "WARN", "again"),
    ]  # fmt: skip
    found = [(one.block, one.last, one.level, one.reason) for one in alarms(told, "day")]
    assert found == [
        ("2026-03-01", "2026-03-04", "PAGE", "worse"),
        ("2026-03-20", "2026-03-20", "WARN", "again"),
    ]


START = datetime(2026, 3, 1, tzinfo=UTC)


def entry(
    day: int, kind: EntryKind, *, run: str = "", version: str = "", decision: int = 0
) -> Entry:
    held = kind == "held"
    return Entry(
        use_case="machines", kind=kind, at=START + timedelta(days=day), cause="schedule",
        reason="data is broken" if held else "", why="obstacle" if held else "", run=run,
        version=version, decision=decision, sequence=day + 1,
    )  # fmt: skip


def decided(*told: str) -> list[Recorded]:
    """Return a chain of promotions, and of ways back."""
    found: list[Recorded] = []
    for number, one in enumerate(told, start=1):
        kind: Kind = "rolled_back" if one.startswith("back") else "promoted"
        decision = Decision(
            use_case="machines", kind=kind, version=one.split()[-1], actor="replay", as_of=START,
            reason="", artifact_sha256="", evidence_digest="",
        )  # fmt: skip
        found.append(chained(number, decision, found[-1].digest if found else ""))
    return found


ENTRIES = [
    entry(0, "begun", run="first"), entry(0, "trained", run="first", version="1"),
    entry(7, "held", run="a"),
    entry(14, "begun", run="b"), entry(15, "trained", run="b", version="2"),
    # The controller did not ask; and what it asked for was held back when it was to begin.
    entry(20, "held"),
    entry(21, "asked"), entry(22, "held", run="c", decision=22),
    # Held back, and begun when it was tried again.
    entry(28, "held", run="d"), entry(29, "begun", run="d"),
]  # fmt: skip


def test_a_training_that_was_held_back_and_never_began_is_told_with_its_reason() -> None:
    held = [
        HeldResult(
            at=START + timedelta(days=day),
            cause="schedule",
            why="obstacle",
            reason="data is broken",
        )
        for day in (7, 20, 22)
    ]
    assert held_back(ENTRIES) == tuple(held)
    began = [(one.at.day, one.version, one.promoted) for one in trainings(ENTRIES, decided("2"))]
    assert began == [(15, "2", True), (30, "", False)]


def test_a_promotion_that_was_rolled_back_from_is_told_as_such() -> None:
    for kinds, expected in ((["1", "2"], (True, False)), (["1", "2", "back to 1"], (True, True))):
        (first, _) = trainings(ENTRIES, decided(*kinds))
        assert (first.promoted, first.rolled_back) == expected


def test_a_result_as_plain_values_has_a_format_and_nothing_of_this_machine() -> None:
    plain = result([policy("never", [0.5]), policy("weekly", [0.4])]).as_plain()
    assert plain["format"] == 1
    assert plain["since"] == "2026-03-29T22:00:00+00:00"
    assert plain["policies"][0]["periods"][0]["versions"] == ["1"]
    assert "folder" not in plain


def fields(plain: Any) -> set[str]:  # noqa: ANN401 - plain values
    if isinstance(plain, list):
        return {name for one in plain for name in fields(one)}
    if not isinstance(plain, dict):
        return set()
    own = {name for name in plain if name not in ("train", "score", "silver.machines.plan")}
    return own | {name for one in plain.values() for name in fields(one)}


def test_every_field_of_the_plain_values_is_documented() -> None:
    one = policy("never", [0.5] * 30)
    other = replace(policy("weekly", [0.4] * 30), gain=one.loss)
    documented = DOCUMENTED.read_text("utf-8").split("## The fields of `--json`")[1]
    missing = {
        name for name in fields(result([one, other]).as_plain()) if f"`{name}`" not in documented
    }
    assert not missing


@pytest.mark.parametrize("level", ["WARN", "PAGE"])
def test_alarms_are_counted_by_their_worst_severity(level: Level) -> None:
    own = alarms([judged(1, "WARN"), judged(2, level)], "day")
    one = replace(policy("never", [0.5]), alarms=own)
    assert (one.alarms_of("PAGE"), one.alarms_of("WARN")) == ((1, 0) if level == "PAGE" else (0, 1))
