"""Replay words: what may be said of policies, local days, and a terminal of 80 columns."""

from dataclasses import replace
from datetime import timedelta
from io import StringIO

import pytest
from rich.console import Console

from pipelines.cli.replay_results import compared
from pipelines.cli.replay_tables import axis, bars, show
from pipelines.domain.replay_result import BlockLoss, PeriodResult, ReplayResult
from pipelines.domain.replay_words import comparisons, events, interval, notes, span, told, warnings
from tests.replays import SINCE, WEEK, alarm, blocks, held, policy, result, training

UP_AND_DOWN = [0.5, 0.7] * 15

NOISE = [0.02, -0.02, 0.01, -0.01, 0.0] * 6
"""A difference that is none: by turns, and 0 in the mean."""


def shown(found: ReplayResult, width: int) -> list[str]:
    written = StringIO()
    show(Console(file=written, width=width), found)
    return written.getvalue().splitlines()


def against(losses: list[float]) -> ReplayResult:
    """Return a replay of a policy with these losses against one that goes up and down."""
    return result(compared([policy("never", UP_AND_DOWN), policy("weekly", losses)]))


@pytest.mark.parametrize(
    ("losses", "answer", "sentence"),
    [
        (
            [one - 0.1 + noise for one, noise in zip(UP_AND_DOWN, NOISE, strict=True)], "better",
            "weekly is better than never: its mean log loss is 0.1000 nats lower (95 % interval "
            "0.0946 to 0.1054).",
        ),
        (
            [one + 0.1 + noise for one, noise in zip(UP_AND_DOWN, NOISE, strict=True)], "worse",
            "weekly is worse than never: its mean log loss is 0.1000 nats higher (95 % interval "
            "0.0946 to 0.1054).",
        ),
        (
            [one + noise for one, noise in zip(UP_AND_DOWN, NOISE, strict=True)], "not told apart",
            "weekly and never are not told apart: the gain is +0.0000 nats, and its 95 % interval, "
            "-0.0054 to +0.0054, holds 0. They may differ by as much as it allows.",
        ),
        (
            UP_AND_DOWN, "same", "weekly and never have the same loss on every block.",
        ),
        (
            [one + 0.3 for one in UP_AND_DOWN[:9]], "not tested",
            "weekly against never: not tested. 9 blocks that count as 9 independent ones are too few "
            "for an interval, which needs 20; the gain measured is -0.3000 nats.",
        ),
        (
            [], "not tested", "weekly against never: not tested, since no block has a loss of both.",
        ),
    ],
)  # fmt: skip
def test_too_few_not_told_apart_and_better_are_three_answers(
    losses: list[float], answer: str, sentence: str
) -> None:
    (found,) = comparisons(against(losses))
    assert (found.policy, found.answer) == ("weekly", answer)
    assert found.sentence == sentence


def test_a_policy_alone_is_compared_with_none() -> None:
    assert comparisons(result([policy("declared", UP_AND_DOWN)])) == []


def test_an_interval_that_there_is_not_is_named() -> None:
    few = policy("never", [0.5, 0.6]).loss
    assert (interval(few), interval(None)) == ("too few blocks", "")


def test_days_are_those_that_were_asked_for() -> None:
    found = result([policy("never", [0.5])])
    assert f"{found.since:%Y-%m-%d}" == "2026-03-29"  # in UTC
    assert span(found) == "2026-03-30 until 2026-05-01 (Europe/Berlin)"
    assert told(found, SINCE + timedelta(hours=5)) == "2026-03-30 05:00"
    assert [one.when for one in events(found, found.policies[0])] == ["2026-04-01", "2026-04-08"]


def test_what_was_held_back_again_and_again_is_one_event_in_the_last_ones_words() -> None:
    own = replace(
        policy("weekly", [0.5]),
        trainings=(training(3, "did not help"), training(20)),
        held=(held(5, "plan, 1 day"), held(12, "plan, 8 days"), held(26, "plan, 22 days")),
    )
    found = [(one.when, one.kind, one.outcome) for one in events(result([own]), own)]
    assert found == [
        ("2026-04-02", "trained", "did not help"),
        ("2026-04-04 to 2026-04-11", "held", "held back 2 times, the last: plan, 8 days"),
        ("2026-04-19", "promoted", "version 2 was promoted"),
        ("2026-04-25", "held", "held back: plan, 22 days"),
    ]


def test_notes_tell_what_a_loss_leaves_out_and_that_intervals_hold_at_once() -> None:
    one = replace(policy("weekly", UP_AND_DOWN), too_few=3)
    others = [replace(one, policy=name) for name in ("monthly", "declared")]
    found = notes(result([policy("never", UP_AND_DOWN), one, *others]))
    assert "The intervals of all 3 gains hold at once in 95 of 100 cases." in found
    assert (
        "Blocks with too few final labels are no part of the loss: "
        "3 of weekly, 3 of monthly, 3 of declared." in found
    )


