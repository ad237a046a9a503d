"""Promote: put an approved challenger into production; ledger first, then alias."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pipelines.adapters.failpoints import failpoint
from pipelines.adapters.models import champion, decisions, mlflow_registry
from pipelines.adapters.models.decisions import Decision, Recorded
from pipelines.adapters.models.mlflow_registry import ModelVersion
from pipelines.adapters.platform.users import read_users
from pipelines.adapters.settings import Settings
from pipelines.domain.evidence import Evidence
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judged:
    """A candidate whose frozen evidence was found, and where its decisions are written."""

    use_case: UseCase
    settings: Settings
    challenger: ModelVersion
    evidence: Evidence

    @property
    def where(self) -> str:
        return f"{self.use_case.name} candidate {self.challenger.version}"


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
    lets it through, compared it with the present champion and, in tier "governed", an approver
    other than the requester said yes to exactly that evidence. A promotion that was cut off is
    finished by running this again.
    """
    judged = _find_judged(use_case, settings, version)
    _refuse_failed_gates(judged)
    promoted = [d for d in champion.steps(settings, use_case.name) if d.kind == "promoted"]
    standing = promoted[-1] if promoted else None
    if standing is not None and standing.version == version:
        mlflow_registry.publish_champion(settings, use_case.name, judged.challenger)
        # Only after another version's promotion that was cut off: this one stands again.
        _append_step(judged, "promoted", standing.actor, as_of)
        return Promoted(version=version, changed=False)
    _refuse_other_champion(judged, standing.version if standing else None)
    approver = _approver(judged, approval, as_of)
    _append_step(judged, "promoting", approver, as_of)
    failpoint("promote.between_ledger_and_alias")
    mlflow_registry.publish_champion(settings, use_case.name, judged.challenger)
    failpoint("promote.between_alias_and_ledger")
    _append_step(judged, "promoted", approver, as_of)
    return Promoted(version=version, changed=True)


def record_answer(
    use_case: UseCase, settings: Settings, *, version: str, approval: Approval, as_of: datetime
) -> None:
    """Write a person's answer to the ledger, once. Raises PromotionRefused unless it may count."""
    judged = _find_judged(use_case, settings, version)
    _check_answer(judged, approval)
    answer = _decision(judged, approval.answer, approval.actor, as_of, approval.reason)

    def decide(so_far: list[Recorded]) -> Decision | None:
        """Append unless this person's last answer to this evidence is the same and the newest."""
        answers = _answers(judged, so_far)
        last = answers[-1] if answers else None
        same = last is not None and (last.kind, last.actor) == (answer.kind, answer.actor)
        return None if same else answer

    decisions.append(settings, decide)


def _find_judged(use_case: UseCase, settings: Settings, version: str) -> _Judged:
    """Return the candidate with its frozen evidence. Raises PromotionRefused without any."""
    challenger = mlflow_registry.candidate(settings, use_case.name, version)
    where = f"{use_case.name} candidate {version}"
    last = decisions.evaluation(settings, use_case.name, version)
    if last is None:
        raise PromotionRefused(
            Problem(
                where=where,
                expected="an evaluation in the decisions ledger",
                found="none",
                fix=f"headframe run evaluate {use_case.name} --version {version}",
            )
        )
    if last.artifact_sha256 != challenger.artifact_sha256:
        raise PromotionRefused(
            Problem(
                where=where,
                expected=f"the artifact that was evaluated, digest {last.artifact_sha256[:12]}",
                found=f"digest {challenger.artifact_sha256[:12]} on the version in MLflow",
                fix="Someone changed the version since: train and evaluate again.",
            )
        )
    evidence = mlflow_registry.read_evidence(settings, challenger.run_id, last.evidence_digest)
    return _Judged(use_case=use_case, settings=settings, challenger=challenger, evidence=evidence)


