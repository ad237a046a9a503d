"""Simulated runs: the work of DAGs' tasks and their callbacks, in a time of one's own, without Airflow's processes."""

import warnings
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime
from types import SimpleNamespace
from typing import Any

from pipelines.use_case import UseCase

Work = Callable[[UseCase, dict[str, Any]], Any]


def works() -> dict[str, tuple[tuple[str, Work], ...]]:
    """Return what each DAG's tasks do, in their order (``test_the_simulated_tasks_are_those_of_the_dags``).

    Airflow reads its settings as it is imported: not before the tests' are set.
    """
    from pipelines.dag_factory import score_tasks, tasks, train_tasks

    return {
        "ingest": (("ingest", tasks.ingest),),
        "train": (
            ("train", train_tasks.train),
            ("evaluate", tasks.evaluate),
            ("promote", tasks.promote),
            ("reference", tasks.reference),
        ),
        "score": (
            ("champion", score_tasks.champion),
            ("score", score_tasks.score),
            (
                "deliver",
                lambda use_case, context: score_tasks.deliver(use_case, context, after="score"),
            ),
        ),
        "monitor": (("monitor", tasks.monitor),),
    }


class Messages:
    """Airflow's XComs of one run, which a task reads and writes through its instance."""

    def __init__(self, dag_id: str) -> None:
        self.kept: dict[tuple[str, str], Any] = {}
        self.task_id, self.map_index, self.max_tries, self.dag_id = "", -1, 2, dag_id

    def xcom_push(self, key: str, value: object) -> None:
        self.kept[self.task_id, key] = value

    def xcom_pull(self, task_ids: str, key: str = "return_value", map_indexes: int = -1) -> Any:  # noqa: ANN401 - any value
        return self.kept.get((task_ids, key))


class Events(defaultdict[Any, Any]):
    """Airflow's asset events, of which there are none yet, and to which some are added."""

    def __missing__(self, key: Any) -> Any:  # noqa: ANN401 - an asset
        return SimpleNamespace(
            add=lambda asset, extra: None,
            ascending=lambda up: SimpleNamespace(limit=lambda most: []),
            extra={},
        )


def run(
    use_case: UseCase,
    purpose: str,
    as_of: datetime,
    *,
    params: dict[str, Any] | None = None,
    before: dict[str, Callable[[], None]] | None = None,
    killed: Sequence[str] = (),
    lost: str = "",
    state: dict[str, Any] | None = None,
) -> str:
    """Run a DAG as of a moment; return "success", or the task that failed. Nothing is tried again.

    ``before`` happens before a task; a ``killed`` one leaves neither result nor reason. The task
    ``lost`` does its work, of which Airflow never hears. ``state`` is what tasks keep for later tries.
    """
    from airflow.sdk.exceptions import AirflowSkipException
    from airflow.utils.deprecation_tools import DeprecatedImportWarning

    from pipelines.dag_factory.failure_message import failure_message, success_message
    from pipelines.dag_factory.stage_task import failing_by_type

    dag_id = f"{use_case.name}__{purpose}"
    messages = Messages(dag_id)
    state = {} if state is None else state
    context: dict[str, Any] = {
        "params": {"as_of": as_of.isoformat(), **(params or {})},
        "run_id": f"simulated__{as_of.isoformat()}",
        "dag": SimpleNamespace(dag_id=dag_id),
        "dag_run": SimpleNamespace(
            triggering_user_name="sam",
            run_type="manual",
            logical_date=as_of,
            run_after=datetime.now(as_of.tzinfo),
        ),
        "ti": messages,
        "triggering_asset_events": {},
        "outlet_events": Events(),
        "inlet_events": Events(),
        "task_state_store": SimpleNamespace(get=state.get, set=state.__setitem__),
    }
    for task_id, work in works()[purpose]:
        messages.task_id = task_id
        (before or {}).get(task_id, lambda: None)()
        if task_id in killed:
            failure_message(use_case)(context)
            return task_id
        try:
            with failing_by_type(context), warnings.catch_warnings():
                # As in a task: skops asks every loaded module, and Airflow's renamed names answer.
                warnings.simplefilter("ignore", DeprecatedImportWarning)
                messages.kept[task_id, "return_value"] = work(use_case, context)
        except AirflowSkipException:
            break
        except Exception:  # noqa: BLE001 - a fault fails a task like anything else
            failure_message(use_case)(context)
            return task_id
        if task_id == lost:
            return task_id
    success_message(use_case)(context)
    return "success"
