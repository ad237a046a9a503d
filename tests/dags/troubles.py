"""A DAG file of errors: one DAG for each kind that a stage may raise."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowSkipException

from pipelines.adapters.databases.connections import resolver
from pipelines.adapters.settings import Settings
from pipelines.dag_factory.airflow_connections import look_up
from pipelines.dag_factory.failure_message import failure_message, success_message
from pipelines.dag_factory.run_code import remember_code
from pipelines.dag_factory.stage_task import ModelTask, ReportTask, StageTask
from pipelines.domain.contract import Column, Files, Table
from pipelines.errors import CommitLost, FileRefused, Problem
from pipelines.use_case import UseCase

table = Table(name="t", source=Files(pattern="*.csv"), columns=[Column("a", "int64")], key=("a",))
troubles = UseCase(name="troubles", owner="plant", tables=[table])
trouble = Problem(
    where="here", expected="peace", found="trouble", fix="Do something.", about="table:t"
)


def refused(context: Any) -> None:  # noqa: ANN401 - Airflow is untyped here
    if not context["params"].get("mended"):
        raise FileRefused(trouble)


def lost(context: Any) -> None:  # noqa: ANN401 - Airflow is untyped here
    raise CommitLost(trouble)


def fault(context: Any) -> None:  # noqa: ANN401 - Airflow is untyped here
    raise KeyError("Jane Doe, born 1970")


def third_time(context: Any) -> str:  # noqa: ANN401 - Airflow is untyped here
    if context["ti"].try_number < 3:
        raise CommitLost(trouble)
    return "done"


def other_code(context: Any) -> None:  # noqa: ANN401 - Airflow is untyped here
    remember_code(Settings(), troubles, context)
    with Path(__file__).open("a", encoding="utf-8") as file:
        file.write("# changed\n")
    raise CommitLost(trouble)


for work in (refused, lost, fault, third_time, other_code):
    with DAG(
        f"troubles__{work.__name__}",
        schedule=None,
        start_date=datetime(2000, 1, 1, tzinfo=UTC),
        default_args={"retries": 2, "on_failure_callback": failure_message(troubles)},
        on_failure_callback=failure_message(troubles),
        on_success_callback=success_message(troubles),
        params={"as_of": None, "mended": False},
    ):
        StageTask(task_id="work", work=work)


def model(context: Any) -> dict[str, str]:  # noqa: ANN401 - Airflow is untyped here
    return {"run_id": "0123abc"}


with DAG("troubles__model", schedule=None, start_date=datetime(2000, 1, 1, tzinfo=UTC)):
    ModelTask(task_id="model", work=model) >> StageTask(task_id="work", work=model)


def page(context: Any) -> dict[str, str]:  # noqa: ANN401 - Airflow is untyped here
    return {"page": "troubles/2013-06-01T090000Z.html"}


with DAG("troubles__page", schedule=None, start_date=datetime(2000, 1, 1, tzinfo=UTC)):
    ReportTask(task_id="report", work=page)


def addresses(context: Any) -> list[str | None]:  # noqa: ANN401 - Airflow is untyped here
    return [look_up("unknown"), resolver(look_up)("crm")]


def unusable(context: Any) -> str | None:  # noqa: ANN401 - Airflow is untyped here
    return look_up("legacy")


for ask in (addresses, unusable):
    with DAG(
        f"troubles__{ask.__name__}", schedule=None, start_date=datetime(2000, 1, 1, tzinfo=UTC)
    ):
        StageTask(task_id="work", work=ask)


def rows(context: Any) -> dict[str, int]:  # noqa: ANN401 - Airflow is untyped here
    return {"rows": 7}


def none(context: Any) -> None:  # noqa: ANN401 - Airflow is untyped here
    raise AirflowSkipException("nothing to do")


with DAG("troubles__rows", schedule=None, start_date=datetime(2000, 1, 1, tzinfo=UTC)):
    StageTask(task_id="rows", work=rows) >> StageTask(task_id="none", work=none)
