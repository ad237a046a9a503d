"""Runs of DAGs in this process: through Airflow's own reading, scheduling and execution."""

import os
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ANSWER_WITHIN_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Ended:
    """A run that ended: its state, and each task's state and return value."""

    run_id: str
    state: str
    tasks: dict[str, str]
    returned: dict[str, Any]


@dataclass(slots=True)
class Answer:
    """What is answered to a run's question once it is asked; ``try_first`` are users to refuse."""

    chosen: str
    user: str
    reason: str = ""
    try_first: tuple[str, ...] = ()
    subject: str = ""
    body: str = ""
    asked: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


def read_dags(folder: Path) -> Any:  # noqa: ANN401 - Airflow is untyped here
    """Read a folder the way the DAG processor does."""
    from airflow.dag_processing.dagbag import BundleDagBag

    return BundleDagBag(dag_folder=folder, bundle_path=folder, bundle_name="dags-folder")


def run(
    dag_id: str, *, conf: dict[str, Any] | None = None, answer: Answer | None = None
) -> Ended:
    """Run a DAG of the configured folder once; every run is started by the user ``dag_test``."""
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    dag = read_dags(Path(os.environ["HEADFRAME_DAGS"])).dags[dag_id]
    for task in dag.tasks:
        task.retry_delay = task.retry_delay / 1000  # tests do not wait
    thread = threading.Thread(target=_answer, args=(dag_id, answer)) if answer else None
    if thread:
        thread.start()
    ended = dag.test(run_conf=conf)
    if thread:
        thread.join()
    with create_session() as session:
        found = session.scalars(
            XComModel.get_many(run_id=ended.run_id, dag_ids=dag_id, key="return_value")
        )
        returned = {row.task_id: XComModel.deserialize_value(row) for row in found}
    tasks = {ti.task_id: str(ti.state) for ti in ended.get_task_instances()}
    return Ended(ended.run_id, str(ended.state), tasks, returned)


def _answer(dag_id: str, answer: Answer) -> None:
    """Answer as Airflow's API does for a logged-in user, its check of who may included."""
    from airflow.utils.session import create_session

    deadline = time.monotonic() + ANSWER_WITHIN_SECONDS
    while time.monotonic() < deadline:
        with create_session() as session:
            question = _question(session, dag_id)
            if question is None:
                time.sleep(0.2)
                continue
            try:
                _respond(session, question, answer)
            except BaseException:
                session.rollback()
                question.state = "failed"  # or the run would wait for ever
                raise
            return


def _question(session: Any, dag_id: str) -> Any:  # noqa: ANN401 - Airflow is untyped here
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy import select

    return session.scalar(
        select(TaskInstance).where(
            TaskInstance.dag_id == dag_id, TaskInstance.state == "awaiting_input"
        )
    )


def _respond(session: Any, question: Any, answer: Answer) -> None:  # noqa: ANN401 - Airflow is untyped here
    from airflow.api_fastapi.app import create_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
    from airflow.api_fastapi.core_api.datamodels.hitl import UpdateHITLDetailPayload
    from airflow.api_fastapi.core_api.routes.public.hitl import update_hitl_detail
    from fastapi import HTTPException

    create_auth_manager()
    answer.subject, answer.body = question.hitl_detail.subject, question.hitl_detail.body
    answer.asked = [user["id"] for user in question.hitl_detail.assignees]
    said = UpdateHITLDetailPayload(
        chosen_options=[answer.chosen], params_input={"reason": answer.reason}
    )
    for name in (*answer.try_first, answer.user):
        try:
            update_hitl_detail(
                dag_id=question.dag_id,
                dag_run_id=question.run_id,
                task_id=question.task_id,
                update_hitl_detail_payload=said,
                user=SimpleAuthManagerUser(username=name, role="USER"),
                session=session,
            )
        except HTTPException as error:
            answer.refused.append(f"{name}: {error.status_code}")


def events(asset: str) -> list[dict[str, Any]]:
    """Return what the events of the assets whose name starts so say, oldest first."""
    from airflow.models.asset import AssetEvent, AssetModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        found = session.scalars(
            select(AssetEvent)
            .join(AssetModel, AssetModel.id == AssetEvent.asset_id)
            .where(AssetModel.name.startswith(asset))
            .order_by(AssetEvent.id)
        )
        return [dict(event.extra) for event in found]


def waiting_dags() -> list[str]:
    """Return the DAGs that the scheduler would start because of events, sorted."""
    from airflow.models.asset import AssetDagRunQueue
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        return sorted(set(session.scalars(select(AssetDagRunQueue.target_dag_id))))
