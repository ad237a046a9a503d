"""Promote: put an approved challenger into production; ledger first, then alias."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pipelines.adapters import decisions, mlflow_registry
from pipelines.adapters.decisions import Decision, Recorded
from pipelines.adapters.failpoints import failpoint
from pipelines.adapters.mlflow_registry import ModelVersion
from pipelines.adapters.settings import Settings
from pipelines.adapters.users import read_users
from pipelines.domain.verdict import promotable
from pipelines.errors import Problem, PromotionRefused
from pipelines.use_case import UseCase

GATES = "gates"
"""Actor of a promotion that needs no person (tier "scheduled")."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """A person's answer to one evidence digest."""

    actor: str
    answer: Literal["approved", "rejected"]
    evidence_digest: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Promoted:
    """The candidate version now in production, and whether this run put it there."""

    version: str
    changed: bool

    def describe(self) -> str:
        """Return one line for the log and the terminal."""
        return f"champion is version {self.version}" + ("" if self.changed else " (already)")


def promote(
    use_case: UseCase,
    settings: Settings,
    *,
    version: str,
    as_of: datetime,
    approval: Approval | None = None,
) -> Promoted:
    """Make a candidate the champion, once.

    Raises PromotionRefused, and writes nothing that makes it champion, unless its frozen evidence
    lets it through and, in tier "governed", an approver other than the requester said yes to
    exactly that evidence. A promotion that was cut off is finished by running this again.
    """
    challenger = mlflow_registry.candidate(settings, use_case.name, version)
    digest = _judged(use_case, settings, challenger)
    entries = decisions.read_all(settings, use_case.name)
    last = [e.decision for e in entries if e.decision.kind in ("promoting", "promoted", "undone")]
    if last and last[-1].kind == "promoted" and last[-1].version == version:
        mlflow_registry.publish_champion(settings, use_case.name, challenger)
        return Promoted(version=version, changed=False)
    approver = _approver(use_case, settings, challenger, digest, approval, as_of)
    _append(use_case, settings, "promoting", challenger, digest, approver, as_of)
    failpoint("promote.between_ledger_and_alias")
    mlflow_registry.publish_champion(settings, use_case.name, challenger)
    failpoint("promote.between_alias_and_ledger")
    _append(use_case, settings, "promoted", challenger, digest, approver, as_of)
    return Promoted(version=version, changed=True)


def record_answer(
    use_case: UseCase, settings: Settings, *, version: str, approval: Approval, as_of: datetime
) -> None:
    """Write a person's answer to the ledger, once. Raises PromotionRefused unless it may count."""
    challenger = mlflow_registry.candidate(settings, use_case.name, version)
    digest = _judged(use_case, settings, challenger, any_verdict=True)
    _check_answer(use_case, settings, challenger, digest, approval)
    kind = approval.answer
    _append(use_case, settings, kind, challenger, digest, approval.actor, as_of, approval.reason)


def _judged(
    use_case: UseCase, settings: Settings, challenger: ModelVersion, *, any_verdict: bool = False
) -> str:
    """Return the digest of the challenger's frozen evidence, which must let it through."""
    where = f"{use_case.name} candidate {challenger.version}"
    judged = [
        entry.decision
        for entry in decisions.read_all(settings, use_case.name)
        if entry.decision.kind == "evaluated" and entry.decision.version == challenger.version
    ]
    if not judged:
        raise PromotionRefused(
            Problem(
                where=where,
                expected="an evaluation in the decisions ledger",
                found="none",
                fix=f"headframe run evaluate {use_case.name} --version {challenger.version}",
            )
        )
    digest = judged[-1].evidence_digest
    evidence = mlflow_registry.read_evidence(settings, challenger.run_id, digest)
    if not any_verdict and not promotable(evidence.verdicts):
        stopped = [v for v in evidence.verdicts if v.outcome not in ("passed", "not_applicable")]
        raise PromotionRefused(
            *(
                Problem(
                    where=f"{where}, gate {verdict.gate}",
                    expected="the gate to pass",
                    found=f"{verdict.outcome}: {verdict.reason}",
                    fix="The champion stays. Train again when there is more or better data.",
                )
                for verdict in stopped
            )
        )
    return digest


def _approver(
    use_case: UseCase,
    settings: Settings,
    challenger: ModelVersion,
    digest: str,
    approval: Approval | None,
    as_of: datetime,
) -> str:
    """Return who answers for this promotion, after writing their approval to the ledger."""
    if use_case.tier != "governed":
        return GATES
    if approval is not None:
        record_answer(
            use_case, settings, version=challenger.version, approval=approval, as_of=as_of
        )
    answers = [
        entry.decision
        for entry in decisions.read_all(settings, use_case.name)
        if entry.decision.kind in ("approved", "rejected")
        and entry.decision.version == challenger.version
        and entry.decision.evidence_digest == digest
    ]
    if not answers or answers[-1].kind != "approved":
        raise PromotionRefused(
            Problem(
                where=f"{use_case.name} candidate {challenger.version}",
                expected=f"an approval by a user with role {use_case.roles.approver!r}",
                found=f"a rejection by {answers[-1].actor}" if answers else "no answer yet",
                fix="Ask an approver, or train again.",
            )
        )
    return answers[-1].actor


def _check_answer(
    use_case: UseCase,
    settings: Settings,
    challenger: ModelVersion,
    digest: str,
    approval: Approval,
) -> None:
    where = f"approval of {use_case.name} candidate {challenger.version}"
    requester = challenger.tags["headframe.requester"]
    role = use_case.roles.approver
    approvers = [user.name for user in read_users(settings.users_file) if role in user.roles]
    problems = []
    if approval.actor not in approvers:
        expected = (
            f"a user with role {use_case.roles.approver!r} ({', '.join(approvers) or 'none'})"
        )
        fix = f"Give the role in {settings.users_file.name}, or ask one who has it."
        problems.append(Problem(where=where, expected=expected, found=approval.actor, fix=fix))
    if approval.actor == requester:
        problems.append(
            Problem(
                where=where,
                expected=f"someone other than {requester}, who asked for the training",
                found=approval.actor,
                fix="A second person decides: ask another approver.",
            )
        )
    if approval.evidence_digest != digest:
        problems.append(
            Problem(
                where=where,
                expected=f"an answer to the evidence {digest[:12]}",
                found=f"an answer to {approval.evidence_digest[:12]}",
                fix="Look at the present evidence and answer again.",
            )
        )
    if problems:
        raise PromotionRefused(*problems)


def _append(
    use_case: UseCase,
    settings: Settings,
    kind: decisions.Kind,
    challenger: ModelVersion,
    digest: str,
    actor: str,
    as_of: datetime,
    reason: str = "",
) -> None:
    decision = Decision(
        use_case=use_case.name,
        kind=kind,
        version=challenger.version,
        actor=actor,
        as_of=as_of,
        reason=reason,
        artifact_sha256=challenger.artifact_sha256,
        evidence_digest=digest,
    )

    def decide(so_far: list[Recorded]) -> Decision | None:
        """Append unless the use case's last decision already says the same."""
        mine = [e.decision for e in so_far if e.decision.use_case == use_case.name]
        repeated = bool(mine) and (mine[-1].kind, mine[-1].version) == (kind, challenger.version)
        return None if repeated else decision

    decisions.append(settings, decide)
