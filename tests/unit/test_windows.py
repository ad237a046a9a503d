"""Scoring times and their blocks over changes of the clock, and the forward-time split."""

from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.domain.windows import (
    ForwardTime,
    block_name,
    forward_split,
    next_scoring_time,
    scoring_blocks,
    scoring_times,
)

NEW_YORK = "America/New_York"
ZONES = (NEW_YORK, "Europe/Berlin", "Australia/Lord_Howe", "Asia/Tokyo", "America/Nuuk", "UTC")


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_the_local_hour_stays_when_the_clock_changes() -> None:
    spring = scoring_times(
        time(5), NEW_YORK, since=utc("2013-03-09T00:00"), until=utc("2013-03-12T00:00")
    )
    autumn = scoring_times(
        time(5), NEW_YORK, since=utc("2013-11-02T00:00"), until=utc("2013-11-05T00:00")
    )
    assert spring == [utc("2013-03-09T10:00"), utc("2013-03-10T09:00"), utc("2013-03-11T09:00")]
    assert autumn == [utc("2013-11-02T09:00"), utc("2013-11-03T10:00"), utc("2013-11-04T10:00")]


def test_the_block_over_a_change_of_the_clock_has_23_or_25_hours() -> None:
    spring, autumn = utc("2013-03-09T10:00"), utc("2013-11-02T09:00")
    assert next_scoring_time(spring, time(5), NEW_YORK) - spring == timedelta(hours=23)
    assert next_scoring_time(autumn, time(5), NEW_YORK) - autumn == timedelta(hours=25)


def test_an_hour_that_does_not_exist_or_comes_twice_gives_one_scoring_time() -> None:
    skipped = scoring_times(
        time(2, 30), NEW_YORK, since=utc("2013-03-10T00:00"), until=utc("2013-03-11T00:00")
    )
    twice = scoring_times(
        time(1, 30), NEW_YORK, since=utc("2013-11-03T00:00"), until=utc("2013-11-04T00:00")
    )
    assert skipped == [utc("2013-03-10T07:30")]
    assert twice == [utc("2013-11-03T05:30")]


def test_a_window_holds_its_first_moment_and_not_its_last() -> None:
    at = utc("2013-06-01T09:00")
    assert scoring_times(time(5), NEW_YORK, since=at, until=at + timedelta(days=1)) == [at]
    assert scoring_times(time(5), NEW_YORK, since=at, until=at) == []


def test_a_block_is_named_after_its_local_day() -> None:
    assert block_name(utc("2013-06-01T03:00"), NEW_YORK) == "2013-05-31"
    assert block_name(utc("2013-06-01T20:00"), "Asia/Tokyo") == "2013-06-02"


@given(
    zone=st.sampled_from(ZONES),
    at=st.times(timezones=st.none()).map(lambda t: t.replace(microsecond=0, second=0)),
    since=st.datetimes(datetime(2012, 1, 1), datetime(2026, 1, 1)),  # noqa: DTZ001 - made UTC below
    days=st.integers(1, 40),
)
@settings(deadline=None, max_examples=150)
def test_blocks_follow_each_other_without_gap_or_overlap(
    zone: str, at: time, since: datetime, days: int
) -> None:
    start = since.replace(tzinfo=UTC)
    blocks = scoring_blocks(at, zone, since=start, until=start + timedelta(days=days))
    assert all(first[1] == second[0] for first, second in pairwise(blocks))
    assert all(start <= opens < start + timedelta(days=days) for opens, _ in blocks)
    assert all(
        timedelta(hours=22) < closes - opens < timedelta(hours=26) for opens, closes in blocks
    )
    assert abs(len(blocks) - days) <= 1


def daily(
    count: int, zone: str = "UTC", first: str = "2013-10-20T00:00"
) -> list[tuple[datetime, datetime]]:
    return scoring_blocks(time(5), zone, since=utc(first), until=utc(first) + timedelta(days=count))


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


def test_the_zone_of_a_scoring_time_is_the_declared_one() -> None:
    (moment,) = scoring_times(
        time(5), "Asia/Tokyo", since=utc("2026-02-01T00:00"), until=utc("2026-02-02T00:00")
    )
    assert moment.astimezone(ZoneInfo("Asia/Tokyo")).time() == time(5)