def test_a_reader_is_warned_of_what_the_loop_remarked_and_that_silver_has_moved_on() -> None:
    moved_on = (
        "Silver has moved on since this replay began (silver.machines.plan): --fresh reads it"
    )
    found = result(
        [policy("never", [0.5])], stale=("silver.machines.plan",), remarks=("Ends early.",)
    )
    assert warnings(found) == ["Ends early.", f"{moved_on} as it is now."]
    lines = " ".join(shown(found, 80))
    assert "Ends early. Silver has moved on" in lines
    assert warnings(result([policy("never", [0.5])])) == []


def year() -> ReplayResult:
    """Return four policies over 39 weeks, with all that a terminal has to find room for."""
    own = replace(
        policy("never", UP_AND_DOWN, [0.45 + week / 100 for week in range(39)]),
        predictions=1_234_567,
        refused=3,
        trainings=(training(9, "did not help: version 3 did not pass [red]BeatsBaseline[/red]"),),
        held=tuple(held(day, "data is broken: " + "plan " * 60) for day in range(20, 60, 7)),
        alarms=(alarm("2026-04-02", "2026-04-05", "PAGE"),),
    )
    others = [
        replace(own, policy=name, blocks=blocks([one + 0.1 for one in UP_AND_DOWN]))
        for name in ("weekly", "monthly", "declared")
    ]
    until = SINCE + 39 * WEEK
    return result(compared([own, *others]), stale=("silver.machines.plan",), until=until)


@pytest.mark.parametrize("width", [80, 120])
def test_every_line_of_the_terminal_fits_and_no_bar_or_figure_is_cut(width: int) -> None:
    lines = shown(year(), width)
    assert [line for line in lines if len(line) > width or "…" in line[:40]] == []
    drawn = [line for line in lines if line.startswith("monthly") and "▄" in line]
    assert [len(line.split()[1]) for line in drawn] == [39 if width == 80 else 78]
    (days,) = (line for line in lines if "╵" in line)
    assert days.split()[:: 1 if width == 80 else 2] == [
        "╵2026-03-30",
        "╵2026-06-22",
        "╵2026-09-14",
        "╵2026-12-07",
    ]
    assert days.index("╵") == drawn[0].index("▁")
    figures = [line.split() for line in lines if line.startswith("weekly") and "to" in line.split()]
    assert figures[0][2:5] == ["0.5620", "to", "0.6380"]
    assert figures[0][5:] == ["-0.1000", "-0.1000", "to", "-0.1000"]
    assert any("[red]BeatsBaseline[/red]" in line for line in lines)
    assert any("1,234,567" in line for line in lines)


def test_bars_that_do_not_fit_go_on_in_further_lines() -> None:
    losses: list[float | None] = [0.4, 0.5] * 50
    lines = shown(result([policy("never", [0.5], losses)]), 80)
    drawn = [line.split()[1] for line in lines if line.startswith("never") and "▁" in line]
    assert [len(one) for one in drawn] == [73, 27]
    assert sum(line.count("╵") for line in lines) == 9


def test_a_replay_without_a_loss_says_so() -> None:
    lines = shown(result([policy("never", [], [None, None])]), 80)
    assert "No period has a loss: its final labels are too few." in lines


def test_bars_show_every_period_on_one_scale() -> None:
    periods: tuple[PeriodResult, ...] = policy("never", [], [0.0, None, 0.5, 1.0]).periods
    assert bars(periods, (0.0, 1.0), 1) == "▁·▅█"
    assert bars(periods, (0.0, 1.0), 3) == "▁▁▁···▅▅▅███"


def test_days_below_the_bars_stand_below_their_own() -> None:
    days = [f"2026-03-{day:02}" for day in range(1, 27)]
    assert axis(days, 1, 26) == "╵2026-03-01 ╵2026-03-13"
    assert axis(days[:5], 1, 80) == "╵2026-03-01"
    # Of bars of five columns every third has its day.
    assert axis(days[:7], 5, 41) == "╵2026-03-01    ╵2026-03-04    ╵2026-03-07"
    assert axis(days[:7], 5, 40) == "╵2026-03-01    ╵2026-03-04"


def test_a_block_that_only_one_policy_has_is_no_difference() -> None:
    more = (*blocks(UP_AND_DOWN), BlockLoss(block="2026-06-01", loss=9.0, final=100))
    two = replace(policy("weekly", UP_AND_DOWN), blocks=more)
    (found,) = comparisons(result(compared([policy("never", UP_AND_DOWN), two])))
    assert found.answer == "same"
