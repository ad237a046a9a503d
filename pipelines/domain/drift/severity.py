"""Severity: what a drift result is to an operator, and how the budget of alarms is spent."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, TypeAlias

from pipelines.domain.drift.drift_result import ColumnShift, DriftResult
from pipelines.errors import DeclarationError, Problem

Level: TypeAlias = Literal["INFO", "WARN", "PAGE"]

HARM_SHARE = 0.05
"""Share of the budget that harm may spend: alarms per quarter, since its bound holds for ever."""

PERFORMANCE_SHARE = 0.15
"""Share of the budget for windows of final labels."""

DAY_SHARE = 0.6
"""Most of the budget that single blocks may take; what they do not reach goes to the windows."""

EPISODE = 0.8
"""Of window checks that fire, the share that begins an alarm: windows overlap, and one that fires
again within a window's length is the same alarm. Simulated for 60 independent families, windows of
seven and 150 reference blocks: 0.70 to 0.76 at levels from 0.3 to 1 %; the rest is for safety."""

LARGEST_DELTA = 0.1

IMPORTANT = 0.01
"""Share of the model's importance from which a shift of a column has a consequence."""

EFFECT_FLOORS: Mapping[str, float] = MappingProxyType(
    {"bins": 0.05, "mix": 0.05, "moments": 0.1, "missing": 0.02, "ranks": 0.05}
)
"""Effects below which a shift has no consequence, each in the unit of its family: a Hellinger
distance of 0.05 is a normal mean moved by 0.14 standard deviations (decision; a guess until
calibrated on more data)."""

LOSS_FLOOR = 0.01
"""The same for the loss, in its unit (nats, or squared probability)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alphas:
    """Levels of every check of a block, and what they spend: expected alarms per quarter.

    ``day`` (single blocks; hard rules share it), ``week`` and ``performance`` are per check,
    ``delta`` is harm's, per quarter. ``spent`` says how much each takes at most on quiet data, and
    ``bounded`` whether the sum is within the budget even if hard rules spent all they could: they
    fire for at most one block in m + 1 whatever their thresholds.
    """

    day: float
    week: float
    performance: float
    delta: float
    spent: Mapping[str, float]
    bounded: bool

    def day_beside(self, blocks_broken: int, *, reference_blocks: int) -> float:
        """Return the level of single blocks when so many reference blocks hold a hard rule's place.

        One ordering of blocks, the one that hard rules tell first, makes both tests cost what one
        costs: the rank that a reference block takes is not there for another.
        """
        return max(0.0, self.day - blocks_broken / (reference_blocks + 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmBudget:
    """How many WARN and PAGE alarms a quarter of quiet data may bring in expectation, all together.

    ``checks_per_block`` counts how often a block is looked at while it fills; each look pays. An
    alarm is an episode: what fires again within a window's length is the alarm that stands.
    Raises DeclarationError for numbers that are no budget.
    """

    alarms_per_quarter: float = 1.0
    blocks_per_quarter: int = 90
    checks_per_block: int = 1
    window: int = 7

    def __post_init__(self) -> None:
        sound = (
            math.isfinite(self.alarms_per_quarter)
            and 0 < self.alarms_per_quarter <= self.blocks_per_quarter
            and self.checks_per_block >= 1
        )
        if not sound:
            raise DeclarationError(
                Problem(
                    where="monitoring",
                    expected="alarms_per_quarter above 0 and at most one a block, and checks",
                    found=f"{self.alarms_per_quarter!r} alarms over {self.blocks_per_quarter!r}"
                    f" blocks with {self.checks_per_block!r} checks each",
                    fix="Declare for example alarms_per_quarter=1.",
                )
            )

    def alphas(self, *, reference_blocks: int) -> Alphas:
        """Split the budget into levels, given how many reference blocks there are.

        A single block is tested at k / (reference_blocks + 1), the levels that exist; when even
        one over that is too dear, single blocks are left to the hard rules and the whole goes to
        windows. With E expected alarms, B blocks and c checks of each:
        E >= B c (day + EPISODE (week + performance)) + delta.

        >>> alphas = AlarmBudget(alarms_per_quarter=1).alphas(reference_blocks=150)
        >>> round(alphas.day, 4), round(alphas.week, 4), round(alphas.performance, 4), alphas.delta
        (0.0066, 0.0028, 0.0021, 0.05)
        """
        checks = self.blocks_per_quarter * self.checks_per_block
        a_check = self.alarms_per_quarter / checks
        positions = reference_blocks + 1
        day = math.floor(DAY_SHARE * a_check * positions + 1e-9) / positions
        delta = min(HARM_SHARE * self.alarms_per_quarter, LARGEST_DELTA)
        performance = min(PERFORMANCE_SHARE * a_check / EPISODE, 0.5)
        left = self.alarms_per_quarter * (1 - PERFORMANCE_SHARE) - delta - day * checks
        week = min(left / checks / EPISODE, 0.5)
        spent = {
            "day": day * checks,
            "week": week * EPISODE * checks,
            "performance": performance * EPISODE * checks,
            "harm": delta,
        }
        return Alphas(
            day=day,
            week=week,
            performance=performance,
            delta=delta,
            spent=MappingProxyType(spent),
            bounded=day > 0,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Consequence:
    """When a real shift matters: effect floors by family, the loss's floor, and importance."""

    effect_floors: Mapping[str, float] = field(default_factory=lambda: EFFECT_FLOORS)
    loss_floor: float = LOSS_FLOOR
    important: float = IMPORTANT


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """What an operator is told: level, the test behind it, why, and the shifts that count.

    INFO is a fact, not an alarm; WARN and PAGE are alarms and spend the budget.
    """

    level: Level
    test: str
    reason: str
    shifts: tuple[ColumnShift, ...]


