"""Monitoring report: all that the page about a model's blocks says, as values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from math import isfinite

from pipelines.domain.drift.block_profile import BlockProfile, merged
from pipelines.domain.drift.estimates import with_interval
from pipelines.domain.feature_report import FeatureReport, Sides, feature_reports
from pipelines.domain.incidents import Incident
from pipelines.domain.model_reference import ModelReference
from pipelines.domain.monitored import HARM, BlockEstimate, Judged, Profiled
from pipelines.domain.monitoring import Monitoring
from pipelines.domain.performance import BlockPerformance
from pipelines.domain.watch import WEEK, compared
from pipelines.domain.watched import Watched

MOST_ESTIMATES = 14
"""Newest blocks without final labels that an estimate is given for."""

MOST_LABELLED = 90
"""Newest labelled blocks whose errors make the interval of an estimate: a quarter of days."""

MOST_BLOCKS = 120
"""Blocks of the performance timeline."""

MOST_INCIDENTS = 20
"""Incidents that are shown: what paged stays until a person closes it, however many there are."""

USUAL = 0.9
"""Share of the held-out blocks whose loss lies within what is drawn as usual."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usual:
    """Losses of the held-out blocks, in the loss's unit: mean, the middle 90 %, and the mean that is harm."""

    mean: float
    low: float
    high: float
    harm_above: float
    blocks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineBlock:
    """One block of the timeline; losses in their unit, None where they are not known.

    ``coverage`` is the share in [0, 1] of its predictions that have a final label. ``expected`` is
    what its scores let expect, ``estimate`` that with an interval where labels are not final.
    """

    block: str
    measured: BlockPerformance | None
    expected: float | None
    estimate: BlockEstimate | None
    promoted: str | None = None

    @property
    def loss(self) -> float | None:
        """Return the mean loss on final labels."""
        return None if self.measured is None else self.measured.loss

    @property
    def coverage(self) -> float:
        """Return the share of the predictions with a final label."""
        found = self.measured
        return found.final / found.predictions if found and found.predictions else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentReport:
    """How the loss inside a segment moved against the block's other rows (nats, "up" is worse).

    ``reference_share`` and ``current_share`` are its shares in [0, 1] of the rows.
    """

    segment: str
    reference_share: float | None
    current_share: float | None
    effect: float
    direction: str
    p_value: float | None
    blamed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """What the page was made from: model, digests, and versions of Delta tables by dotted name."""

    model_version: str
    run_id: str
    edges_digest: str
    evidence_digest: str
    declaration_digest: str
    tables: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """A model version that became the champion, and from which block on."""

    block: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitoringReport:
    """The whole page. ``features`` is empty while nothing was profiled. Losses are in ``unit``.

    ``left_out`` says of blocks that the model never published why they are nobody's reference.
    """

    use_case: str
    owner: str
    as_of: datetime
    watched: Watched
    timeline: tuple[TimelineBlock, ...]
    usual: Usual | None
    features: tuple[FeatureReport, ...]
    compared_with: str
    segments: tuple[SegmentReport, ...]
    incidents: tuple[Incident, ...]
    provenance: Provenance | None
    left_out: tuple[str, ...] = ()
    loss: str = "log loss"
    unit: str = "nats"

    @property
    def shown_incidents(self) -> tuple[Incident, ...]:
        """Return at most MOST_INCIDENTS: those that are not over, grave and new come first."""
        ranked = sorted(
            self.incidents,
            key=lambda one: (one.state == "mitigated", one.severity != "PAGE", -one.number),
        )
        return tuple(ranked[:MOST_INCIDENTS])

    @property
    def commands(self) -> tuple[tuple[str, str], ...]:
        """What to do next, with the command to copy."""
        found = [
            ("Monitor again", f"headframe run monitor {self.use_case}"),
            ("Train a challenger", f"headframe run train {self.use_case}"),
        ]
        found += [
            (f"Incident {one.number}", f"headframe incident show {one.number}")
            for one in self.shown_incidents
        ]
        return tuple(found)


def watched_of(
    judged: Sequence[Judged],
    every: Sequence[Judged],
    profiled: Sequence[Profiled],
    *,
    blocks: Sequence[BlockPerformance],
    model: ModelReference,
    monitoring: Monitoring,
) -> Watched:
    """Return what the tables say of a model: its answers (``judged``) up to its newest profile.

    ``every`` holds the answers about all models, which share one budget, ``blocks`` how the
    predictions did that consumers got: that is what is estimated while labels are awaited.
    """
    found = Watched.of(
        judged,
        every,
        model_version=model.model_version,
        newest_block=profiled[-1].block,
        alarms_per_quarter=monitoring.alarms_per_quarter,
        block=monitoring.block,
    )
    harm = found.answer(HARM)
    labelled = [one.scored_for for one in profiled if harm and one.block == harm.block]
    return replace(
        found,
        estimates=block_estimates(profiled, realised(blocks, model.model_version)),
        labelled_until=labelled[0] if labelled else None,
        assumes=compared(profiled, model, monitoring, window=1).assumes,
        needed_blocks=monitoring.minimum_reference_blocks,
        prediction=model.prediction,
        loss=model.loss_words,
    )


def realised(blocks: Sequence[BlockPerformance], version: str) -> dict[str, float]:
    """Return the loss of each block that one version scored alone; NaN with too few final labels."""
    return {
        one.block: float("nan") if one.loss is None else one.loss
        for one in blocks
        if one.model_versions == version
    }


