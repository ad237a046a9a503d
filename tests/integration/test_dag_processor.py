"""DAG processor: what the process that reads DAG files has imported before it reads one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.adapters.platform import airflow_home
from pipelines.adapters.platform.ports import Ports
from pipelines.adapters.settings import Settings

REPOSITORY = Path(__file__).parents[2]
PORTS = Ports(airflow=20001, mlflow=20002, worker_logs=20003, triggerer_logs=20004)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name in list(os.environ):
        if "AIRFLOW" in name or name.startswith("HEADFRAME_"):
            monkeypatch.delenv(name)
    return Settings(home=tmp_path / "home", dags=tmp_path / "site" / "dags")


def test_the_dag_processor_has_what_every_file_needs_and_no_thread(settings: Settings) -> None:
    airflow_home.prepare(settings)
    asked = f"""if True:
        import runpy, sys, threading
        sys.argv = ["airflow", "dag-processor"]
        import airflow  # which imports the file of the home before anything else
        heavy = {{"pandas", "mlflow", "duckdb", "pyarrow", "sklearn"}} & set(sys.modules)
        print(sorted(heavy), threading.active_count())
        from pipelines.adapters.settings import _settings_of
        before, read = set(sys.modules), _settings_of.cache_info().misses
        runpy.run_path({str(REPOSITORY / "dags" / "flight_delays.py")!r})
        print(sorted(name for name in set(sys.modules) - before if name.startswith("pipelines")))
        print(read, _settings_of.cache_info().misses)
    """
    variables = airflow_home.environment(settings, PORTS)
    variables["PYTHONPATH"] = os.pathsep.join([str(REPOSITORY), variables["PYTHONPATH"]])
    said = subprocess.run(
        [sys.executable, "-c", asked], env=variables, capture_output=True, text=True, check=True
    )
    assert said.stdout.splitlines()[-3:] == ["[] 1", "[]", "1 1"]