def severity_of(
    result: DriftResult,
    *,
    importance: Mapping[str, float],
    prediction: str | None,
    consequence: Consequence | None = None,
) -> Alarm | None:
    """Return the alarm or fact in a result; None unless it drifted.

    PAGE: harm, or a hard break. WARN: a shift with a consequence: its effect is at its floor or
    above, and its column has a share of at least ``important`` or the prediction itself shifted;
    or a loss that rose by its floor. INFO: real, and without consequence. An estimate never is
    more than INFO. ``importance`` is each column's share in [0, 1].
    """
    if result.outcome != "drifted":
        return None
    rule = consequence or Consequence()
    if result.test in {"HardRules", "Harm"}:
        return _alarm("PAGE", result, result.per_column)
    if result.test == "SegmentContrast":
        worse = tuple(
            shift
            for shift in _moved(result)
            if shift.effect >= rule.loss_floor
            and (shift.direction == "up" or shift.family == "calibration")
        )
        return _alarm("WARN" if worse else "INFO", result, worse or _moved(result))
    if result.test != "BlockPermutation":
        return _alarm("INFO", result, result.per_column)
    above = tuple(s for s in _moved(result) if s.effect >= rule.effect_floors[s.family])
    shifted = any(shift.column == prediction for shift in above)
    mattering = tuple(
        s for s in above if shifted or importance.get(s.column, 0.0) >= rule.important
    )
    return _alarm("WARN" if mattering else "INFO", result, mattering or _moved(result))


def _moved(result: DriftResult) -> tuple[ColumnShift, ...]:
    """Return the shifts that are rare on their own; the first is what the test found."""
    level = result.alpha or 0.0
    return tuple(
        shift
        for place, shift in enumerate(result.per_column)
        if place == 0 or (shift.p_value is not None and shift.p_value <= level)
    )


def _alarm(level: Level, result: DriftResult, shifts: tuple[ColumnShift, ...]) -> Alarm:
    return Alarm(level=level, test=result.test, reason=result.reason, shifts=shifts)
