"""Retrain policy: from what is known after a monitoring to a training with its cause, or to why not."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, TypeAlias

from pipelines.domain.retrain_attempts import OPEN, UNHELPFUL, Attempt
from pipelines.domain.retraining import QUARTER, CauseKind, Retraining

Held: TypeAlias = Literal["", "gave_up", "obstacle", "cooldown", "budget"]
"""What holds a training back; empty where nothing does."""

GIVEN_UP = ("harm", "drift")
"""Causes that a training may fail to mend; new labels are new each time, and need no giving up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Something that calls for a training: its kind, the block it began with, and a sentence."""

    kind: CauseKind
    reason: str
    since: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that a decision is made of, as of a moment (UTC).

    ``block`` is the champion's newest judged block. ``causes`` are those that hold, whatever is
    declared; ``obstacles`` say in a sentence each why no model can be learned or judged now: broken
    data, a champion that is not sound. ``attempts`` are all so far, oldest first.
    """

    as_of: datetime
    champion: str
    block: str
    causes: Sequence[Cause] = ()
    obstacles: Sequence[str] = ()
    attempts: Sequence[Attempt] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What is to be done: train for a cause, hold it back for a reason, or nothing."""

    action: Literal["train", "hold", "nothing"]
    reason: str
    cause: Cause | None = None
    why: Held = ""

    def describe(self) -> str:
        """Return one line for the log and the terminal."""
        if self.cause is None:
            return self.reason
        if self.action == "train":
            return f"a training is asked for, {self.cause.kind}: {self.reason}"
        return f"no training for {self.cause.kind}: {self.reason}"


def decide(facts: Facts, declared: Retraining) -> Answer:
    """Decide by the declared triggers; the same facts give the same answer.

    The gravest kind of cause counts alone, and of its causes the first that is not given up on: where
    harm is given up on, drift does not try in its stead, and only new labels do.
    """
    if not facts.champion:
        return Answer(action="nothing", reason="No champion yet: the first training is asked for.")
    wanted = [cause for cause in facts.causes if _is_wanted(cause, declared)]
    if not wanted:
        return Answer(action="nothing", reason="Nothing that is declared calls for a training.")
    gravest = wanted[0]
    tried = [cause for cause in wanted if cause.kind == gravest.kind or cause.kind not in GIVEN_UP]
    chosen = next((cause for cause in tried if not _given_up(cause, facts, declared)), None)
    if chosen is None:
        reason = _given_up(gravest, facts, declared)
        return Answer(action="hold", cause=gravest, why="gave_up", reason=reason)
    stops: tuple[tuple[Held, str], ...] = (
        ("obstacle", "; ".join(facts.obstacles)),
        ("cooldown", cooldown_until(facts, declared)),
        ("budget", _spent(facts, declared)),
    )
    for why, reason in stops:
        if reason:
            return Answer(action="hold", cause=chosen, why=why, reason=reason)
    return Answer(action="train", cause=chosen, reason=chosen.reason)


def given_up(facts: Facts, declared: Retraining) -> str:
    """Return which cause that still holds is given up on, in words; empty for none."""
    told = (
        _given_up(cause, facts, declared) for cause in facts.causes if _is_wanted(cause, declared)
    )
    return next((text for text in told if text), "")


def cooldown_until(facts: Facts, declared: Retraining) -> str:
    """Return in words until when the last training, whatever its cause, keeps the next away.

    One that began after ``as_of`` does, too: a monitoring may be late. More than a cooldown after it,
    it is of another time: simulated, or mistyped.
    """
    recent = [one for one in facts.attempts if abs(one.at - facts.as_of) < declared.cooldown]
    if not recent:
        return ""
    last = max(recent, key=lambda one: one.at)
    return (
        f"cooldown until {last.at + declared.cooldown:%Y-%m-%d %H:%M} UTC, after the training of "
        f"{last.at:%Y-%m-%d} ({last.cause}; {last.outcome.text})"
    )


def budget_left(attempts: Sequence[Attempt], declared: Retraining, as_of: datetime) -> int:
    """Return how many early trainings the last 90 days leave."""
    return max(0, declared.per_quarter - len(_early(attempts, as_of)))


def _is_wanted(cause: Cause, declared: Retraining) -> bool:
    match cause.kind:
        case "harm":
            return declared.on_harm
        case "drift":
            return declared.on_drift
        case "labels":
            return declared.on_labels is not None
        case _:
            return False


def _given_up(cause: Cause, facts: Facts, declared: Retraining) -> str:
    """Return in words that too many trainings did not help against a cause; empty otherwise."""
    if cause.kind not in GIVEN_UP:
        return ""
    tried = [
        one
        for one in facts.attempts
        if (one.cause, one.champion) == (cause.kind, facts.champion) and one.block >= cause.since
    ]
    in_vain = [one for one in tried if _was_in_vain(one, facts.as_of, declared.cooldown)]
    if len(in_vain) < declared.give_up_after:
        return ""
    last = in_vain[-1].outcome.text
    return (
        f"retraining did not help: {len(in_vain)} trainings for {cause.kind} since block "
        f"{cause.since or 'the first'}, the last of {in_vain[-1].at:%Y-%m-%d} ({last}). No other is made for it: "
        "look for what changed, or train by hand once the declaration or the data did"
    )


def _was_in_vain(attempt: Attempt, as_of: datetime, cooldown: timedelta) -> bool:
    if attempt.outcome.kind in OPEN:
        # Nobody answered, or the run was lost: no champion came of it in all that time.
        return attempt.at + cooldown <= as_of
    return attempt.outcome.kind in UNHELPFUL


def _early(attempts: Sequence[Attempt], as_of: datetime) -> list[Attempt]:
    """Return the early trainings of the last 90 days that began, and that the month could afford."""
    return [
        one
        for one in attempts
        if one.is_early
        and one.run
        and one.outcome.kind != "not afforded"
        and one.at > as_of - QUARTER
    ]


def _spent(facts: Facts, declared: Retraining) -> str:
    early = _early(facts.attempts, facts.as_of)
    if len(early) < declared.per_quarter:
        return ""
    again = early[-declared.per_quarter].at + QUARTER
    return (
        f"budget spent: {len(early)} of {declared.per_quarter} early trainings in {QUARTER.days} "
        f"days, the next from {again:%Y-%m-%d} on"
    )
