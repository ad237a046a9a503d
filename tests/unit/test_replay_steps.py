"""Replay steps: what is done over a stretch of history, in which order."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from pipelines.domain.replay_steps import EVERY, Every, periods, retraining_of, steps
from pipelines.domain.retraining import Retraining

LONG = timedelta(days=31)


def day(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-{text}T00:00+00:00")


def told(since: str, until: str, *, schedule: str | None, longest: timedelta = LONG) -> list[str]:
    spans = periods(day(since), day(until), "week", "UTC")
    found = steps(spans, schedule=schedule, settled_at=day("04-01"), longest=longest)
    return [f"{one.kind} {one.at:%m-%d}" for one in found]


def test_a_week_is_scored_and_then_monitored() -> None:
    assert told("02-02", "02-16", schedule=None) == [
        "first 02-02",
        "score 02-09",
        "monitor 02-09",
        "score 02-16",
        "monitor 02-16",
        "settle 04-01",
    ]


def test_a_training_on_schedule_cuts_a_week_in_two() -> None:
    assert told("02-23", "03-05", schedule="@monthly") == [
        "first 02-23",
        "score 03-01",
        "train 03-01",
        "score 03-02",
        "monitor 03-02",
        "score 03-05",
        "monitor 03-05",
        "settle 04-01",
    ]


def test_a_schedule_does_not_train_again_at_the_very_beginning() -> None:
    assert told("03-01", "03-08", schedule="@monthly") == [
        "first 03-01",
        "score 03-08",
        "monitor 03-08",
        "settle 04-01",
    ]


def test_a_training_at_the_end_of_a_week_comes_after_its_monitoring() -> None:
    found = told("02-22", "03-08", schedule="@monthly")
    assert found[2:5] == ["monitor 03-01", "train 03-01", "score 03-08"]


def test_nothing_longer_than_late_data_is_looked_for_is_scored_at_once() -> None:
    found = told("02-02", "02-09", schedule=None, longest=timedelta(days=3))
    assert found == [
        "first 02-02", "score 02-05", "score 02-08", "score 02-09", "monitor 02-09", "settle 04-01",
    ]  # fmt: skip


def test_a_period_begins_at_the_same_local_time_over_a_change_of_the_clock() -> None:
    since = datetime(
        2026, 3, 2, 5, tzinfo=UTC
    )  # midnight in New York; the clock changes on the 8th
    found = periods(since, datetime(2026, 3, 16, 4, tzinfo=UTC), "week", "America/New_York")
    assert [begin.hour for begin, _ in found] == [5, 4]


def test_what_a_monitoring_leads_to_are_steps_of_their_own_and_nothing_is_trained_at_the_end() -> (
    None
):
    spans = periods(day("02-02"), day("02-16"), "week", "UTC")
    found = steps(
        spans, schedule=None, settled_at=day("02-20"), longest=LONG, late=True, probation=True,
        triggered=True,
    )  # fmt: skip
    assert [one.name for one in found] == [
        "first__2026-02-02T00:00:00",
        "score__2026-02-09T00:00:00",
        "late__2026-02-09T00:00:00",
        "monitor__2026-02-09T00:00:00",
        "probation__2026-02-09T00:00:00",
        "retrain__2026-02-09T00:00:00",
        "asked__2026-02-09T00:00:00",
        "score__2026-02-16T00:00:00",
        "late__2026-02-16T00:00:00",
        "monitor__2026-02-16T00:00:00",
        "probation__2026-02-16T00:00:00",
        "settle__2026-02-20T00:00:00",
    ]


def test_a_day_that_a_zone_left_out_begins_no_period() -> None:
    # Samoa went from the 29th to the 31st of December 2011.
    since = datetime(2011, 12, 28, 10, tzinfo=UTC)
    found = periods(since, datetime(2012, 1, 1, 10, tzinfo=UTC), "day", "Pacific/Apia")
    assert [f"{begin:%d %H}-{end:%d %H}" for begin, end in found] == [
        "28 10-29 10", "29 10-30 10", "30 10-31 10", "31 10-01 10",
    ]  # fmt: skip


@given(
    since=st.datetimes(datetime(2024, 1, 1), datetime(2026, 1, 1)),  # noqa: DTZ001 - naive bounds, as hypothesis asks
    days=st.integers(1, 400),
    every=st.sampled_from(EVERY),
)
def test_periods_follow_each_other_without_a_gap(since: datetime, days: int, every: Every) -> None:
    begin = since.replace(tzinfo=UTC)
    until = begin + timedelta(days=days)
    found = periods(begin, until, every, "UTC")
    assert found[0][0] == begin
    assert found[-1][1] == until
    assert all(low < high for low, high in found)
    assert all(one[1] == two[0] for one, two in pairwise(found))


def test_a_policy_is_a_declaration_of_retraining() -> None:
    declared = Retraining(schedule="@monthly", on_harm=True)
    assert retraining_of("declared", declared) is declared
    assert retraining_of("never", declared) == Retraining()
    assert retraining_of("weekly", declared) == Retraining(schedule="@weekly")
