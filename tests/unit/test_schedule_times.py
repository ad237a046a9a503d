"""Schedule times: which moments a cron expression names."""

from datetime import UTC, datetime, timedelta

import pytest

from pipelines.declaration_problems import PERIODS
from pipelines.domain.schedule_times import PRESETS, schedule_times
from pipelines.errors import DeclarationError

FIRST = datetime(2024, 2, 27, 12, tzinfo=UTC)
"""A Tuesday, two days before the last of February in a leap year."""


@pytest.mark.parametrize(
    ("schedule", "days", "told"),
    [
        ("@daily", 3, ["02-28 00:00", "02-29 00:00", "03-01 00:00"]),
        ("@weekly", 14, ["03-03 00:00", "03-10 00:00"]),
        ("@monthly", 40, ["03-01 00:00", "04-01 00:00"]),
        ("30 6 * * 1", 14, ["03-04 06:30", "03-11 06:30"]),
        ("30 6 * * mon", 7, ["03-04 06:30"]),
        ("0 0 * * 7", 7, ["03-03 00:00"]),
        ("0 0 29 feb *", 400, ["02-29 00:00"]),
        ("0 */12 28 2 *", 3, ["02-28 00:00", "02-28 12:00"]),
        ("5,10-20/5 9 28 2 *", 3, ["02-28 09:05", "02-28 09:10", "02-28 09:15", "02-28 09:20"]),
        # Both day and weekday are restricted: either is enough.
        ("0 0 29 * 1", 8, ["02-29 00:00", "03-04 00:00"]),
    ],
)
def test_a_schedule_names_these_moments(schedule: str, days: int, told: list[str]) -> None:
    found = schedule_times(schedule, FIRST, FIRST + timedelta(days=days))
    assert [f"{moment:%m-%d %H:%M}" for moment in found] == told


def test_the_first_moment_belongs_to_the_span_and_the_last_does_not() -> None:
    midnight = datetime(2024, 3, 1, tzinfo=UTC)
    assert schedule_times("@daily", midnight, midnight + timedelta(days=1)) == [midnight]
    assert schedule_times("@daily", midnight, midnight) == []


@pytest.mark.parametrize(
    "schedule", ["* * * *", "61 * * * *", "a * * * *", "5-1 * * * *", "*/0 * * * *", "@sometimes"]
)
def test_what_is_no_cron_expression_is_refused(schedule: str) -> None:
    with pytest.raises(DeclarationError, match="five cron fields"):
        schedule_times(schedule, FIRST, FIRST + timedelta(days=1))


def test_every_preset_that_may_be_declared_is_known() -> None:
    assert PRESETS.keys() == PERIODS.keys()
