"""Statistics of simulated blocks: means of windows beside a reference, and an e-detector."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Numbers: TypeAlias = NDArray[np.float64]
Flags: TypeAlias = NDArray[np.bool_]

RISES = (0.25, 0.5, 1.0, 2.0)
"""Shifts that the bets of the e-detector are best at, in standard deviations of blocks, up and down."""

LARGEST = 1e200
"""Capital at which it is cut: far beyond any limit, and still a finite number."""


def of_window(values: Numbers, *, window: int, reference: int, monitored: int) -> Numbers:
    """Return how far the mean of each window is from that of the ``reference`` blocks before it.

    ``values`` is (runs, blocks, columns), the answer (runs, monitored, columns) is about windows that
    end with each of the last ``monitored`` blocks, in standard deviations of such a difference.
    """
    nothing = np.zeros_like(values[:, :1])
    sums, squares = (
        np.concatenate([nothing, np.cumsum(each, axis=1)], axis=1) for each in (values, values**2)
    )
    ends = np.arange(values.shape[1] - monitored, values.shape[1]) + 1
    begins = ends - window
    mean, square = (
        (each[:, begins] - each[:, begins - reference]) / reference for each in (sums, squares)
    )
    deviation = np.sqrt((square - mean**2) * reference / (reference - 1))
    now = (sums[:, ends] - sums[:, begins]) / window
    away: Numbers = (now - mean) / (deviation * np.sqrt(1 / window + 1 / reference))
    return away


def e_detector(values: Numbers, *, reference: int, monitored: int) -> Numbers:
    """Return the e-detector of Shiryaev and Roberts after each of the last ``monitored`` blocks.

    M_t = (M_{t-1} + 1) exp(d z_t - d^2 / 2), for every column and every d of RISES, up and down; the
    mean of them all is an e-detector again (Shin, Ramdas and Rinaldo, 2023, "E-detectors: a
    nonparametric framework for sequential change detection"): the mean time to a false alarm at a limit
    c is at least c, if z are standard normal given the past. Here they are what the ``reference`` blocks
    before the monitored ones make of them. (runs, blocks, columns) becomes (runs, monitored).
    """
    before = values[:, -monitored - reference : -monitored]
    mean, deviation = before.mean(axis=1), before.std(axis=1, ddof=1)
    rises = np.concatenate([np.asarray(RISES), -np.asarray(RISES)])
    held = np.zeros((values.shape[0], values.shape[2], len(rises)))
    found = np.zeros((values.shape[0], monitored))
    for at in range(monitored):
        score = (values[:, at - monitored] - mean) / deviation
        won = np.exp(rises * score[..., None] - rises**2 / 2)
        held = np.minimum((held + 1.0) * won, LARGEST)
        found[:, at] = held.mean(axis=(1, 2))
    return found
