"""Severity: a budget that adds up, and alarms only where there is a consequence."""

import pytest

from pipelines.domain.drift.drift_result import ColumnShift, DriftResult
from pipelines.domain.drift.severity import (
    EPISODE,
    AlarmBudget,
    Consequence,
    severity_of,
)
from pipelines.errors import DeclarationError


@pytest.mark.parametrize("reference", [0, 20, 60, 149, 150, 301, 1000])
@pytest.mark.parametrize("budget", [0.25, 1.0, 4.0])
@pytest.mark.parametrize("checks", [1, 3])
@pytest.mark.parametrize("blocks", [90, 13])
def test_levels_never_spend_more_than_the_budget(
    reference: int, budget: float, checks: int, blocks: int
) -> None:
    alphas = AlarmBudget(
        alarms_per_quarter=budget, checks_per_block=checks, blocks_per_quarter=blocks
    ).alphas(reference_blocks=reference)
    looks = blocks * checks
    spent = looks * (alphas.day + EPISODE * (alphas.week + alphas.performance)) + alphas.delta
    assert spent == pytest.approx(sum(alphas.spent.values()))
    assert spent <= budget * (1 + 1e-9)
    assert spent > 0.9 * budget
    assert min(alphas.week, alphas.performance, alphas.delta) > 0


def test_single_blocks_are_tested_at_levels_that_exist() -> None:
    for reference, expected in ((100, 0.0), (150, 1 / 151), (400, 2 / 401)):
        alphas = AlarmBudget().alphas(reference_blocks=reference)
        assert alphas.day == pytest.approx(expected)
        assert alphas.bounded == (expected > 0)
    for reference, expected in ((20, 0.0), (21, 1 / 22), (52, 2 / 53)):
        alphas = AlarmBudget(blocks_per_quarter=13).alphas(reference_blocks=reference)
        assert alphas.day == pytest.approx(expected)


def test_a_broken_block_in_the_reference_takes_its_rank() -> None:
    alphas = AlarmBudget().alphas(reference_blocks=400)
    assert alphas.day_beside(1, reference_blocks=400) == pytest.approx(1 / 401)
    assert alphas.day_beside(3, reference_blocks=400) == 0.0


@pytest.mark.parametrize(
    "declared", [{"alarms_per_quarter": 0.0}, {"alarms_per_quarter": 91}, {"checks_per_block": 0}]
)
def test_a_budget_that_is_none_is_refused(declared: dict[str, float]) -> None:
    with pytest.raises(DeclarationError, match="alarms_per_quarter above 0"):
        AlarmBudget(**declared)  # type: ignore[arg-type] # numbers of either kind


def shift(column: str, family: str, effect: float, direction: str = "up") -> ColumnShift:
    return ColumnShift(
        column=column,
        family=family,
        effect=effect,
        p_value=0.001,
        direction="up" if direction == "up" else "down",
    )


def result(test: str, *shifts: ColumnShift, outcome: str = "drifted") -> DriftResult:
    return DriftResult(
        test=test,
        outcome="drifted" if outcome == "drifted" else "quiet",
        reason="Something moved.",
        window_blocks=7,
        reference_blocks=150,
        p_value=0.001,
        alpha=0.005,
        per_column=shifts,
    )


IMPORTANCE = {"hour": 0.5, "plane": 0.001}

CASES = [
    ("PAGE", result("Harm", shift("log_loss", "loss", 0.1))),
    ("PAGE", result("HardRules", shift("plane", "units", 20.0))),
    # important and above its floor
    ("WARN", result("BlockPermutation", shift("hour", "bins", 0.06))),
    # important, and below its floor
    ("INFO", result("BlockPermutation", shift("hour", "bins", 0.04))),
    # above its floor, and of no importance
    ("INFO", result("BlockPermutation", shift("plane", "bins", 0.5))),
    # of no importance, but the prediction shifted
    ("WARN", result("BlockPermutation", shift("plane", "bins", 0.5), shift("p", "bins", 0.06))),
    ("INFO", result("BlockPermutation", shift("plane", "bins", 0.5), shift("p", "bins", 0.01))),
    ("WARN", result("SegmentContrast", shift("origin=EWR", "contrast", 0.05))),
    ("INFO", result("SegmentContrast", shift("origin=EWR", "contrast", 0.001))),
    ("WARN", result("SegmentContrast", shift("", "calibration", 0.05, "down"))),
    ("INFO", result("Estimated", shift("log_loss", "estimate", 9.0))),
    (None, result("Harm", shift("log_loss", "loss", 0.1), outcome="quiet")),
]


@pytest.mark.parametrize(("level", "found"), CASES)
def test_an_alarm_needs_a_consequence(level: str | None, found: DriftResult) -> None:
    alarm = severity_of(found, importance=IMPORTANCE, prediction="p")
    assert (alarm and alarm.level) == level
    if alarm:
        assert alarm.reason == found.reason
        assert alarm.shifts


def test_floors_and_importance_are_declared() -> None:
    found = result("BlockPermutation", shift("plane", "bins", 0.06))
    rule = Consequence(important=0.0005)
    alarm = severity_of(found, importance=IMPORTANCE, prediction="p", consequence=rule)
    assert alarm is not None
    assert alarm.level == "WARN"
