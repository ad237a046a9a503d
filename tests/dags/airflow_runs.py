"""Runs of DAGs in this process: through Airflow's own reading, scheduling and execution."""

import os
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Ended:
    """A run that ended: its state, and each task's state, tries, return value and kept reason."""

    run_id: str
    state: str
    tasks: dict[str, str]
    tries: dict[str, int]
    returned: dict[str, Any]
    reasons: dict[str, str]


@dataclass(slots=True)
class Answer:
    """What is answered to a run's question once it is asked, and then what was asked.

    ``try_first`` are users who try before; ``meanwhile`` happens while the run waits. The answer
    "expire" is that of Airflow's scheduler when the time is up. With ``lost`` the answer is taken
    and the try fails all the same, which Airflow then repeats. ``form`` is filled in beside the
    reason.
    """

    chosen: Literal["Approve", "Reject", "expire", "nothing"]
    user: str = "approver"
    reason: str = ""
    try_first: tuple[str, ...] = ()
    meanwhile: Callable[[], None] | None = None
    lost: bool = False
    form: dict[str, str] = field(default_factory=dict)
    subject: str = ""
    body: str = ""
    asked: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    failed: BaseException | None = None


def read_dags(folder: Path) -> Any:  # noqa: ANN401 - Airflow is untyped here
    """Read a folder the way the DAG processor does.

    Bytecode is known by its source's second and size: of a file that was written twice in a
    second, Airflow would read what was compiled of the first.
    """
    home = folder if folder.is_dir() else folder.parent
    shutil.rmtree(home / "__pycache__", ignore_errors=True)
    from airflow.dag_processing.dagbag import BundleDagBag

    return BundleDagBag(dag_folder=folder, bundle_path=folder, bundle_name="dags-folder")


def run(dag_id: str, *, conf: dict[str, Any] | None = None, answer: Answer | None = None) -> Ended:
    """Run a DAG of the configured folder once; every run is started by the user ``dag_test``."""
    from pipelines.dag_factory.stage_task import FAILURE

    bag = read_dags(Path(os.environ["HEADFRAME_DAGS"]))
    assert bag.import_errors == {}
    dag = bag.dags[dag_id]
    for task in dag.tasks:
        task.retry_delay = task.retry_delay / 1000  # tests do not wait
    _forget_other_homes()
    over = threading.Event()
    thread = threading.Thread(target=_answer, args=(dag_id, answer, over))
    if answer:
        thread.start()
    ended = dag.test(run_conf=conf)
    over.set()
    if answer:
        thread.join()
        if answer.failed is not None:
            raise answer.failed
    tasks = ended.get_task_instances()
    return Ended(
        run_id=ended.run_id,
        state=str(ended.state),
        tasks={task.task_id: str(task.state) for task in tasks},
        tries={task.task_id: task.try_number for task in tasks},
        returned=_xcoms(ended, "return_value"),
        reasons=_xcoms(ended, FAILURE),
    )


def _forget_other_homes() -> None:
    """Leave no asset active at a home before this one, as Airflow's scheduler does in its turn."""
    from airflow.models.asset import AssetActive
    from airflow.utils.session import create_session
    from sqlalchemy import delete

    home = Path(os.environ["HEADFRAME_HOME"]).as_uri()
    with create_session() as session:
        session.execute(delete(AssetActive).where(~AssetActive.uri.startswith(home)))


def _xcoms(ended: Any, key: str) -> dict[str, Any]:  # noqa: ANN401 - Airflow is untyped here
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    with create_session() as session:
        found = session.scalars(
            XComModel.get_many(run_id=ended.run_id, dag_ids=ended.dag_id, key=key)
        )
        return {row.task_id: XComModel.deserialize_value(row) for row in found}


def _answer(dag_id: str, answer: Answer, over: threading.Event) -> None:
    """Answer once the DAG asks; when that fails, end the run, which would wait for ever."""
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from sqlalchemy import update

    try:
        _wait_and_respond(dag_id, answer, over)
    except BaseException as error:  # noqa: BLE001 - raised again where the run is waited for
        answer.failed = error
        with create_session() as session:
            mine = TaskInstance.dag_id == dag_id
            session.execute(update(TaskInstance).where(mine).values(state="failed"))


