"""Simulated: rows whose days remember yesterday, the weekday and the season, and never drift."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.drift_quality_data import LEAD, QUARTER, Order
from benchmarks.drift_quality_rows import SCORE, SCORE_DIGITS, Codes, Numbers, Rows

TRAINING_DAYS = 91
"""Days before the reference, of which a model would have been made."""
YEAR = 364
"""A year of whole weeks, so that each season and weekday is in it once."""
REFERENCE_DAYS = YEAR + 35
"""And five weeks before it, so that the weeks around every anniversary are complete."""
ROWS_A_DAY = 500
CARRY_OVER = 0.5
"""Share of a day's shock that is still there on the next day: the AR(1) coefficient."""
SHOCK, WEEKLY, YEARLY = 0.10, 0.05, 0.15
"""Standard deviation of the daily shock (stationary), amplitudes of the week's and the year's
wave: in standard deviations of a row."""
NUMBERS = (*(f"x{number}" for number in range(1, 13)), "gappy", "miles", "fahrenheit")
LEVELS = {"c1": 3, "c2": 100, "c3": 15, "c4": 6, "c5": 35, "c6": 120}
"""Levels of each code; their shares fall like 1 / rank."""
DIGITS = {"miles": 0, "fahrenheit": 1}
"""Decimals that a number is given with, 2 unless told."""
GAPS = 0.1
"""Share of ``gappy`` that is missing on a quiet day, on average."""
RELATED = 5
"""x1 to x5 share a factor, with RELATION of their variance each."""
RELATION = 0.7


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulation:
    """Quiet rows of training days, a reference year, and the lead and the quarter after it."""

    rows: Rows
    order: Order


def simulate(seed: int) -> Simulation:
    """Return the rows of a year and a quarter that begins on a day of the year drawn at random.

    Every column's daily mean (or log odds) is an AR(1) shock and two waves of random phase; the
    whole process is stationary apart from the waves, and the same law in both parts.
    """
    chosen = np.random.default_rng((seed, 365))
    days = TRAINING_DAYS + REFERENCE_DAYS + LEAD + QUARTER
    first_day = int(chosen.integers(0, 365))
    day = np.repeat(np.arange(days), ROWS_A_DAY)
    size = len(day)
    factor = chosen.standard_normal(size)
    numbers: dict[str, Numbers] = {}
    for place, name in enumerate(NUMBERS):
        related = RELATION if place < RELATED else 0.0
        noise = chosen.standard_normal(size)
        numbers[name] = np.sqrt(related) * factor + np.sqrt(1 - related) * noise
        numbers[name] += day_effects(days, first_day, chosen)[day]
    lost = _odds(GAPS) + 2 * day_effects(days, first_day, chosen)
    numbers["gappy"][chosen.random(size) < _share(lost)[day]] = np.nan
    numbers["miles"] = np.exp(6.5 + 0.7 * numbers["miles"])
    numbers["fahrenheit"] = 57 + 18 * numbers["fahrenheit"]
    numbers = {name: np.round(values, DIGITS.get(name, 2)) for name, values in numbers.items()}
    codes, levels = {}, {}
    for name, count in LEVELS.items():
        codes[name] = _codes(count, days, first_day, chosen)
        levels[name] = tuple(f"{name} level {level}" for level in range(count))
    rows = Rows(
        numbers=numbers,
        codes=codes,
        levels=levels,
        late=np.zeros(size, np.int8),
        starts=np.arange(days + 1) * ROWS_A_DAY,
    )
    score = predict(rows)
    luck = 2 * day_effects(days, first_day, chosen)[day]
    late = chosen.random(size) < _share(_odds(score) + luck)
    rows = rows.with_columns(numbers={SCORE: score}, late=late.astype(np.int8))
    whole, until = np.arange(days), LEAD + QUARTER
    return Simulation(
        rows=rows,
        order=Order(
            training=whole[:TRAINING_DAYS],
            reference=whole[TRAINING_DAYS:-until],
            monitored=whole[-until:],
        ),
    )


def predict(rows: Rows) -> Numbers:
    """Return the probabilities of a model that knows the law, all but each day's luck.

    A missing value counts as the mean, and a level never seen as the first.
    """
    columns = {name: np.nan_to_num(rows.numbers[name]) for name in ("x1", "x2", "x6", "x7")}
    first, second, third = (rows.codes["c1"] == level for level in range(LEVELS["c1"]))
    miles = np.log(np.maximum(rows.numbers["miles"], 1.0)) - 6.5
    warm = (rows.numbers["fahrenheit"] - 57) / 18
    odds = (
        -1.4
        + 0.5 * columns["x1"]
        - 0.4 * columns["x2"]
        + 0.3 * columns["x6"] * (1.0 * first - 0.5 * second + 0.2 * third)
        + 0.2 * columns["x7"]
        + 0.3 * miles
        + 0.3 * warm
        + 0.1 * (rows.codes["c2"] % 3)
    )
    return np.round(_share(odds), SCORE_DIGITS)


def day_effects(days: int, first_day: int, chosen: np.random.Generator) -> NDArray[np.float64]:
    """Return one column's effect on each day: an AR(1) shock, a weekly and a yearly wave."""
    shocks = chosen.standard_normal(days) * SHOCK * np.sqrt(1 - CARRY_OVER**2)
    shocks[0] = chosen.standard_normal() * SHOCK
    for day in range(1, days):
        shocks[day] += CARRY_OVER * shocks[day - 1]
    date = first_day + np.arange(days)
    week, year = chosen.uniform(0, 2 * np.pi, 2)
    waves = WEEKLY * np.sin(2 * np.pi * date / 7 + week)
    effects: Numbers = shocks + waves + YEARLY * np.sin(2 * np.pi * date / 365 + year)
    return effects


def _codes(count: int, days: int, first_day: int, chosen: np.random.Generator) -> Codes:
    """Draw codes whose first levels gain and lose by the day."""
    shares = 1 / np.arange(1, count + 1)
    chances = np.tile(shares / shares.sum(), (days, 1))
    for level in range(min(count - 1, 4)):
        chances[:, level] *= np.exp(day_effects(days, first_day, chosen))
    below = np.cumsum(chances / chances.sum(axis=1, keepdims=True), axis=1)
    below[:, -1] = 1.0
    # All days at once: a day's chances are shifted by the day's number, and so are its draws.
    draws = np.repeat(np.arange(days), ROWS_A_DAY) + chosen.random(days * ROWS_A_DAY)
    found = np.searchsorted((below + np.arange(days)[:, None]).ravel(), draws, side="right")
    levels = found - np.repeat(np.arange(days), ROWS_A_DAY) * count
    return np.asarray(np.minimum(levels, count - 1), np.int32)


def _odds(share: "Numbers | float") -> Numbers:
    return np.asarray(np.log(share) - np.log1p(-np.asarray(share)))


def _share(odds: Numbers) -> Numbers:
    return np.asarray(1 / (1 + np.exp(-odds)))
