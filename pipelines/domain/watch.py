"""Watch: the drift tests of a use case's monitoring over a model's blocks, with their alarms."""

import math
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from pipelines.domain.broken_blocks import known_breaks
from pipelines.domain.change_point import changed_since
from pipelines.domain.drift.block_permutation import BlockPermutation
from pipelines.domain.drift.block_statistics import BlockStatistics
from pipelines.domain.drift.column_edges import ReferenceEdges
from pipelines.domain.drift.drift_result import DriftEvidence, DriftResult
from pipelines.domain.drift.hard_rules import HardRules
from pipelines.domain.drift.harm import Harm
from pipelines.domain.drift.losses import BlockLosses
from pipelines.domain.drift.references import Reference, frozen, season_matched, trailing
from pipelines.domain.drift.segment_contrast import SegmentContrast
from pipelines.domain.drift.severity import Alarm, AlarmBudget, Consequence, severity_of
from pipelines.domain.model_reference import ModelReference
from pipelines.domain.monitored import QUARTER_DAYS, Judged, Profiled
from pipelines.domain.monitoring import Monitoring

if TYPE_CHECKING:
    import numpy as np

WEEK = 7
"""Blocks of the longer window."""

REFERENCE_BLOCKS = 180
"""Blocks of a trailing reference: with them single blocks can be tested at one alarm a quarter,
which needs 150."""

PERMUTATIONS = 999


def judge_inputs(
    profiled: Sequence[Profiled],
    statistics: BlockStatistics,
    reference: ModelReference,
    monitoring: Monitoring,
    *,
    upto: int,
    broken: Collection[str],
) -> list[Judged]:
    """Judge block number ``upto`` of the profiled ones (oldest first): hard rules, day, week.

    ``statistics`` are those of all profiled blocks; ``broken`` names blocks that hard rules paged:
    they are nobody's reference, but that hard rules look at ``known_breaks`` again. The day test is
    left out where the budget cannot pay for it.
    """
    newest = profiled[upto]
    again = known_breaks(
        broken,
        upto=newest.block,
        days=REFERENCE_BLOCKS,
        alarms_per_quarter=monitoring.alarms_per_quarter,
    )
    seasons = tuple(one.day.weekday() for one in profiled)
    profiles = tuple(one.profile for one in profiled)

    def evidence(window: int, left_out: Collection[str] = broken) -> DriftEvidence:
        rows = [
            row
            for row, one in enumerate(profiled[: upto + 1])
            if one.block not in left_out or row == upto
            if monitoring.reference == "season" or one.block > reference.training_window[1]
        ]
        chosen = compared([profiled[row] for row in rows], reference, monitoring, window=window)
        return DriftEvidence(
            reference=tuple(rows[place] for place in chosen.reference),
            current=tuple(rows[place] for place in chosen.current),
            statistics=statistics,
            profiles=profiles,
            edges=reference.edges,
            importance=reference.importance,
            prediction=reference.prediction,
            seasons=seasons,
        )

    one_block, week = evidence(1), evidence(WEEK)
    number = len(one_block.reference)
    alphas = AlarmBudget(
        alarms_per_quarter=monitoring.alarms_per_quarter, blocks_per_quarter=QUARTER_DAYS
    ).alphas(reference_blocks=number)
    hard = HardRules().judge(
        without_prediction(evidence(1, set(broken) - again) if again else one_block)
    )
    least = monitoring.minimum_reference_blocks
    found = [_judged("HardRules", hard, newest, reference, newest.scored_for)]
    day = alphas.day_beside(int(hard.figures.get("reference_records", 0)), reference_blocks=number)
    if day > 0 and number >= least:
        test = BlockPermutation(window=1, alpha=day, minimum_blocks=least)
        found.append(
            _judged(
                "BlockPermutation 1", test.judge(one_block), newest, reference, newest.scored_for
            )
        )
    test = BlockPermutation(
        window=WEEK,
        alpha=alphas.week,
        permutations=_permutations(alphas.week),
        minimum_blocks=least,
    )
    result = test.judge(week)
    since = _since(result, week, statistics, profiled)
    found.append(_judged("BlockPermutation 7", result, newest, reference, since))
    return found


def compared(
    profiled: Sequence[Profiled],
    reference: ModelReference,
    monitoring: Monitoring,
    *,
    window: int,
) -> Reference:
    """Choose the blocks that the last ``window`` of the profiled ones are compared with."""
    days = [one.day for one in profiled]
    if monitoring.reference == "season":
        return season_matched(days, window=window)
    if monitoring.reference == "trailing":
        return trailing(days, window=window, blocks=REFERENCE_BLOCKS)
    trained_until = date.fromisoformat(reference.training_window[1])
    # Up to the first block of its own service: the held-out window, and the gap around it.
    served = [one.day for one in profiled if one.published and one.day > trained_until]
    until = min(served, default=days[-1])
    return frozen(days, window=window, first=trained_until + timedelta(days=1), until=until)


