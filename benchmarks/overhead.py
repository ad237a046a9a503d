"""Overhead: what an ingest with nothing to do costs in Airflow, beside tasks that do nothing."""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.report import Goal, Measured, publish
from pipelines.adapters.platform import airflow_api
from pipelines.adapters.settings import Settings

ROOT = Path(__file__).parent.parent
RUNS = 8
"""Runs of each DAG, taken in turn, after one of each that does not count."""

MOST_TIMES_A_NO_OP = 2.0
"""Goal: a run with nothing to do takes at most this many times a no-op run of as many tasks."""

NO_OP = """
from airflow.sdk import dag, task

@dag(schedule=None, is_paused_upon_creation=False)
def no_op():
    @task
    def nothing():
        return None

    @task
    def nothing_more():
        return None

    nothing() >> nothing_more()

no_op()
"""
"""Two tasks in a row, as an ingest run has: ``ingest`` and ``docs``."""


def main() -> None:
    """Measure in a home of its own, and stop what was started."""
    with tempfile.TemporaryDirectory() as folder:
        dags = Path(folder) / "dags"
        shutil.copytree(ROOT / "dags", dags, ignore=shutil.ignore_patterns("__pycache__"))
        (dags / "platform__no_op.py").write_text(NO_OP)
        settings = Settings(home=Path(folder) / "home", dags=dags)
        environment = {
            **os.environ,
            "HEADFRAME_HOME": str(settings.home),
            "HEADFRAME_DAGS": str(dags),
            "HEADFRAME_EXPECTATIONS": str(ROOT / "expectations"),
            "PYTHONPATH": str(ROOT),
        }
        headframe = str(Path(sys.executable).parent / "headframe")
        subprocess.run([headframe, "up"], env=environment, check=True)
        try:
            _measure(settings)
        finally:
            subprocess.run([headframe, "down"], env=environment, check=True)


def _measure(settings: Settings) -> None:
    seconds: dict[str, list[float]] = {"no_op": [], "flight_delays__ingest": []}
    with airflow_api.connect(settings, user="admin") as api:
        while not set(seconds) <= {dag.dag_id for dag in api.dags()}:
            time.sleep(0.5)
        for dag_id in seconds:
            api.unpause(dag_id)
        for number in range(RUNS + 1):
            for dag_id, walls in seconds.items():
                wall = _wall(api, dag_id)
                if number:
                    walls.append(wall)
    medians = {dag_id: statistics.median(walls) for dag_id, walls in seconds.items()}
    rows = [
        Measured(
            case="two tasks with nothing to do",
            system=dag_id,
            wall_s=(min(walls), medians[dag_id], max(walls)),
            repetitions=len(walls),
            ratio_to_floor=medians[dag_id] / medians["no_op"],
        )
        for dag_id, walls in seconds.items()
    ]
    ratio = medians["flight_delays__ingest"] / medians["no_op"]
    goal = Goal(name="empty ingest to no-op", target=MOST_TIMES_A_NO_OP, measured=ratio)
    publish("overhead", "make bench NAME=overhead", rows, [goal])


def _wall(api: airflow_api.AirflowApi, dag_id: str) -> float:
    """Return the seconds from trigger to end of one run, as Airflow recorded them."""
    began = time.time()
    run = api.trigger(dag_id, {"as_of": "2013-01-01T00:00:00+00:00"} if "__" in dag_id else None)
    while not run.ended:
        time.sleep(0.1)
        run = api.run(dag_id, run.run_id)
    if run.state != "success" or run.ended_at is None:
        raise RuntimeError(f"{dag_id} ended {run.state}")
    return run.ended_at.timestamp() - began


if __name__ == "__main__":
    main()
