"""Consent: a consumer agrees to a changed declaration, written down by somebody who answers for it."""

from dataclasses import dataclass
from datetime import datetime

from pipelines.adapters.models import accepted_declarations, decisions
from pipelines.adapters.models.decisions import Decision, Recorded
from pipelines.adapters.platform import acting_users
from pipelines.adapters.settings import Settings
from pipelines.domain.consent import consent_digest
from pipelines.domain.digest import canonical
from pipelines.errors import PlatformError, Problem
from pipelines.use_case import UseCase


@dataclass(frozen=True, slots=True, kw_only=True)
class Consented:
    """The consumer that agreed to a declaration, by its digest, and whether this run wrote it down."""

    use_case: str
    consumer: str
    declaration: str
    changed: bool

    def describe(self) -> str:
        """Return one line for the log and the terminal."""
        already = "" if self.changed else " (already)"
        return f"{self.consumer} agrees to the declaration {self.declaration[:12]}{already}"


def consent(
    use_case: UseCase,
    settings: Settings,
    *,
    consumer: str,
    actor: str,
    reason: str,
    as_of: datetime,
) -> Consented:
    """Write to the decisions ledger that a consumer agrees to the declaration as it is now, once.

    It counts for exactly this declaration. Raises PlatformError for a consumer whom no change
    concerns or without a reason, PromotionRefused for an actor who is neither operator nor approver.
    """
    where = f"consent to {use_case.name}"
    roles = (use_case.roles.operator, use_case.roles.approver)
    acting_users.refuse_other(settings, roles, actor, where=where)
    _, needed = accepted_declarations.compared(settings, use_case.name, canonical(use_case))
    asked = [one.consumer for one in needed]
    if consumer not in asked or not reason.strip():
        raise PlatformError(
            Problem(
                where=where,
                expected=f"one of those whom the changes concern ({', '.join(asked) or 'none'}), and "
                "where they agreed",
                found=f"consumer {consumer!r}, reason {reason.strip()!r}",
                fix=f"`headframe check {use_case.name}` lists changes and consumers; say with "
                "--reason where the agreement is kept.",
            )
        )
    declaration = use_case.digest()
    given = Decision(
        use_case=use_case.name,
        kind="consented",
        version="",
        actor=actor,
        as_of=as_of,
        reason=f"{consumer}: {reason.strip()}",
        artifact_sha256="",
        evidence_digest=consent_digest(declaration, consumer),
    )

    def decide(so_far: list[Recorded]) -> Decision | None:
        """Append unless this consent is on record."""
        known = {
            entry.decision.evidence_digest
            for entry in so_far
            if entry.decision.kind == "consented" and entry.decision.use_case == use_case.name
        }
        return None if given.evidence_digest in known else given

    written = decisions.append(settings, decide)
    return Consented(
        use_case=use_case.name,
        consumer=consumer,
        declaration=declaration,
        changed=written is not None,
    )
