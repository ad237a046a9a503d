"""Begin training: record why a run of training begins, once; or why it does not go on."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from pipelines.adapters.models import retraining_ledger, training_obstacles
from pipelines.adapters.settings import Settings
from pipelines.domain.retrain_attempts import Entry, EntryKind
from pipelines.domain.retraining import CauseKind
from pipelines.use_case import UseCase


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
) -> Begun:
    """Record that a run of training begins, once however often it is tried.

    A run that nobody started stops before data that is broken, and before a champion that is not
    sound; a person who starts one is told of it. What entry ``decision`` of the ledger asked for begins
    once, whichever runs are told of it.
    """
    obstacles = training_obstacles.obstacles(
        settings,
        use_case.name,
        tables=use_case.tables,
        owner=use_case.owner,
        length=use_case.monitoring.block,
        as_of=as_of,
        ends_before=use_case.ends_before,
    )
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
        begun, entry = _begun(start, so_far, obstacles)
        found[:] = [begun]
        return entry

    retraining_ledger.append(settings, use_case.name, choose)
    return found[0]


def _begun(
    start: Entry, so_far: Sequence[Entry], obstacles: tuple[str, ...]
) -> tuple[Begun, Entry | None]:
    """Return whether the run goes on, and the entry that says so; None where one does."""
    goes_on = Begun(goes_on=True, cause=start.cause, reason=start.reason)
    mine: list[EntryKind] = [one.kind for one in so_far if one.run == start.run]
    if "begun" in mine:
        return goes_on, None  # a retry
    asked = [one for one in so_far if start.decision and one.decision == start.decision]
    others = [one.run for one in asked if one.kind == "begun"]
    if others:
        told = f"run {others[0]} has begun what was asked for"
        return replace(goes_on, goes_on=False, reason=told), None
    if obstacles and start.cause != "by hand":
        told = "; ".join(obstacles)
        held = replace(start, kind="held", why="obstacle", reason=told)
        return replace(goes_on, goes_on=False, reason=told), None if "held" in mine else held
    return replace(goes_on, obstacles=obstacles), start
