"""Replay result: how a policy fared over history, and policies beside each other."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from pipelines.domain.block_estimate import mean_estimate
from pipelines.domain.replay_steps import RetrainPolicy

FORMAT = 1
"""Of the plain values of a result; a field that goes or means something else raises it."""

MISSED = 0.05
"""How often an interval may miss: both of its ends, and all intervals of gains, together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A mean over blocks with the ends of its 95 % interval; None where the blocks are too few.

    ``effective`` is how many independent blocks of one size the ``blocks`` are worth: neighbours that are
    alike count as fewer (``BlockEstimate``).
    """

    mean: float
    low: float | None
    high: float | None
    blocks: int
    effective: float

    @classmethod
    def of(
        cls, values: Sequence[float], rows: Sequence[int], *, intervals: int = 1
    ) -> "Figure | None":
        """Return the row-weighted mean of blocks' means in time order; None of no block.

        All of so many ``intervals`` hold in 95 of 100 cases (Bonferroni).
        """
        found = mean_estimate(values, rows)
        if found is None:
            alone = [cls(mean=one, low=None, high=None, blocks=1, effective=1.0) for one in values]
            return alone[0] if alone else None
        low = high = None
        if found.enough:
            confidence = 1.0 - MISSED / 2.0 / intervals
            low, high = found.at_least(confidence), found.at_most(confidence)
        return cls(
            mean=found.estimate, low=low, high=high, blocks=found.blocks, effective=found.effective
        )


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
    """A training after the first: when (UTC), why, which version it made, and what came of that.

    ``rolled_back`` is of one that was ``promoted``, and that a probation took back later.
    """

    at: datetime
    cause: str
    version: str
    outcome: str
    promoted: bool
    rolled_back: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldResult:
    """A training that was held back: when (UTC), what it was for, by what (``why``), and in words."""

    at: datetime
    cause: str
    why: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmResult:
    """An alarm: the block it began and was last seen with, its worst severity, and that one's reason."""

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
    on the same blocks (None for the first, and without a block of both). ``predictions`` and ``final``,
    those with a final label, are of all blocks; ``blocks`` are those with labels enough to be measured,
    in time order, and ``too_few`` counts the others, which the loss leaves out. ``refused`` counts
    scoring times without predictions, ``rolled_back`` promotions that a probation took back,
    ``cut_short`` searches that their CPU budget ended with trials left. ``cpu_s`` are seconds by stage,
    ``ledger`` the digest of all that the ledgers say.
    """

    policy: RetrainPolicy
    loss: Figure | None
    gain: Figure | None
    predictions: int
    final: int
    too_few: int
    refused: int
    rolled_back: int
    cut_short: int = 0
    blocks: tuple[BlockLoss, ...]
    periods: tuple[PeriodResult, ...]
    trainings: tuple[TrainingResult, ...]
    held: tuple[HeldResult, ...]
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

    ``timezone`` is the one that days are told in. ``left_out`` names gates that a replay does not ask,
    ``silver`` is table -> version, ``stale`` the tables that have a newer version by now, ``remarks``
    what else has to be known, a sentence each.
    """

    use_case: str
    since: datetime
    until: datetime
    timezone: str
    every: str
    loss: str
    unit: str
    governed: bool
    left_out: tuple[str, ...]
    silver: Mapping[str, int]
    stale: tuple[str, ...]
    remarks: tuple[str, ...] = ()
    policies: tuple[PolicyResult, ...]
    ledger: str

    def local(self, moment: datetime) -> datetime:
        """Return a moment on the clocks of its timezone."""
        return moment.astimezone(ZoneInfo(self.timezone))

    def losses(self) -> list[float]:
        """Return the loss of each period of each policy that has one."""
        return [one.loss for own in self.policies for one in own.periods if one.loss is not None]

    def as_plain(self) -> dict[str, Any]:
        """Return all of it as plain values under a format number; moments are ISO 8601, in UTC."""
        plain: dict[str, Any] = _plain({"format": FORMAT, **asdict(self)})
        return plain


def gain(
    first: Sequence[BlockLoss], other: Sequence[BlockLoss], *, intervals: int = 1
) -> Figure | None:
    """Return by how much the mean loss of ``other`` is below that of ``first``, on blocks of both.

    Its interval is one of so many ``intervals`` that hold together; None without a block of both.
    """
    known = {one.block: one for one in other}
    both = [(one, known[one.block]) for one in first if one.block in known]
    differences = [one.loss - two.loss for one, two in both]
    rows = [min(one.final, two.final) for one, two in both]
    return Figure.of(differences, rows, intervals=intervals)


def _plain(value: Any) -> Any:  # noqa: ANN401 - whatever a field holds
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value.isoformat() if isinstance(value, datetime) else value
