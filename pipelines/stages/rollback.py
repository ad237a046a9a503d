"""Roll back: an earlier champion takes over again, in one step, by a person who says why."""

from datetime import datetime

from pipelines.adapters.models import rollbacks
from pipelines.adapters.models.rollbacks import Asked, RolledBack
from pipelines.adapters.platform import acting_users
from pipelines.adapters.settings import Settings
from pipelines.domain.features import feature_digest
from pipelines.use_case import TrainedUseCase, UseCase

__all__ = ["RolledBack", "rollback"]


def rollback(
    use_case: UseCase,
    settings: Settings,
    *,
    actor: str,
    reason: str,
    as_of: datetime,
    to: str | None = None,
    away_from: str | None = None,
) -> RolledBack:
    """Go back to the champion before, or to an earlier one, and withdraw the present one.

    ``away_from`` is the champion that is meant; asked again, nothing more is done. A withdrawn
    version is not promoted again without new evidence. One that was cut off is finished by running
    this again. Raises PromotionRefused, and changes nothing, without a reason, for an actor who is
    neither operator nor approver, and as ``rollbacks.roll_back``.
    """
    where = f"roll back of {use_case.name}"
    roles = (use_case.roles.operator, use_case.roles.approver)
    acting_users.refuse_other(settings, roles, actor, where=where)
    why = acting_users.refuse_unexplained(reason, where=where)
    parts = TrainedUseCase.of(use_case)
    asked = Asked(
        use_case=use_case.name,
        actor=actor,
        reason=why,
        as_of=as_of,
        features=feature_digest(parts.features, parts.label),
        to=to,
        away_from=away_from,
    )
    return rollbacks.roll_back(settings, asked)