def _wait_and_respond(dag_id: str, answer: Answer, over: threading.Event) -> None:
    from airflow.models.hitl import HITLDetail
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from sqlalchemy import select

    waits = (TaskInstance.dag_id == dag_id) & (TaskInstance.state == "awaiting_input")
    asking = select(HITLDetail).join(TaskInstance).where(waits)
    while not over.wait(0.2):
        with create_session() as session:
            asked = session.scalar(asking) is not None
        if not asked:
            continue
        if answer.meanwhile:
            answer.meanwhile()
        # Read again: SQLite lets nobody write on what was read before another wrote.
        with create_session() as session:
            if (question := session.scalar(asking)) is not None:
                _respond(session, question, answer)
        return


def _respond(session: Any, question: Any, answer: Answer) -> None:  # noqa: ANN401 - Airflow is untyped here
    """Answer as Airflow's API does for a logged-in user, its check of who may included."""
    from airflow.api_fastapi.app import create_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
    from airflow.api_fastapi.core_api.datamodels.hitl import UpdateHITLDetailPayload
    from airflow.api_fastapi.core_api.routes.public.hitl import update_hitl_detail
    from airflow.models.trigger import handle_event_submit
    from airflow.triggers.base import TriggerEvent
    from fastapi import HTTPException

    answer.subject, answer.body = question.subject, question.body
    answer.asked = [user["id"] for user in question.assignees]
    if answer.chosen == "nothing":
        return
    if answer.chosen == "expire":
        expired = TriggerEvent({"error": "timed out", "error_type": "timeout"})
        handle_event_submit(expired, task_instance=question.task_instance, session=session)
        return
    create_auth_manager()
    fixed = {
        name: part["schema"]["const"]
        for name, part in question.params.items()
        if "const" in part["schema"]
    }
    said = UpdateHITLDetailPayload(
        chosen_options=[answer.chosen],
        params_input={**fixed, "why": answer.reason, **answer.form},
    )
    for name in (*answer.try_first, answer.user):
        try:
            update_hitl_detail(
                dag_id=question.task_instance.dag_id,
                dag_run_id=question.task_instance.run_id,
                task_id=question.task_instance.task_id,
                update_hitl_detail_payload=said,
                user=SimpleAuthManagerUser(username=name, role="USER"),
                session=session,
            )
        except HTTPException as error:
            answer.refused.append(f"{name}: {error.status_code}")
    if answer.lost:
        question.task_instance.handle_failure(error="state mismatch", session=session)


def set_by_hand(dag_id: str, task_id: str, *, state: str, returned: dict[str, Any]) -> None:
    """End a waiting task with a state and a return value, as whoever may edit the run can."""
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    mine = (TaskInstance.dag_id == dag_id) & (TaskInstance.task_id == task_id)
    waits = TaskInstance.state == "awaiting_input"
    with create_session() as session:
        task = session.scalars(select(TaskInstance).where(mine, waits)).one()
        XComModel.set(
            "return_value",
            returned,
            dag_id=dag_id,
            task_id=task_id,
            run_id=task.run_id,
            session=session,
        )
        task.set_state(state, session=session)


def forget_questions() -> None:
    """Take every question and answer out of Airflow: homes that are copies have equal evidence."""
    from airflow.models.hitl import HITLDetail
    from airflow.utils.session import create_session
    from sqlalchemy import delete

    with create_session() as session:
        session.execute(delete(HITLDetail))


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


def unpause(dag_id: str) -> None:
    """Let a DAG run, as a person does once; events wake no paused one."""
    from airflow.dag_processing.dagbag import sync_bag_to_db
    from airflow.models.dag import DagModel
    from airflow.models.dagbundle import DagBundleModel
    from airflow.utils.session import create_session
    from sqlalchemy import update

    with create_session() as session:
        session.merge(DagBundleModel(name="dags-folder"))
    sync_bag_to_db(read_dags(Path(os.environ["HEADFRAME_DAGS"])), "dags-folder", None)
    with create_session() as session:
        mine = DagModel.dag_id == dag_id
        session.execute(update(DagModel).where(mine).values(is_paused=False))
