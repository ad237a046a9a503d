"""Readings: what a monitor measures on every check, and when it alarms as shipped or recalibrated."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from benchmarks.drift_quality_data import WINDOW
from benchmarks.drift_quality_rows import Numbers

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    """What one monitor measured: ``values`` is (checks, columns), the higher the worse.

    As shipped it alarms on a check when one value is above ``limit``.
    """

    columns: tuple[str, ...]
    values: Numbers
    limit: float


class Rule(Protocol):
    """When a monitor alarms, and which column it blames."""

    def alarms(self, readings: Readings) -> Flags:
        """Return for each check whether it alarms."""

    def blamed(self, readings: Readings) -> list[str]:
        """Return for each check the column that stands out most."""


@dataclass(frozen=True, slots=True)
class Shipped:
    """The monitor's own limit, the same for every column."""

    def alarms(self, readings: Readings) -> Flags:
        """Alarm where one column is above the limit."""
        return np.asarray(readings.values.max(axis=1) > readings.limit)

    def blamed(self, readings: Readings) -> list[str]:
        """Blame the column with the greatest value."""
        return [readings.columns[at] for at in readings.values.argmax(axis=1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class OneLimit:
    """One limit for all columns, moved to where quiet data gives the wanted number of alarms."""

    limit: float

    def alarms(self, readings: Readings) -> Flags:
        """Alarm where one column is above the limit."""
        return np.asarray(readings.values.max(axis=1) > self.limit)

    def blamed(self, readings: Readings) -> list[str]:
        """Blame the column with the greatest value."""
        return Shipped().blamed(readings)


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitPerColumn:
    """Columns in units of how they vary on quiet data, and one limit on these units."""

    middle: Numbers
    spread: Numbers
    limit: float

    def alarms(self, readings: Readings) -> Flags:
        """Alarm where one column is that far from its own quiet mean."""
        return np.asarray(self._units(readings.values).max(axis=1) > self.limit)

    def blamed(self, readings: Readings) -> list[str]:
        """Blame the column farthest from its own quiet mean."""
        return [readings.columns[at] for at in self._units(readings.values).argmax(axis=1)]

    def _units(self, values: Numbers) -> Numbers:
        return (values - self.middle) / self.spread


def recalibrated(
    quiet: Sequence[Readings], alarms_per_window: float
) -> tuple[OneLimit, LimitPerColumn]:
    """Return the rules that alarm in at most that share of the windows of quiet data.

    A window is WINDOW checks in a row, and alarms when one of them does: what power is measured in.
    A rate per check would favour whoever alarms on single checks over whoever alarms on several in
    a row. The limit is a value that was seen: one window more above it would be too many. Raises
    ValueError without a window.
    """
    values = np.concatenate([readings.values for readings in quiet])
    if not len(values) or min(len(readings.values) for readings in quiet) < WINDOW:
        message = f"no {WINDOW} quiet checks in a row to calibrate on"
        raise ValueError(message)
    middle = values.mean(axis=0)
    spread = np.maximum(values.std(axis=0), 1e-12)
    one = [readings.values.max(axis=1) for readings in quiet]
    units = [((readings.values - middle) / spread).max(axis=1) for readings in quiet]
    return (
        OneLimit(limit=_limit(one, alarms_per_window)),
        LimitPerColumn(middle=middle, spread=spread, limit=_limit(units, alarms_per_window)),
    )


def windows_with_alarm(alarms: Sequence[Sequence[bool]]) -> float:
    """Return the share of all windows of WINDOW checks in a row, within each order, that alarm."""
    found = [
        sliding_window_view(np.asarray(of_order, dtype=bool), WINDOW).any(axis=1)
        for of_order in alarms
    ]
    return float(np.concatenate(found).mean())


def _limit(quiet: Sequence[Numbers], alarms_per_window: float) -> float:
    """Return the least value seen that at most the allowed windows are above."""
    highest = np.concatenate([sliding_window_view(of, WINDOW).max(axis=1) for of in quiet])
    allowed = int(np.floor(alarms_per_window * len(highest) + 1e-9))
    ordered = np.sort(highest)[::-1]
    return float(ordered[min(allowed, len(ordered) - 1)])
