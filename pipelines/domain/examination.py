"""Examination: what a challenger showed beside its losses, for gates and for those who approve."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from pipelines.domain.block_estimate import BlockEstimate

LOSS_FIELD = "loss"
REFITS = ("learning_curve", "seeds")
"""Parts that hold the losses of refitted models, and the field that each of their points has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentDifference:
    """How much worse the challenger does than its rival on the rows of one level of a segment.

    ``worsening`` is the challenger's loss less the rival's; None below two blocks. The loss here and
    below is that of the evidence's kind: log loss in nats, or absolute error in the label's unit.
    """

    level: str
    rows: int
    worsening: BlockEstimate | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReliabilityBin:
    """Rows of neighbouring probabilities: their mean, and the share of positives among them."""

    rows: int
    predicted: float
    observed: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reliability:
    """Whether predicted probabilities come true (see ``domain.reliability``).

    ``in_the_large`` is mean probability less share of positives; ``slope`` is 1 where odds are
    neither too bold (below) nor too shy; ``error`` is the mean distance, in probability, between
    prediction and recalibrated prediction.
    """

    in_the_large: BlockEstimate
    slope: BlockEstimate
    error: BlockEstimate
    bins: tuple[ReliabilityBin, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvePoint:
    """The held-out loss of the same model taught only the last ``blocks``."""

    blocks: int
    rows: int
    loss: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedLoss:
    """The held-out loss of the same model taught with another seed."""

    seed: int
    loss: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Leakage:
    """What a model must not show: skill without being taught, or knowledge of the future.

    ``shuffled`` is by how much models taught shuffled labels are better than the baseline, on
    average, and ``shuffles`` the same of each of them: one may be right by the luck of its shuffle.
    ``alone`` is the AUC, at least 0.5, of each feature by itself; of a number, for being above its
    median. ``described`` rows of held-out blocks were described again from tables without anything
    that became known after their time, and ``differing`` of them came out otherwise.
    """

    shuffled: BlockEstimate
    shuffles: tuple[float, ...]
    alone: Mapping[str, float]
    described: int
    differing: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """CPU milliseconds for 1,000 predictions on one thread, measured once, and the model's size."""

    rows: int
    milliseconds_per_1000: float
    megabytes: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reproduction:
    """How the probe predictions of the model fitted again differ from those it was registered with."""

    rows: int
    differing: int
    largest: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ChampionDifference:
    """How the challenger differs from the champion.

    ``improvements`` are the champion's losses less the challenger's; ``moved`` is the mean distance
    between their predictions.
    """

    improvements: Mapping[str, BlockEstimate | None]
    moved: float
    features_added: tuple[str, ...]
    features_removed: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """All that was looked at; what no gate asked for and costs a refit is None or empty.

    ``rival`` is the role that segments are compared with. ``segments`` is column -> levels, the most
    frequent first. ``importance`` is each feature's share. ``inputs`` is role -> feature ->
    "number" or "text".
    """

    rival: Literal["champion", "baseline"]
    segments: Mapping[str, tuple[SegmentDifference, ...]] = field(default_factory=dict)
    reliability: Reliability | None = None
    importance: Mapping[str, float] = field(default_factory=dict)
    learning_curve: tuple[CurvePoint, ...] = ()
    seeds: tuple[SeedLoss, ...] = ()
    leakage: Leakage | None = None
    footprint: Footprint | None = None
    inputs: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    reproduction: Reproduction | None = None
    difference: ChampionDifference | None = None

    def to_plain(self, loss: str = LOSS_FIELD) -> dict[str, Any]:
        """Values that JSON knows; ``from_plain`` gives an equal examination back.

        ``loss`` names the losses of refits: "log_loss" is what evidence of probabilities calls them.
        """
        plain = asdict(self)
        for part in REFITS:
            plain[part] = [_renamed(point, LOSS_FIELD, loss) for point in plain[part]]
        return plain

    @classmethod
    def from_plain(cls, plain: Any, loss: str = LOSS_FIELD) -> "Examination":  # noqa: ANN401 - whatever JSON held
        """Read what ``to_plain`` wrote; ValueError where a field is missing, or of another type."""
        import msgspec

        named = {
            part: [_renamed(point, loss, LOSS_FIELD) for point in plain[part]]
            for part in REFITS
            if part in plain
        }
        try:
            return msgspec.convert({**plain, **named}, cls)
        except msgspec.ValidationError as error:
            raise ValueError(f"examination: {error}") from error


def _renamed(point: Mapping[str, Any], old: str, new: str) -> dict[str, Any]:
    return {new if name == old else name: value for name, value in point.items()}
