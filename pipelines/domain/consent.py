"""Consent: who must agree to a changed declaration before it stands, and who has."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from pipelines.domain.declaration_changes import Change
from pipelines.domain.digest import digest_of
from pipelines.errors import Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """What one consumer is asked to agree to, and whether they did."""

    consumer: str
    changes: tuple[Change, ...]
    given: bool


def consent_digest(declaration: str, consumer: str) -> str:
    """Return what names a consumer's consent to exactly one declaration, by its digest."""
    return digest_of(["consent", declaration, consumer])


def consents(
    changes: Sequence[Change], *, declaration: str, owner: str, given: Collection[str]
) -> tuple[Consent, ...]:
    """Return the consents that a changed declaration needs, in order of the changes.

    ``declaration`` is the digest of the changed one and ``given`` the digests of all consents on
    record. A change that no consumer of outputs sees, such as a column that goes, concerns whoever
    reads the tables: the ``owner`` answers for them.
    """
    asked: dict[str, list[Change]] = {}
    for change in changes:
        if change.verdict != "compatible":
            for consumer in change.consumers or (owner,):
                asked.setdefault(consumer, []).append(change)
    return tuple(
        Consent(
            consumer=consumer,
            changes=tuple(concerning),
            given=consent_digest(declaration, consumer) in given,
        )
        for consumer, concerning in asked.items()
    )


def consent_problem(use_case: str, asked: Consent) -> Problem:
    """Return the problem that a consent is not on record, and how it gets there."""
    return Problem(
        where=f"declaration of {use_case}, changed since it was accepted",
        expected=f"the consent of {asked.consumer} to "
        + "; ".join(change.describe() for change in asked.changes),
        found="none",
        fix=f"headframe consent {use_case} --consumer {asked.consumer!r} --reason ...",
    )
