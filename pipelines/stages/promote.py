"""Promote: put an approved challenger into production; ledger first, then alias."""

from dataclasses import dataclass
from datetime import datetime

from pipelines.adapters.models import (
    approvals,
    champion,
    champion_moves,
    decisions,
    mlflow_registry,
    probations,
)
from pipelines.adapters.models.decisions import Decision, Recorded
from pipelines.adapters.models.mlflow_registry import ModelVersion
from pipelines.adapters.settings import Settings
from pipelines.domain.approval import Approval, problems
from pipelines.domain.evidence import Evidence
from pipelines.domain.succession import Succession
from pipelines.domain.verdict import promotable, stopping
from pipelines.errors import Problem, PromotionRefused
from pipelines.use_case import UseCase

GATES = "gates"
"""Actor of a promotion that needs no person (tier "scheduled")."""


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
    now: datetime | None = None,
) -> Promoted:
    """Make a candidate the champion, once; ``as_of`` (UTC) is when that is, as history tells it.

    Raises PromotionRefused, and writes nothing that makes it champion, unless its frozen evidence
    lets it through, compared it with the present champion and, in tier "governed", an approver
    other than the requester said yes to exactly that evidence: Airflow is asked, and the answer
    must not have expired at ``now`` (UTC, as Airflow's clock has it; ``as_of`` where left out). A
    promotion that was cut off is finished by running this again.
    """
    judged = _find_judged(use_case, settings, version)
    _refuse_failed_gates(judged)
    told = champion.told_of(settings, use_case.name)
    if told.champion is not None and told.champion.version == version:
        _stand_again(judged, told, as_of)
        return Promoted(version=version, changed=False)
    _refuse_succession(judged, told)
    approver = _approver(judged, as_of, now or as_of)
    first = _decision(judged, "promoting", approver, as_of)
    labels = use_case.monitoring.minimum_labels
    probations.declare(settings, first, use_case.probation_rule, minimum_labels=labels)
    begun = champion_moves.begin(settings, first, lambda now: _refuse_succession(judged, now))
    champion_moves.finish(settings, begun, judged.challenger, as_of=as_of)
    return Promoted(version=version, changed=True)


def record_answer(
    use_case: UseCase,
    settings: Settings,
    *,
    version: str,
    approval: Approval,
    as_of: datetime,
    asked_for_by: str,
) -> None:
    """Write a person's answer to the ledger, once. Raises PromotionRefused unless it may count.

    ``asked_for_by`` is who started the run that asked; empty for one that started itself.
    """
    judged = _find_judged(use_case, settings, version)
    held = approvals.terms(
        settings,
        judged.challenger,
        use_case=use_case.name,
        role=use_case.roles.approver,
        expires=use_case.approval_expires,
        evidence=judged.evidence,
        asked_for_by=[asked_for_by],
    )
    if found := problems(f"approval of {judged.where}", approval, held):
        raise PromotionRefused(*found)
    _append_answer(judged, approval, as_of)


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
    stopped = stopping(judged.evidence.verdicts)
    if not stopped:
        raise PromotionRefused(
            Problem(
                where=judged.where,
                expected="a gate that passed",
                found="none that could judge it, such as while there is no champion",
                fix="Declare a gate that needs no champion, such as BeatsBaseline, and train again.",
            )
        )
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


def _stand_again(judged: _Judged, told: Succession, as_of: datetime) -> None:
    """Put the alias back on the standing champion; a promotion of another that was cut off ends."""
    settings, name = judged.settings, judged.use_case.name
    if told.unfinished is None:
        champion_moves.republish(settings, name, told)
        return
    champion_moves.refuse_roll_back_under_way(told)
    reason = f"version {judged.challenger.version}, the champion, was promoted again"
    champion_moves.undo(settings, told.unfinished, actor=GATES, reason=reason, as_of=as_of)


def _refuse_succession(judged: _Judged, told: Succession) -> None:
    """Raise PromotionRefused unless the champions so far are those that the gates knew of."""
    compared, standing = judged.evidence.champion, told.champion
    present = standing.version if standing else None
    if (decision := told.withdrawn.get(judged.challenger.version)) is not None:
        retired = decision.kind == "retired"
        raise PromotionRefused(
            Problem(
                where=judged.where,
                expected=f"evidence from after it was {'retired' if retired else 'rolled back from'}",
                found=f"only what it was promoted on before {decision.actor} "
                f"{'retired it' if retired else 'rolled back'}: {decision.reason.rstrip('.')}",
                fix="Train again: a new version is judged anew.",
            )
        )
    if compared != present:
        raise PromotionRefused(
            Problem(
                where=judged.where,
                expected=f"evidence against the present champion, {_named(present)}",
                found=f"evidence against {_named(compared)}",
                fix="The champion changed after the evaluation: train and evaluate again.",
            )
        )


def _named(version: str | None) -> str:
    return "none" if version is None else f"version {version}"


def _approver(judged: _Judged, as_of: datetime, now: datetime) -> str:
    """Return who answers for this promotion, after writing their approval to the ledger."""
    use_case = judged.use_case
    if use_case.tier != "governed":
        return GATES
    # What the ledger says of an answer is a copy: Airflow took it, from somebody who had logged in.
    approval = approvals.in_force(
        judged.settings,
        judged.challenger,
        use_case=use_case.name,
        role=use_case.roles.approver,
        expires=use_case.approval_expires,
        evidence=judged.evidence,
        now=now,
    )
    _append_answer(judged, approval, as_of)
    return approval.actor


def _append_answer(judged: _Judged, approval: Approval, as_of: datetime) -> None:
    answer = _decision(judged, approval.answer, approval.actor, as_of, approval.reason)

    def decide(so_far: list[Recorded]) -> Decision | None:
        """Append unless this person's last answer to this evidence is the same and the newest."""
        answers = approvals.recorded(
            so_far, answer.use_case, answer.version, answer.evidence_digest
        )
        last = answers[-1] if answers else None
        same = last is not None and (last.kind, last.actor) == (answer.kind, answer.actor)
        return None if same else answer

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
