"""Replay words: what a replay found in words, which its terminal and its page share."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time
from itertools import groupby
from typing import Literal, TypeAlias

from pipelines.domain.metrics import MINIMUM_BLOCKS
from pipelines.domain.replay_result import Figure, PolicyResult, ReplayResult, TrainingResult

EventKind: TypeAlias = Literal["promoted", "back", "trained", "held"]
"""What came of an event: a new champion, one that was rolled back from later, none, or no training."""

Answer: TypeAlias = Literal["better", "worse", "not told apart", "same", "not tested"]
"""What may be said of a policy against the first one."""

TOO_FEW = "too few blocks"
"""What stands where an interval would: not tested, which is not the same as no difference."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What may be said of a policy against the first one: the answer, and a sentence with figures."""

    policy: str
    answer: Answer
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A training, or several that were held back for one reason: local day or days, why, what came of it."""

    when: str
    at: datetime
    cause: str
    outcome: str
    kind: EventKind


def span(found: ReplayResult) -> str:
    """Return the history that was replayed, as it was asked for: local, the end exclusive."""
    return f"{told(found, found.since)} until {told(found, found.until)} ({found.timezone})"


def told(found: ReplayResult, moment: datetime) -> str:
    """Return the local day of a moment; with its time where that is not midnight."""
    local = found.local(moment)
    return f"{local:%Y-%m-%d}" if local.time() == time.min else f"{local:%Y-%m-%d %H:%M}"


def mean(figure: Figure | None, *, signed: bool = False) -> str:
    """Return a figure without its interval; nothing of none."""
    return "" if figure is None else _number(figure.mean, signed=signed)


def interval(figure: Figure | None, *, signed: bool = False) -> str:
    """Return the ends of a figure's interval, or that it has none.

    >>> interval(Figure(mean=0.4567, low=0.44, high=0.47, blocks=30, effective=28.0))
    '0.4400 to 0.4700'
    """
    if figure is None:
        return ""
    if figure.low is None or figure.high is None:
        return TOO_FEW
    return f"{_number(figure.low, signed=signed)} to {_number(figure.high, signed=signed)}"


def comparisons(found: ReplayResult) -> list[Comparison]:
    """Return what the replay says of each policy but the first, against that one.

    A policy is better or worse where the interval of its gain is on one side of 0. Too few blocks
    for an interval are an answer of their own, and so is an interval that holds 0: neither says that
    policies are equal.
    """
    first, *others = found.policies
    return [_compared(found, first, one) for one in others]


def events(found: ReplayResult, policy: PolicyResult) -> list[Event]:
    """Return a policy's trainings and what was held back, in order of time.

    What was held back one after the other for one cause by one thing is one event, in the words of
    the last.
    """
    trained = [
        Event(
            when=told(found, one.at),
            at=one.at,
            cause=one.cause,
            outcome=one.outcome,
            kind=_kind(one),
        )
        for one in policy.trainings
    ]
    began = [one.at for one in policy.trainings]
    held = []
    # What began between two that were held parts them.
    for _, group in groupby(
        policy.held, key=lambda one: (one.cause, one.why, sum(at <= one.at for at in began))
    ):
        alike = list(group)
        first, last = alike[0], alike[-1]
        many = f"{len(alike)} times, the last: " if len(alike) > 1 else ""
        until = f" to {told(found, last.at)}" if len(alike) > 1 else ""
        held.append(
            Event(
                when=f"{told(found, first.at)}{until}",
                at=first.at,
                cause=first.cause,
                outcome=f"held back {many}{last.reason}" if many else f"held back: {last.reason}",
                kind="held",
            )
        )
    return sorted([*trained, *held], key=lambda one: one.at)


def notes(found: ReplayResult) -> list[str]:
    """Return what has to be known to read the figures, a sentence or two each."""
    first, others = found.policies[0].policy, len(found.policies) - 1
    told = [f"Loss: mean {found.loss}{_in(found.unit)} on final labels, with a 95 % interval."]
    if others:
        told.append(f"Gain: by how much it is below that of {first}, on the same blocks.")
    if others > 1:
        told.append(f"The intervals of all {others} gains hold at once in 95 of 100 cases.")
    if left_out := [one for one in found.policies if one.too_few]:
        of_each = ", ".join(f"{one.too_few} of {one.policy}" for one in left_out)
        told.append(f"Blocks with too few final labels are no part of the loss: {of_each}.")
    if found.governed:
        told.append("Approver: simulated; says yes at once to what the gates let through.")
    if found.left_out:
        told.append(f"Not asked, since they measure this machine: {', '.join(found.left_out)}.")
    return told


def warnings(found: ReplayResult) -> list[str]:
    """Return what a reader may not overlook, a sentence each."""
    if not found.stale:
        return [*found.remarks]
    moved_on = (
        f"Silver has moved on since this replay began ({', '.join(found.stale)}): "
        "--fresh reads it as it is now."
    )
    return [*found.remarks, moved_on]


def _kind(training: TrainingResult) -> EventKind:
    if training.rolled_back:
        return "back"
    return "promoted" if training.promoted else "trained"


def _compared(found: ReplayResult, first: PolicyResult, other: PolicyResult) -> Comparison:
    gain = other.gain
    if gain is None:
        return Comparison(
            policy=other.policy,
            answer="not tested",
            sentence=f"{other.policy} against {first.policy}: not tested, "
            "since no block has a loss of both.",
        )
    answer, sentence = _answer(found, first, other, gain)
    return Comparison(policy=other.policy, answer=answer, sentence=sentence)


def _answer(
    found: ReplayResult, first: PolicyResult, other: PolicyResult, gain: Figure
) -> tuple[Answer, str]:
    two = f"{other.policy} and {first.policy}"
    unit = f" {found.unit}" if found.unit else ""
    if _same(first, other):
        return "same", f"{two} have the same loss on every block."
    if gain.low is None or gain.high is None:
        return "not tested", (
            f"{other.policy} against {first.policy}: not tested. {gain.blocks} blocks that count as "
            f"{gain.effective:.0f} independent ones are too few for an interval, which needs "
            f"{MINIMUM_BLOCKS}; the gain measured is {mean(gain, signed=True)}{unit}."
        )
    if gain.low > 0 or gain.high < 0:
        low, high = sorted((abs(gain.low), abs(gain.high)))
        answer: Answer = "better" if gain.low > 0 else "worse"
        return answer, (
            f"{other.policy} is {answer} than {first.policy}: its mean {found.loss} is "
            f"{abs(gain.mean):.4f}{unit} {'lower' if gain.low > 0 else 'higher'} "
            f"(95 % interval {low:.4f} to {high:.4f})."
        )
    return "not told apart", (
        f"{two} are not told apart: the gain is {mean(gain, signed=True)}{unit}, and its 95 % interval, "
        f"{interval(gain, signed=True)}, holds 0. They may differ by as much as it allows."
    )


def _same(first: PolicyResult, other: PolicyResult) -> bool:
    """Tell whether the blocks that both have cost both the same."""
    known: dict[str, float] = {one.block: one.loss for one in first.blocks}
    both: Sequence[tuple[float, float]] = [
        (known[one.block], one.loss) for one in other.blocks if one.block in known
    ]
    return bool(both) and all(one == two for one, two in both)


def _number(value: float, *, signed: bool) -> str:
    # Plus 0.0, since what rounds to 0 from below is -0.0.
    return f"{round(value, 4) + 0.0:{'+' if signed else ''}.4f}"


def _in(unit: str) -> str:
    return f" ({unit})" if unit else ""
