"""Approvals: what people answered, as Airflow itself keeps it, and what an answer is held against."""

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta

from pipelines.adapters.models import decisions
from pipelines.adapters.models.decisions import Decision, Recorded
from pipelines.adapters.models.mlflow_registry import ModelVersion
from pipelines.adapters.platform import airflow_api, authentication, role_holders
from pipelines.adapters.platform.airflow_answers import Answer, Question
from pipelines.adapters.platform.users import PLATFORM
from pipelines.adapters.settings import Settings
from pipelines.domain.approval import (
    EVIDENCE,
    REASON,
    TASK,
    Answered,
    Approval,
    Terms,
    last_answer,
    problems_in_force,
)
from pipelines.domain.evidence import Evidence
from pipelines.errors import Problem, PromotionRefused

APPROVE = "Approve"
"""The option of Airflow's approval that is a yes; anything else is none."""

REQUESTER = "headframe.requester"
"""Tag of a candidate: who asked for its training."""


def train_dag(use_case: str) -> str:
    """Name the DAG whose task ``approve`` asks."""
    return f"{use_case}__train"


def answers(
    settings: Settings,
    use_case: str,
    evidence_digests: Collection[str],
    *,
    run_id: str = airflow_api.ANY,
) -> tuple[Answered, ...]:
    """Return the answers to questions about some evidence, from Airflow: of one run, or of all.

    Which evidence is the question's to say, which Airflow keeps as it was first asked; nothing here
    comes from an XCom or the ledger. Raises ServiceUnavailable when Airflow does not answer.
    """
    dag_id = train_dag(use_case)
    with airflow_api.connect(settings, user=PLATFORM) as api:
        found = [
            answer
            for answer in api.answers(dag_id, TASK, run_id)
            if answer.question.dag_id == dag_id and answer.question.task_id == TASK
            if answer.question.fixed.get(EVIDENCE) in evidence_digests
        ]
        runs = {answer.question.run_id for answer in found}
        asked_for_by = {run: api.run(dag_id, run).asked_for_by for run in runs}
    return tuple(_answered(answer, asked_for_by[answer.question.run_id]) for answer in found)


def question(settings: Settings, use_case: str, run_id: str) -> Question | None:
    """Return what a run asked before, as Airflow keeps it; None when it never did."""
    with airflow_api.connect(settings, user=PLATFORM) as api:
        return api.question(train_dag(use_case), run_id, TASK)


def in_force(
    settings: Settings,
    challenger: ModelVersion,
    *,
    use_case: str,
    role: str,
    expires: timedelta,
    evidence: Evidence,
    now: datetime,
) -> Approval:
    """Return the approval of this evidence that counts at ``now`` (UTC).

    Raises PromotionRefused when there is none: no answer, a rejection given last, or one by somebody
    who may not give it, has asked for the training, or gave it too long ago. A rejection that is the
    ledger's last answer stands, though Airflow forgets the answer of a task that asks again: the
    task ``approve`` writes a later yes down before this is asked.
    """
    where = f"{use_case} candidate {challenger.version}"
    authentication.refuse_everybody(settings)
    judged = {
        entry.decision.evidence_digest
        for entry in decisions.read_all(settings, use_case)
        if (entry.decision.kind, entry.decision.version) == ("evaluated", challenger.version)
    }
    given = answers(settings, use_case, {*judged, evidence.digest})
    mine = [answer for answer in given if answer.asked == evidence.digest]
    last = last_answer(mine)
    if last is None or last.approval.answer == "rejected":
        raise PromotionRefused(
            _no_yes(where, train_dag(use_case), role, last or last_answer(given))
        )
    on_record = recorded(
        decisions.read_all(settings), use_case, challenger.version, evidence.digest
    )
    if on_record and on_record[-1].kind == "rejected":
        raise PromotionRefused(_rejected(where, train_dag(use_case), role, on_record[-1]))
    held = terms(
        settings,
        challenger,
        use_case=use_case,
        role=role,
        expires=expires,
        evidence=evidence,
        asked_for_by=[answer.asked_for_by for answer in mine],
    )
    if found := problems_in_force(f"approval of {where}", last, held, now=now):
        raise PromotionRefused(*found)
    return last.approval


