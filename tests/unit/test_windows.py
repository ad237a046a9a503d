"""The forward-time split, over changes of the clock."""

from datetime import UTC, datetime, time, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.domain.scoring_times import ScoringTimes
from pipelines.domain.windows import ForwardTime, forward_split

NEW_YORK = "America/New_York"
ZONES = (NEW_YORK, "Europe/Berlin", "Australia/Lord_Howe", "Asia/Tokyo", "America/Nuuk", "UTC")


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def daily(
    count: int, zone: str = "UTC", first: str = "2013-10-20T00:00"
) -> list[tuple[datetime, datetime]]:
    times = ScoringTimes(at=time(5), timezone=zone)
    return times.blocks(utc(first), utc(first) + timedelta(days=count))


def test_the_gap_leaves_out_blocks_whose_labels_are_open_when_the_test_begins() -> None:
    split = forward_split(daily(20), ForwardTime(test_days=5), gap=timedelta(hours=72))
    starts = [start for start, _ in daily(20)]
    assert split.held_out == tuple(starts[-5:])
    assert split.training == tuple(starts[:12])  # 13, 14 and 15 of 20 are in the gap


def test_without_a_gap_nothing_is_left_out() -> None:
    split = forward_split(daily(20), ForwardTime(test_days=5), gap=timedelta(0))
    assert len(split.training) == 15


def test_too_short_a_past_leaves_training_or_both_parts_empty() -> None:
    rule = ForwardTime(test_days=5)
    assert forward_split(daily(5), rule, gap=timedelta(0)).training == ()
    assert forward_split(daily(3), rule, gap=timedelta(0)).held_out == tuple(
        start for start, _ in daily(3)
    )
    assert forward_split([], rule, gap=timedelta(0)).held_out == ()


@given(
    count=st.integers(0, 40),
    test_days=st.integers(1, 30),
    gap_minutes=st.integers(0, 6 * 24 * 60),
    zone=st.sampled_from(ZONES),
)
@settings(deadline=None, max_examples=150)
def test_every_training_label_is_final_when_the_first_held_out_block_opens(
    *, count: int, test_days: int, gap_minutes: int, zone: str
) -> None:
    blocks = daily(count, zone)  # the clock changes among them
    gap = timedelta(minutes=gap_minutes)
    split = forward_split(blocks[::-1], ForwardTime(test_days=test_days), gap=gap)
    ends = dict(blocks)
    assert list(split.held_out) == [start for start, _ in blocks][-test_days:]
    assert not set(split.training) & set(split.held_out)
    for start, end in blocks:
        final = bool(split.held_out) and end + gap <= split.held_out[0]
        assert (start in split.training) == final
    assert all(ends[start] + gap <= split.held_out[0] for start in split.training)


def test_a_weekly_use_case_holds_out_weeks_and_leaves_out_those_with_open_labels() -> None:
    mondays = ScoringTimes(at=time(9), timezone="Europe/London", weekday="monday")
    blocks = mondays.blocks(utc("2026-01-01T00:00"), utc("2026-06-01T00:00"))
    split = forward_split(blocks, ForwardTime(test_days=4), gap=timedelta(days=8))
    names = [mondays.block_name(start) for start in split.held_out]
    assert names == ["2026-05-04", "2026-05-11", "2026-05-18", "2026-05-25"]
    # The week before ends when the first held-out one opens, and its labels 8 days later.
    assert mondays.block_name(split.training[-1]) == "2026-04-13"
    assert len(split.training) == 15
