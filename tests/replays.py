"""Replays: results made of literal losses, for what is told of them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from pipelines.domain.replay_result import (
    AlarmResult,
    BlockLoss,
    Figure,
    HeldResult,
    PeriodResult,
    PolicyResult,
    ReplayResult,
    TrainingResult,
)
from pipelines.domain.replay_steps import RetrainPolicy

BERLIN = ZoneInfo("Europe/Berlin")
MIDNIGHT = datetime(2026, 3, 30, tzinfo=BERLIN)
SINCE = MIDNIGHT.astimezone(UTC)
"""Local midnight, the evening before in UTC."""

DAY, WEEK = timedelta(days=1), timedelta(days=7)


def blocks(losses: Sequence[float]) -> tuple[BlockLoss, ...]:
    """Return blocks of 100 final labels, a day each."""
    return tuple(
        BlockLoss(block=(date(2026, 3, 30) + number * DAY).isoformat(), loss=loss, final=100)
        for number, loss in enumerate(losses)
    )


def policy(
    name: RetrainPolicy, losses: Sequence[float], by_week: Sequence[float | None] = (0.5,)
) -> PolicyResult:
    """Return a policy with a loss a block, and with another a period; nothing else happened."""
    own = blocks(losses)
    return PolicyResult(
        policy=name,
        loss=Figure.of([one.loss for one in own], [one.final for one in own]),
        gain=None,
        predictions=1280,
        final=1248,
        too_few=0,
        refused=0,
        rolled_back=0,
        blocks=own,
        periods=tuple(
            PeriodResult(
                begin=(MIDNIGHT + number * WEEK).astimezone(UTC),
                until=(MIDNIGHT + (number + 1) * WEEK).astimezone(UTC),
                predictions=700,
                final=700,
                loss=loss,
                versions=("1",),
            )
            for number, loss in enumerate(by_week)
        ),
        trainings=(training(2),),
        held=(held(9),),
        alarms=(alarm("2026-04-02", "2026-04-05"),),
        cpu_s={"train": 3.0, "score": 2.0},
        wall_s=6.0,
        ledger="a" * 64,
    )


def training(day: int, outcome: str = "version 2 was promoted") -> TrainingResult:
    """Return a training so many days after the beginning."""
    return TrainingResult(
        at=SINCE + day * DAY,
        cause="schedule",
        version="2",
        outcome=outcome,
        promoted="promoted" in outcome,
        rolled_back="rolled back" in outcome,
    )


def held(day: int, reason: str = "data is broken: plan") -> HeldResult:
    """Return what was held back so many days after the beginning."""
    return HeldResult(at=SINCE + day * DAY, cause="schedule", why="obstacle", reason=reason)


def alarm(block: str, last: str, level: str = "WARN", reason: str = "up by 0.3") -> AlarmResult:
    """Return an alarm of the test for harm."""
    return AlarmResult(block=block, last=last, level=level, test="Harm", reason=reason)


def result(policies: Sequence[PolicyResult], **more: object) -> ReplayResult:
    """Return a replay of five weeks less two days in Berlin: from 30 March until 1 May."""
    silver: Mapping[str, int] = {"silver.machines.plan": 1}
    found = ReplayResult(
        use_case="machines",
        since=SINCE,
        until=SINCE + 32 * DAY,
        timezone="Europe/Berlin",
        every="week",
        loss="log loss",
        unit="nats",
        governed=True,
        left_out=("WithinBudget",),
        silver=silver,
        stale=(),
        policies=tuple(policies),
        ledger="b" * 64,
    )
    return replace(found, **more)  # type: ignore[arg-type]  # fields of it
