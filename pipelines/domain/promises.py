"""Promises: what the consumers of predictions may rely on, judged before they are published."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING, TypeAlias
from zoneinfo import ZoneInfo

from pipelines.domain.windows import local_moment
from pipelines.errors import Problem, PromiseBroken

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True)
class PredictionRange:
    """Every published prediction lies in [low, high]; one outside stops its window's publishing."""

    low: float
    high: float

    def describe(self) -> str:
        """Return the promise in words; it also names its count."""
        return f"a prediction in [{self.low:g}, {self.high:g}]"


@dataclass(frozen=True, slots=True)
class ArrivesBy:
    """Each output is delivered by the first ``at`` (time of day, local) after the scoring time.

    Too late is better than never: a late delivery is made, recorded with both moments, and told
    once; it stops nothing.
    """

    at: time
    timezone: str = "UTC"

    def describe(self) -> str:
        """Return the promise in words."""
        return f"delivered by {self.at:%H:%M} {self.timezone}"


Promise: TypeAlias = PredictionRange | ArrivesBy


def ranges(promises: Sequence[Promise]) -> list[PredictionRange]:
    """Return the promises that predictions themselves keep or break."""
    return [promise for promise in promises if isinstance(promise, PredictionRange)]


def count_broken(promises: Sequence[Promise], prediction: "np.ndarray") -> dict[str, int]:
    """Return how many predictions of one batch break each promise, by its words; only those broken.

    A NaN breaks every range. Counts of batches and parts add up.
    """
    counts = {}
    for promise in ranges(promises):
        kept = (prediction >= promise.low) & (prediction <= promise.high)
        if broken := int(len(prediction) - kept.sum()):
            counts[promise.describe()] = broken
    return counts


def check(
    promises: Sequence[Promise],
    broken: Sequence[Mapping[str, int]],
    *,
    rows: int,
    where: str,
    consumers: Sequence[str] = (),
    which: str = "",
) -> None:
    """Raise PromiseBroken when a part counted predictions outside a promised range.

    ``broken`` holds what ``count_broken`` said of each part, ``rows`` how many predictions they
    have together, and ``which`` which of the window's they are. The caller then publishes nothing
    of the window.
    """
    found = []
    for promise in promises:
        words = promise.describe()
        count = sum(part.get(words, 0) for part in broken)
        if count:
            told = f" (promised to {', '.join(dict.fromkeys(consumers))})" if consumers else ""
            found.append(
                Problem(
                    where=where,
                    expected=f"{words} in every row{told}",
                    found=f"{count:,} of {rows:,} predictions{which} outside it",
                    fix="Nothing of this window was published. Look at the features and rules of "
                    "those rows, or agree on another range with the consumers.",
                )
            )
    if found:
        raise PromiseBroken(*found)


def due_at(promises: Sequence[Promise], scored_for: datetime) -> datetime | None:
    """Return the moment (UTC) by which outputs of a scoring time must be there; None without one.

    Of several promises the earliest counts.

    >>> from datetime import UTC
    >>> due_at([ArrivesBy(time(6), "America/New_York")],
    ...     datetime(2013, 7, 1, 9, tzinfo=UTC)).isoformat()
    '2013-07-01T10:00:00+00:00'
    """
    moments = [_next(p, scored_for) for p in promises if isinstance(p, ArrivesBy)]
    return min(moments, default=None)


def _next(promise: ArrivesBy, moment: datetime) -> datetime:
    """Return the first moment after ``moment`` at which a clock of that zone shows the time."""
    zone = ZoneInfo(promise.timezone)
    day = moment.astimezone(zone).date()
    days = (day + timedelta(days=number) for number in range(3))
    return next(due for date in days if (due := local_moment(date, promise.at, zone)) > moment)