def block_estimates(
    profiled: Sequence[Profiled], losses: Mapping[str, float]
) -> tuple[BlockEstimate, ...]:
    """Estimate the newest blocks whose loss is NaN, with intervals from those where it is known.

    ``losses`` are by block, the mean in the loss's unit; a block that is not in them is left out.
    """
    told = [
        (one.block, one.estimated_loss, losses[one.block])
        for one in profiled
        if one.estimated_loss is not None and one.block in losses
    ]
    final = [(expected, loss) for _, expected, loss in told if isfinite(loss)][-MOST_LABELLED:]
    waiting = [(block, expected) for block, expected, loss in told if not isfinite(loss)]
    return tuple(
        BlockEstimate(
            block=block,
            estimated=with_interval(
                expected,
                estimated=[estimate for estimate, _ in final],
                realised=[loss for _, loss in final],
            ),
        )
        for block, expected in waiting[-MOST_ESTIMATES:]
    )


def timeline_of(
    blocks: Sequence[BlockPerformance],
    profiled: Sequence[Profiled],
    estimates: Sequence[BlockEstimate],
    promotions: Sequence[Promotion],
) -> tuple[TimelineBlock, ...]:
    """Return the newest MOST_BLOCKS blocks that were scored, oldest first.

    A promotion is noted at the first block from it on.
    """
    measured = {one.block: one for one in blocks}
    expected = {one.block: one.estimated_loss for one in profiled if one.published}
    estimated = {one.block: one for one in estimates}
    names = sorted({*measured, *expected})[-MOST_BLOCKS:]
    promoted: dict[str, str] = {}
    for promotion in promotions:
        first = next((name for name in names if name >= promotion.block), None)
        if first is not None and (not names or promotion.block >= names[0]):
            promoted[first] = promotion.version
    return tuple(
        TimelineBlock(
            block=name,
            measured=measured.get(name),
            expected=expected.get(name),
            estimate=estimated.get(name),
            promoted=promoted.get(name),
        )
        for name in names
    )


def usual_of(model: ModelReference, monitoring: Monitoring) -> Usual | None:
    """Return what the held-out blocks' losses were; None when none has enough labels."""
    import numpy as np

    known = model.losses.loss[np.isfinite(model.losses.loss)]
    if not len(known):
        return None
    low, high = np.quantile(known, [(1 - USUAL) / 2, (1 + USUAL) / 2])
    mean = float(known.mean())
    return Usual(
        mean=mean,
        low=float(low),
        high=float(high),
        harm_above=mean + monitoring.tolerance,
        blocks=len(known),
    )


def inputs_of(
    watched: Watched,
    judged: Sequence[Judged],
    profiled: Sequence[Profiled],
    model: ModelReference,
    monitoring: Monitoring,
) -> tuple[tuple[FeatureReport, ...], tuple[SegmentReport, ...], str]:
    """Return features, segments, and in a phrase which blocks they were compared with.

    The blocks are those of the test of a week; while it has none, all before the newest ones.
    """
    broken = {one.block for one in judged if one.breaks}
    kept = [
        one
        for one in profiled
        if one.block not in broken or one is profiled[-1]
        if monitoring.reference == "season" or one.block > model.training_window[1]
    ]
    chosen = compared(kept, model, monitoring, window=WEEK)
    current = [kept[row] for row in chosen.current] or [profiled[-1]]
    before = [kept[row] for row in chosen.reference]
    kind = {"trailing": "before them", "season": "of this season", "frozen": "after training"}
    how = kind[monitoring.reference]
    if not before:
        before = [one for one in profiled if one.block < current[0].block] or current
        how = "before them, training among them"
    told = [*(one.last for one in watched.standing)]
    told += [one for one in watched.judged if one.level == "INFO"]
    quarter = profiled[-monitoring.blocks_per_quarter :]
    sides = Sides(reference=before, current=current, drawn=quarter)
    features = feature_reports(sides, model, newest=watched.judged, told=told)
    compared_with = f"{_blocks(current)} beside {_blocks(before)} {how}"
    return features, segments_of(watched, sides, model), compared_with


def segments_of(watched: Watched, sides: Sides, model: ModelReference) -> tuple[SegmentReport, ...]:
    """Return the newest contrast of every segment, the most shifted first."""
    names = ["=".join(segment) for segment in model.edges.segment_names]
    was, is_now = (
        merged([one.profile for one in side], block="side")
        for side in (sides.reference, sides.current)
    )
    found = []
    for one in watched.judged:
        if one.name != "SegmentContrast":
            continue
        blamed = {shift.column for shift in one.alarm.shifts} if one.alarm else set()
        for shift in one.result.per_column:
            if shift.family != "contrast":
                continue
            place = names.index(shift.column) if shift.column in names else None
            found.append(
                SegmentReport(
                    segment=shift.column,
                    reference_share=_part(was, place),
                    current_share=_part(is_now, place),
                    effect=shift.effect,
                    direction=shift.direction,
                    p_value=shift.p_value,
                    blamed=shift.column in blamed,
                )
            )
    return tuple(found)


def _part(profile: BlockProfile, place: int | None) -> float | None:
    if place is None:
        return None
    return float(profile.segment_rows[place]) / max(1, profile.rows)


def _blocks(side: Sequence[Profiled]) -> str:
    number = "1 block" if len(side) == 1 else f"{len(side)} blocks"
    return f"{number} ({side[0].block} to {side[-1].block})"
