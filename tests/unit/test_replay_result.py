"""Replay result: means with intervals, and policies held against the first one."""

from datetime import UTC, datetime, timedelta

from pipelines.cli.replay_tables import bars, figure
from pipelines.domain.replay_result import BlockLoss, Figure, PeriodResult, gain


def blocks(losses: list[float]) -> list[BlockLoss]:
    return [
        BlockLoss(block=f"2026-01-{day:02}", loss=loss, final=100)
        for day, loss in enumerate(losses, start=1)
    ]


def test_a_gain_is_the_first_ones_loss_less_the_others_on_the_same_blocks() -> None:
    first = blocks([0.5, 0.7] * 12)
    better = [
        BlockLoss(block=one.block, loss=one.loss - 0.1, final=100)
        for one in first
        if one.loss < 0.6
    ]
    found = gain(blocks([0.5] * 24), blocks([0.4, 0.3] * 12))
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    assert round(found.mean, 12) == 0.15
    assert found.low < 0.15 < found.high
    alone = gain(first, better)
    assert alone is not None
    assert round(alone.mean, 12) == 0.1  # blocks of both alone count


def test_too_few_blocks_have_a_mean_and_no_interval() -> None:
    assert Figure.of([], []) is None
    assert Figure.of([0.5], [10]) == Figure(mean=0.5, low=None, high=None)
    few = Figure.of([0.4, 0.6], [10, 30])
    assert few is not None
    assert (round(few.mean, 12), few.low) == (0.55, None)
    assert figure(few) == "0.5500 (too few)"


def test_a_mean_weighs_every_row_the_same() -> None:
    found = Figure.of([0.0, 1.0] * 12, [300, 100] * 12)
    assert found is not None
    assert round(found.mean, 12) == 0.25


def test_bars_show_every_period_on_one_scale() -> None:
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    periods = [
        PeriodResult(
            begin=begin + timedelta(days=7 * week),
            until=begin + timedelta(days=7 * week + 7),
            predictions=10,
            final=10,
            loss=loss,
            versions=("1",),
        )
        for week, loss in enumerate([0.0, None, 0.5, 1.0])
    ]
    assert bars(periods, (0.0, 1.0)) == "▁·▅█"
