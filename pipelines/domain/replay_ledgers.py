"""Replay ledgers: which trainings, held ones and alarms the ledgers of a replayed policy amount to."""

from collections.abc import Iterable, Sequence

from pipelines.domain.block_length import BlockLength
from pipelines.domain.decision import Recorded
from pipelines.domain.monitored import OF_INPUTS, OF_MODEL, Judged, episodes
from pipelines.domain.replay_result import AlarmResult, HeldResult, TrainingResult
from pipelines.domain.retrain_attempts import Entry, attempts

WORST_FIRST = ("PAGE", "WARN")


def trainings(entries: Sequence[Entry], decided: Sequence[Recorded]) -> tuple[TrainingResult, ...]:
    """Return the trainings that began after the first, in order of time, with what came of each."""
    made = {entry.decision.version for entry in decided if entry.decision.kind == "promoted"}
    found = [
        TrainingResult(
            at=one.at,
            cause=one.cause,
            version=one.version,
            outcome=one.outcome.text,
            promoted=one.version in made,
            rolled_back=one.outcome.kind == "rolled back",
        )
        for one in attempts(entries, decided)
    ]
    return tuple(sorted(found, key=lambda one: one.at)[1:])


def held_back(entries: Sequence[Entry]) -> tuple[HeldResult, ...]:
    """Return what was held back and never began, in order of time: on schedule, or when it was asked for."""
    begun = {one.run for one in entries if one.kind == "begun"}
    found = [
        HeldResult(at=one.at, cause=one.cause, why=one.why, reason=one.reason)
        for one in entries
        if one.kind == "held" and not (one.run and one.run in begun)
    ]
    return tuple(sorted(found, key=lambda one: one.at))


def alarms(judged: Iterable[Judged], length: BlockLength) -> tuple[AlarmResult, ...]:
    """Return every alarm that began, as the budget counts them; each is as severe as it ever was."""
    every = list(judged)
    found = [
        _alarm(name, [one for one in own if first <= one.block <= last])
        for name in (*OF_INPUTS, *OF_MODEL)
        for own in [[one for one in every if one.name == name and one.fires]]
        for first, last in [(one.first.block, one.last.block) for one in episodes(own, length)]
    ]
    return tuple(sorted(found, key=lambda one: (one.block, one.test)))


def _alarm(name: str, fired: Sequence[Judged]) -> AlarmResult:
    worst = min(fired, key=lambda one: (WORST_FIRST.index(one.level), one.block))
    return AlarmResult(
        block=min(one.block for one in fired),
        last=max(one.block for one in fired),
        level=worst.level,
        test=name,
        reason=worst.result.reason,
    )
