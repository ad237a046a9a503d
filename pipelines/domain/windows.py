"""Windows: which blocks are learned from, which are held out, and which a search is judged on."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import Literal, TypeAlias
from zoneinfo import ZoneInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardTime:
    """Hold out the last ``test_days`` blocks; train on what came before, less a gap.

    A block is a day, or a week where scoring is weekly: so are the "days" of this rule.
    The gap equals the label's ``final_after``, so that no training label was still open
    when the first held-out block was scored. A search for parameters judges each trial on the last
    ``validation_days`` blocks of the training window, in ``folds`` parts, and never on held-out ones.
    """

    test_days: int
    validation_days: int = 0
    folds: int = 2


@dataclass(frozen=True, slots=True)
class Sliding:
    """Learn from the last ``days`` blocks that may be learned from, and from none before.

    They are weeks where scoring is weekly.
    """

    days: int


Window: TypeAlias = Literal["expanding"] | Sliding
"""What a model learns from: every block since the start, or the last ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Scoring times of the training window and of the held-out window, both sorted, disjoint."""

    training: tuple[datetime, ...]
    held_out: tuple[datetime, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """Scoring times that one trial learns from, and those it is judged on; sorted, disjoint."""

    training: tuple[datetime, ...]
    validation: tuple[datetime, ...]


def local_moment(day: date, at: time, zone: ZoneInfo) -> datetime:
    """Return local ``day`` ``at`` as UTC."""
    return datetime.combine(day, at, tzinfo=zone).astimezone(UTC)


def forward_split(
    blocks: Sequence[tuple[datetime, datetime]], rule: ForwardTime, *, gap: timedelta
) -> Split:
    """Split blocks (scoring time, end) whose labels are final into training and held-out windows.

    A training block's last label is final, ``gap`` after the block's end, when the first held-out
    block opens. Either part may come out empty; the caller decides what is too few.
    """
    ordered = sorted(blocks)
    held_out = tuple(start for start, _ in ordered[-rule.test_days :])
    if not held_out:
        return Split(training=(), held_out=())
    training = tuple(start for start, end in ordered if end + gap <= held_out[0])
    return Split(training=training, held_out=held_out)


def windowed(times: Sequence[datetime], window: Window) -> tuple[datetime, ...]:
    """Return those of the sorted ``times`` that a model learns from."""
    return tuple(times) if window == "expanding" else tuple(times[-window.days :])


def validation_folds(
    blocks: Sequence[tuple[datetime, datetime]],
    rule: ForwardTime,
    *,
    gap: timedelta,
    window: Window,
) -> tuple[Fold, ...]:
    """Cut the last ``validation_days`` of the blocks that may be learned from into folds, by time.

    ``blocks`` (scoring time, end) are the training window of ``forward_split``, however wide the
    window is. Each fold learns from what was final when its own first block opened, as a model in
    use does. The earliest fold comes first: it is the cheapest to fit, and a bad trial ends there.
    A fold may come out without training; the caller decides what is too few.
    """
    ordered = sorted(blocks)
    starts = [start for start, _ in ordered][-rule.validation_days :]
    edges = [len(starts) * part // rule.folds for part in range(rule.folds + 1)]
    folds = []
    for first, last in pairwise(edges):
        validation = tuple(starts[first:last])
        known = [start for start, end in ordered if validation and end + gap <= validation[0]]
        folds.append(Fold(training=windowed(known, window), validation=validation))
    return tuple(folds)