def judge_losses(
    current: BlockLosses,
    scored_for: Sequence[datetime],
    reference: ModelReference,
    monitoring: Monitoring,
) -> list[Judged]:
    """Judge the losses of the blocks that the champion scored, oldest first, beside the held-out ones.

    ``scored_for`` is each block's scoring time. Blocks without enough final labels are NaN and are
    waited for; the answer is that of the newest block that has them. No answer without one.
    """
    import numpy as np

    measured = np.flatnonzero(np.isfinite(current.loss))
    if not len(measured):
        return []
    newest = int(measured[-1])
    losses = _joined(reference.losses, current)
    held_out = len(reference.losses.blocks)
    known = [held_out + int(row) for row in measured]
    every = [
        *(row for row in range(held_out) if np.isfinite(reference.losses.loss[row])),
        *known,
    ]
    alphas = AlarmBudget(
        alarms_per_quarter=monitoring.alarms_per_quarter, blocks_per_quarter=QUARTER_DAYS
    ).alphas(reference_blocks=len(every))
    seasons = tuple(date.fromisoformat(block).weekday() for block in losses.blocks)
    contrast = SegmentContrast(
        window=WEEK,
        alpha=alphas.performance,
        permutations=max(1999, _permutations(alphas.performance)),
        minimum_blocks=monitoring.minimum_reference_blocks,
    ).judge(
        DriftEvidence(
            reference=tuple(row for row in every if row not in known[-WEEK:]),
            current=tuple(known[-WEEK:]),
            losses=losses,
            seasons=seasons,
        )
    )
    first_of_horizon = (newest // QUARTER_DAYS) * QUARTER_DAYS
    of_horizon = tuple(row for row in known if row >= held_out + first_of_horizon)
    harm = Harm(
        reference.loss,
        most=reference.most_loss,
        tolerance=monitoring.tolerance,
        delta=alphas.delta,
        horizon=QUARTER_DAYS,
        minimum_blocks=monitoring.minimum_reference_blocks,
    ).judge(
        DriftEvidence(
            reference=tuple(row for row in every if row < held_out),
            current=of_horizon,
            losses=losses,
        )
    )
    found = []
    for name, result, series in (
        ("SegmentContrast", contrast, _series(contrast, losses)),
        ("Harm", harm, losses.loss),
    ):
        usual = [row for row in every if row < held_out]
        window = known[-WEEK:] if name == "SegmentContrast" else list(of_horizon)
        since = None
        if result.outcome == "drifted":
            place = changed_since(series[usual][:, None], series[window][:, None])
            since = scored_for[window[place] - held_out]
        found.append(
            Judged(
                name=name,
                block=current.blocks[newest],
                result=result,
                alarm=_alarm(result, reference),
                since=since,
            )
        )
    return found


def without_prediction(evidence: DriftEvidence) -> DriftEvidence:
    """Return what hard rules look at: features. What a model says was never promised to be the same.

    Its prediction is the last column of the edges, so it is cut off at the end of every count.
    Without edges there is nothing to cut.
    """
    if evidence.edges is None:
        return evidence
    features = evidence.edges.columns[:-1]
    edges = ReferenceEdges(features)
    chosen = {*evidence.reference, *evidence.current}
    profiles = tuple(
        replace(
            profile,
            counts=profile.counts[: edges.width],
            outside=profile.outside[: len(features)],
            moments=profile.moments[: len(features)],
        )
        if row in chosen
        else profile
        for row, profile in enumerate(evidence.profiles)
    )
    return replace(evidence, profiles=profiles, edges=edges)


def _permutations(alpha: float) -> int:
    """Return how many arrangements tell a p-value of half of ``alpha``."""
    return max(PERMUTATIONS, math.ceil(2 / alpha))


def _alarm(result: DriftResult, reference: ModelReference) -> Alarm | None:
    return severity_of(
        result,
        importance=reference.importance,
        prediction=reference.prediction,
        consequence=Consequence(loss_floor=reference.loss_floor),
    )


def _judged(
    name: str,
    result: DriftResult,
    newest: Profiled,
    reference: ModelReference,
    since: datetime | None,
) -> Judged:
    return Judged(
        name=name,
        block=newest.block,
        result=result,
        alarm=_alarm(result, reference),
        since=since if result.outcome == "drifted" else None,
        about=tuple(f"table:{table}" for table in newest.stale_tables.split(",") if table),
        source=newest.source,
    )


def _since(
    result: DriftResult,
    evidence: DriftEvidence,
    statistics: BlockStatistics,
    profiled: Sequence[Profiled],
) -> datetime | None:
    """Return the scoring time of the block from which the most shifted family is another."""
    if result.outcome != "drifted":
        return None
    first = result.per_column[0]
    (values,) = (
        each.values
        for each in statistics.families
        if (each.column, each.family) == (first.column, first.family)
    )
    window = list(evidence.current)
    place = changed_since(values[list(evidence.reference)], values[window])
    return profiled[window[place]].scored_for


def _joined(before: BlockLosses, after: BlockLosses) -> BlockLosses:
    import numpy as np

    return BlockLosses(
        blocks=(*before.blocks, *after.blocks),
        rows=np.concatenate([before.rows, after.rows]),
        loss=np.concatenate([before.loss, after.loss]),
        residual=np.concatenate([before.residual, after.residual]),
        segments=before.segments,
        contrast=np.concatenate([before.contrast, after.contrast]),
    )


def _series(result: DriftResult, losses: BlockLosses) -> "np.ndarray":
    """Return the series that the test names first."""
    first = result.per_column[0] if result.per_column else None
    if first is None or first.family == "loss":
        return losses.loss
    if first.family == "calibration":
        return losses.residual
    names = ["=".join(segment) for segment in losses.segments]
    found: np.ndarray = losses.contrast[:, names.index(first.column)]
    return found
