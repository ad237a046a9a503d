"""Watch: the drift tests of what goes into a model, block by block, with their alarms."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from types import MappingProxyType

from pipelines.domain.block_length import BlockLength
from pipelines.domain.broken_blocks import known_breaks
from pipelines.domain.change_point import changed_since
from pipelines.domain.drift.block_permutation import BlockPermutation
from pipelines.domain.drift.block_statistics import BlockStatistics
from pipelines.domain.drift.column_edges import ReferenceEdges
from pipelines.domain.drift.drift_result import DriftEvidence, DriftResult
from pipelines.domain.drift.hard_rules import BLOCKS_BEFORE, HardRules
from pipelines.domain.drift.references import Reference, frozen, season_matched, trailing
from pipelines.domain.drift.severity import (
    Alarm,
    AlarmBudget,
    Consequence,
    severity_of,
)
from pipelines.domain.model_reference import ModelReference
from pipelines.domain.monitored import Judged, Profiled
from pipelines.domain.monitoring import Monitoring

WEEK = 7
"""Blocks of the longer window, whatever a block is."""

REFERENCE_BLOCKS: Mapping[BlockLength, int] = MappingProxyType({"day": 180, "week": 52})
"""Blocks of a trailing reference: with them single blocks can be tested at one alarm a quarter, which
needs 150 days or 21 weeks; weeks of a whole year, so that each of its seasons is among them."""

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
        blocks=REFERENCE_BLOCKS[monitoring.block],
        length=monitoring.block,
        alarms_per_quarter=monitoring.alarms_per_quarter,
    )
    seasons = tuple(one.day.weekday() for one in profiled)
    profiles = tuple(one.profile for one in profiled)

    def evidence(
        window: int, left_out: Collection[str] = broken, *, before: int = 0
    ) -> DriftEvidence:
        rows = [
            row
            for row, one in enumerate(profiled[: upto + 1])
            if one.block not in left_out or row == upto
            if monitoring.reference == "season" or one.block > reference.training_window[1]
        ]
        chosen = compared([profiled[row] for row in rows], reference, monitoring, window=window)
        compared_with = tuple(rows[place] for place in chosen.reference)
        return DriftEvidence(
            reference=compared_with,
            current=tuple(row for row in rows[-window - before :] if row not in compared_with),
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
        alarms_per_quarter=monitoring.alarms_per_quarter,
        blocks_per_quarter=monitoring.blocks_per_quarter,
    ).alphas(reference_blocks=number)
    hard = HardRules().judge(
        without_prediction(evidence(1, set(broken) - again, before=BLOCKS_BEFORE))
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
        permutations=permutations_for(alphas.week),
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
    days, weekdays = [one.day for one in profiled], monitoring.block == "day"
    if monitoring.reference == "season":
        return season_matched(days, window=window, weekdays=weekdays)
    if monitoring.reference == "trailing":
        blocks = REFERENCE_BLOCKS[monitoring.block]
        return trailing(days, window=window, blocks=blocks, weekdays=weekdays)
    trained_until = date.fromisoformat(reference.training_window[1])
    # Up to the first block of its own service: the held-out window, and the gap around it.
    served = [one.day for one in profiled if one.published and one.day > trained_until]
    until = min(served, default=days[-1])
    first = trained_until + timedelta(days=1)
    return frozen(days, window=window, first=first, until=until, weekdays=weekdays)


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


def permutations_for(alpha: float) -> int:
    """Return how many arrangements tell a p-value of half of ``alpha``."""
    return max(PERMUTATIONS, math.ceil(2 / alpha))


def alarm_of(result: DriftResult, reference: ModelReference) -> Alarm | None:
    """Return the alarm or fact in what a test said of the model's blocks; None where there is none."""
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
        alarm=alarm_of(result, reference),
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
