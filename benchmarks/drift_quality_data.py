"""Data: which days and seeds were tuned on and which are reported, and the orders of quiet days."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal["shuffled days", "14-day blocks", "simulated", "simulated, frozen reference"]
SHUFFLED: Kind = "shuffled days"
BLOCKS: Kind = "14-day blocks"
SIMULATED: Kind = "simulated"
FROZEN: Kind = "simulated, frozen reference"
"""The same as simulated, but ours compares with the whole year, not with its own season of it."""
KINDS: tuple[Kind, ...] = (SHUFFLED, BLOCKS, SIMULATED, FROZEN)
FLIGHT_KINDS = (SHUFFLED, BLOCKS)

YEAR_DAYS = 365
BLOCK_DAYS = 14
QUARTER = 91
"""Daily blocks in a quarter, the unit of the alarm budget."""
WINDOW = 7
"""Blocks of the longest window that is judged."""
REFERENCE = 160
"""Reference days: enough that a single day can be tested at the budget of one alarm a quarter."""
LEAD = WINDOW - 1
"""Monitored days before the quarter, so that its first check has a whole window."""
_BLOCK = np.arange(YEAR_DAYS) // BLOCK_DAYS
_TUNED = _BLOCK % 4 == 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Days of the flights, and the seeds of orders and simulations; two splits share none.

    ``days`` come in whole stretches of 14 that are spread over the year. ``seeds`` are those of
    figures, ``calibration`` those of the quiet data that peers' thresholds are set on.
    """

    name: str
    days: tuple[int, ...]
    seeds: range
    calibration: range


TUNING = Split(
    name="tuning",
    days=tuple(int(day) for day in np.flatnonzero(_TUNED)),
    seeds=range(10_000),
    calibration=range(10_000, 20_000),
)
"""98 days: whoever chooses a test, an alpha or a floor looks at these only."""
REPORTED = Split(
    name="reported",
    days=tuple(int(day) for day in np.flatnonzero(~_TUNED)),
    seeds=range(9_000_000, 9_010_000),
    calibration=range(10_000_000, 10_010_000),
)
"""267 days: every published figure. Seeds from 1,000,000 to 8,010,000 were used to look at earlier versions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Quiet days in the order a monitor meets them: the reference, a lead, then the quarter.

    ``training`` are other days, of which the model was made: nothing is compared with them.
    """

    training: NDArray[np.int64]

    reference: NDArray[np.int64]
    monitored: NDArray[np.int64]


def order(kind: Kind, split: Split, seed: int, *, monitored: int = LEAD + QUARTER) -> Order:
    """Return the days of a split in a quiet order, REFERENCE of them before the monitored ones.

    ``shuffled days`` makes days exchangeable, so that nothing drifts by construction.
    ``14-day blocks`` shuffles stretches of fourteen days and keeps each as it was, weather and
    weekdays with it: nothing drifts from one stretch to another, but days resemble their
    neighbours. The quarter begins in the middle of a stretch, as one would in life.

    Raises ValueError for simulated data, which has its own order, or too few days.
    """
    if REFERENCE + monitored > len(split.days):
        message = f"{REFERENCE} and {monitored} days of only {len(split.days)}"
        raise ValueError(message)
    chosen = np.random.default_rng((seed, KINDS.index(kind)))
    days = np.array(split.days)
    if kind == SHUFFLED:
        days = chosen.permutation(days)
    elif kind == BLOCKS:
        stretches = chosen.permutation(np.unique(_BLOCK[days]))
        days = np.concatenate([days[_BLOCK[days] == stretch] for stretch in stretches])
    else:
        message = f"{kind} data comes in its own order"
        raise ValueError(message)
    return Order(
        training=np.setdiff1d(np.arange(YEAR_DAYS), split.days),
        reference=days[-monitored - REFERENCE : -monitored],
        monitored=days[-monitored:],
    )
