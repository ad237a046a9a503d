"""Task costs: what a try of a task uses is noted when it ends, however it ends."""

from collections.abc import Callable
from typing import Any

from airflow.sdk.exceptions import AirflowSkipException

from pipelines.adapters.platform.measured_try import measured
from pipelines.adapters.settings import Settings
from pipelines.dag_factory.runs import Context


def measured_task(context: Context, work: Callable[[], Any]) -> Any:  # noqa: ANN401 - whatever the stage says
    """Do the work and return what it does; note what it used, for this try of the context's task."""
    task = context["ti"]
    use_case, _, purpose = task.dag_id.partition("__")
    with measured(
        Settings(),
        use_case=use_case,
        purpose=purpose,
        task=task.task_id,
        run=task.run_id,
        map_index=-1 if task.map_index is None else task.map_index,
        attempt=task.try_number,
    ) as ended:
        try:
            returned = work()
        except AirflowSkipException:
            ended.outcome = "skipped"
            raise
        rows = returned.get("rows") if isinstance(returned, dict) else None
        ended.rows = rows if isinstance(rows, int) else None
        return returned
