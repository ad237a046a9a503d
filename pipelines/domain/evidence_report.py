"""Evidence report: what an approver is shown of an evidence, in the order in which they decide."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipelines.domain.block_estimate import BlockEstimate, mean_estimate
from pipelines.domain.evidence import Evidence
from pipelines.domain.examination import Examination
from pipelines.domain.metrics import METRICS, Interval, Metric, TooFewBlocks
from pipelines.domain.prediction_kinds import KINDS
from pipelines.domain.verdict import Outcome, Verdict, promotable

ROLES = ("challenger", "champion", "baseline")
"""In the order a reader compares them."""

READING_ORDER: tuple[Outcome, ...] = ("failed", "too_few", "passed", "not_applicable")
"""What stops a promotion is read first."""

ONE_SIDED = 0.975
"""Confidence of each bound: together they are the 95 % intervals that metrics have."""

MOST_BLOCKS = 120
"""Newest blocks that are drawn one by one."""

OLDER = "This evidence was frozen by a release that did not look at it."

WHY_ABSENT = {
    "segments": "No segment was compared: neither a gate NoWorseOnSegment nor the monitoring names "
    "one.",
    "reliability": "It takes at least two held-out blocks.",
    "importance": "The model has no feature that could be permuted.",
    "learning_curve": "No part of the training rows could teach a model.",
    "difference": "It was not looked at.",
}
"""Why each part that is always looked for may have nothing to show."""

GATE_OF = {
    "seeds": "StableAcrossSeeds",
    "leakage": "NoLeakage",
    "footprint": "WithinBudget",
    "reproduction": "Reproducible",
}
"""Parts of an examination that cost refits or passes, and the gate that asks for each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounded:
    """A figure with the bounds of its 95 % interval over blocks; bounds are None below 20 of them.

    ``blocks`` counts those that speak, effective ones where they depend on each other.
    """

    estimate: float | None
    low: float | None = None
    high: float | None = None
    blocks: int

    @classmethod
    def of(cls, found: "Interval | TooFewBlocks | BlockEstimate | None") -> "Bounded":
        """Return any figure over blocks as one; None is one that no block speaks about."""
        if found is None:
            return cls(estimate=None, blocks=0)
        if isinstance(found, Interval):
            return cls(estimate=found.estimate, low=found.low, high=found.high, blocks=found.blocks)
        if isinstance(found, TooFewBlocks):
            return cls(estimate=found.estimate, blocks=found.blocks)
        effective = min(found.blocks, round(found.effective))
        if not found.enough:
            return cls(estimate=found.estimate, blocks=effective)
        low, high = found.at_least(ONE_SIDED), found.at_most(ONE_SIDED)
        return cls(estimate=found.estimate, low=low, high=high, blocks=effective)

    def from_zero(self) -> "Bounded":
        """Return the figure of what cannot lie below 0, with no bound there."""
        return self if self.low is None else replace(self, low=max(0.0, self.low))

    @property
    def side(self) -> int:
        """Return 1 where the interval lies above 0, -1 where below, 0 where neither is known."""
        if self.low is None or self.high is None:
            return 0
        return (self.low > 0) - (self.high < 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleMetric:
    """What one metric of one role is."""

    role: str
    version: str
    figure: Bounded


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricReport:
    """One metric of every role that has it."""

    metric: Metric
    roles: tuple[RoleMetric, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Improvement:
    """A rival's loss less the challenger's on the same blocks; above 0 the challenger is better."""

    rival: str
    metric: Metric
    figure: Bounded


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockImprovement:
    """What the challenger's mean loss was better by on the rows of one block."""

    block: str
    rows: int
    improvement: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceReport:
    """All that is shown of an evidence; nothing here comes from elsewhere."""

    evidence: Evidence
    promotable: bool
    verdict: str
    replaces: str
    gates: tuple[Verdict, ...]
    metrics: tuple[MetricReport, ...]
    improvements: tuple[Improvement, ...]
    rival: str
    blocks: tuple[BlockImprovement, ...]

    @classmethod
    def of(cls, evidence: Evidence) -> "EvidenceReport":
        """Return the report of an evidence."""
        rival = "champion" if evidence.champion is not None else "baseline"
        return cls(
            evidence=evidence,
            promotable=promotable(evidence.verdicts),
            verdict=verdict_sentence(evidence),
            replaces=_replaces(evidence),
            gates=tuple(
                sorted(evidence.verdicts, key=lambda one: READING_ORDER.index(one.outcome))
            ),
            metrics=metrics_of(evidence),
            improvements=improvements_of(evidence),
            rival=rival,
            blocks=_blocks(evidence, rival),
        )

    @property
    def judged_rows(self) -> str:
        """Say what the held-out labels are like, and by which list a ranking is judged."""
        seen = self.evidence
        if not seen.rows or KINDS[seen.kind].answer == "number":
            return ""
        told = f"; {seen.positives / seen.rows:.1%} of them are positive"
        if seen.listed is None:
            return told
        per = f" of each {' and '.join(seen.listed.per)}" if seen.listed.per else ""
        return f"{told}; ranked by probability x value ({seen.unit}), the first {seen.listed.count}{per}"

    @property
    def baseline(self) -> str:
        """Say what the baseline predicts."""
        kind = KINDS[self.evidence.kind]
        if kind.answer == "number":
            return "The baseline predicts the same number for every row: what is usual in training."
        told = "The baseline predicts the training rows' share of positives for every row"
        return f"{told}, which lists the largest values first." if kind.of_lists else f"{told}."

    @property
    def examination(self) -> Examination | None:
        """Return what was looked at beside losses."""
        return self.evidence.examination


def verdict_sentence(evidence: Evidence) -> str:
    """Say in one sentence whether the challenger may be promoted, and why."""
    version, verdicts = f"Version {evidence.challenger}", evidence.verdicts
    if not verdicts:
        return f"{version} may not be promoted: no gate judged it."
    passed = [one for one in verdicts if one.outcome == "passed"]
    beside = len(verdicts) - len(passed)
    if promotable(verdicts):
        judged = f"{len(passed)} gates passed" if len(passed) != 1 else "1 gate passed"
        rest = f", {beside} not applicable" if beside else ""
        return f"{version} may be promoted: {judged}{rest}."
    why = [
        f"{_named([one.gate for one in verdicts if one.outcome == outcome])} {said}"
        for outcome, said in (("failed", "failed"), ("too_few", "could not be tested"))
        if any(one.outcome == outcome for one in verdicts)
    ]
    return f"{version} may not be promoted: {', and '.join(why) or 'no gate could judge it'}."


def metrics_of(evidence: Evidence) -> tuple[MetricReport, ...]:
    """Return every metric of every role, challenger first."""
    versions = {"challenger": evidence.challenger, "champion": evidence.champion or ""}
    return tuple(
        MetricReport(metric=metric.of(evidence.unit), roles=roles)
        for metric in METRICS.values()
        if (
            roles := tuple(
                RoleMetric(
                    role=role,
                    version=versions.get(role, ""),
                    figure=Bounded.of(evidence.metrics[role][metric.name]),
                )
                for role in ROLES
                if metric.name in evidence.metrics.get(role, {})
            )
        )
    )


def improvements_of(evidence: Evidence) -> tuple[Improvement, ...]:
    """Return what the challenger's losses are better by than each rival's, paired on blocks.

    A rival that lacks a loss on any block is left out: the others would be another comparison.
    """
    found = []
    for rival in ROLES[1:]:
        for metric in KINDS[evidence.kind].compared:
            paired = evidence.paired(metric, over=rival)
            if paired.blocks and not paired.unpaired:
                figure = Bounded.of(mean_estimate(paired.improvements, paired.rows))
                found.append(
                    Improvement(rival=rival, metric=evidence.metric(metric), figure=figure)
                )
    return tuple(found)


def absent(evidence: Evidence, part: str) -> str:
    """Say why a part of the examination has nothing to show; empty when it has something."""
    seen = evidence.examination
    if seen is None:
        return OLDER
    if getattr(seen, part):
        return ""
    if part == "reliability" and KINDS[evidence.kind].answer == "number":
        return "The label is a number: there is no probability that could come true."
    if (gate := GATE_OF.get(part)) is None:
        no_champion = part == "difference" and evidence.champion is None
        return "There was no champion to differ from." if no_champion else WHY_ABSENT[part]
    if any(one.gate == gate for one in evidence.verdicts):
        return f"It could not be measured: see the gate {gate}."
    return f"It was not looked at: the gate {gate} asks for it, and is not declared."


def _blocks(evidence: Evidence, rival: str) -> tuple[BlockImprovement, ...]:
    paired = evidence.paired(evidence.loss.name, over=rival)
    every = zip(paired.blocks, paired.rows, paired.improvements, strict=True)
    found = [BlockImprovement(block=name, rows=rows, improvement=by) for name, rows, by in every]
    return tuple(sorted(found, key=lambda one: one.block)[-MOST_BLOCKS:])


def _replaces(evidence: Evidence) -> str:
    if evidence.champion is None:
        return "It would be the first champion."
    return f"It would replace version {evidence.champion}."


def _named(names: Sequence[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last
