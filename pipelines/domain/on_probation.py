"""On probation: which champion is compared with which version, as the decisions ledger tells."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pipelines.domain.decision import Decision, Recorded
from pipelines.domain.probation import Probation
from pipelines.domain.succession import ENDS, Reign, succession

ACTOR = "probation"
"""Actor of what a probation decides by itself."""

AGAINST = "against="

MINIMUM_LABELS = "minimum_labels="

BLOCKS = "blocks="


@dataclass(frozen=True, slots=True, kw_only=True)
class OnProbation:
    """The champion on probation: since which promotion, against which version, by which rule.

    A block counts with ``minimum_labels`` final labels; None where an earlier release declared it,
    which left that to what is declared by now. ``looked`` names the blocks of the last look that
    decided nothing, in their order.
    """

    promoted: Decision
    against: str
    rule: Probation
    minimum_labels: int | None = None
    looked: tuple[str, ...] = ()

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
    if len(reigns) < 2 or reigns[-1].ended is not None:
        return None  # the first champion has nobody before it, and a retired one is none
    return None if _ended(entries, reigns[-1]) else _begun(entries, reigns[-2], reigns[-1])


def last_result(entries: Sequence[Recorded]) -> ProbationResult | None:
    """Return how the probation ended that was the last thing to happen to the champion, if one did."""
    reigns = succession(entries).reigns
    if len(reigns) < 2 or reigns[-1].ended is not None:
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
    _, _, told = declared[-1].reason.partition(" ")
    rule, _, labels = told.partition(f" {MINIMUM_LABELS}")
    return OnProbation(
        promoted=reign.began.decision,
        against=_against(declared[-1]),
        rule=Probation.from_text(rule),
        minimum_labels=int(labels) if labels else None,
        looked=_looked(entries, reign),
    )


def _looked(entries: Sequence[Recorded], reign: Reign) -> tuple[str, ...]:
    """Return the blocks of the last look at a reign that decided nothing; none before the first."""
    found = [
        entry.decision.reason.partition(" ")[0].removeprefix(BLOCKS)
        for entry in entries
        if entry.decision.kind == "probation_looked"
        and entry.decision.version == reign.version
        and entry.sequence > reign.began.sequence
    ]
    return tuple(found[-1].split(",")) if found else ()


def looked_reason(blocks: Sequence[str], reason: str) -> str:
    """Return the reason of a ``probation_looked`` decision, which ``on_probation`` reads.

    >>> looked_reason(["2026-03-01", "2026-03-02"], "Nothing found.")
    'blocks=2026-03-01,2026-03-02 Nothing found.'
    """
    return f"{BLOCKS}{','.join(blocks)} {reason}"


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


def declared_reason(against: str, rule: Probation, *, minimum_labels: int) -> str:
    """Return the reason of a ``probation_declared`` decision, which ``on_probation`` reads.

    >>> declared_reason("1", Probation(loss="brier"), minimum_labels=30)
    'against=1 blocks=14 look_every=7 confidence=0.95 tolerance=0.0 loss=brier minimum_labels=30'
    """
    return f"{AGAINST}{against} {rule.as_text()} {MINIMUM_LABELS}{minimum_labels}"


def opponent(entries: Sequence[Recorded]) -> str | None:
    """Return whom a version that is promoted now would be compared with; None for the first one.

    A champion whose probation did not end vouches for nobody, a person's roll back to it included: it
    is the one it is compared with, so that no chain of moves leads away from the last version that
    stood its time.
    """
    told = succession(entries)
    if told.champion is None:
        return None
    declared = told.unproven.get(told.champion.version)
    return told.champion.version if declared is None else _against(declared)


def _against(declared: Decision) -> str:
    """Return the version that a ``probation_declared`` decision names."""
    return declared.reason.partition(" ")[0].removeprefix(AGAINST)
