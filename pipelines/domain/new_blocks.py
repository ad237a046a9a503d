"""New blocks: those that were not judged as they are now, and what hard rules and tests say of them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from pipelines.domain.broken_blocks import known_breaks
from pipelines.domain.change_text import change_text
from pipelines.domain.drift.block_statistics import statistics_of
from pipelines.domain.drift.drift_result import MINIMUM_BLOCKS, DriftEvidence
from pipelines.domain.drift.hard_rules import HardRules
from pipelines.domain.model_reference import ModelReference
from pipelines.domain.monitored import EPISODE_BLOCKS, HARD_RULES, Judged, Profiled, blocks_apart
from pipelines.domain.monitoring import Monitoring
from pipelines.domain.watch import (
    REFERENCE_BLOCKS,
    alarm_of,
    compared,
    judge_inputs,
    without_prediction,
)


def judge_new(
    profiled: Sequence[Profiled],
    reference: ModelReference,
    monitoring: Monitoring,
    judged_by_model: Mapping[str, list[Judged]],
) -> list[Judged]:
    """Judge the blocks of a model that are new or were scored again, oldest first: the newest is published.

    ``judged_by_model`` holds what was said of blocks before, by model version.

    What hard rules told of a block while another model was the champion keeps it out of this one's
    reference, too: a source that is still broken would have its own break to be held against. Blocks
    that nobody published are looked at by hard rules alone: the first ones of a service are held
    against them. What broke within the training window is what this model knows.
    """
    version, trained_until = reference.model_version, reference.training_window[1]
    of_rules = {
        model: [one for one in judged if one.name == HARD_RULES]
        for model, judged in judged_by_model.items()
    }
    known = {one.block: one for one in of_rules.pop(version, [])}
    new = [
        place
        for place, one in enumerate(profiled)
        if one.published or one.block > trained_until
        if one.block not in known or known[one.block].source != one.source
    ]
    if not new:
        return []
    statistics = statistics_of([one.profile for one in profiled], reference.edges)
    again = {profiled[place].block for place in new}
    broken = {one.block for one in known.values() if one.breaks and one.block not in again}
    broken |= {
        one.block
        for judged in of_rules.values()
        for one in judged
        if one.breaks and one.block > trained_until
    }
    found: list[Judged] = []
    for place in new:
        if profiled[place].published:
            judged = judge_inputs(
                profiled, statistics, reference, monitoring, upto=place, broken=broken
            )
        else:
            judged = [_unserved(profiled, reference, monitoring, upto=place, broken=broken)]
        broken |= {one.block for one in judged if one.breaks}
        found += judged
    return found


def left_out_of(judged: Sequence[Judged]) -> tuple[str, ...]:
    """Return what hard rules told of blocks that the model never published, the newest first."""
    return tuple(
        f"block {one.block}: {change_text(one)}"
        for one in sorted(judged, key=lambda one: one.block, reverse=True)
        if one.breaks and not one.fires
    )


def _unserved(
    profiled: Sequence[Profiled],
    reference: ModelReference,
    monitoring: Monitoring,
    *,
    upto: int,
    broken: Collection[str],
) -> Judged:
    """Judge block number ``upto`` of the profiled ones (oldest first), which the champion never published.

    By hard rules alone, as though it had been in service: held against the blocks before it that did not
    break (``broken``). Where these are fewer than MINIMUM_BLOCKS, later ones that the champion did not
    publish either are added, those of a week after it left out: a break that lasts is to be told by its
    first block. What it tells is INFO at most, for it is no news of the champion in service; but the
    block is nobody's reference, or one grave break among the blocks that a champion begins with would
    hide all lesser ones for as long as it is among them.
    """
    newest, length = profiled[upto], monitoring.block
    again = known_breaks(
        broken,
        upto=newest.block,
        blocks=REFERENCE_BLOCKS[length],
        length=length,
        alarms_per_quarter=monitoring.alarms_per_quarter,
    )
    left_out = set(broken) - again
    whole = [
        row
        for row, one in enumerate(profiled)
        if row == upto or one.block not in left_out
        if monitoring.reference == "season" or one.block > reference.training_window[1]
    ]
    earlier = [row for row in whole if row <= upto]
    chosen = compared([profiled[row] for row in earlier], reference, monitoring, window=1)
    before = [earlier[place] for place in chosen.reference]
    later = [
        row
        for row in whole
        if row > upto and not profiled[row].published
        if blocks_apart(newest.day, profiled[row].day, length) > EPISODE_BLOCKS
    ]
    evidence = DriftEvidence(
        reference=(*before, *later[: max(0, MINIMUM_BLOCKS - len(before))]),
        current=(upto,),
        profiles=tuple(one.profile for one in profiled),
        edges=reference.edges,
    )
    result = HardRules().judge(without_prediction(evidence))
    # It is the newest of those that were looked at, and not of the page that tells of it.
    result = replace(result, reason=result.reason.replace("the newest block", "it"))
    alarm = alarm_of(result, reference)
    return Judged(
        name=HARD_RULES,
        block=newest.block,
        result=result,
        alarm=None if alarm is None else replace(alarm, level="INFO"),
        since=newest.scored_for if alarm is not None else None,
        source=newest.source,
    )
