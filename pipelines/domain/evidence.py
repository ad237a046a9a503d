"""Evidence: what a challenger showed on held-out rows, frozen and addressed by its content."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipelines.domain.evidence_problems import problems_of
from pipelines.domain.examination import Examination
from pipelines.domain.metrics import (
    LOSSES,
    Interval,
    TooFewBlocks,
    auc_interval,
    block_means,
    mean_interval,
    row_losses,
)
from pipelines.domain.verdict import Verdict
from pipelines.errors import HeadframeError, Problem

if TYPE_CHECKING:
    import numpy.typing as npt

FORMAT = 2
"""Version of the JSON; raised when the meaning of a field changes. 2 added the examination."""

WITHOUT_EXAMINATION = 1
"""Version of evidence that an older release froze: read, and written again, as it was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockLoss:
    """One block's rows and mean losses: role -> metric -> mean loss.

    Roles are "challenger", "baseline" and, when there is one, "champion".
    """

    block: str
    rows: int
    losses: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedLosses:
    """A rival's loss less the challenger's, per block that has both; positive is improvement.

    ``unpaired`` counts the blocks that lack one of the two.
    """

    improvements: tuple[float, ...]
    rows: tuple[int, ...]
    blocks: tuple[str, ...]
    unpaired: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that gates may look at, so that a stored evidence can be judged again.

    ``as_of`` is ISO 8601 in UTC, windows are (first, last) ISO dates, ``metrics`` is role ->
    metric -> interval. ``examination`` is None in evidence of an older release, of which the gates
    that ask for it say too few. Raises HeadframeError with every field that contradicts another.
    """

    use_case: str
    as_of: str
    challenger: str
    champion: str | None
    training_window: tuple[str, str]
    held_out_window: tuple[str, str]
    rows: int
    positives: int
    metrics: Mapping[str, Mapping[str, Interval | TooFewBlocks]]
    blocks: tuple[BlockLoss, ...]
    data_versions: Mapping[str, int]
    declaration_digest: str
    code_digest: str
    verdicts: tuple[Verdict, ...] = ()
    examination: Examination | None = None

    def __post_init__(self) -> None:
        if problems := problems_of(self):
            raise HeadframeError(*problems)

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON, in hexadecimal."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def paired(self, metric: str, *, over: str) -> PairedLosses:
        """Pair the challenger's block losses with those of the role ``over``, in block order."""
        pairs = [
            (block.losses[over][metric] - block.losses["challenger"][metric], block)
            for block in self.blocks
            if metric in block.losses.get(over, {}) and metric in block.losses.get("challenger", {})
        ]
        return PairedLosses(
            improvements=tuple(improvement for improvement, _ in pairs),
            rows=tuple(block.rows for _, block in pairs),
            blocks=tuple(block.block for _, block in pairs),
            unpaired=len(self.blocks) - len(pairs),
        )

    def to_json(self) -> str:
        """Canonical JSON: sorted keys, no spaces, floats that read back exactly.

        Raises ValueError when a figure is not finite.
        """
        plain = {
            "format": WITHOUT_EXAMINATION if self.examination is None else FORMAT,
            "use_case": self.use_case,
            "as_of": self.as_of,
            "challenger": self.challenger,
            "champion": self.champion,
            "training_window": list(self.training_window),
            "held_out_window": list(self.held_out_window),
            "rows": int(self.rows),
            "positives": int(self.positives),
            "metrics": {
                role: {name: _plain_interval(interval) for name, interval in metrics.items()}
                for role, metrics in self.metrics.items()
            },
            "blocks": [_plain_block(block) for block in self.blocks],
            "data_versions": {table: int(version) for table, version in self.data_versions.items()},
            "declaration_digest": self.declaration_digest,
            "code_digest": self.code_digest,
            "verdicts": [verdict.to_plain() for verdict in self.verdicts],
        }
        if self.examination is not None:
            plain["examination"] = self.examination.to_plain()
        return json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> "Evidence":
        """Read what ``to_json`` wrote: equal in value and digest. Raises HeadframeError otherwise."""
        try:
            plain = json.loads(text)
            if plain["format"] not in (WITHOUT_EXAMINATION, FORMAT):
                raise _unreadable(f"format {plain['format']}")
            evidence = _from_plain(plain)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise _unreadable(f"{type(error).__name__}: {error}") from error
        if unread := _unread(plain, json.loads(evidence.to_json())):
            raise _unreadable(f"something else in {unread} than this release writes")
        return evidence


