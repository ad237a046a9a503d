"""Acting users: whether a person may act now, and says why."""

from collections.abc import Sequence

from pipelines.adapters.platform import role_holders
from pipelines.adapters.settings import Settings
from pipelines.errors import Problem, PromotionRefused


def refuse_other(settings: Settings, roles: Sequence[str], actor: str, *, where: str) -> None:
    """Raise PromotionRefused unless ``actor`` holds one of ``roles`` at this moment.

    Raises as ``role_holders.holders`` where it cannot be known who holds which role.
    """
    wanted = list(dict.fromkeys(roles))
    holders = sorted({one.name for role in wanted for one in role_holders.holders(settings, role)})
    if actor in holders:
        return
    raise PromotionRefused(
        Problem(
            where=where,
            expected=f"a user with role {' or '.join(wanted)} ({', '.join(holders) or 'none has'})",
            found=actor,
            fix=f"Say who you are with --user, or give the role in {role_holders.kept_in(settings)}.",
        )
    )


def refuse_unexplained(reason: str, *, where: str) -> str:
    """Return the reason without blanks around it; raises PromotionRefused where none is left."""
    if reason.strip():
        return reason.strip()
    raise PromotionRefused(
        Problem(
            where=where,
            expected="a reason, for whoever reads the history",
            found="none",
            fix="Say why in a sentence: --reason.",
        )
    )
