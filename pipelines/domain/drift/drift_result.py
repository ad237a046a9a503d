"""Drift results: what a drift test looks at, and what it says."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from pipelines.errors import HeadframeError, Problem

if TYPE_CHECKING:
    from pipelines.domain.drift.block_profile import BlockProfile
    from pipelines.domain.drift.block_statistics import BlockStatistics
    from pipelines.domain.drift.column_edges import ReferenceEdges
    from pipelines.domain.drift.losses import BlockLosses

Outcome: TypeAlias = Literal["drifted", "quiet", "learning", "not_tested", "measured"]
"""``learning``: fewer reference blocks than the test needs; ``not_tested``: what it looks at is not
there. Neither is "quiet". ``measured``: figures, and no test."""

OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)

MINIMUM_BLOCKS = 20
"""Reference blocks below which a test says "learning" unless declared otherwise (decision)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnShift:
    """How far one column moved in one family of statistics.

    ``effect`` has the unit its test names; ``p_value`` is that of the column alone, for ranking,
    and None where the test has none. ``direction`` is "up", "down" or "changed". ``unit`` says of a
    column that looks converted from which unit to which, as in "miles to kilometres".
    """

    column: str
    family: str
    effect: float
    p_value: float | None
    direction: Literal["up", "down", "changed"]
    unit: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftResult:
    """What a test says of one window, in a sentence and in figures; most shifted column first.

    ``alpha`` is the level it was tested at; a test without statistics has neither p-value nor
    level. Raises HeadframeError for an outcome it does not know.
    """

    test: str
    outcome: Outcome
    reason: str
    window_blocks: int
    reference_blocks: int
    p_value: float | None = None
    alpha: float | None = None
    per_column: tuple[ColumnShift, ...] = ()
    figures: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.outcome not in OUTCOMES:
            raise HeadframeError(
                Problem(
                    where=f"drift result of {self.test}",
                    expected=" or ".join(repr(outcome) for outcome in OUTCOMES),
                    found=repr(self.outcome),
                    fix="Run the monitor again with this version of Headframe.",
                )
            )

    def to_plain(self) -> dict[str, Any]:
        """Values that JSON knows; ``from_plain`` gives an equal result back."""
        shifts = [
            {name: value for name, value in _plain(shift).items() if name != "unit" or value}
            for shift in self.per_column
        ]
        return {**_plain(self), "figures": dict(self.figures), "per_column": shifts}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "DriftResult":
        """Read what ``to_plain`` wrote; KeyError or TypeError when it is something else."""
        shifts = tuple(ColumnShift(**shift) for shift in plain["per_column"])
        return cls(**{**plain, "per_column": shifts})


def _plain(record: "ColumnShift | DriftResult") -> dict[str, Any]:
    """Return the fields as they are: asdict would copy each, which is most of a monitoring's writing."""
    return {field.name: getattr(record, field.name) for field in fields(record)}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DriftEvidence:
    """All that drift tests may look at.

    ``reference`` and ``current`` are numbers of rows of ``statistics`` (and places in ``profiles``
    and ``losses``), oldest first; no block may be in both. ``seasons`` gives every one of these
    rows a season, such as its weekday: blocks of one season are exchanged with each other only.
    ``importance`` is each column's share in [0, 1] of the model's importance, ``prediction`` the
    column that holds the model's output. Raises HeadframeError for a block on both sides.
    """

    reference: tuple[int, ...]
    current: tuple[int, ...]
    statistics: "BlockStatistics | None" = None
    profiles: "tuple[BlockProfile, ...]" = ()
    edges: "ReferenceEdges | None" = None
    losses: "BlockLosses | None" = None
    importance: Mapping[str, float] = field(default_factory=dict)
    prediction: str | None = None
    seasons: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if both := set(self.reference) & set(self.current):
            raise HeadframeError(
                Problem(
                    where="drift evidence",
                    expected="blocks either in the reference or in the current window",
                    found=f"{len(both)} in both",
                    fix="Leave the blocks of the current window out of the reference.",
                )
            )
