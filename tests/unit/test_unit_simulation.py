"""Units of simulated days: weeks, seasons, holidays and prices that rise are in no other unit."""

from collections.abc import Iterator

import numpy as np
import pytest

from tests.columns import Column, Numbers

DAYS, TRAINED = 120, 40
HOLIDAYS = 6
"""Days of each world, at its end, on which there is 0.15 to 3 times as much of everything."""

JUDGED = 40
ROWS = 400
WEEK = np.array([1.0, 1.02, 1.03, 1.02, 1.05, 0.8, 0.7])
SEGMENTS = np.array([300, 330, 260])
"""What is counted in a usual day, by segment."""


def worlds(seeds: range) -> Iterator[tuple[str, list[Numbers]]]:
    """Yield the columns of each world; in every other one the number of rows is the same each day."""
    for seed in seeds:
        rng = np.random.default_rng((seed, 161))
        day = np.arange(DAYS)
        holiday = np.ones(DAYS)
        at = rng.choice(np.arange(DAYS - JUDGED, DAYS), HOLIDAYS, replace=False)
        holiday[at] = np.exp(rng.uniform(np.log(0.15), np.log(3), HOLIDAYS))
        season = 1 + 0.15 * np.sin(2 * np.pi * day / 365 + rng.uniform(0, 6))
        much = WEEK[day % 7] * season * holiday * np.exp(rng.normal(0, 0.03, DAYS))
        rows = np.maximum(rng.poisson(ROWS * (much if seed % 2 else 1.0), DAYS), 5)
        counted = rng.poisson(SEGMENTS * much[:, None])
        rates = [0.2, 0.25, 0.3] * np.sqrt(holiday)[:, None] + rng.normal(0, 0.01, (DAYS, 3))
        dearer = 4 + 0.05 * day / 365 + np.log(holiday.clip(1, 1.25))
        segments = [rng.integers(0, 3, number) for number in rows]
        yield "count of the day", [one[of] for one, of in zip(counted, segments, strict=True)]
        yield "rate of the day", [one[of] for one, of in zip(rates, segments, strict=True)]
        yield "count of a row", [rng.poisson(2.5 * much[n], rows[n]) for n in day]
        yield "rate of a row", [rng.beta(2, 8, rows[n]) * holiday[n] ** 0.3 for n in day]
        yield "amount", [np.exp(rng.normal(dearer[n], 0.9, rows[n])).round(2) for n in day]
        yield "minutes", [np.rint(rng.gamma(3, 20, rows[n]) * holiday[n] ** 0.15) for n in day]
        yield "miles", [np.rint(np.exp(rng.normal(6.5, 0.7, rows[n]))) for n in day]


@pytest.mark.parametrize(
    ("seeds", "most"), [(range(1), 0.0), pytest.param(range(60), 0.015, marks=pytest.mark.prove)]
)
def test_wild_holidays_are_told_in_another_unit_one_in_a_hundred_times_at_most(
    seeds: range, most: float
) -> None:
    """Six of each world's days, in each of seven columns; mean and spread alone tell one in twelve."""
    told = 0
    for _, blocks in worlds(seeds):
        column = Column(blocks, trained=TRAINED)
        told += sum(column.told(day, range(day)) != "" for day in range(DAYS - JUDGED, DAYS))
    assert told / (7 * HOLIDAYS * len(seeds)) <= most
