"""Question: those who may answer it are told, once, where it is and what it shows."""

import logging
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import quote

from pipelines.adapters.platform import notifications
from pipelines.adapters.settings import Settings
from pipelines.dag_factory.failure_message import runbook_page
from pipelines.dag_factory.run_code import tries_key
from pipelines.dag_factory.runs import Context
from pipelines.domain.approval import TASK, Person, span

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What those who may answer are told. ``evidence_page`` is empty where no server has it.

    ``unable`` are the names of those whose answer Airflow refuses until it is started again.
    """

    subject: str
    requester: str
    evidence_page: str
    digest: str
    expires: timedelta
    people: tuple[Person, ...]
    unable: tuple[str, ...] = ()


def tell(settings: Settings, context: Context, told: Told) -> str:
    """Tell them once, however often the task is tried, and return how that went, in a sentence.

    A message that cannot be sent stops nothing: the task's log and the question say so.
    """
    names = ", ".join(person.name for person in told.people)
    kept, key = context["task_state_store"], f"told_{told.digest[:12]}_{tries_key(context)}"
    reason = kept.get(key)
    if reason is None:
        reason = notifications.notify(
            settings, told.subject, _body(context, told), to=[p.mail for p in told.people if p.mail]
        )
        kept.set(key, reason)
        if reason:
            logger.warning("The approvers were not told. %s", reason)
    asked = f"Asked: {names}. Without an answer within {span(told.expires)} the champion stays."
    if told.unable:
        cannot = (
            f"Airflow takes no answer of {', '.join(told.unable)} before the next `headframe up`."
        )
        logger.warning("%s It gives users their rank then.", cannot)
        asked += f" **{cannot}**"
    return asked + (f" **They were not told.** {reason}" if reason else "")


def address(context: Context) -> str:
    """Return the address of the page on which the question is answered."""
    run_id = quote(context["run_id"], safe="")
    return f"{runbook_page(context['dag'].dag_id)}/runs/{run_id}/tasks/{TASK}/required_actions"


def _body(context: Context, told: Told) -> str:
    lines = [
        f"{told.requester} asked for the training; the gates let the challenger through.",
        f"Asked: {', '.join(person.name for person in told.people)}. "
        f"Without an answer within {span(told.expires)} the champion stays.",
        f"Answer: {address(context)}",
        f"Evidence: {told.evidence_page}" if told.evidence_page else "",
        f"Evidence digest {told.digest}",
    ]
    return "\n".join(line for line in lines if line)
