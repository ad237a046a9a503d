"""Scoring times, daily and weekly, and their blocks over changes of the clock."""

from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.domain.scoring_times import WEEKDAYS, ScoringTimes, Weekday

NEW_YORK = "America/New_York"
ZONES = (NEW_YORK, "Europe/London", "Australia/Lord_Howe", "Asia/Tokyo", "America/Nuuk", "UTC")

FIVE = ScoringTimes(at=time(5), timezone=NEW_YORK)
MONDAYS = ScoringTimes(at=time(9), timezone="Europe/London", weekday="monday")
SUNDAYS = ScoringTimes(at=time(5), timezone=NEW_YORK, weekday="sunday")


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def told(moments: list[datetime]) -> list[str]:
    return [f"{moment:%m-%d %H:%M}" for moment in moments]


@pytest.mark.parametrize(
    ("times", "since", "until", "expected"),
    [
        (FIVE, "2013-03-09", "2013-03-12", ["03-09 10:00", "03-10 09:00", "03-11 09:00"]),
        (FIVE, "2013-11-02", "2013-11-05", ["11-02 09:00", "11-03 10:00", "11-04 10:00"]),
        (MONDAYS, "2026-03-20", "2026-04-07", ["03-23 09:00", "03-30 08:00", "04-06 08:00"]),
        (MONDAYS, "2026-10-12", "2026-10-27", ["10-12 08:00", "10-19 08:00", "10-26 09:00"]),
        (SUNDAYS, "2013-03-01", "2013-03-18", ["03-03 10:00", "03-10 09:00", "03-17 09:00"]),
        (SUNDAYS, "2013-10-25", "2013-11-11", ["10-27 09:00", "11-03 10:00", "11-10 10:00"]),
    ],
)
def test_the_local_hour_stays_when_the_clock_changes(
    times: ScoringTimes, since: str, until: str, expected: list[str]
) -> None:
    assert told(times.between(utc(since), utc(until))) == expected


@pytest.mark.parametrize(
    ("times", "opens", "hours"),
    [
        (FIVE, "2013-03-09T10:00", 23),
        (FIVE, "2013-11-02T09:00", 25),
        (MONDAYS, "2026-03-23T09:00", 7 * 24 - 1),
        (MONDAYS, "2026-10-19T08:00", 7 * 24 + 1),
        (MONDAYS, "2026-06-01T08:00", 7 * 24),
        (SUNDAYS, "2013-03-03T10:00", 7 * 24 - 1),
        (SUNDAYS, "2013-10-27T09:00", 7 * 24 + 1),
    ],
)
def test_the_block_over_a_change_of_the_clock_is_an_hour_shorter_or_longer(
    times: ScoringTimes, opens: str, hours: int
) -> None:
    assert times.after(utc(opens)) - utc(opens) == timedelta(hours=hours)


def test_an_hour_that_does_not_exist_or_comes_twice_gives_one_scoring_time() -> None:
    skipped, twice = (
        ScoringTimes(at=at, timezone=NEW_YORK, weekday="sunday")
        for at in (time(2, 30), time(1, 30))
    )
    spring, autumn = (utc("2013-03-10"), utc("2013-03-11")), (utc("2013-11-03"), utc("2013-11-04"))
    assert skipped.between(*spring) == [utc("2013-03-10T07:30")]
    assert twice.between(*autumn) == [utc("2013-11-03T05:30")]


def test_a_window_holds_its_first_moment_and_not_its_last() -> None:
    at = utc("2013-06-01T09:00")
    assert FIVE.between(at, at + timedelta(days=1)) == [at]
    assert FIVE.between(at, at) == []


def test_a_block_is_named_after_the_local_day_that_opens_it() -> None:
    assert FIVE.block_name(utc("2013-06-01T03:00")) == "2013-05-31"
    tokyo = ScoringTimes(at=time(5), timezone="Asia/Tokyo")
    assert tokyo.block_name(utc("2013-06-01T20:00")) == "2013-06-02"
    assert MONDAYS.block_name(utc("2026-06-01T08:00")) == "2026-06-01"


def test_the_first_block_from_a_moment_on_is_that_of_its_own_day_or_of_the_next_weekday() -> None:
    assert FIVE.first_block(utc("2013-06-01T23:00")) == "2013-06-01"
    assert MONDAYS.first_block(utc("2026-05-31T22:59")) == "2026-06-01"
    assert MONDAYS.first_block(utc("2026-06-01T20:00")) == "2026-06-01"
    assert MONDAYS.first_block(utc("2026-06-01T23:00")) == "2026-06-08"


