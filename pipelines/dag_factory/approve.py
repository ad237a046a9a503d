"""Approve: a person with the right role, who did not ask for the training, looks and decides."""

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from airflow.providers.standard.exceptions import HITLRejectException
from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import Param
from airflow.sdk.definitions.param import ParamsDict
from airflow.sdk.exceptions import AirflowSkipException, TaskAwaitingInput

from pipelines.adapters.models import approvals, mlflow_registry
from pipelines.adapters.platform import authentication, role_holders
from pipelines.adapters.settings import Settings
from pipelines.dag_factory import page_addresses, question, runs
from pipelines.dag_factory.evidence_page import evidence_page, rejected_before
from pipelines.dag_factory.run_code import refuse_changed_code, tries_key
from pipelines.dag_factory.runs import Context
from pipelines.dag_factory.stage_task import failing_by_type
from pipelines.dag_factory.tasks import REFUSED_BY_GATES
from pipelines.domain.approval import (
    EVIDENCE,
    REASON,
    Approval,
    Person,
    Terms,
    approvers,
    last_answer,
    nobody_left,
)
from pipelines.domain.decision import Decision
from pipelines.errors import Problem, PromotionRefused
from pipelines.use_case import UseCase

logger = logging.getLogger(__name__)


class Approve(ApprovalOperator):  # type: ignore[misc]  # Airflow is untyped here
    """Show the frozen evidence to those who may decide, and wait for one of them.

    Users with the declared role are looked up when the task runs, and told; who asked for the
    training is not among them. The question carries the digest of the evidence that it shows, and
    Airflow keeps both as they were asked. An answer is written to the decisions ledger, where it is a
    copy: promote asks Airflow again. A rejection fails the task with its reason, also when the task
    is cleared, and so does an answer that never came. Skips itself when the gates refused.
    """

    # The page is made when the task runs and may hold braces: nothing here is a template.
    template_fields = ()

    def __init__(self, *, use_case: UseCase, **options: Any) -> None:  # noqa: ANN401 - Airflow's own options
        # Airflow hands over the run's own form here; this one shares no field with it, or the page
        # would offer the requester's reason as the approver's.
        super().__init__(
            subject=f"Promote a new model of {use_case.name}?",
            response_timeout=use_case.approval_expires,
            fail_on_reject=True,
            **{**options, "params": {REASON: _reason_asked()}},
        )
        self.use_case = use_case

    def execute(self, context: Context) -> Any:  # noqa: ANN401 - Airflow's own
        """Put the question, with its evidence, to everyone who may answer it, and wait."""
        judged = context["ti"].xcom_pull(task_ids="evaluate")
        if not judged["promotable"]:
            raise AirflowSkipException(REFUSED_BY_GATES)
        with failing_by_type(context):
            authentication.refuse_everybody(Settings())
            if (answer := self._answer_of_lost_try(context, judged)) is not None:
                return self._record(context, judged["version"], answer)
            self._ask(context, judged)
        try:
            return super().execute(context)
        except TaskAwaitingInput as waiting:
            # Comes back with the answer, which thereby belongs to what was shown.
            waiting.kwargs = {"shown": judged["evidence_digest"]}
            raise

    def execute_complete(
        self, context: Context, event: dict[str, Any], shown: str = ""
    ) -> dict[str, Any]:
        """Record the answer and return it when it is an approval; anything else fails the task."""
        version = context["ti"].xcom_pull(task_ids="train")["version"]
        with failing_by_type(context):
            if "error" in event:
                raise self._unanswered(version, event)
            self.params = _form(shown)
            said = event["params_input"] or {}
            with suppress(HITLRejectException):
                # What the form says of the evidence is looked at below, with a message of its own.
                filled = {REASON: "", **said, EVIDENCE: shown}
                super().execute_complete(context, {**event, "params_input": filled})
            approval = Approval(
                actor=event["responded_by_user"]["name"],
                answer="approved" if event["chosen_options"] == [self.APPROVE] else "rejected",
                evidence_digest=said.get(EVIDENCE, shown),
                reason=(said.get(REASON) or "").strip(),
            )
            return self._record(context, version, approval)

    def _answer_of_lost_try(self, context: Context, judged: dict[str, Any]) -> Approval | None:
        """Return the answer to a try that Airflow took for dead, if there is one, or a rejection.

        Airflow's LocalExecutor may report that the task went to wait only when an answer has woken
        it again; the scheduler then believes it was killed, and retries it. Nobody is asked twice.
        Who clears the task wants it asked anew, and Airflow forgets an answer when it asks: a
        rejection is not theirs to take back.
        """
        given = approvals.answers(
            Settings(), self.use_case.name, {judged["evidence_digest"]}, run_id=context["run_id"]
        )
        last = last_answer(given)
        at = last.answered_at.isoformat() if last else ""
        key = f"answered_before_{tries_key(context)}"
        before = context["task_state_store"].get(key)
        if before is None:
            if last is not None and last.approval.answer == "rejected":
                return self._rejection(judged, last.approval)
            context["task_state_store"].set(key, at)
            return None
        if last is None or at == before:
            return None
        logger.info("%s answered an earlier try.", last.approval.actor)
        return last.approval

    def _rejection(self, judged: dict[str, Any], given: Approval) -> Approval:
        """Return a rejection that is not in the ledger yet. Raises PromotionRefused where it is."""
        name, version = self.use_case.name, judged["version"]
        kept = approvals.rejections(Settings(), name, version, judged["evidence_digest"])
        if any((one.actor, one.reason) == (given.actor, given.reason) for one in kept):
            raise self._rejected(version, given)
        return given

    def _ask(self, context: Context, judged: dict[str, Any]) -> None:
        settings = Settings()
        trained = context["ti"].xcom_pull(task_ids="train")
        refuse_changed_code(settings, self.use_case, trained)
        candidate = mlflow_registry.candidate(settings, self.use_case.name, judged["version"])
        digest = judged["evidence_digest"]
        evidence = mlflow_registry.read_evidence(settings, candidate.run_id, digest)
        # A candidate that another run had registered before was asked for by two people.
        terms = approvals.terms(
            settings,
            candidate,
            use_case=self.use_case.name,
            role=self.use_case.roles.approver,
            expires=self.use_case.approval_expires,
            evidence=evidence,
            asked_for_by=[runs.started_by(context)],
        )
        rejections = approvals.rejections(settings, self.use_case.name, judged["version"], digest)
        asked = self._asked(settings, context, terms, rejections)
        address = page_addresses.evidence(judged)
        subject = f"Promote {evidence.use_case} version {evidence.challenger}?"
        requester = ", ".join(sorted(terms.requesters))
        told = question.tell(
            settings,
            context,
            question.Told(
                subject=subject,
                requester=requester,
                evidence_page=address,
                digest=digest,
                expires=self.use_case.approval_expires,
                people=asked,
                unable=role_holders.unable(settings, self.use_case.roles.approver, asked),
            ),
        )
        page = evidence_page(
            evidence,
            run_id=candidate.run_id,
            requester=requester,
            reason=context["ti"].xcom_pull(task_ids="train").get("reason", ""),
            address=address,
            asked=told,
            rejections=rejections,
        )
        self.subject, self.body = page.subject, page.body
        self.params = _form(digest)
        self.assigned_users = [{"id": person.id, "name": person.name} for person in asked]
        logger.info("Waiting for an answer by one of: %s", ", ".join(p.name for p in asked))

    def _asked(
        self,
        settings: Settings,
        context: Context,
        terms: Terms,
        rejections: Sequence[Decision] = (),
    ) -> tuple[Person, ...]:
        """Return who is asked. Raises PromotionRefused when nobody may answer, or could.

        Nor may a question of before that does not show all ``rejections`` of its evidence.
        """
        where = f"approval of {self.use_case.name}"
        people = approvers(terms)
        if not people:
            raise PromotionRefused(nobody_left(where, terms))
        before = approvals.question(settings, self.use_case.name, context["run_id"])
        if before is None:
            return people
        # Airflow keeps a question as it was first asked, whoever clears the task.
        if before.fixed.get(EVIDENCE) != terms.evidence_digest:
            raise PromotionRefused(
                Problem(
                    where=where,
                    expected=f"a question about the evidence {terms.evidence_digest[:12]}",
                    found="the one that this run asked before, which shows other evidence",
                    fix=f"Start {self.use_case.name}__train again: a run asks about one evidence.",
                )
            )
        unseen = [one for one in rejections if rejected_before(one) not in before.body]
        if unseen:
            raise PromotionRefused(
                Problem(
                    where=where,
                    expected=f"a question that shows the rejection by {unseen[-1].actor}",
                    found="the one that this run asked before, which does not",
                    fix=f"Start {self.use_case.name}__train again: its question shows it.",
                )
            )
        still = tuple(person for person in people if person.id in before.assigned_users)
        if not still:
            raise PromotionRefused(
                Problem(
                    where=where,
                    expected="an approver among those whom this run asked before",
                    found="none who still has the role",
                    fix=f"Start {self.use_case.name}__train again: it asks those who have it now.",
                )
            )
        return still

    def _record(self, context: Context, version: str, approval: Approval) -> dict[str, Any]:
        from pipelines.stages.promote import record_answer

        record_answer(
            self.use_case,
            Settings(),
            version=version,
            approval=approval,
            as_of=runs.decided_at(context, datetime.now(UTC)),
            asked_for_by=runs.started_by(context),
        )
        if approval.answer == "rejected":
            raise self._rejected(version, approval)
        logger.info("Approved by %s: %s", approval.actor, approval.reason or "no reason given")
        return asdict(approval)

    def _rejected(self, version: str, approval: Approval) -> PromotionRefused:
        return PromotionRefused(
            Problem(
                where=f"{self.use_case.name} candidate {version}",
                expected="an approval",
                found=f"a rejection by {approval.actor}: {approval.reason or 'no reason given'}",
                fix=f"The champion stays. Start {self.use_case.name}__train again when the reason "
                "no longer holds: clearing the task does not take a rejection back.",
            )
        )

    def _unanswered(self, version: str, event: dict[str, Any]) -> PromotionRefused:
        expired = event.get("error_type") == "timeout"
        return PromotionRefused(
            Problem(
                where=f"{self.use_case.name} candidate {version}",
                expected=f"an answer within {self.use_case.approval_expires}",
                found="none" if expired else str(event["error"]),
                fix=f"The champion stays. Start {self.use_case.name}__train again, and tell an "
                "approver.",
            )
        )


def _form(digest: str) -> ParamsDict:
    """Return the question's form: the approver's reason, and, unseen and fixed, what was shown."""
    fixed = Param(digest, const=digest, type="string", title="Evidence")
    return ParamsDict({REASON: _reason_asked(), EVIDENCE: fixed})


def _reason_asked() -> Any:  # noqa: ANN401 - untyped library
    return Param(
        "",
        type=["null", "string"],
        title="Reason",
        description="What decided it, in a sentence; kept in the decisions ledger.",
    )
