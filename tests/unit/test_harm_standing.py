"""Harm: its alarm stands as long as it lasts, also where its bound begins anew, and ends where it is over."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from pipelines.domain.drift.column_edges import edges_of
from pipelines.domain.drift.drift_result import DriftResult
from pipelines.domain.drift.losses import BlockLosses
from pipelines.domain.model_reference import ModelReference
from pipelines.domain.monitored import HARM, WEEK_TEST, Judged, Standing, answers_after, standing
from pipelines.domain.monitoring import Monitoring
from pipelines.domain.retrain_causes import causes_of
from pipelines.domain.watch_losses import judge_losses, losses_from
from pipelines.domain.watched import Watched

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


def judged_on(rise: NDArray[np.float64], days: Iterable[int]) -> dict[int, list[Judged]]:
    """Return all that is known with each of the days, judged one by one."""
    values, found = around(rise, 2), {}
    judged: list[Judged] = []
    for day in days:
        first = losses_from(day + 1, Monitoring())
        current = losses(FIRST, values[: day + 1], first)
        times = [datetime.combine(FIRST, time(5), UTC) + timedelta(days=n) for n in range(day + 1)]
        judged = answers_after(judged, judge_losses(current, times[first:], MODEL, Monitoring()))
        found[day] = judged
    return found


def harm_in(judged: list[Judged]) -> Standing | None:
    return next((one for one in standing(judged, "day") if one.last.name == HARM), None)


def stands_on(rise: NDArray[np.float64], days: Iterable[int]) -> list[int]:
    """Return the days with which an alarm of harm stands."""
    return [day for day, judged in judged_on(rise, days).items() if harm_in(judged)]


@pytest.mark.parametrize("rise", [0.1, 0.3])
def test_harm_that_lasts_stands_while_its_bound_begins_anew(rise: float) -> None:
    days = range(ANEW - 2, ANEW + 19, 4)
    assert stands_on(np.where(np.arange(SERVED) >= 20, rise, 0.0), days) == [*days]


MENDED = np.where((np.arange(SERVED) >= 8) & (np.arange(SERVED) < 33), 0.3, 0.0)
BACK = 60
"""The first block with which the mean of the newest 28 holds one alone that was harmed: 0.3 / 28 nats more."""


def test_harm_that_was_mended_is_over_long_before_its_bound_begins_anew() -> None:
    found = judged_on(MENDED, range(BACK - 3, BACK + 9))
    alarms = {day: harm_in(judged) for day, judged in found.items()}
    firing = [day for day, one in alarms.items() if one and one.calm is None]
    ending = [day for day, one in alarms.items() if one and one.calm]
    assert firing == [*range(BACK - 3, BACK)]
    assert ending == [*range(BACK, BACK + 6)], "a week of blocks from the last that showed it"
    assert {one.calm.block for one in alarms.values() if one and one.calm} == {
        f"{FIRST + timedelta(days=BACK)}"
    }
    causes = {day: bool(causes_of([one])) for day, one in alarms.items() if one}
    assert causes == {day: day in firing for day in (*firing, *ending)}

    def verdict(day: int) -> str:
        block = f"{FIRST + timedelta(days=day)}"
        inputs = DriftResult(
            test="BlockPermutation",
            outcome="quiet",
            reason="",
            window_blocks=7,
            reference_blocks=90,
        )
        judged = [
            *(one for one in found[day] if one.name == HARM),
            Judged(name=WEEK_TEST, block=block, result=inputs, alarm=None),
        ]
        return Watched.of(
            judged, judged, model_version="1", newest_block=block, alarms_per_quarter=1, block="day"
        ).verdict

    assert verdict(BACK - 1).startswith(
        "PAGE since 2026-03-09 05:00 UTC: the mean log loss over 60"
    )
    assert verdict(BACK - 1).endswith("then train a challenger.")
    assert verdict(BACK + 1).endswith(
        "With block 2026-04-30 the mean log loss of the newest labelled blocks was back at 0.458: it is "
        "over where no block of a week shows it again."
    )
    assert "Harm that was shown is over up to block" in verdict(BACK + 8)


def test_harm_that_comes_back_is_another_alarm_that_has_its_own_beginning() -> None:
    again = np.where(np.arange(SERVED) >= 72, 0.3, MENDED)
    found = judged_on(again, (BACK - 1, BACK, BACK + 7, ANEW - 1))
    (last,) = (one for one in [harm_in(found[ANEW - 1])] if one)
    assert last.calm is None
    assert last.first.block > f"{FIRST + timedelta(days=72)}"
    assert last.since == datetime.combine(FIRST + timedelta(days=72), time(5), UTC)
    assert harm_in(found[BACK + 7]) is None


def test_harm_that_was_mended_while_its_bound_begins_anew_is_over_a_week_after_its_last_block() -> (
    None
):
    rise = np.where((np.arange(SERVED) >= 20) & (np.arange(SERVED) < ANEW - 1), 0.3, 0.0)
    days = range(ANEW - 2, ANEW + 10, 2)
    assert stands_on(rise, days) == [day for day in days if day < ANEW + 5]
