"""Replay remarks: what is said of the history that was asked for."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from pipelines.domain.replay_remarks import remarks
from tests.replays import policy

FIRST = datetime(2026, 3, 2, 5, tzinfo=UTC)
DAILY = [FIRST + timedelta(days=number) for number in range(10)]


def test_nothing_is_said_of_a_history_that_is_known_and_monitored_as_the_platform_does() -> None:
    newest = FIRST + timedelta(days=9)
    assert list(remarks("day", periods=10, due=DAILY, newest=newest, policies=[])) == []


def test_scoring_times_that_come_after_the_newest_row_are_counted() -> None:
    newest = FIRST + timedelta(days=6)
    assert list(remarks("day", periods=10, due=DAILY, newest=newest, policies=[])) == [
        "Silver knows nothing newer than 2026-03-08 05:00 UTC: 3 of 10 scoring times come after it."
    ]


def test_a_monitoring_that_is_rarer_than_scoring_is_said() -> None:
    (said,) = remarks("week", periods=2, due=DAILY, newest=DAILY[-1], policies=[])
    assert said.startswith("Monitored once a week; the platform does so after each scoring")
    weekly = DAILY[::7]
    assert list(remarks("week", periods=2, due=weekly, newest=DAILY[-1], policies=[])) == []


def test_searches_that_their_budget_ended_are_said_by_policy() -> None:
    policies = [
        replace(policy("never", [0.5]), cut_short=1),
        policy("weekly", [0.5]),
        replace(policy("monthly", [0.5]), cut_short=12),
    ]
    (said,) = remarks("day", periods=10, due=DAILY, newest=DAILY[-1], policies=policies)
    assert "with trials left: 1 of never, 12 of monthly." in said