def test_what_was_scored_on_another_day_ends_when_the_next_week_is_scored() -> None:
    wednesday = utc("2026-06-03T08:00")
    assert MONDAYS.after(wednesday) == utc("2026-06-08T08:00")


@pytest.mark.parametrize(
    ("times", "moment", "expected"),
    [
        (FIVE, "2013-06-01T09:00", "2013-06-01T09:00"),
        (FIVE, "2013-06-01T08:59", "2013-05-31T09:00"),
        (MONDAYS, "2026-06-01T08:00", "2026-06-01T08:00"),
        (MONDAYS, "2026-06-01T07:59", "2026-05-25T08:00"),
        # A week and 59 minutes after it, as the clock went back.
        (MONDAYS, "2026-10-26T08:59", "2026-10-19T08:00"),
    ],
)
def test_the_last_scoring_time_is_the_newest_that_has_come(
    times: ScoringTimes, moment: str, expected: str
) -> None:
    assert times.last(utc(moment)) == utc(expected)


def test_the_blocks_of_local_days_are_those_that_open_on_them() -> None:
    found = MONDAYS.blocks_of(date(2026, 3, 23), date(2026, 4, 5))
    assert [told(list(block)) for block in found] == [
        ["03-23 09:00", "03-30 08:00"],
        ["03-30 08:00", "04-06 08:00"],
    ]


@pytest.mark.parametrize(
    ("times", "cron", "words", "block"),
    [
        (FIVE, "0 5 * * *", "daily at 05:00 America/New_York", "day"),
        (MONDAYS, "0 9 * * 1", "every monday at 09:00 Europe/London", "week"),
        (SUNDAYS, "0 5 * * 0", "every sunday at 05:00 America/New_York", "week"),
    ],
)
def test_cron_and_words_say_the_same_times(
    times: ScoringTimes, cron: str, words: str, block: str
) -> None:
    assert (times.cron, times.describe(), times.block) == (cron, words, block)


@given(
    zone=st.sampled_from(ZONES),
    weekday=st.sampled_from((None, *WEEKDAYS)),
    at=st.times(timezones=st.none()).map(lambda t: t.replace(microsecond=0, second=0)),
    since=st.datetimes(datetime(2012, 1, 1), datetime(2026, 1, 1)),  # noqa: DTZ001 - made UTC below
    days=st.integers(1, 60),
)
@settings(deadline=None, max_examples=150)
def test_blocks_follow_each_other_without_gap_or_overlap(
    zone: str, weekday: Weekday | None, at: time, since: datetime, days: int
) -> None:
    times = ScoringTimes(at=at, timezone=zone, weekday=weekday)
    start = since.replace(tzinfo=UTC)
    blocks = times.blocks(start, start + timedelta(days=days))
    length = timedelta(days=1 if weekday is None else 7)
    two_hours = timedelta(hours=2)
    assert all(first[1] == second[0] for first, second in pairwise(blocks))
    assert all(start <= opens < start + timedelta(days=days) for opens, _ in blocks)
    assert all(abs(closes - opens - length) < two_hours for opens, closes in blocks)
    assert abs(len(blocks) - timedelta(days=days) / length) <= 1
    for opens, _ in blocks:
        local = opens.astimezone(ZoneInfo(zone))
        assert weekday in (None, WEEKDAYS[local.weekday()])
        assert times.block_name(opens) == local.date().isoformat()
        assert times.last(opens) == opens
        assert times.last(opens - timedelta(seconds=1)) < opens


def test_rows_are_named_by_the_blocks_of_their_own_moments_in_their_order() -> None:
    times = [utc("2013-03-10 09:00"), utc("2013-03-11 03:59"), utc("2013-03-11 09:00")]
    moments = [times[place] for place in (2, 0, 0, 1, 2)]
    column = pa.chunked_array([moments[:2], moments[2:]], pa.timestamp("us", tz="UTC"))
    assert FIVE.block_names(column) == [
        "2013-03-11", "2013-03-10", "2013-03-10", "2013-03-10", "2013-03-11",
    ]  # fmt: skip
    assert FIVE.block_names(column.slice(0, 0)) == []
