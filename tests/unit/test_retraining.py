"""Retraining as declared: what is contradictory is told, and what was declared before stays the same."""

import dataclasses
from datetime import timedelta

import pytest

from pipelines.domain.digest import canonical, digest_of
from pipelines.domain.retraining import Retraining

DAY = timedelta(days=1)


def problems(
    declared: Retraining, *, period: float | None = None, answered: float | None = None
) -> list[str]:
    """Return each problem as "field: expected; found"."""
    found = declared.problems(
        "retraining",
        period=None if period is None else period * DAY,
        answered_within=None if answered is None else answered * DAY,
    )
    return [
        f"{one.where.removeprefix('retraining, ')}: {one.expected}; {one.found}" for one in found
    ]


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        (Retraining(), []),
        (Retraining(schedule="@monthly"), []),
        (Retraining(on_harm=True, on_drift=True, on_labels=1), []),
        (Retraining(on_labels=0), ["on_labels: a number of labels of at least 1, or None; 0"]),
        (
            Retraining(on_harm=True, cooldown=timedelta(hours=6)),
            ["cooldown: from 1 to 365 days; 0.25 days"],
        ),
        (Retraining(on_harm=True, cooldown=366 * DAY), ["cooldown: from 1 to 365 days; 366 days"]),
        (Retraining(on_harm=True, per_quarter=0), ["per_quarter: from 1 to 90; 0"]),
        (Retraining(on_harm=True, give_up_after=0), ["give_up_after: at least 1; 0"]),
        (
            Retraining(schedule="@monthly", per_quarter=2),
            ["per_quarter: on_harm, on_drift or on_labels beside it; a value, and none of these"],
        ),
    ],
)  # fmt: skip
def test_values_out_of_range_and_idle_ones_are_told(
    declared: Retraining, expected: list[str]
) -> None:
    assert problems(declared) == expected


def test_a_cooldown_as_long_as_the_schedule_lets_no_training_come_early() -> None:
    weekly = Retraining(schedule="@weekly", on_harm=True)
    assert problems(weekly, period=7) == [
        "cooldown: less than the time between two trainings on schedule (7 days); 14 days"
    ]
    assert problems(dataclasses.replace(weekly, cooldown=6 * DAY), period=7) == []
    assert problems(Retraining(schedule="@weekly"), period=7) == []


def test_an_approval_is_answered_or_expired_before_the_next_challenger_may_come() -> None:
    assert problems(Retraining(on_drift=True, cooldown=5 * DAY), answered=7) == [
        "cooldown: no less than approval_expires (7 days); 5 days"
    ]
    assert problems(Retraining(on_drift=True, cooldown=7 * DAY), answered=7) == []


def test_what_was_declared_before_there_were_triggers_keeps_its_digest() -> None:
    assert canonical(Retraining(schedule="@monthly")) == {
        "type": "Retraining",
        "schedule": "@monthly",
    }
    assert digest_of(Retraining(on_harm=True)) != digest_of(Retraining())


@pytest.mark.parametrize("trigger", [{"on_harm": True}, {"on_drift": True}, {"on_labels": 100}])
def test_nothing_is_triggered_unless_it_is_declared(trigger: dict[str, int]) -> None:
    assert not Retraining(schedule="@daily").is_triggered
    assert Retraining(**trigger).is_triggered  # type: ignore[arg-type]
