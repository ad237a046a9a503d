"""Comparison: two registered versions side by side, and whether what they were judged on allows it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from pipelines.domain.block_estimate import mean_estimate
from pipelines.domain.evidence import Evidence
from pipelines.domain.evidence_report import Bounded, metrics_of
from pipelines.domain.metrics import LOSSES, METRICS, MINIMUM_BLOCKS
from pipelines.domain.registered import Registered

Group = Literal["made", "parameter", "feature", "table", "package", "digest"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One fact of both versions as text; empty where a version has none."""

    group: Group
    name: str
    first: str
    second: str

    @property
    def differs(self) -> bool:
        """Whether the versions are not alike in it."""
        return self.first != self.second


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricPair:
    """One metric of both versions, each on its own held-out rows; None where it was not judged."""

    metric: str
    first: Bounded | None
    second: Bounded | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """The first version's loss less the second's on the same rows: above 0 the second is better."""

    metric: str
    improvement: Bounded


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two versions of one use case. ``basis`` says on which rows ``paired`` holds, or why it is empty."""

    use_case: str
    first: str
    second: str
    metrics: tuple[MetricPair, ...]
    paired: tuple[Paired, ...]
    basis: str
    facts: tuple[Fact, ...]

    @property
    def differences(self) -> tuple[Fact, ...]:
        """Return the facts in which the versions are not alike."""
        return tuple(one for one in self.facts if one.differs)

    def to_plain(self) -> dict[str, Any]:
        """Return values that JSON knows."""
        return asdict(self)


def compare(first: Registered, second: Registered) -> Comparison:
    """Return two versions side by side, with a paired interval where they met on the same rows."""
    basis, pairs = _pairs(first, second)
    return Comparison(
        use_case=first.use_case,
        first=first.version,
        second=second.version,
        metrics=_metrics(first.evidence, second.evidence),
        paired=tuple(_paired(metric, pairs) for metric in LOSSES if _met(metric, pairs)),
        basis=basis,
        facts=_facts(first, second),
    )


Pair = tuple[int, Mapping[str, float], Mapping[str, float]]
"""Rows of a block, and the mean losses of the first and of the second version on them."""


def _pairs(first: Registered, second: Registered) -> tuple[str, list[Pair]]:
    """Return what the versions said of the same rows, in block order, and which rows these are."""
    for one, other, swapped in ((first, second, False), (second, first, True)):
        seen = other.evidence
        if seen is not None and seen.champion == one.version:
            found = [
                (block.rows, block.losses["champion"], block.losses["challenger"])
                for block in seen.blocks
                if "champion" in block.losses
            ]
            basis = (
                f"the {len(found):,} held-out blocks of version {other.version}, which was judged "
                f"against version {one.version}"
            )
            return basis, [(rows, b, a) for rows, a, b in found] if swapped else found
    missing = [one.version for one in (first, second) if one.evidence is None]
    if missing or first.evidence is None or second.evidence is None:
        return f"not paired: the gates have not judged version {' and '.join(missing)}", []
    ours = {block.block: block for block in first.evidence.blocks}
    theirs = {block.block: block for block in second.evidence.blocks}
    common = [
        name for name in sorted(ours) if name in theirs and ours[name].rows == theirs[name].rows
    ]
    if not common:
        return (
            f"not paired: version {first.version} was judged on "
            f"{' to '.join(first.held_out_window)}, version {second.version} on "
            f"{' to '.join(second.held_out_window)}, and no block is the same",
            [],
        )
    pairs = [
        (ours[name].rows, ours[name].losses["challenger"], theirs[name].losses["challenger"])
        for name in common
    ]
    return (
        f"the {len(common):,} blocks that both were judged on ({common[0]} to {common[-1]}), of "
        f"{len(ours):,} and {len(theirs):,}",
        pairs,
    )


def _met(metric: str, pairs: Sequence[Pair]) -> bool:
    """Tell whether both versions have a loss on every block."""
    return bool(pairs) and all(metric in ours and metric in theirs for _, ours, theirs in pairs)


def _paired(metric: str, pairs: Sequence[Pair]) -> Paired:
    gained = [first[metric] - second[metric] for _, first, second in pairs]
    found = mean_estimate(gained, [rows for rows, _, _ in pairs])
    return Paired(metric=metric, improvement=Bounded.of(found))


def _metrics(first: Evidence | None, second: Evidence | None) -> tuple[MetricPair, ...]:
    ours, theirs = _challengers(first), _challengers(second)
    return tuple(
        MetricPair(metric=name, first=ours.get(name), second=theirs.get(name))
        for name in METRICS
        if name in ours or name in theirs
    )


def _challengers(evidence: Evidence | None) -> dict[str, Bounded]:
    if evidence is None:
        return {}
    return {
        one.metric.name: role.figure
        for one in metrics_of(evidence)
        for role in one.roles
        if role.role == "challenger"
    }


def _facts(first: Registered, second: Registered) -> tuple[Fact, ...]:
    groups: list[tuple[Group, Mapping[str, str], Mapping[str, str]]] = [
        ("made", _made(first), _made(second)),
        ("parameter", _texts(first.parameters), _texts(second.parameters)),
        ("feature", first.features, second.features),
        ("table", _texts(first.data_versions), _texts(second.data_versions)),
        ("package", _packages(first), _packages(second)),
        ("digest", first.digests, second.digests),
    ]
    return tuple(
        Fact(group=group, name=name, first=ours.get(name, ""), second=theirs.get(name, ""))
        for group, ours, theirs in groups
        for name in dict.fromkeys([*ours, *theirs])
    )


def _made(one: Registered) -> dict[str, str]:
    return {
        "candidate": one.candidate,
        "training window": " to ".join(one.training_window),
        "held-out window": " to ".join(one.held_out_window),
        "as of": one.as_of,
        **(
            {"usual number": one.typical}
            if one.positive_share is None
            else {"share of positives": f"{one.positive_share:.4f}"}
        ),
    }


def _texts(values: Mapping[str, object]) -> dict[str, str]:
    return {
        name: f"{value:.6g}" if isinstance(value, float) else str(value)
        for name, value in values.items()
    }


def _packages(one: Registered) -> dict[str, str]:
    parts = (line.partition("==") for line in one.requirements)
    return {name: version for name, _, version in parts}


def figure(found: Bounded | None, *, signed: bool = False) -> str:
    """Return a figure as a person reads it.

    >>> figure(Bounded(estimate=0.5, low=0.4, high=0.6, blocks=28)), figure(None)
    ('0.5000 (0.4000 to 0.6000)', 'not judged')
    """
    if found is None:
        return "not judged"
    if found.estimate is None:
        return "too few blocks"
    sign = "+" if signed else ""
    text = f"{found.estimate:{sign}.4f}"
    if found.low is None or found.high is None:
        return f"{text} (no interval: worth {found.blocks} of {MINIMUM_BLOCKS} blocks)"
    return f"{text} ({found.low:{sign}.4f} to {found.high:{sign}.4f})"
