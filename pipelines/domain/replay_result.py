"""Replay result: how a policy fared over history, and policies beside each other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from pipelines.domain.block_estimate import mean_estimate
from pipelines.domain.replay_steps import RetrainPolicy

CONFIDENCE = 0.975
"""One-sided, of either end of an interval: 95 % together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A mean over blocks with the ends of its 95 % interval; None where the blocks are too few."""

    mean: float
    low: float | None
    high: float | None

    @classmethod
    def of(cls, values: Sequence[float], rows: Sequence[int]) -> "Figure | None":
        """Return the row-weighted mean of blocks' means in time order; None of no block."""
        found = mean_estimate(values, rows)
        if found is None:
            return cls(mean=values[0], low=None, high=None) if len(values) else None
        if not found.enough:
            return cls(mean=found.estimate, low=None, high=None)
        low, high = found.at_least(CONFIDENCE), found.at_most(CONFIDENCE)
        return cls(mean=found.estimate, low=low, high=high)


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockLoss:
    """A block with enough final labels: its name, its mean loss and on how many labels."""

    block: str
    loss: float
    final: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodResult:
    """One period (UTC): its predictions, those with a final label, and their mean loss, if any."""

    begin: datetime
    until: datetime
    predictions: int
    final: int
    loss: float | None
    versions: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingResult:
    """A training after the first: when, why, which version it made, and what came of that."""

    at: datetime
    cause: str
    version: str
    outcome: str
    promoted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmResult:
    """An alarm: the block it began and was last seen with, its severity, test and reason."""

    block: str
    last: str
    level: str
    test: str
    reason: str

    @property
    def day(self) -> date:
        """The local day of the block that it began with."""
        return date.fromisoformat(self.block)


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyResult:
    """How one policy fared.

    ``loss`` is over all final labels, ``gain`` the loss of the first policy of the replay less its own
    on the same blocks (None for the first). ``blocks`` are in time order; ``refused`` counts scoring
    times without predictions, ``rolled_back`` promotions that a probation took back. ``cpu_s`` are
    seconds by stage, ``ledger`` the digest of all that the ledgers say.
    """

    policy: RetrainPolicy
    loss: Figure | None
    gain: Figure | None
    predictions: int
    final: int
    refused: int
    rolled_back: int
    blocks: tuple[BlockLoss, ...]
    periods: tuple[PeriodResult, ...]
    trainings: tuple[TrainingResult, ...]
    alarms: tuple[AlarmResult, ...]
    cpu_s: Mapping[str, float]
    wall_s: float
    ledger: str

    @property
    def promoted(self) -> int:
        """How many challengers became champion."""
        return sum(one.promoted for one in self.trainings)

    def alarms_of(self, level: str) -> int:
        """Return how many alarms of a severity began."""
        return sum(one.level == level for one in self.alarms)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayResult:
    """Policies over the same history; ``loss`` names what is measured, in ``unit``.

    ``left_out`` names gates that a replay does not ask, ``silver`` is table -> version, ``stale`` the
    tables that have a newer version by now.
    """

    use_case: str
    since: datetime
    until: datetime
    every: str
    loss: str
    unit: str
    governed: bool
    left_out: tuple[str, ...]
    silver: Mapping[str, int]
    stale: tuple[str, ...]
    policies: tuple[PolicyResult, ...]
    ledger: str
    folder: str = ""


def gain(first: Sequence[BlockLoss], other: Sequence[BlockLoss]) -> Figure | None:
    """Return by how much the mean loss of ``other`` is below that of ``first``, on blocks of both."""
    known = {one.block: one for one in other}
    both = [(one, known[one.block]) for one in first if one.block in known]
    differences = [one.loss - two.loss for one, two in both]
    return Figure.of(differences, [min(one.final, two.final) for one, two in both])