def terms(
    settings: Settings,
    challenger: ModelVersion,
    *,
    use_case: str,
    role: str,
    expires: timedelta,
    evidence: Evidence,
    asked_for_by: Iterable[str],
) -> Terms:
    """Return what an answer about a candidate is held against, with the role as it is now.

    ``asked_for_by`` names the user who started each run that asks; empty for one that started
    itself, for which stands who last accepted the declaration that the evidence names. Raises
    PromotionRefused where nobody did, and where the version does not say who asked for it.
    """
    entries = decisions.read_all(settings, use_case)
    registered = [
        entry.decision.actor
        for entry in entries
        if (entry.decision.kind, entry.decision.version) == ("requested", challenger.version)
    ]
    # Of the evidence, whose digest is in the ledger: a tag in MLflow can be changed.
    declaration = evidence.declaration_digest
    started = [user or _accepted_by(entries, use_case, declaration) for user in asked_for_by]
    return Terms(
        role=role,
        holders=role_holders.holders(settings, role),
        roles_in=role_holders.kept_in(settings),
        # Of the ledger, too: a tag in MLflow can be changed.
        requesters=frozenset([_requester(challenger, use_case), *registered, *started]),
        evidence_digest=evidence.digest,
        expires=expires,
    )


def acceptance(entries: Iterable[Recorded], declaration: str) -> Decision | None:
    """Return the last decision that accepted a declaration; None when nobody did."""
    found = [
        entry.decision
        for entry in entries
        if (entry.decision.kind, entry.decision.evidence_digest) == ("accepted", declaration)
    ]
    return found[-1] if found else None


def recorded(
    entries: Iterable[Recorded], use_case: str, version: str, evidence_digest: str
) -> list[Decision]:
    """Return the answers to one evidence that are in the ledger, in its order."""
    return [
        entry.decision
        for entry in entries
        if entry.decision.kind in ("approved", "rejected")
        and entry.decision.use_case == use_case
        and entry.decision.version == version
        and entry.decision.evidence_digest == evidence_digest
    ]


def rejections(
    settings: Settings, use_case: str, version: str, evidence_digest: str
) -> tuple[Decision, ...]:
    """Return every rejection of one evidence that is in the ledger, in its order."""
    found = recorded(decisions.read_all(settings), use_case, version, evidence_digest)
    return tuple(answer for answer in found if answer.kind == "rejected")


def _no_yes(where: str, dag_id: str, role: str, last: Answered | None) -> Problem:
    if last is None:
        found = "no answer yet in Airflow"
        fix = f"Start {dag_id}, whose task {TASK} asks an approver."
    elif last.approval.answer == "rejected":
        found, fix = f"a rejection by {last.approval.actor}", "Ask an approver, or train again."
    else:
        found = f"one of the evidence {last.asked[:12]}, which was judged anew since"
        fix = f"Start {dag_id} again, and answer its question."
    expected = f"an approval by a user with role {role!r}"
    return Problem(where=where, expected=expected, found=found, fix=fix)


def _rejected(where: str, dag_id: str, role: str, last: Decision) -> Problem:
    return Problem(
        where=where,
        expected=f"an approval by a user with role {role!r}, given after all rejections",
        found=f"a rejection by {last.actor}, the ledger's last answer to this evidence",
        fix=f"Start {dag_id} again: its question shows the rejection.",
    )


def _requester(challenger: ModelVersion, use_case: str) -> str:
    found = challenger.tags.get(REQUESTER)
    if found is None:
        raise PromotionRefused(
            Problem(
                where=f"approval of {use_case} candidate {challenger.version}",
                expected=f"a tag {REQUESTER} on the version in MLflow: who asked for the training",
                found="none: it was taken away",
                fix="Train again, and do not change the tags of a version.",
            )
        )
    return found


def _accepted_by(entries: Iterable[Recorded], use_case: str, declaration: str) -> str:
    found = acceptance(entries, declaration)
    if found is None:
        raise PromotionRefused(
            Problem(
                where=f"approval of {use_case}",
                expected="a person who answers for a training that started itself: the one who "
                "last accepted the declaration",
                found=f"nobody accepted the declaration {declaration[:12]}",
                fix=f"`headframe accept {use_case}` by its owner, then clear the task that failed.",
            )
        )
    return found.actor


def _answered(answer: Answer, asked_for_by: str) -> Answered:
    approval = Approval(
        actor=answer.user_name,
        answer="approved" if answer.chosen == (APPROVE,) else "rejected",
        # The form repeats it; one that says otherwise answers something else.
        evidence_digest=str(answer.form.get(EVIDENCE, answer.question.fixed[EVIDENCE])),
        reason=str(answer.form.get(REASON) or "").strip(),
    )
    return Answered(
        approval=approval,
        asked=str(answer.question.fixed[EVIDENCE]),
        actor_id=answer.user_id,
        answered_at=answer.at,
        run_id=answer.question.run_id,
        asked_for_by=asked_for_by,
    )
