"""A DAG file of errors: one DAG for each kind that a stage may raise."""

from datetime import UTC, datetime
from typing import Any

from airflow.sdk import DAG

from pipelines.dag_factory.failure_message import failure_message
from pipelines.dag_factory.stage_task import StageTask
from pipelines.domain.contract import Column, Files, Table
from pipelines.errors import CommitLost, FileRefused, Problem
from pipelines.use_case import UseCase

table = Table(name="t", source=Files(pattern="*.csv"), columns=[Column("a", "int64")], key=("a",))
troubles = UseCase(name="troubles", owner="plant", tables=[table])
trouble = Problem(where="here", expected="peace", found="trouble", fix="Do something.")


def refused(context: Any) -> None:  # noqa: ANN401 - Airflow is untyped here
    raise FileRefused(trouble)


def lost(context: Any) -> None:  # noqa: ANN401 - Airflow is untyped here
    raise CommitLost(trouble)


def fault(context: Any) -> None:  # noqa: ANN401 - Airflow is untyped here
    raise KeyError("Jane Doe, born 1970")


def third_time(context: Any) -> str:  # noqa: ANN401 - Airflow is untyped here
    if context["ti"].try_number < 3:
        raise CommitLost(trouble)
    return "done"


for work in (refused, lost, fault, third_time):
    with DAG(
        f"troubles__{work.__name__}",
        schedule=None,
        start_date=datetime(2000, 1, 1, tzinfo=UTC),
        default_args={"retries": 2},
        on_failure_callback=failure_message(troubles),
    ):
        StageTask(task_id="work", work=work)
