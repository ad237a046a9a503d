"""Accept: a person stands for a declaration, and for the trainings that start themselves by it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pipelines.adapters.models import accepted_declarations, approvals, decisions
from pipelines.adapters.models.decisions import Decision, Recorded
from pipelines.adapters.platform import acting_users
from pipelines.adapters.settings import Settings
from pipelines.domain.consent import consent_problem
from pipelines.domain.digest import canonical
from pipelines.errors import PlatformError
from pipelines.use_case import UseCase


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The declaration that a person stands for, and whether this run wrote it down."""

    use_case: str
    actor: str
    declaration: str
    changed: bool

    def describe(self) -> str:
        """Return one line for the log and the terminal."""
        already = "" if self.changed else " (already)"
        return f"{self.actor} stands for the declaration {self.declaration[:12]}{already}"


def accept(
    use_case: UseCase, settings: Settings, *, actor: str, as_of: datetime, reason: str = ""
) -> Accepted:
    """Write to the decisions ledger that a person accepts the declaration as it is now, once.

    A training that starts itself counts as asked for by who accepted last. Raises PromotionRefused
    for somebody whom the platform does not know as data scientist or data engineer of the use case,
    PlatformError where consumers have not consented to what changed since the declaration accepted
    last.
    """
    roles = (use_case.roles.data_scientist, use_case.roles.data_engineer)
    acting_users.refuse_other(settings, roles, actor, where=f"acceptance of {use_case.name}")
    digest, declared = use_case.digest(), canonical(use_case)
    _refuse_without_consent(settings, use_case.name, declared)
    accepted_declarations.keep(settings, use_case.name, declared)
    accepted = Decision(
        use_case=use_case.name,
        kind="accepted",
        version="",
        actor=actor,
        as_of=as_of,
        reason=reason,
        artifact_sha256="",
        evidence_digest=digest,
    )

    def decide(so_far: list[Recorded]) -> Decision | None:
        """Append unless this person was the last to accept this declaration."""
        mine = [entry for entry in so_far if entry.decision.use_case == use_case.name]
        last = approvals.acceptance(mine, digest)
        return None if last is not None and last.actor == actor else accepted

    written = decisions.append(settings, decide)
    return Accepted(
        use_case=use_case.name, actor=actor, declaration=digest, changed=written is not None
    )


def _refuse_without_consent(settings: Settings, name: str, declared: Mapping[str, Any]) -> None:
    _, needed = accepted_declarations.compared(settings, name, declared)
    missing = [one for one in needed if not one.given]
    if missing:
        raise PlatformError(*(consent_problem(name, one) for one in missing))
