"""Harm that lasts: its alarm stands where its bound begins anew, and ends where the loss is back."""

from datetime import UTC, date, datetime, time, timedelta

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from pipelines.domain.drift.column_edges import edges_of
from pipelines.domain.drift.losses import BlockLosses
from pipelines.domain.model_reference import ModelReference
from pipelines.domain.monitored import HARM, Judged, answers_after, standing
from pipelines.domain.monitoring import Monitoring
from pipelines.domain.watch_losses import judge_losses, losses_from

FIRST = date(2026, 3, 1)
HELD_OUT, SERVED = 30, 115
ANEW = 90
"""The block with which the bound begins anew."""


def losses(first: date, values: NDArray[np.float64], start: int = 0) -> BlockLosses:
    number = len(values) - start
    return BlockLosses(
        blocks=tuple(f"{first + timedelta(days=day)}" for day in range(start, len(values))),
        rows=np.full(number, 100),
        loss=values[start:],
        residual=np.zeros(number),
        segments=(),
        contrast=np.zeros((number, 0)),
    )


def around(rise: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    found: NDArray[np.float64] = np.random.default_rng(seed).normal(0.45, 0.04, len(rise)) + rise
    return found


MODEL = ModelReference(
    model_version="1",
    prediction="p",
    edges=edges_of(pa.table({"p": [0.1, 0.9]}), columns=["p"]),
    importance={},
    training_window=("2025-01-01", "2025-12-31"),
    losses=losses(FIRST - timedelta(days=HELD_OUT), around(np.zeros(HELD_OUT), 1)),
    calibration=None,
)


def stands_on(rise: NDArray[np.float64], days: range) -> list[int]:
    """Return the days with which an alarm of harm stands, judged day by day."""
    values, found = around(rise, 2), []
    judged: list[Judged] = []
    for day in days:
        first = losses_from(day + 1, Monitoring())
        current = losses(FIRST, values[: day + 1], first)
        times = [datetime.combine(FIRST, time(5), UTC) + timedelta(days=n) for n in range(day + 1)]
        judged = answers_after(judged, judge_losses(current, times[first:], MODEL, Monitoring()))
        if any(one.last.name == HARM for one in standing(judged, "day")):
            found.append(day)
    return found


@pytest.mark.parametrize("rise", [0.1, 0.3])
def test_harm_that_lasts_stands_while_its_bound_begins_anew(rise: float) -> None:
    days = range(ANEW - 2, ANEW + 19, 4)
    assert stands_on(np.where(np.arange(SERVED) >= 20, rise, 0.0), days) == [*days]


def test_harm_that_was_mended_is_over_a_week_after_its_bound_began_anew() -> None:
    rise = np.where((np.arange(SERVED) >= 20) & (np.arange(SERVED) < 45), 0.3, 0.0)
    days = range(ANEW - 2, ANEW + 10, 2)
    assert stands_on(rise, days) == [day for day in days if day < ANEW + 5]
