"""Succession: who was champion when, by what the decisions ledger says of a use case."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from pipelines.domain.decision import Decision, Kind, Recorded

STARTS: dict[Kind, Kind] = {"promoting": "promoted", "rolling_back": "rolled_back"}
"""First entry of each move of the champion -> its last, written once the alias is moved."""

MOVES = frozenset({*STARTS, *STARTS.values(), "undone", "frozen", "repaired"})
"""Kinds of decision that say who is champion, or whether it may be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reign:
    """One version's time as champion; ``ended`` is the entry that began the next one."""

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
    champion is not to be used. ``withdrawn`` maps a version that was rolled back from to the entry
    that did it, until the version is judged on new evidence.
    """

    reigns: tuple[Reign, ...] = ()
    unfinished: Decision | None = None
    frozen: Decision | None = None
    withdrawn: dict[str, Decision] = field(default_factory=dict)

    @property
    def champion(self) -> Decision | None:
        """The decision that put the champion there; None when none ever was."""
        return self.reigns[-1].began.decision if self.reigns else None

    @property
    def before(self) -> Decision | None:
        """The decision that put the champion before there, which one step back leads to.

        Versions that were rolled back from do not count. None when there is nothing before.
        """
        now = self.champion
        found = [
            reign.began.decision
            for reign in self.reigns
            if now is not None
            and reign.version != now.version
            and reign.version not in self.withdrawn
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
            if not reigns or reigns[-1].version != decision.version:
                if reigns:
                    reigns[-1] = Reign(began=reigns[-1].began, ended=entry)
                reigns.append(Reign(began=entry))
            frozen = None
        else:
            frozen = decision if decision.kind == "frozen" else None
    return Succession(
        reigns=tuple(reigns), unfinished=unfinished, frozen=frozen, withdrawn=withdrawn
    )
