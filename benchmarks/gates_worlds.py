"""Gate worlds: improvements over blocks whose true mean is known, and how many rows each block has."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]

WARM_UP = 60
"""Days simulated before the first, so that a day's memory has reached its usual level."""

LOGNORMAL_MEAN, LOGNORMAL_SPREAD = float(np.exp(0.5)), float(np.sqrt((np.e - 1) * np.e))


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """How the improvement of a challenger varies over days: mean 0, standard deviation 1.

    ``sizes`` is the spread of the logarithm of a day's rows; 0 makes all days equal.
    """

    name: str
    draw: Callable[[np.random.Generator, int, int], Floats]
    sizes: float = 0.0

    def sample(
        self, rng: np.random.Generator, runs: int, blocks: int
    ) -> tuple[Floats, NDArray[np.int64]]:
        """Return improvements and rows of every day, each (runs, blocks)."""
        spread = np.exp(self.sizes * rng.standard_normal((runs, blocks)))
        rows = np.maximum(5, np.round(500 * spread)).astype(np.int64)
        return self.draw(rng, runs, blocks), rows


def remembering(share: float) -> Callable[[np.random.Generator, int, int], Floats]:
    """Return days of which ``share`` is yesterday's: an AR(1) process."""

    def draw(rng: np.random.Generator, runs: int, blocks: int) -> Floats:
        shocks = rng.standard_normal((runs, blocks + WARM_UP)) * np.sqrt(1 - share**2)
        shocks[:, 0] = rng.standard_normal(runs)
        for day in range(1, blocks + WARM_UP):
            shocks[:, day] += share * shocks[:, day - 1]
        return np.asarray(shocks[:, WARM_UP:])

    return draw


def heavy(rng: np.random.Generator, runs: int, blocks: int) -> Floats:
    """Return days with tails of Student's t with three degrees of freedom."""
    return np.asarray(rng.standard_t(3, (runs, blocks)) / np.sqrt(3))


def bad_days(rng: np.random.Generator, runs: int, blocks: int) -> Floats:
    """Return days of which some are far worse: the negative of an exponential."""
    return 1.0 - rng.exponential(size=(runs, blocks))


def rare_bad_days(rng: np.random.Generator, runs: int, blocks: int) -> Floats:
    """Return days of which one in 12 costs what the others gain: a storm that it did not see."""
    storm = rng.random((runs, blocks)) < 1 / 12
    days = np.where(storm, -3.0, 3.0 / 11) + 0.5 * rng.standard_normal((runs, blocks))
    return np.asarray(days / np.sqrt(9 / 12 + 9 / 132 + 0.25))


def lognormal_bad_days(rng: np.random.Generator, runs: int, blocks: int) -> Floats:
    """Return days of which few are extremely worse: the negative of a lognormal."""
    days = np.exp(rng.standard_normal((runs, blocks)))
    return np.asarray((LOGNORMAL_MEAN - days) / LOGNORMAL_SPREAD)


def remembered_bad_days(rng: np.random.Generator, runs: int, blocks: int) -> Floats:
    """Return bad days that come in spells: the negative of a lognormal of an AR(1) of 0.4."""
    days = np.exp(0.8 * remembering(0.4)(rng, runs, blocks))
    spread = np.sqrt((np.exp(0.64) - 1) * np.exp(0.64))
    return np.asarray((np.exp(0.32) - days) / spread)


def weekdays(rng: np.random.Generator, runs: int, blocks: int) -> Floats:
    """Return days with an effect of the weekday, which is another in every run."""
    week = rng.standard_normal((runs, 7))
    week = 0.6 * (week - week.mean(axis=1, keepdims=True))
    return np.asarray(week[:, np.arange(blocks) % 7] + 0.8 * rng.standard_normal((runs, blocks)))


WORLDS = (
    World(name="independent days", draw=remembering(0.0)),
    World(name="days of unequal size", draw=remembering(0.0), sizes=0.5),
    World(name="days of very unequal size", draw=remembering(0.0), sizes=1.0),
    World(name="autocorrelation 0.2", draw=remembering(0.2)),
    World(name="autocorrelation 0.3, unequal size", draw=remembering(0.3), sizes=0.5),
    World(name="autocorrelation 0.5", draw=remembering(0.5)),
    World(name="autocorrelation 0.7", draw=remembering(0.7)),
    World(name="weekdays", draw=weekdays),
    World(name="heavy tails", draw=heavy),
    World(name="bad days", draw=bad_days),
    World(name="rare bad days", draw=rare_bad_days),
    World(name="extreme bad days", draw=lognormal_bad_days),
    World(name="spells of bad days", draw=remembered_bad_days),
)
"""Worlds in which gates are tried."""

HARD = ("extreme bad days", "spells of bad days")
"""Worlds in which no rule here holds its level at so few blocks: the docs say what it is instead."""
