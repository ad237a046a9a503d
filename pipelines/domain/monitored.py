"""Monitored: what was judged of a model's blocks, what of it still stands, and how to say it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Literal, TypeAlias

from pipelines.domain.drift.block_profile import BlockProfile
from pipelines.domain.drift.drift_result import DriftResult
from pipelines.domain.drift.estimates import Estimated
from pipelines.domain.drift.severity import Alarm, Level

Verdict: TypeAlias = Literal["OK", "INFO", "WARN", "PAGE", "learning", "not_tested"]

EPISODE_DAYS = 7
"""An alarm that fires again within so many blocks is the one that stands."""

QUARTER_DAYS = 90
"""Blocks that the alarm budget is about."""

HARD_RULES = "HardRules"
HARM = "Harm"
OF_INPUTS = (HARD_RULES, "BlockPermutation 1", "BlockPermutation 7")
OF_MODEL = ("SegmentContrast", HARM)

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
    def subject(self) -> Literal["inputs", "model"]:
        """What it is about: what goes into the model, or how well the model does."""
        return "inputs" if self.name in OF_INPUTS else "model"

    @property
    def day(self) -> date:
        """The block's local day."""
        return date.fromisoformat(self.block)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """An alarm that has not ended: its latest firing, and where it began."""

    last: Judged
    first: Judged

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
    """How the budget of alarms is spent: what began in the 90 blocks up to the newest."""

    alarms_per_quarter: float
    episodes: tuple[Judged, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """All that is known of the champion's blocks.

    ``judged`` holds the newest answer of every test, ``standing`` the alarms that have not ended,
    worst first. ``assumes`` says in a sentence when p-values are exact. ``why_not`` says why nothing
    could be judged at all; else it is empty.
    """

    model_version: str | None
    newest_block: str | None
    judged: tuple[Judged, ...] = ()
    standing: tuple[Standing, ...] = ()
    estimates: tuple[BlockEstimate, ...] = ()
    spent: Spent
    assumes: str = ""
    importance: Mapping[str, float] = field(default_factory=dict)
    why_not: str = ""

    @property
    def level(self) -> Verdict:
        """Return the worst that is known; a test that could not judge never makes it "OK"."""
        if self.why_not:
            return "not_tested"
        levels = {one.last.level for one in self.standing} | {one.level for one in self.judged}
        for level in ("PAGE", "WARN"):
            if level in {one.last.level for one in self.standing}:
                return "PAGE" if level == "PAGE" else "WARN"
        outcomes = [one.result.outcome for one in self.judged if one.name == "BlockPermutation 7"]
        if "learning" in outcomes:
            return "learning"
        if "INFO" in levels:
            return "INFO"
        return "OK" if "quiet" in outcomes or "drifted" in outcomes else "not_tested"

    @property
    def verdict(self) -> str:
        """Return one sentence: what changed, since when, whether it hurts, what to do."""
        return _sentence(self)


def episodes(judged: Iterable[Judged]) -> list[Standing]:
    """Return the alarms that the answers of one test amount to, in the order of their blocks.

    >>> episodes([])
    []
    """
    found: list[Standing] = []
    for one in sorted(judged, key=lambda one: one.block):
        if not one.fires:
            continue
        if found and (one.day - found[-1].last.day).days <= EPISODE_DAYS:
            found[-1] = Standing(last=one, first=found[-1].first)
        else:
            found.append(Standing(last=one, first=one))
    return found


def standing(judged: Sequence[Judged]) -> list[Standing]:
    """Return the alarms of all tests that have not ended, worst first.

    A hard rule ends with the first block that keeps it; every other alarm when a week of blocks did
    not fire.
    """
    found = []
    for name in (*OF_INPUTS, *OF_MODEL):
        own = sorted(
            (one for one in judged if one.name == name and one.result.outcome in ANSWERS),
            key=lambda one: one.block,
        )
        if not own:
            continue
        newest = own[-1]
        for alarm in episodes(own)[-1:]:
            quiet_days = (newest.day - alarm.last.day).days
            if quiet_days == 0 or (name != HARD_RULES and quiet_days < EPISODE_DAYS):
                found.append(alarm)
    return sorted(found, key=lambda alarm: alarm.last.level != "PAGE")


def spent(judged: Sequence[Judged], *, alarms_per_quarter: float, newest: str | None) -> Spent:
    """Return the alarms that began in the 90 blocks up to the newest, as episodes of their test."""
    if newest is None:
        return Spent(alarms_per_quarter=alarms_per_quarter)
    last = date.fromisoformat(newest)
    began = [
        alarm.first
        for name in (*OF_INPUTS, *OF_MODEL)
        for alarm in episodes(one for one in judged if one.name == name)
        if 0 <= (last - alarm.first.day).days < QUARTER_DAYS
    ]
    return Spent(
        alarms_per_quarter=alarms_per_quarter,
        episodes=tuple(sorted(began, key=lambda one: (one.block, one.name))),
    )


def _sentence(watched: Watched) -> str:
    level = watched.level
    if level == "not_tested":
        return f"Not tested: {watched.why_not or _first(watched, 'not_tested')}"
    if level == "learning":
        return f"Learning: {_first(watched, 'learning')} Hard rules are watched until then."
    if level == "OK":
        return f"OK: nothing in block {watched.newest_block} is an alarm. {_hurts(watched)}"
    if level == "INFO":
        fact = next(one for one in watched.judged if one.level == "INFO")
        return f"INFO: {_what(fact)}, without consequence for the model. {_hurts(watched)}"
    worst = watched.standing[0]
    since = f" since {worst.since:%Y-%m-%d}" if worst.since else ""
    if worst.last.subject == "model":
        return f"{level}{since}: {worst.last.result.reason} {_to_do(worst.last)}"
    return f"{level}{since}: {_what(worst.last)}. {_hurts(watched)} {_to_do(worst.last)}"


def _what(judged: Judged) -> str:
    if judged.name == HARD_RULES:
        return judged.result.reason.rstrip(".")
    shifts = judged.alarm.shifts if judged.alarm else ()
    names = list(dict.fromkeys(shift.column for shift in shifts))
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{', '.join(names[:3])}{more} changed ({shifts[0].family} {shifts[0].direction})"


def _hurts(watched: Watched) -> str:
    harm = next((one for one in watched.judged if one.name == HARM), None)
    if harm is None or harm.result.outcome in {"not_tested", "learning"}:
        return "Whether it hurts is not known: too few labels are final."
    if harm.fires:
        return "The loss on final labels has risen beyond the tolerance."
    return "The loss on final labels has not risen beyond the tolerance."


def _to_do(judged: Judged) -> str:
    if judged.name == HARD_RULES:
        return "Mend the source or the contract; do not train on these blocks."
    if judged.subject == "model":
        return "Look at the segments, then train a challenger."
    return "Ask the source what changed; train a challenger if it is to stay."


def _first(watched: Watched, outcome: str) -> str:
    found = [one.result.reason for one in watched.judged if one.result.outcome == outcome]
    return found[0] if found else "no test has judged a block yet."
