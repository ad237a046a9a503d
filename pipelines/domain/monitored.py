"""Monitored: what was judged of a model's blocks, what of it still stands, and what it spent."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Literal

from pipelines.domain.block_length import BLOCK_DAYS, BLOCKS_PER_QUARTER, BlockLength
from pipelines.domain.drift.block_profile import BlockProfile
from pipelines.domain.drift.drift_result import DriftResult
from pipelines.domain.drift.estimates import Estimated
from pipelines.domain.drift.severity import Alarm, Level

EPISODE_BLOCKS = 7
"""An alarm that fires again within so many blocks is the one that stands."""

HARD_RULES = "HardRules"
HARM = "Harm"
OF_INPUTS = (HARD_RULES, "BlockPermutation 1", "BlockPermutation 7")
OF_MODEL = ("SegmentContrast", HARM)
REALISED = "RealisedLoss"
"""What the newest labelled blocks cost: told beside the tests, and never an alarm."""

WEEK_TEST = "BlockPermutation 7"
"""The test that says whether a block is "OK": others need more blocks, or labels."""

ANSWERS = ("drifted", "quiet")
"""Outcomes after which it is known whether an alarm stands; others leave it as it was."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Profiled:
    """The profile of a block for one model, and what it was made from.

    ``source`` names the predictions and the feature rows, ``published`` says that the model itself
    scored the block for its consumers, ``stale_tables`` what was late then, by comma.
    ``estimated_loss`` is what the scores let expect (nats); None without a calibration.
    """

    block: str
    scored_for: datetime
    source: str
    published: bool
    stale_tables: str
    estimated_loss: float | None
    profile: BlockProfile

    @property
    def day(self) -> date:
        """The block's local day."""
        return date.fromisoformat(self.block)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What one test said of the blocks up to ``block``, and the alarm or fact that this is.

    ``since`` is the scoring time from which the change is seen, where there is one. ``about`` names
    tables that were late when the block was scored. ``source`` is what was judged.
    """

    name: str
    block: str
    result: DriftResult
    alarm: Alarm | None
    since: datetime | None = None
    about: tuple[str, ...] = ()
    source: str = ""

    @property
    def level(self) -> Level | Literal["none"]:
        """Return "PAGE", "WARN", "INFO" or "none"."""
        return "none" if self.alarm is None else self.alarm.level

    @property
    def fires(self) -> bool:
        """Tell whether it is an alarm: WARN or PAGE."""
        return self.level in {"WARN", "PAGE"}

    @property
    def breaks(self) -> bool:
        """Tell whether a hard rule told of its block, which then is nobody's reference."""
        return self.name == HARD_RULES and self.result.outcome == "drifted"

    @property
    def subject(self) -> Literal["inputs", "model"]:
        """What it is about: what goes into the model, or how well the model does."""
        return "inputs" if self.name in OF_INPUTS else "model"

    @property
    def day(self) -> date:
        """The block's local day."""
        return date.fromisoformat(self.block)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """An alarm that has not ended: its latest firing, and where it began.

    ``calm`` is the first answer after that which says that it is so no more; None while none does.
    """

    last: Judged
    first: Judged
    calm: Judged | None = None

    @property
    def since(self) -> datetime | None:
        """Return the scoring time from which the change is seen."""
        known = [one.since for one in (self.first, self.last) if one.since is not None]
        return min(known, default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockEstimate:
    """What is expected of a block whose labels are not final: the mean log loss, in nats."""

    block: str
    estimated: Estimated


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """How the budget of alarms is spent: what began in the quarter up to the newest block."""

    alarms_per_quarter: float
    episodes: tuple[Judged, ...] = ()


def answers_after(before: Iterable[Judged], fresh: Iterable[Judged]) -> list[Judged]:
    """Return what is known once fresh answers took the place of those of the same block and test.

    By block, then by test.
    """
    known = {(one.block, one.name): one for one in (*before, *fresh)}
    return [known[key] for key in sorted(known)]


def blocks_apart(first: date, last: date, length: BlockLength) -> float:
    """Return the time between two local days, in blocks."""
    return (last - first).days / BLOCK_DAYS[length]


def episodes(judged: Iterable[Judged], length: BlockLength) -> list[Standing]:
    """Return the alarms that the answers of one test amount to, in the order of their blocks.

    >>> episodes([], "day")
    []
    """
    found: list[Standing] = []
    for one in sorted(judged, key=lambda one: one.block):
        if not one.fires:
            continue
        if found and blocks_apart(found[-1].last.day, one.day, length) <= EPISODE_BLOCKS:
            found[-1] = Standing(last=one, first=found[-1].first)
        else:
            found.append(Standing(last=one, first=one))
    return found


def standing(judged: Sequence[Judged], length: BlockLength) -> list[Standing]:
    """Return the alarms of all tests that have not ended, worst first.

    A hard rule ends with the first block that keeps it; every other alarm when EPISODE_BLOCKS did not
    fire. Harm is not over because its bound begins anew: as long as the mean loss of the newest blocks
    is above what is tolerated, that the bound does not show it yet is no answer.
    """
    found = []
    for name in (*OF_INPUTS, *OF_MODEL):
        own = sorted(
            (one for one in judged if one.name == name and _answers(one)),
            key=lambda one: one.block,
        )
        if not own:
            continue
        newest = own[-1]
        for alarm in episodes(own, length)[-1:]:
            quiet = blocks_apart(alarm.last.day, newest.day, length)
            if quiet == 0 or (name != HARD_RULES and quiet < EPISODE_BLOCKS):
                calm = next((one for one in own if one.block > alarm.last.block), None)
                found.append(replace(alarm, calm=calm))
    return sorted(found, key=lambda alarm: alarm.last.level != "PAGE")


def _answers(one: Judged) -> bool:
    """Tell whether an answer says that an alarm stands, or that it does not."""
    known = one.result.figures
    if one.name == HARM and one.result.outcome == "quiet" and "target" in known:
        newest = known.get("recent", known["target"])  # earlier answers have no other
        return newest <= known["source"] + known["tolerance"]
    return one.result.outcome in ANSWERS


def spent(
    judged: Sequence[Judged],
    *,
    alarms_per_quarter: float,
    newest: str | None,
    length: BlockLength,
) -> Spent:
    """Return the alarms that began in the quarter up to the newest block, as episodes of their test."""
    if newest is None:
        return Spent(alarms_per_quarter=alarms_per_quarter)
    last = date.fromisoformat(newest)
    began = [
        alarm.first
        for name in (*OF_INPUTS, *OF_MODEL)
        for alarm in episodes((one for one in judged if one.name == name), length)
        if 0 <= blocks_apart(alarm.first.day, last, length) < BLOCKS_PER_QUARTER[length]
    ]
    return Spent(
        alarms_per_quarter=alarms_per_quarter,
        episodes=tuple(sorted(began, key=lambda one: (one.block, one.name))),
    )
