"""Budgets: the CPU seconds that a use case may spend in a month, and whether a training fits in."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, TypeAlias

from pipelines.errors import Problem

SOUND = (
    "A sound declaration is Budget(cpu_seconds_per_month=3600, warn_at=0.8, on_exceeded='warn')."
)

Level: TypeAlias = Literal["within", "warn", "refuse"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What a use case may spend in a calendar month (UTC): CPU seconds of all its stages together.

    A training that would end above the share ``warn_at`` of it is told of; above the whole of it,
    a training is refused before it begins, or told of too. Nothing but training is ever refused:
    predictions are a promise to others.
    """

    cpu_seconds_per_month: float
    warn_at: float = 0.8
    on_exceeded: Literal["refuse", "warn"] = "refuse"

    def problems(self, where: str) -> Iterator[Problem]:
        """Yield what is wrong with the declaration."""
        for name, is_wrong, expected, found in (
            (
                "cpu_seconds_per_month",
                not 0 < self.cpu_seconds_per_month < float("inf"),
                "a number of CPU seconds above 0",
                str(self.cpu_seconds_per_month),
            ),
            ("warn_at", not 0 < self.warn_at <= 1, "a share above 0, up to 1", str(self.warn_at)),
            (
                "on_exceeded",
                self.on_exceeded not in {"refuse", "warn"},
                "'refuse' or 'warn'",
                repr(self.on_exceeded),
            ),
        ):
            if is_wrong:
                yield Problem(where=f"{where}, {name}", expected=expected, found=found, fix=SOUND)


@dataclass(frozen=True, slots=True, kw_only=True)
class Affordable:
    """Whether a training fits in: what the month has cost, and what the training may cost at most.

    ``planned`` is 0 for a training whose cost nobody can tell before.
    """

    budget: Budget
    month: str
    spent: float
    planned: float

    @property
    def level(self) -> Level:
        """What follows: nothing, a word, or no training."""
        whole, after = self.budget.cpu_seconds_per_month, self.spent + self.planned
        if after > whole or self.spent >= whole:
            return self.budget.on_exceeded
        return "warn" if after >= self.budget.warn_at * whole else "within"

    def describe(self) -> str:
        """Return one line for the log, the terminal and an incident."""
        may = f", and this training may spend {_told(self.planned)}" if self.planned else ""
        whole = _told(self.budget.cpu_seconds_per_month)
        return f"{_told(self.spent)} of {whole} CPU s of {self.month} are spent{may}"


def month_of(moment: datetime) -> datetime:
    """Return the first moment of the calendar month (UTC) that ``moment`` lies in.

    >>> month_of(datetime(2026, 3, 31, 23, tzinfo=UTC)).isoformat()
    '2026-03-01T00:00:00+00:00'
    """
    return moment.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def _told(seconds: float) -> str:
    return f"{seconds:,.0f}" if seconds >= 10 else f"{seconds:.3g}"
