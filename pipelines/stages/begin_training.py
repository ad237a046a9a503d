"""Begin training: record why a run of training begins, once; or why it does not go on."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from pipelines.adapters.models import retraining_ledger, training_obstacles
from pipelines.adapters.settings import Settings
from pipelines.domain.retrain_attempts import Entry, EntryKind
from pipelines.domain.retraining import CauseKind
from pipelines.use_case import TrainedUseCase, UseCase


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """Whether a run of training goes on, its cause, and in words why or why not.

    ``obstacles`` are what a person who trains by hand goes on in spite of.
    """

    goes_on: bool
    cause: CauseKind
    reason: str
    obstacles: tuple[str, ...] = ()

    def describe(self) -> str:
        """Return the first lines of the run's log."""
        if not self.goes_on:
            return f"no training for {self.cause}: {self.reason}"
        why = f": {self.reason}" if self.reason else ""
        return "\n".join(
            [f"cause of this training, {self.cause}{why}"]
            + [f"in spite of it: {text}" for text in self.obstacles]
        )


def begin_training(
    use_case: UseCase,
    settings: Settings,
    *,
    as_of: datetime,
    run: str,
    cause: CauseKind,
    reason: str = "",
    decision: int = 0,
    begins_at: datetime | None = None,
) -> Begun:
    """Record that a run of training begins, once however often it is tried.

    A run that nobody started stops before data that is broken, and before a champion that is not
    sound; a person who starts one is told of it. What entry ``decision`` of the ledger asked for begins
    once, whichever runs are told of it, and not when it is out of date: another training began since,
    or the cooldown is over. ``begins_at`` (UTC) is when the run gets to it on the clock of ``as_of``;
    None is ``as_of``.
    """
    stands_against = obstacles(use_case, settings, as_of=as_of)
    start = Entry(
        use_case=use_case.name,
        kind="begun",
        at=as_of,
        cause=cause,
        reason=reason,
        decision=decision,
        run=run,
    )
    found: list[Begun] = []

    def choose(so_far: Sequence[Entry]) -> Entry | None:
        asked = next((one for one in so_far if _asks(one, decision)), None)
        outdated = ""
        if asked is not None:
            at, cooldown = begins_at or as_of, use_case.retraining.cooldown
            outdated = _outdated(asked, so_far, run=run, at=at, cooldown=cooldown)
        begun, entry = _begun(start, asked, so_far, outdated, stands_against)
        found[:] = [begun]
        return entry

    retraining_ledger.append(settings, use_case.name, choose)
    return found[0]


def obstacles(use_case: UseCase, settings: Settings, *, as_of: datetime) -> tuple[str, ...]:
    """Return what a run that nobody started stops for at ``as_of``, a sentence each."""
    return training_obstacles.obstacles(
        settings,
        use_case.name,
        tables=use_case.tables,
        owner=use_case.owner,
        times=TrainedUseCase.of(use_case).scoring.times,
        as_of=as_of,
        ends_before=use_case.ends_before,
    )


def _asks(entry: Entry, decision: int) -> bool:
    return entry.kind == "asked" and entry.sequence == decision


def _outdated(
    asked: Entry, so_far: Sequence[Entry], *, run: str, at: datetime, cooldown: timedelta
) -> str:
    """Return in words why what was asked for is not wanted any more at ``at``; empty where it is."""
    began = [one for one in so_far if one.kind in ("begun", "trained")]
    before = {one.run for one in began if one.sequence < asked.sequence}
    for one in began:
        # One as of another year fills in what was missed then, and answers nothing that is asked now.
        if one.run not in {run, *before} and abs(one.at - asked.at) < cooldown:
            return f"the training of {one.at:%Y-%m-%d} ({one.cause}) began after it was asked for"
    # The ledger may have come further than the run knows: an old event may be made again.
    since = [one.at for one in so_far if one.sequence > asked.sequence]
    if max([at, *since]) >= asked.at + cooldown:
        days = f"{cooldown / timedelta(days=1):g} days"
        return f"it was asked for at {asked.at:%Y-%m-%d %H:%M} UTC, longer ago than the cooldown of {days}"
    return ""


def _begun(
    start: Entry,
    asked: Entry | None,
    so_far: Sequence[Entry],
    outdated: str,
    obstacles: tuple[str, ...],
) -> tuple[Begun, Entry | None]:
    """Return whether the run goes on, and the entry that says so; None where one does."""
    goes_on = Begun(goes_on=True, cause=start.cause, reason=start.reason)
    mine: list[EntryKind] = [one.kind for one in so_far if one.run == start.run]
    if "begun" in mine:
        return goes_on, None  # a retry
    if start.decision and asked is None:
        told = f"entry {start.decision} of the ledger asks for no training"
        return replace(goes_on, goes_on=False, reason=told), None
    others = [
        one.run
        for one in so_far
        if asked and one.decision == asked.sequence and one.kind == "begun"
    ]
    if others:
        told = f"run {others[0]} has begun what was asked for"
        return replace(goes_on, goes_on=False, reason=told), None
    why, told = ("cooldown", outdated) if outdated else ("obstacle", "; ".join(obstacles))
    if told and start.cause != "by hand":
        held = replace(start, kind="held", why=why, reason=told)
        return replace(goes_on, goes_on=False, reason=told), None if "held" in mine else held
    return replace(goes_on, obstacles=obstacles), start