def build_blocks(
    label: "npt.ArrayLike", probabilities: "Mapping[str, npt.ArrayLike]", blocks: "npt.ArrayLike"
) -> tuple[BlockLoss, ...]:
    """Mean of every row loss on every block for every role, by block.

    The same rows in another order give the same values to the last bit, hence the same digest.

    >>> block, = build_blocks([1, 0], {"challenger": [0.5, 0.5]}, ["2013-03-01", "2013-03-01"])
    >>> block.rows, block.losses["challenger"]["brier"]
    (2, 0.25)
    """
    names: list[str] = []
    sizes: list[int] = []
    losses: list[dict[str, dict[str, float]]] = []
    for role, probability in probabilities.items():
        for metric in LOSSES:
            names, sizes, means = block_means(row_losses(metric, label, probability), blocks)
            losses = losses or [{} for _ in names]
            for block, mean in zip(losses, means, strict=True):
                block.setdefault(role, {})[metric] = mean
    return tuple(
        BlockLoss(block=name, rows=rows, losses=loss)
        for name, rows, loss in zip(names, sizes, losses, strict=True)
    )


def build_metrics(
    label: "npt.ArrayLike",
    probabilities: "Mapping[str, npt.ArrayLike]",
    blocks: "npt.ArrayLike",
    *,
    confidence: float = 0.95,
) -> dict[str, dict[str, Interval | TooFewBlocks]]:
    """Every metric of every role with its two-sided interval over blocks."""
    return {
        role: {
            **{
                metric: mean_interval(
                    row_losses(metric, label, probability), blocks, confidence=confidence
                )
                for metric in LOSSES
            },
            "auc": auc_interval(label, probability, blocks, confidence=confidence),
        }
        for role, probability in probabilities.items()
    }


def _plain_interval(interval: Interval | TooFewBlocks) -> dict[str, Any]:
    if isinstance(interval, TooFewBlocks):
        known = None if interval.estimate is None else float(interval.estimate)
        return {"estimate": known, "blocks": int(interval.blocks)}
    return {
        "estimate": float(interval.estimate),
        "low": float(interval.low),
        "high": float(interval.high),
        "confidence": float(interval.confidence),
        "blocks": int(interval.blocks),
    }


def _plain_block(block: BlockLoss) -> dict[str, Any]:
    losses = {
        role: {metric: float(loss) for metric, loss in by_metric.items()}
        for role, by_metric in block.losses.items()
    }
    return {"block": block.block, "rows": int(block.rows), "losses": losses}


def _from_plain(plain: dict[str, Any]) -> Evidence:
    (training_first, training_last) = plain["training_window"]
    (held_out_first, held_out_last) = plain["held_out_window"]
    return Evidence(
        use_case=plain["use_case"],
        as_of=plain["as_of"],
        challenger=plain["challenger"],
        champion=plain["champion"],
        training_window=(training_first, training_last),
        held_out_window=(held_out_first, held_out_last),
        rows=plain["rows"],
        positives=plain["positives"],
        metrics={
            role: {
                # An interval without bounds is one of too few blocks.
                name: Interval(**figures) if "low" in figures else TooFewBlocks(**figures)
                for name, figures in metrics.items()
            }
            for role, metrics in plain["metrics"].items()
        },
        blocks=tuple(BlockLoss(**block) for block in plain["blocks"]),
        data_versions=plain["data_versions"],
        declaration_digest=plain["declaration_digest"],
        code_digest=plain["code_digest"],
        verdicts=tuple(Verdict.from_plain(verdict) for verdict in plain["verdicts"]),
        examination=(
            Examination.from_plain(plain["examination"]) if plain["format"] == FORMAT else None
        ),
    )


def _unread(plain: dict[str, Any], again: dict[str, Any]) -> str:
    """Return the fields, sorted, that would be lost or changed by writing the evidence again."""
    return ", ".join(
        sorted(name for name in {*plain, *again} if plain.get(name) != again.get(name))
    )


def _unreadable(found: str) -> HeadframeError:
    return HeadframeError(
        Problem(
            where="evidence",
            expected=f"evidence in format {WITHOUT_EXAMINATION} or {FORMAT}",
            found=found,
            fix="Run headframe upgrade, or evaluate the challenger again.",
        )
    )
