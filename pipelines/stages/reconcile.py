"""Reconcile: find where ledger, alias and artifacts disagree; mend what is known, freeze the rest."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from pipelines.adapters.failpoints import failpoint
from pipelines.adapters.models import (
    champion,
    champion_alias,
    champion_findings,
    champion_moves,
    decisions,
    mlflow_registry,
    published_ledger,
)
from pipelines.adapters.models.decisions import Decision, Recorded
from pipelines.adapters.platform import acting_users
from pipelines.adapters.platform.users import PLATFORM
from pipelines.adapters.settings import Settings
from pipelines.domain.reconciliation import Extent, Finding
from pipelines.domain.succession import succession
from pipelines.errors import Problem, PromotionRefused
from pipelines.use_case import UseCase

if TYPE_CHECKING:
    from pipelines.domain.decision import Kind

MOST_PASSES = 4
"""Looks at what is left: a move is ended, then the alias mended or the champion frozen, then none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled:
    """What disagreed about a use case's champions, what was done about it, and what is left."""

    use_case: str
    found: tuple[Finding, ...]
    done: tuple[str, ...]
    left: tuple[Finding, ...]

    @property
    def agrees(self) -> bool:
        """Whether ledger, alias and artifacts say the same now."""
        return not self.left

    def describe(self) -> str:
        """Return a line for each thing done and left, or one that says that all agrees."""
        lines = [*self.done, *(str(finding.problem) for finding in self.left)]
        return "\n".join(lines) or f"{self.use_case}: ledger, alias and artifacts agree"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Repair:
    """Whose champion is mended, by whom, as of when."""

    use_case: str
    settings: Settings
    actor: str
    as_of: datetime


def reconcile(
    use_case: str,
    settings: Settings,
    *,
    as_of: datetime,
    actor: str = PLATFORM,
    extent: Extent = "look",
) -> Reconciled:
    """Find everything that disagrees, and do about it what ``extent`` allows.

    A ledger that is broken, or not the one that was published, is reported and nothing is written.
    Running it again finishes what a kill cut off and changes nothing else. Where all agrees, the
    ledger's newest entry is published beside the alias, unless it may only look. Raises
    ServiceUnavailable when MLflow does not answer, LakeError when its database is gone.
    """
    repair = _Repair(use_case=use_case, settings=settings, actor=actor, as_of=as_of)
    first = left = champion_findings.look(settings, use_case)
    done: list[str] = []
    for _ in range(MOST_PASSES):
        due = [finding for finding in left if finding.within(extent)]
        if not due:
            break
        failpoint("reconcile.between_look_and_act")
        done.append(_act(repair, due[0]))
        failpoint("reconcile.between_act_and_look")
        left = champion_findings.look(settings, use_case)
    if not left and extent != "look":
        _publish_newest(repair)
    return Reconciled(use_case=use_case, found=tuple(first), done=tuple(done), left=tuple(left))


def _act(repair: _Repair, finding: Finding) -> str:
    """Carry out a finding's remedy; return what was done, in words."""
    settings, name = repair.settings, repair.use_case
    told = champion.told_of(settings, name)
    cut = told.unfinished
    if finding.remedy in ("finish", "undo") and cut is None:
        return f"{name}: what was cut off was ended meanwhile"
    if finding.remedy == "finish" and cut is not None:
        model = mlflow_registry.candidate(settings, name, cut.version)
        champion_moves.finish(settings, cut, model, as_of=repair.as_of)
        return f"{name}: finished what was cut off; the champion is version {cut.version}"
    if finding.remedy == "undo" and cut is not None:
        why = finding.problem.found
        champion_moves.undo(settings, cut, actor=repair.actor, reason=why, as_of=repair.as_of)
        return f"{name}: gave up the promotion of version {cut.version}"
    if finding.remedy == "alias":
        champion_moves.republish(settings, name, told)
        stands = f"is on version {told.champion.version}" if told.champion else "is taken away"
        return f"{name}: the champion alias {stands}, as the ledger says"
    kind: Kind = "frozen" if finding.remedy == "freeze" else "repaired"
    _record(repair, kind, finding)
    return f"{name}: the champion is {kind}"


def _record(repair: _Repair, kind: "Kind", finding: Finding) -> None:
    def decide(so_far: list[Recorded]) -> Decision | None:
        """Say it once of the champion that was looked at, while the other is the last word."""
        mine = [entry for entry in so_far if entry.decision.use_case == repair.use_case]
        told = succession(mine)
        if told.champion is None or told.champion.version != finding.version:
            return None
        if (told.frozen is not None) == (kind == "frozen"):
            return None
        return Decision(
            use_case=repair.use_case,
            kind=kind,
            version=told.champion.version,
            actor=repair.actor,
            as_of=repair.as_of,
            reason=f"{finding.problem.where}: {finding.problem.found}",
            artifact_sha256=told.champion.artifact_sha256,
            evidence_digest=told.champion.evidence_digest,
        )

    decisions.append(repair.settings, decide)


def retire(
    use_case: UseCase, settings: Settings, *, as_of: datetime, actor: str, reason: str
) -> Reconciled:
    """End the reign of a champion that is frozen, without a successor, and reconcile the rest.

    There is no champion then: the next challenger is judged against the baseline, and approved as a
    first one is. The retired version is not promoted again without new evidence. One that is lost is
    frozen first; asked again, nothing more is done. Raises PromotionRefused, and retires nothing,
    without a reason, for an actor who is neither operator nor approver, and for a champion that is
    what was promoted; otherwise as ``reconcile``.
    """
    name, where = use_case.name, f"retirement of the champion of {use_case.name}"
    roles = (use_case.roles.operator, use_case.roles.approver)
    acting_users.refuse_other(settings, roles, actor, where=where)
    why = acting_users.refuse_unexplained(reason, where=where)
    reconcile(name, settings, as_of=as_of, actor=actor, extent="freeze")

    def decide(so_far: list[Recorded]) -> Decision | None:
        told = succession([entry for entry in so_far if entry.decision.use_case == name])
        if told.champion is None and told.unfinished is None and told.reigns:
            return None
        if told.frozen is None or told.champion is None or told.unfinished is not None:
            raise PromotionRefused(
                Problem(
                    where=where,
                    expected="a champion that is frozen, and no move that was cut off",
                    found="another state of the ledger",
                    fix=f"`headframe rollback {name} --reason ...` leaves a champion that works; "
                    f"`headframe reconcile {name} --repair` ends a move.",
                )
            )
        return Decision(
            use_case=name,
            kind="retired",
            version=told.champion.version,
            actor=actor,
            as_of=as_of,
            reason=why,
            artifact_sha256=told.champion.artifact_sha256,
            evidence_digest=told.champion.evidence_digest,
        )

    retired = decisions.append(settings, decide)
    left = reconcile(name, settings, as_of=as_of, actor=actor, extent="repair")
    if retired is None:
        return left
    said = f"{name}: version {retired.version} is retired; there is no champion"
    return replace(left, done=(said, *left.done))


def _publish_newest(repair: _Repair) -> None:
    alias = champion_alias.standing(repair.settings, repair.use_case)
    if alias is None:
        return
    newest = decisions.newest(published_ledger.published_entries(repair.settings))
    if alias.anchor != newest:
        champion_alias.anchor(repair.settings, repair.use_case, alias.version, newest)
