"""Probations: whom a new champion is compared with, written before it is one, and how that ended."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Literal

from pipelines.adapters.models import decisions, mlflow_registry
from pipelines.adapters.models.decisions import Decision, Recorded
from pipelines.adapters.settings import Settings
from pipelines.domain.on_probation import (
    ACTOR,
    OnProbation,
    declared_reason,
    looked_reason,
    on_probation,
    opponent,
)
from pipelines.domain.probation import Probation
from pipelines.domain.succession import Succession, succession
from pipelines.errors import ChampionUnresolved


def declare(
    settings: Settings, promotion: Decision, rule: Probation | None, *, minimum_labels: int
) -> None:
    """Write down, before a promotion begins, whom its version will be compared with and how; once.

    ``minimum_labels`` are the final labels with which a block counts. Nothing is written where no
    rule is declared, and for a first champion.
    """

    def decide(so_far: list[Recorded]) -> Decision | None:
        mine = _of(so_far, promotion.use_case)
        against = opponent(mine)
        if rule is None or against in (None, promotion.version):
            return None
        reason = declared_reason(str(against), rule, minimum_labels=minimum_labels)
        since = succession(mine).reigns[-1].began.sequence
        told = [
            entry.decision
            for entry in mine
            if entry.sequence > since
            and entry.decision.kind == "probation_declared"
            and entry.decision.version == promotion.version
        ]
        if told and told[-1].reason == reason:
            return None
        return replace(promotion, kind="probation_declared", reason=reason)

    if rule is not None:
        decisions.append(settings, decide)


def standing(settings: Settings, use_case: str) -> OnProbation | None:
    """Return who is on probation now; None when nobody is."""
    return on_probation(decisions.read_all(settings, use_case))


def obstacle(settings: Settings, under: OnProbation) -> Literal["gone", "other_view"] | None:
    """Return why both versions cannot be compared; None when they can.

    "gone": the registry has the version before no more. "other_view": the two read different feature
    views, so that no row is for both. Raises ServiceUnavailable when the registry does not answer.
    """
    use_case = under.promoted.use_case
    try:
        before = mlflow_registry.candidate(settings, use_case, under.against)
    except ChampionUnresolved:
        return "gone"
    ours = mlflow_registry.candidate(settings, use_case, under.version)
    views = [version.tags.get("headframe.features") for version in (ours, before)]
    return None if views[0] == views[1] and None not in views else "other_view"


def is_frozen_or_moving(told: Succession) -> bool:
    """Tell whether something stands in the way of the champion, other than a probation's own move."""
    cut = told.unfinished
    return told.frozen is not None or (cut is not None and not is_own(cut))


def is_own(cut: Decision) -> bool:
    """Tell whether a move that was cut off is a roll back that a probation began."""
    return cut.kind == "rolling_back" and cut.actor == ACTOR


def look(
    settings: Settings,
    under: OnProbation,
    blocks: Sequence[str],
    *,
    as_of: datetime,
    reason: str,
    evidence_digest: str,
) -> Decision | None:
    """Record a look that decided nothing, and at which blocks; None if another decision came first.

    A block that is scored later than it should have been comes after these, so that no look is at
    other blocks when it is looked again.
    """

    def decide(so_far: list[Recorded]) -> Decision | None:
        if on_probation(_of(so_far, under.promoted.use_case)) != under:
            return None
        return replace(
            under.promoted,
            kind="probation_looked",
            actor=ACTOR,
            as_of=as_of,
            reason=looked_reason(blocks, reason),
            evidence_digest=evidence_digest,
        )

    return decisions.append(settings, decide)


def end(
    settings: Settings,
    under: OnProbation,
    kind: decisions.Kind,
    *,
    as_of: datetime,
    reason: str,
    evidence_digest: str,
) -> Decision | None:
    """Record that a probation ended without a roll back, and return that; None if it is over by now."""

    def decide(so_far: list[Recorded]) -> Decision | None:
        if on_probation(_of(so_far, under.promoted.use_case)) != under:
            return None
        return replace(
            under.promoted,
            kind=kind,
            actor=ACTOR,
            as_of=as_of,
            reason=reason,
            evidence_digest=evidence_digest,
        )

    return decisions.append(settings, decide)


def _of(entries: list[Recorded], use_case: str) -> list[Recorded]:
    return [entry for entry in entries if entry.decision.use_case == use_case]
