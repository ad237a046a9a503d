"""Approve: a person with the right role, who did not ask for the training, looks and decides."""

import logging
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.exceptions import HITLRejectException
from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import Param
from airflow.sdk.exceptions import AirflowSkipException, TaskAwaitingInput

from pipelines.adapters.models import decisions, mlflow_registry
from pipelines.adapters.platform.users import read_users
from pipelines.adapters.settings import Settings
from pipelines.dag_factory import page_addresses, runs
from pipelines.dag_factory.evidence_page import evidence_page
from pipelines.dag_factory.run_code import refuse_changed_code, tries_key
from pipelines.dag_factory.runs import Context
from pipelines.dag_factory.stage_task import failing_by_type
from pipelines.dag_factory.tasks import REFUSED_BY_GATES
from pipelines.errors import Problem, PromotionRefused
from pipelines.use_case import UseCase

if TYPE_CHECKING:
    from pipelines.stages.promote import Approval

logger = logging.getLogger(__name__)


class Approve(ApprovalOperator):  # type: ignore[misc]  # Airflow is untyped here
    """Show the frozen evidence to those who may decide, and wait for one of them.

    Users with the declared role are looked up when the task runs; who asked for the training is
    not among them. An answer is written to the decisions ledger. A rejection fails the task with
    its reason, and so does an answer that never came. Skips itself when the gates refused.
    """

    # The page is made when the task runs and may hold braces: nothing here is a template.
    template_fields = ()

    def __init__(self, *, use_case: UseCase, **options: Any) -> None:  # noqa: ANN401 - Airflow's own options
        # Airflow hands over the run's own form here; this one shares no field with it, or the page
        # would offer the requester's reason as the approver's.
        form = {"why": _reason_asked()}
        super().__init__(
            subject=f"Promote a new model of {use_case.name}?",
            response_timeout=use_case.approval_expires,
            fail_on_reject=True,
            **{**options, "params": form},
        )
        self.use_case = use_case

    def execute(self, context: Context) -> Any:  # noqa: ANN401 - Airflow's own
        """Put the question, with its evidence, to everyone who may answer it, and wait."""
        judged = context["ti"].xcom_pull(task_ids="evaluate")
        if not judged["promotable"]:
            raise AirflowSkipException(REFUSED_BY_GATES)
        with failing_by_type(context):
            if (answer := self._answer_of_lost_try(context, judged)) is not None:
                return asdict(answer)
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
            with suppress(HITLRejectException):
                super().execute_complete(context, event)
            return self._record(context, version, event, shown)

    def _answer_of_lost_try(self, context: Context, judged: dict[str, Any]) -> "Approval | None":
        """Return the approval that a try recorded before Airflow took it for dead, if one did.

        Airflow's LocalExecutor may report that the task went to wait only when an answer has woken
        it again; the scheduler then believes it was killed, and retries it. Nobody is asked twice.
        """
        from pipelines.stages.promote import Approval

        version, digest = judged["version"], judged["evidence_digest"]
        found = [entry.decision for entry in decisions.read_all(Settings(), self.use_case.name)]
        answers = [
            decision
            for decision in found
            if decision.kind in ("approved", "rejected")
            and (decision.version, decision.evidence_digest) == (version, digest)
        ]
        key = f"answers_before_{tries_key(context)}"
        before = context["task_state_store"].get(key)
        if before is None:
            context["task_state_store"].set(key, len(answers))
            return None
        if len(answers) <= before:
            return None
        last = answers[-1]
        approval = Approval(
            actor=last.actor,
            answer="approved" if last.kind == "approved" else "rejected",
            evidence_digest=digest,
            reason=last.reason,
        )
        if approval.answer == "rejected":
            raise self._rejected(version, approval)
        logger.info("%s approved it on an earlier try: %s", last.actor, last.reason)
        return approval

    def _ask(self, context: Context, judged: dict[str, Any]) -> None:
        settings = Settings()
        trained = context["ti"].xcom_pull(task_ids="train")
        refuse_changed_code(settings, self.use_case, trained)
        candidate = mlflow_registry.candidate(settings, self.use_case.name, judged["version"])
        digest = judged["evidence_digest"]
        evidence = mlflow_registry.read_evidence(settings, candidate.run_id, digest)
        # A candidate that another run had registered before was asked for by two people.
        requesters = {
            candidate.tags["headframe.requester"],
            runs.requester(context, self.use_case),
        }
        approvers = self._approvers(settings, requesters)
        page = evidence_page(
            evidence,
            run_id=candidate.run_id,
            requester=", ".join(sorted(requesters)),
            reason=context["params"].get("reason") or "",
            address=page_addresses.evidence(judged),
        )
        self.subject, self.body = page.subject, page.body
        self.assigned_users = [{"id": name, "name": name} for name in approvers]
        logger.info("Waiting for an answer by one of: %s", ", ".join(approvers))

    def _approvers(self, settings: Settings, requesters: set[str]) -> list[str]:
        role = self.use_case.roles.approver
        holders = [user.name for user in read_users(settings.users_file) if role in user.roles]
        approvers = [name for name in holders if name not in requesters]
        if not approvers:
            asked = " and ".join(sorted(requesters))
            raise PromotionRefused(
                Problem(
                    where=f"approval of {self.use_case.name}",
                    expected=f"a user with role {role!r} who did not ask for the training",
                    found=f"no approver other than {asked}" if holders else "nobody with that role",
                    fix=f"Give the role to a second person in {settings.users_file.name}, run "
                    "`headframe up` again if they are new, and clear the task approve.",
                )
            )
        return approvers

    def _record(
        self, context: Context, version: str, event: dict[str, Any], shown: str
    ) -> dict[str, Any]:
        from pipelines.stages.promote import Approval, record_answer

        approval = Approval(
            actor=event["responded_by_user"]["id"],
            answer="approved" if event["chosen_options"] == [self.APPROVE] else "rejected",
            evidence_digest=shown,
            reason=((event["params_input"] or {}).get("why") or "").strip(),
        )
        as_of = runs.as_of(context)
        record_answer(self.use_case, Settings(), version=version, approval=approval, as_of=as_of)
        if approval.answer == "rejected":
            raise self._rejected(version, approval)
        logger.info("Approved by %s: %s", approval.actor, approval.reason or "no reason given")
        return asdict(approval)

    def _rejected(self, version: str, approval: "Approval") -> PromotionRefused:
        return PromotionRefused(
            Problem(
                where=f"{self.use_case.name} candidate {version}",
                expected="an approval",
                found=f"a rejection by {approval.actor}: {approval.reason or 'no reason given'}",
                fix="The champion stays. Train again when the reason no longer holds.",
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


def _reason_asked() -> Any:  # noqa: ANN401 - untyped library
    return Param(
        "",
        type=["null", "string"],
        title="Reason",
        description="What decided it, in a sentence; kept in the decisions ledger.",
    )
