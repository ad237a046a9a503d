"""Champion moves: the ledger first, then the alias, then the ledger; a kill between them shows."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from pipelines.adapters.failpoints import failpoint
from pipelines.adapters.models import (
    champion_alias,
    decisions,
    mlflow_registry,
    published_ledger,
)
from pipelines.adapters.models.decisions import Decision, Recorded
from pipelines.adapters.models.mlflow_registry import ModelVersion
from pipelines.adapters.settings import Settings
from pipelines.domain.decision import rewritten
from pipelines.domain.succession import STARTS, Succession, succession
from pipelines.errors import ChampionUnresolved, Problem

VERBS = {"promoting": "promote", "rolling_back": "rollback"}
"""First entry of a move -> what its failpoints are called."""


def begin(settings: Settings, first: Decision, allowed: Callable[[Succession], None]) -> Decision:
    """Write a move's first entry, once, and return the one in the ledger.

    ``allowed`` raises where the move must not be; it is asked again when another decision came
    first, so it holds at the moment of writing. The same move that was cut off goes on; one of the
    same kind to another version is given up. Raises ChampionUnresolved while a move of another
    kind is unfinished, LakeError when the ledger is not the one that was published.
    """
    anchors = champion_alias.anchors(settings)
    going: list[Decision] = []

    def decide(so_far: list[Recorded]) -> Decision | None:
        if (found := rewritten(so_far, anchors)) is not None:
            raise decisions.broken(found)
        told = _told(so_far, first.use_case)
        cut = told.unfinished
        going.clear()
        if cut is not None and (cut.kind, cut.version) == (first.kind, first.version):
            going.append(cut)
            return None
        allowed(told)
        if cut is None:
            going.append(first)
            return first
        if cut.kind != first.kind:
            raise _unfinished(cut)
        reason = f"given up for version {first.version}"
        return replace(first, kind="undone", version=cut.version, reason=reason)

    while not going:
        decisions.append(settings, decide)
    return going[0]


def finish(settings: Settings, first: Decision, model: ModelVersion, *, as_of: datetime) -> None:
    """Move the alias and write a move's last entry; running it again changes nothing.

    The last entry bears ``as_of`` (UTC), or the first one's time where that is later: a move that
    was cut off takes place when it is finished. Raises ChampionUnresolved, and leaves the alias
    where it is, when another process has given the move up meanwhile.
    """
    verb, use_case = VERBS[first.kind], first.use_case
    failpoint(f"{verb}.between_ledger_and_alias")
    last = replace(first, kind=STARTS[first.kind], as_of=max(first.as_of, as_of))
    if not _stands(succession(decisions.read_all(settings, use_case)), first):
        raise _overtaken(first)
    anchor = decisions.newest(published_ledger.published_entries(settings))
    champion_alias.publish(settings, use_case, model, anchor, verb=verb)
    failpoint(f"{verb}.between_alias_and_ledger")

    def decide(so_far: list[Recorded]) -> Decision | None:
        told = _told(so_far, use_case)
        if not _stands(told, first):
            raise _overtaken(first)
        return None if told.unfinished is None else last  # another process may have finished it

    decisions.append(settings, decide)


def undo(settings: Settings, cut: Decision, *, actor: str, reason: str, as_of: datetime) -> None:
    """Give up a move that was cut off, once: the alias goes back first, then the ledger says so."""
    told = succession(decisions.read_all(settings, cut.use_case))
    republish(settings, cut.use_case, told)

    def decide(so_far: list[Recorded]) -> Decision | None:
        if _told(so_far, cut.use_case).unfinished != cut:
            return None
        when = max(cut.as_of, as_of)
        return replace(cut, kind="undone", actor=actor, reason=reason, as_of=when)

    decisions.append(settings, decide)


def republish(settings: Settings, use_case: str, told: Succession) -> None:
    """Put the alias where the ledger says, unless it is, with the newest entry as its anchor.

    Raises ChampionUnresolved when the champion is no longer registered, LakeError when the ledger
    is not the one that was published.
    """
    entries = published_ledger.published_entries(settings)
    alias = champion_alias.standing(settings, use_case)
    if told.champion is None:
        if alias is not None:
            champion_alias.remove(settings, use_case)
        return
    model = mlflow_registry.candidate(settings, use_case, told.champion.version)
    if alias is not None and alias.is_of(use_case, model) and alias.anchor is not None:
        return
    newest = decisions.newest(entries)
    champion_alias.publish(settings, use_case, model, newest, verb="republish")


def refuse_roll_back_under_way(told: Succession) -> None:
    """Raise ChampionUnresolved for a roll back that was cut off: it is finished, never given up."""
    if told.unfinished is not None and told.unfinished.kind == "rolling_back":
        raise _unfinished(told.unfinished)


def _stands(told: Succession, first: Decision) -> bool:
    """Tell whether a move is still to be finished, or another process finished it."""
    if told.unfinished is not None:
        return told.unfinished == first
    now = told.champion
    return (
        now is not None
        and now.as_of >= first.as_of
        and replace(now, as_of=first.as_of) == replace(first, kind=STARTS[first.kind])
    )


def _overtaken(first: Decision) -> ChampionUnresolved:
    use_case = first.use_case
    return ChampionUnresolved(
        Problem(
            where=f"champion of {use_case}",
            expected=f"version {first.version} still to be {STARTS[first.kind]}",
            found="another decision, which came in between",
            fix=f"`headframe reconcile {use_case} --repair` puts the alias where the ledger says.",
        )
    )


def _told(so_far: list[Recorded], use_case: str) -> Succession:
    return succession([entry for entry in so_far if entry.decision.use_case == use_case])


def _unfinished(cut: Decision) -> ChampionUnresolved:
    move = "promotion of" if cut.kind == "promoting" else "roll back to"
    return ChampionUnresolved(
        Problem(
            where=f"champion of {cut.use_case}",
            expected=f"the {move} version {cut.version} to be finished first",
            found="one that was cut off",
            fix=f"`headframe reconcile {cut.use_case} --repair` finishes it.",
        )
    )
