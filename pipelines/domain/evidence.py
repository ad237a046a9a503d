"""Evidence: what a challenger showed on held-out rows, frozen and addressed by its content."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.domain.evidence_problems import problems_of
from pipelines.domain.examination import Examination
from pipelines.domain.expected_value import RankedList
from pipelines.domain.metrics import METRICS, Interval, Metric, TooFewBlocks
from pipelines.domain.prediction_kinds import KINDS, KindName
from pipelines.domain.verdict import Verdict
from pipelines.errors import HeadframeError, Problem

FORMAT = 2
"""Version of the JSON; raised when the meaning of a field changes. 2 added the examination."""

OF_KINDS = 3
"""Version of evidence about another kind than binary: it says which, and in which unit."""

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

    ``as_of`` is ISO 8601 in UTC, windows are (first, last) ISO dates, ``metrics`` is role -> metric
    -> interval. ``examination`` is None in evidence of an older release, of which the gates that
    ask for it say too few. ``kind`` is that of the prediction, ``unit`` that of a number or of what
    a ranking's rows are worth, and ``listed`` the list that a ranking is judged by. ``positives``
    is 0 where the label is a number. ``recipe_digest`` and ``probe_digest`` are those that the
    challenger was registered with, empty in evidence of an older release. Raises HeadframeError
    with every field that contradicts another.
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
    kind: KindName = "binary"
    unit: str = ""
    listed: RankedList | None = None
    recipe_digest: str = ""
    probe_digest: str = ""

    def __post_init__(self) -> None:
        if problems := problems_of(self):
            raise HeadframeError(*problems)

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON, in hexadecimal."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    @property
    def loss(self) -> Metric:
        """The metric that its segments, curves and refits are in."""
        return self.metric(KINDS[self.kind].loss)

    def metric(self, name: str) -> Metric:
        """Return a metric with the unit that it has here. Raises KeyError for an unknown one."""
        return METRICS[name].of(self.unit)

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
        version = WITHOUT_EXAMINATION if self.examination is None else FORMAT
        version = version if self.kind == "binary" else OF_KINDS
        plain = {
            "format": version,
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
            plain["examination"] = self.examination.to_plain(_called(version))
        # What an older release did not freeze is not written, so that its evidence keeps its digest.
        made = {"recipe_digest": self.recipe_digest, "probe_digest": self.probe_digest}
        plain |= {name: digest for name, digest in made.items() if digest}
        if self.kind != "binary":
            listed = self.listed and {"count": self.listed.count, "per": list(self.listed.per)}
            plain |= {"kind": self.kind, "unit": self.unit, "listed": listed}
        return json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> "Evidence":
        """Read what ``to_json`` wrote: equal in value and digest. Raises HeadframeError otherwise."""
        try:
            plain = json.loads(text)
            if plain["format"] not in (WITHOUT_EXAMINATION, FORMAT, OF_KINDS):
                raise _unreadable(f"format {plain['format']}")
            evidence = _from_plain(plain)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise _unreadable(f"{type(error).__name__}: {error}") from error
        if unread := _unread(plain, json.loads(evidence.to_json())):
            raise _unreadable(f"something else in {unread} than this release writes")
        return evidence


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
            Examination.from_plain(plain["examination"], _called(plain["format"]))
            if plain["format"] != WITHOUT_EXAMINATION and "examination" in plain
            else None
        ),
        kind=plain.get("kind", "binary"),
        unit=plain.get("unit", ""),
        listed=_listed(plain.get("listed")),
        recipe_digest=plain.get("recipe_digest", ""),
        probe_digest=plain.get("probe_digest", ""),
    )


def _called(version: int) -> str:
    """Return what a version of the JSON calls the losses of refitted models."""
    return "loss" if version == OF_KINDS else "log_loss"


def _listed(plain: dict[str, Any] | None) -> RankedList | None:
    return None if plain is None else RankedList(count=plain["count"], per=tuple(plain["per"]))


def _unread(plain: dict[str, Any], again: dict[str, Any]) -> str:
    """Return the fields, sorted, that would be lost or changed by writing the evidence again."""
    return ", ".join(
        sorted(name for name in {*plain, *again} if plain.get(name) != again.get(name))
    )


def _unreadable(found: str) -> HeadframeError:
    return HeadframeError(
        Problem(
            where="evidence",
            expected=f"evidence in format {WITHOUT_EXAMINATION}, {FORMAT} or {OF_KINDS}",
            found=found,
            fix="Run headframe upgrade, or evaluate the challenger again.",
        )
    )
