"""Succession: who was champion when, by what the decisions ledger says of a use case."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise

from pipelines.domain.decision import Decision, Kind, Recorded

STARTS: dict[Kind, Kind] = {"promoting": "promoted", "rolling_back": "rolled_back"}
"""First entry of each move of the champion -> its last, written once the alias is moved."""

ENDS: frozenset[Kind] = frozenset({"probation_passed", "probation_untested"})
"""Decisions after which a champion is on probation no more; the end of its reign is another way."""

MOVES = frozenset({*STARTS, *STARTS.values(), "undone", "frozen", "repaired", "retired"})
"""Kinds of decision that say who is champion, or whether it may be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reign:
    """One version's time as champion; ``ended`` is the entry that began the next one, or retired it."""

    began: Recorded
    ended: Recorded | None = None

    @property
    def version(self) -> str:
        """The candidate version that was champion."""
        return self.began.decision.version


@dataclass(frozen=True, slots=True, kw_only=True)
class Succession:
    """The reigns in order, and what stands in the way of the last one.

    ``unfinished`` is the first entry of a move that was cut off, ``frozen`` the entry that says the
    champion is not to be used. ``withdrawn`` maps a version that was rolled back from, or retired,
    to the entry that did it, until the version is judged on new evidence. ``unproven`` maps a
    version that was promoted on probation to the entry that declared it, until that probation came
    to its own end.
    """

    reigns: tuple[Reign, ...] = ()
    unfinished: Decision | None = None
    frozen: Decision | None = None
    withdrawn: dict[str, Decision] = field(default_factory=dict)
    unproven: dict[str, Decision] = field(default_factory=dict)

    @property
    def champion(self) -> Decision | None:
        """The decision that put the champion there; None when none ever was, or it was retired."""
        if not self.reigns or self.reigns[-1].ended is not None:
            return None
        return self.reigns[-1].began.decision

    @property
    def before(self) -> Decision | None:
        """The decision that put the champion before there, which one step back leads to.

        Versions that were rolled back from do not count, nor those whose probation another promotion
        cut short: none of them stood its time. None when there is nothing before.
        """
        now = self.champion
        found = [
            reign.began.decision
            for reign in self.reigns
            if now is not None
            and reign.version != now.version
            and reign.version not in self.withdrawn
            and reign.version not in self.unproven
        ]
        return found[-1] if found else None

    def reign_of(self, version: str) -> Reign | None:
        """Return the last reign of a version; None when it never was champion."""
        found = [reign for reign in self.reigns if reign.version == version]
        return found[-1] if found else None


def succession(entries: Iterable[Recorded]) -> Succession:
    """Return the succession that the entries of one use case tell, in their order."""
    reigns: list[Reign] = []
    evidence: dict[str, str] = {}
    withdrawn: dict[str, Decision] = {}
    unfinished: Decision | None = None
    frozen: Decision | None = None
    entries = list(entries)
    for entry in entries:
        decision = entry.decision
        if decision.kind == "evaluated":
            if evidence.get(decision.version, decision.evidence_digest) != decision.evidence_digest:
                withdrawn.pop(decision.version, None)
            evidence[decision.version] = decision.evidence_digest
        if decision.kind not in MOVES:
            continue
        if decision.kind in STARTS:
            unfinished = decision
        elif decision.kind == "undone":
            unfinished = None
        elif decision.kind in STARTS.values():
            unfinished = None
            if decision.kind == "rolled_back" and reigns:
                withdrawn[reigns[-1].version] = decision
            _begin(reigns, entry)
            frozen = None
        elif decision.kind == "retired":
            withdrawn[decision.version] = decision
            _end(reigns, entry)
            frozen = None
        else:
            frozen = decision if decision.kind == "frozen" else None
    return Succession(
        reigns=tuple(reigns),
        unfinished=unfinished,
        frozen=frozen,
        withdrawn=withdrawn,
        unproven=_unproven(entries, reigns),
    )


def champion_at(entries: Iterable[Recorded], at: datetime) -> str:
    """Return the version that was champion at a moment (UTC), frozen or not; empty for none."""
    then = succession(entry for entry in entries if entry.decision.as_of <= at).champion
    return then.version if then is not None else ""


def _begin(reigns: list[Reign], entry: Recorded) -> None:
    """Let the version of an entry reign, unless it does."""
    if reigns and reigns[-1].ended is None and reigns[-1].version == entry.decision.version:
        return
    _end(reigns, entry)
    reigns.append(Reign(began=entry))


def _end(reigns: list[Reign], entry: Recorded) -> None:
    if reigns and reigns[-1].ended is None:
        reigns[-1] = Reign(began=reigns[-1].began, ended=entry)


def _unproven(entries: Sequence[Recorded], reigns: Sequence[Reign]) -> dict[str, Decision]:
    """Return the declaration of each version's last probation that did not come to its own end."""
    found: dict[str, Decision] = {}
    for before, reign in pairwise(reigns):
        if reign.began.decision.kind != "promoted":
            continue  # put back: it is what its own promotion left it
        found.pop(reign.version, None)
        mine = [entry for entry in entries if entry.decision.version == reign.version]
        is_over = any(
            entry.decision.kind in ENDS and entry.sequence > reign.began.sequence for entry in mine
        )
        for entry in mine:
            declared = entry.decision.kind == "probation_declared"
            if declared and before.began.sequence < entry.sequence < reign.began.sequence:
                found[reign.version] = entry.decision
        if is_over:
            found.pop(reign.version, None)
    return found
