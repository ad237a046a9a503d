"""Replay page: what is drawn where, what is said, and that nothing that tables hold becomes HTML."""

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest

from pipelines.adapters.reports.replay_chart import MARGIN, Span, chart, path
from pipelines.adapters.reports.replay_page import WIDTHS, render
from pipelines.adapters.reports.svg_charts import Scale
from pipelines.cli.replay_results import compared
from tests.replays import DAY, SINCE, alarm, policy, result, training

BY_WEEK = [0.4, 0.5, None, 0.6, 0.7]


def test_losses_are_drawn_by_time_in_the_middle_of_their_periods() -> None:
    periods = list(policy("never", [], BY_WEEK).periods)
    # The last period is cut: four days instead of seven.
    periods[-1] = replace(periods[-1], until=SINCE + 32 * DAY)
    span = Span(since=SINCE, until=SINCE + 32 * DAY, plot=320)
    scale = Scale(low=0.0, high=1.0, width=320, height=100)
    assert path(periods, span, scale) == "M35 60L105 50M245 40L300 30"
    assert path(periods[:3] + periods[4:], span, scale) == "M35 60L105 50M298 30h4"


def test_trainings_and_alarms_are_drawn_at_their_local_days() -> None:
    own = replace(
        policy("never", [], BY_WEEK),
        trainings=(training(8), training(16, "version 3 was promoted, and rolled back from")),
        held=(),
        alarms=(alarm("2026-04-02", "2026-04-05", "PAGE"), alarm("2026-04-30", "2026-05-03")),
    )
    found = chart(result([own]), 320 + MARGIN)
    assert found is not None
    marks = [(one.x, one.width, one.kind) for one in found.lanes[0].marks]
    # 30 March is 0, and a day ten units; what stands beyond the end is drawn up to it.
    assert marks == [
        (30.0, 40.0, "PAGE"), (310.0, 10.0, "WARN"), (80.0, 0.0, "promoted"), (160.0, 0.0, "back"),
    ]  # fmt: skip


@pytest.mark.parametrize("width", WIDTHS.values())
def test_dates_are_a_few_and_lie_beside_each_other_within_the_drawing(width: int) -> None:
    long = result([policy("never", [], [0.5] * 39)], until=SINCE + 39 * timedelta(days=7))
    found = chart(long, width)
    assert found is not None
    places = [x for x, _ in found.dates]
    assert 3 <= len(places) <= 12
    assert min(two - one for one, two in pairwise(places)) >= 66
    assert max(places) <= found.plot
    assert found.dates[0] == (0.0, "2026-03-30")


def page(losses: list[float]) -> str:
    return render(result(compared([policy("never", [0.5, 0.7] * 15), policy("weekly", losses)])))


def test_the_page_takes_too_few_blocks_for_no_difference() -> None:
    told = page([0.8, 0.9, 1.1])
    assert "weekly against never: not tested. 3 blocks that count as" in told
    assert "as good as any" not in told
    assert "<small>too few blocks</small>" in told


def test_the_page_says_in_bold_only_what_is_shown() -> None:
    assert "<b>weekly is better than never: its mean log loss is 0.1000 nats lower" in page(
        [0.4, 0.6] * 15
    )
    assert "<li>weekly and never have the same loss on every block.</li>" in page([0.5, 0.7] * 15)


def test_the_page_tells_local_days_what_was_held_back_and_that_silver_has_moved_on() -> None:
    told = render(result([policy("never", [0.5])], stale=("silver.machines.plan",)))
    assert "2026-03-30 until 2026-05-01 (Europe/Berlin)" in told
    assert "2026-03-29" not in told
    assert "held back: data is broken: plan" in told
    assert "Silver has moved on since this replay began (silver.machines.plan)" in told


def test_a_page_without_a_loss_a_training_or_an_alarm_says_so() -> None:
    bare = replace(policy("never", [], [None]), trainings=(), held=(), alarms=())
    told = render(result([bare]))
    assert "No period has a loss: its labels are too few." in told
    assert told.count(">None.<") == 2
    assert '<svg class="losses' not in told


def test_what_tables_hold_is_text_and_no_html() -> None:
    bad = "<script>alert(1)</script>"
    own = replace(
        policy("never", [0.5], BY_WEEK),
        trainings=(training(2, bad),),
        alarms=(alarm("2026-04-02", "2026-04-05", reason=bad),),
    )
    told = render(result([own]))
    assert "<script" not in told
    assert "&lt;script&gt;" in told
    assert "http" not in told.replace("http-equiv", "")