def _refuse_failed_gates(judged: _Judged) -> None:
    if promotable(judged.evidence.verdicts):
        return
    verdicts = judged.evidence.verdicts
    stopped = [v for v in verdicts if v.outcome not in ("passed", "not_applicable")]
    raise PromotionRefused(
        *(
            Problem(
                where=f"{judged.where}, gate {verdict.gate}",
                expected="the gate to pass",
                found=f"{verdict.outcome}: {verdict.reason.rstrip('.')}",
                fix="The champion stays. Train again when there is more or better data.",
            )
            for verdict in stopped
        )
    )


def _refuse_other_champion(judged: _Judged, standing: str | None) -> None:
    """Raise PromotionRefused when the champion changed after the gates compared with it."""
    compared = judged.evidence.champion
    if compared != standing:
        raise PromotionRefused(
            Problem(
                where=judged.where,
                expected=f"evidence against the present champion, {_named(standing)}",
                found=f"evidence against {_named(compared)}",
                fix="The champion changed after the evaluation: train and evaluate again.",
            )
        )


def _named(version: str | None) -> str:
    return "none" if version is None else f"version {version}"


def _approver(judged: _Judged, approval: Approval | None, as_of: datetime) -> str:
    """Return who answers for this promotion, after writing their approval to the ledger."""
    use_case, settings = judged.use_case, judged.settings
    if use_case.tier != "governed":
        return GATES
    if approval is not None:
        version = judged.challenger.version
        record_answer(use_case, settings, version=version, approval=approval, as_of=as_of)
    answers = _answers(judged, decisions.read_all(settings, use_case.name))
    if not answers or answers[-1].kind != "approved":
        raise PromotionRefused(
            Problem(
                where=judged.where,
                expected=f"an approval by a user with role {use_case.roles.approver!r}",
                found=f"a rejection by {answers[-1].actor}" if answers else "no answer yet",
                fix="Ask an approver, or train again.",
            )
        )
    return answers[-1].actor


def _answers(judged: _Judged, entries: list[Recorded]) -> list[Decision]:
    """Return the answers to exactly this candidate's evidence, in order."""
    return [
        entry.decision
        for entry in entries
        if entry.decision.kind in ("approved", "rejected")
        and entry.decision.use_case == judged.use_case.name
        and entry.decision.version == judged.challenger.version
        and entry.decision.evidence_digest == judged.evidence.digest
    ]


def _check_answer(judged: _Judged, approval: Approval) -> None:
    where = f"approval of {judged.where}"
    requester = judged.challenger.tags["headframe.requester"]
    role, users_file = judged.use_case.roles.approver, judged.settings.users_file
    approvers = [user.name for user in read_users(users_file) if role in user.roles]
    problems = []
    if approval.actor not in approvers:
        expected = f"a user with role {role!r} ({', '.join(approvers) or 'none'})"
        fix = f"Give the role in {users_file.name}, or ask one who has it."
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
    if approval.evidence_digest != judged.evidence.digest:
        problems.append(
            Problem(
                where=where,
                expected=f"an answer to the evidence {judged.evidence.digest[:12]}",
                found=f"an answer to {approval.evidence_digest[:12]}",
                fix="Look at the present evidence and answer again.",
            )
        )
    if problems:
        raise PromotionRefused(*problems)


def _append_step(
    judged: _Judged, kind: Literal["promoting", "promoted"], actor: str, as_of: datetime
) -> None:
    step = _decision(judged, kind, actor, as_of)

    def decide(so_far: list[Recorded]) -> Decision | None:
        """Append unless the use case's last step already says the same."""
        mine = [entry.decision for entry in so_far if entry.decision.use_case == step.use_case]
        last = next((d for d in reversed(mine) if d.kind in champion.STEPS), None)
        same = last is not None and (last.kind, last.version) == (step.kind, step.version)
        return None if same else step

    decisions.append(judged.settings, decide)


def _decision(
    judged: _Judged, kind: decisions.Kind, actor: str, as_of: datetime, reason: str = ""
) -> Decision:
    return Decision(
        use_case=judged.use_case.name,
        kind=kind,
        version=judged.challenger.version,
        actor=actor,
        as_of=as_of,
        reason=reason,
        artifact_sha256=judged.challenger.artifact_sha256,
        evidence_digest=judged.evidence.digest,
    )
