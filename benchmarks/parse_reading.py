"""Parse reading: a folder read by Airflow's own DagBag, at once or file by file as its processor does."""

import gc
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

TOGETHER, FORKED, FORKED_BARE = "one process", "a fork a file", "a fork a file, nothing loaded"
"""All files in one process; each in a fork of a process that loaded what Headframe's own DAG
processor loads at its start, or nothing beyond Airflow."""


def main(folder: Path, way: str) -> None:
    """Read the folder; print the seconds of reading and the shape of the DAGs as one line of JSON."""
    import airflow.sdk
    from airflow.dag_processing.dagbag import BundleDagBag

    # What a bare file loads of Airflow is loaded on both sides before the clock.
    for name in (
        "DAG",
        "Asset",
        "AssetOrTimeSchedule",
        "BaseOperator",
        "CronTriggerTimetable",
        "Param",
    ):
        getattr(airflow.sdk, name)
    if way == FORKED:
        _preload()

    def read(path: Path) -> Any:  # noqa: ANN401 - Airflow is untyped here
        bag = BundleDagBag(dag_folder=path, bundle_path=folder, bundle_name="parse")
        if bag.import_errors:
            raise SystemExit(str(next(iter(bag.import_errors.values()))))
        return bag

    first = min(folder.glob("*.py"))
    _in_a_fork(read, first)  # bytecode of the library is written, as after an install
    gc.collect()
    if way != TOGETHER:
        gc.freeze()  # as Airflow's processor does before it forks
    began_cpu_s, began = _cpu_s(), time.perf_counter()
    if way == TOGETHER:
        bag = read(folder)
    else:
        for path in sorted(folder.glob("*.py")):
            _in_a_fork(read, path)
    said: dict[str, Any] = {"cpu_s": _cpu_s() - began_cpu_s, "wall_s": time.perf_counter() - began}
    if way != TOGETHER:
        bag = read(first)
    said["dags"] = {
        dag_id: {task.task_id: sorted(task.downstream_task_ids) for task in dag.tasks}
        for dag_id, dag in bag.dags.items()
    }
    sys.stdout.write("\n" + json.dumps(said) + "\n")


def _preload() -> None:
    """Load what the DAG processor of a home loads before it reads a file."""
    from pipelines.adapters.platform.airflow_home import PRELOAD

    own, sys.argv = sys.argv, ["airflow", "dag-processor"]
    exec(PRELOAD, {})  # noqa: S102 - what Headframe itself writes
    sys.argv = own


def _in_a_fork(read: Any, path: Path) -> None:  # noqa: ANN401 - Airflow is untyped here
    child = os.fork()
    if child == 0:
        status = 1
        try:
            read(path)
            status = 0
        finally:
            sys.stderr.flush()
            os._exit(status)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
        raise SystemExit(f"{path.name} cannot be read")


def _cpu_s() -> float:
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
