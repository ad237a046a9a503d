"""Retrain: decide after a monitoring whether a challenger is trained, and record the decision once."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from pipelines.adapters.models import (
    champion,
    decisions,
    final_labels,
    retraining_ledger,
    training_obstacles,
)
from pipelines.adapters.settings import Settings
from pipelines.domain.metrics import METRICS
from pipelines.domain.retrain_attempts import Attempt, Entry, attempts, held_back, waiting
from pipelines.domain.retrain_causes import causes_of
from pipelines.domain.retrain_policy import Answer, Cause, Facts, decide, given_up
from pipelines.use_case import TrainedUseCase, UseCase

LATER = "A later moment was decided on already."


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """What was decided for the newest judged block, and the training that is still to be begun.

    ``asked`` is the ledger's entry of a training that was asked for within the cooldown and has not
    begun; else None. ``given_up`` says which cause is given up on; else it is empty.
    """

    answer: Answer
    asked: Entry | None
    given_up: str

    def describe(self) -> str:
        """Return one line for the log and the terminal."""
        return self.answer.describe()


def retrain(use_case: UseCase, settings: Settings, *, as_of: datetime) -> Decided:
    """Decide by what is known at ``as_of``; what is not "nothing" is recorded, once for a block.

    Asked again, by whichever run, about a block that a training was asked for, it answers the same
    and records nothing. A moment before the last one that was decided on is left alone.
    """
    known = _known(use_case, settings, as_of)
    found: list[tuple[Answer, Facts]] = []

    def choose(so_far: Sequence[Entry]) -> Entry | None:
        facts = _with_attempts(use_case, settings, known, so_far)
        answer = _answer(facts, so_far, use_case)
        found[:] = [(answer, facts)]
        return _entry(use_case.name, facts, answer, so_far)

    retraining_ledger.append(settings, use_case.name, choose)
    answer, facts = found[0]
    entries = retraining_ledger.read(settings, use_case.name)
    asked = waiting(entries, as_of=as_of, cooldown=use_case.retraining.cooldown)
    return Decided(answer=answer, asked=asked, given_up=given_up(facts, use_case.retraining))


def _known(use_case: UseCase, settings: Settings, as_of: datetime) -> Facts:
    """Return the facts that do not depend on what was trained before."""
    standing = champion.told_of(settings, use_case.name).champion
    if standing is None or standing.as_of > as_of:
        return Facts(as_of=as_of, champion="", block="")
    parts = TrainedUseCase.of(use_case)
    times = parts.scoring.times
    block, alarms = training_obstacles.alarms(
        settings, use_case.name, standing.version, times=times, as_of=as_of
    )
    obstacles = training_obstacles.obstacles(
        settings,
        use_case.name,
        tables=use_case.tables,
        owner=use_case.owner,
        times=times,
        as_of=as_of,
        ends_before=use_case.ends_before,
    )
    return Facts(
        as_of=as_of,
        champion=standing.version,
        block=block,
        causes=causes_of(alarms, loss=METRICS[parts.label.kind.loss].words),
        obstacles=obstacles,
    )


def _with_attempts(
    use_case: UseCase, settings: Settings, known: Facts, so_far: Sequence[Entry]
) -> Facts:
    decided = decisions.read_all(settings, use_case.name, until=known.as_of)
    tried = attempts(so_far, decided)
    renewed = _new_labels(use_case, settings, known, tried)
    return replace(known, attempts=tried, causes=(*known.causes, *renewed))


def _new_labels(
    use_case: UseCase, settings: Settings, known: Facts, tried: Sequence[Attempt]
) -> tuple[Cause, ...]:
    """Return the cause that so many labels became final since the last training; () for fewer."""
    wanted = use_case.retraining.on_labels
    if wanted is None or not known.champion:
        return ()
    learned = [one.at for one in tried if one.version]
    since = (
        max(learned)
        if learned
        else final_labels.learned_at(settings, use_case.name, known.champion)
    )
    there = final_labels.number(settings, use_case.name, since=since, as_of=known.as_of)
    if there < wanted:
        return ()
    told = f"{there:,} labels became final since the training of {since:%Y-%m-%d}, {wanted:,} call for one"
    return (Cause(kind="labels", reason=told),)


def _answer(facts: Facts, so_far: Sequence[Entry], use_case: UseCase) -> Answer:
    """Return what was decided for this block, else what is to be decided now."""
    for one in _asked(so_far):
        if (one.champion, one.block) == (facts.champion, facts.block):
            cause = Cause(kind=one.cause, reason=one.reason, since=one.since)
            return Answer(action="train", cause=cause, reason=one.reason)
    if any(one.kind in ("asked", "held") and one.at > facts.as_of for one in so_far):
        return Answer(action="nothing", reason=LATER)
    return decide(facts, use_case.retraining)


def _entry(use_case: str, facts: Facts, answer: Answer, so_far: Sequence[Entry]) -> Entry | None:
    """Return the answer as an entry; None where it is told already, or says nothing."""
    if answer.cause is None or answer.action == "nothing":
        return None
    entry = Entry(
        use_case=use_case,
        kind="asked" if answer.action == "train" else "held",
        at=facts.as_of,
        cause=answer.cause.kind,
        why=answer.why,
        reason=answer.reason,
        champion=facts.champion,
        block=facts.block,
        since=answer.cause.since,
    )
    held = (one for one in so_far if one.kind == "held")
    told = {_identity(one) for one in (*_asked(so_far), *held)}
    return None if _identity(entry) in told else entry


def _asked(so_far: Sequence[Entry]) -> list[Entry]:
    """Return what was asked for, without what broken data stopped when it was to begin."""
    stopped = held_back(so_far)
    return [one for one in so_far if one.kind == "asked" and one.sequence not in stopped]


def _identity(entry: Entry) -> tuple[str, ...]:
    """Return what a decision is recorded once for."""
    return entry.kind, entry.cause, entry.why, entry.champion, entry.block
