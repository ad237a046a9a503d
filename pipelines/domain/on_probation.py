"""On probation: which champion is compared with which version, as the decisions ledger tells."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pipelines.domain.decision import Decision, Kind, Recorded
from pipelines.domain.probation import Probation
from pipelines.domain.succession import Reign, succession

ENDS: frozenset[Kind] = frozenset({"probation_passed", "probation_untested"})
"""Decisions after which a champion is on probation no more; the end of its reign is another way."""

ACTOR = "probation"
"""Actor of what a probation decides by itself."""

AGAINST = "against="


@dataclass(frozen=True, slots=True, kw_only=True)
class OnProbation:
    """The champion on probation: since which promotion, against which version, by which rule."""

    promoted: Decision
    against: str
    rule: Probation

    @property
    def version(self) -> str:
        """The version that is on probation."""
        return self.promoted.version


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbationResult:
    """How the last probation ended: of which version, against which, by which decision."""

    outcome: Literal["rolled_back", "passed", "untested"]
    version: str
    against: str
    decision: Decision


def on_probation(entries: Sequence[Recorded]) -> OnProbation | None:
    """Return who is on probation by the entries of one use case; None when nobody is.

    The rule is the one that was written down before the promotion, whatever is declared by now.
    """
    reigns = succession(entries).reigns
    if len(reigns) < 2:
        return None  # the first champion has nobody before it
    return None if _ended(entries, reigns[-1]) else _begun(entries, reigns[-2], reigns[-1])


def last_result(entries: Sequence[Recorded]) -> ProbationResult | None:
    """Return how the probation ended that was the last thing to happen to the champion, if one did."""
    reigns = succession(entries).reigns
    if len(reigns) < 2:
        return None
    now = reigns[-1].began.decision
    if now.kind == "rolled_back":
        version = reigns[-2].version
        if now.actor != ACTOR:
            return None
        return ProbationResult(
            outcome="rolled_back", version=version, against=now.version, decision=now
        )
    under, end = _begun(entries, reigns[-2], reigns[-1]), _ended(entries, reigns[-1])
    if under is None or end is None:
        return None
    return ProbationResult(
        outcome="passed" if end.kind == "probation_passed" else "untested",
        version=under.version,
        against=under.against,
        decision=end,
    )


def _begun(entries: Sequence[Recorded], before: Reign, reign: Reign) -> OnProbation | None:
    """Return the probation with which a reign began; None where none was declared before it."""
    declared = [
        entry.decision
        for entry in entries
        if entry.decision.kind == "probation_declared"
        and entry.decision.version == reign.version
        and before.began.sequence < entry.sequence < reign.began.sequence
    ]
    if not declared:
        return None
    against, _, rule = declared[-1].reason.partition(" ")
    return OnProbation(
        promoted=reign.began.decision,
        against=against.removeprefix(AGAINST),
        rule=Probation.from_text(rule),
    )


def _ended(entries: Sequence[Recorded], reign: Reign) -> Decision | None:
    """Return the decision that ended the probation of a reign; None when there is none."""
    found = [
        entry.decision
        for entry in entries
        if entry.decision.kind in ENDS
        and entry.decision.version == reign.version
        and entry.sequence > reign.began.sequence
    ]
    return found[-1] if found else None


def declared_reason(against: str, rule: Probation) -> str:
    """Return the reason of a ``probation_declared`` decision, which ``on_probation`` reads.

    >>> declared_reason("1", Probation(loss="brier"))
    'against=1 blocks=14 look_every=7 confidence=0.95 tolerance=0.0 loss=brier'
    """
    return f"{AGAINST}{against} {rule.as_text()}"


def opponent(entries: Sequence[Recorded]) -> str | None:
    """Return whom a version that is promoted now would be compared with; None for the first one.

    A champion that is itself on probation vouches for nobody: it is the one it is compared with, so
    that no chain of promotions leads away from the last version that stood its time.
    """
    under = on_probation(entries)
    if under is not None:
        return under.against
    champion = succession(entries).champion
    return None if champion is None else champion.version
