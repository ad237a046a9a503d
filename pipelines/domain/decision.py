"""Decision: one entry of the decisions ledger, and the chain that holds the entries together."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

from pipelines.domain.digest import digest_of

Kind: TypeAlias = Literal[
    "accepted",
    "consented",
    "requested",
    "evaluated",
    "approved",
    "rejected",
    "promoting",
    "promoted",
    "undone",
    "probation_declared",
    "probation_looked",
    "probation_passed",
    "probation_untested",
    "rolling_back",
    "rolled_back",
    "frozen",
    "repaired",
    "retired",
]
"""What was decided. A move of the champion is two entries, since the alias changes in between:
``promoting`` and ``promoted``, ``rolling_back`` and ``rolled_back``; ``undone`` gives one up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One decision: about which candidate version, by whom, as of when (UTC), and why.

    ``version`` is the one that a move leads to; empty where none is meant (``accepted``, ``consented``).
    ``evidence_digest`` is the digest of what was looked at: the frozen evidence, the declaration
    that was accepted, or that and its consumer. Both digests are empty where there was none.
    """

    use_case: str
    kind: Kind
    version: str
    actor: str
    as_of: datetime
    reason: str
    artifact_sha256: str
    evidence_digest: str


@dataclass(frozen=True, slots=True)
class Recorded:
    """A decision in the ledger with its place in the chain."""

    sequence: int
    decision: Decision
    previous: str
    digest: str


@dataclass(frozen=True, slots=True)
class Anchor:
    """What was published of the ledger outside of it: the digest that its entry so and so has."""

    sequence: int
    digest: str


@dataclass(frozen=True, slots=True)
class Break:
    """The first entry at which the chain does not hold, and in which way."""

    sequence: int
    found: str


def chained(sequence: int, decision: Decision, previous: str) -> Recorded:
    """Return a decision as the entry after the one with the digest ``previous``."""
    return Recorded(sequence, decision, previous, digest_of([sequence, previous, decision]))


def first_break(entries: Sequence[Recorded], *, appended: int) -> Break | None:
    """Return the first break of a chain, in order of its entries; None when it is whole.

    ``appended`` is how many entries are known to have been written. A chain that somebody made
    anew, every digest included, is whole: only an anchor tells (``rewritten``).
    """
    previous = ""
    for number, entry in enumerate(entries, start=1):
        if entry != chained(number, entry.decision, previous):
            return Break(number, "an entry that was changed, removed or added by hand")
        previous = entry.digest
    if len(entries) < appended:
        missing = len(entries) + 1
        return Break(missing, f"{len(entries)} of the {appended} entries that were appended")
    return None


def rewritten(entries: Sequence[Recorded], anchors: Sequence[Anchor]) -> Break | None:
    """Return the first entry that is not the one published; None when every anchor holds."""
    for anchor in sorted(anchors, key=lambda one: one.sequence):
        if anchor.sequence < 1:
            return Break(1, f"number {anchor.sequence} published, which no ledger has")
        if anchor.sequence > len(entries):
            found = f"{len(entries)} entries, though number {anchor.sequence} was published"
            return Break(len(entries) + 1, found)
        if entries[anchor.sequence - 1].digest != anchor.digest:
            found = f"a chain written anew: entry {anchor.sequence} was published with digest "
            return Break(anchor.sequence, f"{found}{anchor.digest[:12]}")
    return None
