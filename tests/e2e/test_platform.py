"""The running platform: started, used, wounded and stopped as a person would."""

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil
import pytest

import pipelines
from pipelines.adapters.platform import (
    airflow_api,
    airflow_home,
    incident_ledger,
    notifications,
    ports,
    process_logs,
    process_state,
    processes,
)
from pipelines.adapters.platform.airflow_api import AirflowApi
from pipelines.adapters.platform.ports import Ports
from pipelines.adapters.settings import Settings
from pipelines.errors import PlatformError, ServiceUnavailable
from tests import home_processes

pytestmark = pytest.mark.platform

Found = TypeVar("Found")

CLI = (
    "import typer; from pipelines.cli.platform import register; a = typer.Typer(); register(a); a()"
)

NOTHING = """
from airflow.sdk import dag, task

@dag(schedule=None, catchup=False)
def {name}():
    @task
    def nothing():
        print("nothing was done")
    nothing()

{name}()
"""

ASK = """
from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import dag

@dag(schedule=None, catchup=False)
def ask():
    ApprovalOperator(
        task_id="approve",
        subject="Promote?",
        assigned_users=[{"id": "approver", "name": "approver"}],
        retries=5,
        retry_delay=1,
    )

ask()
"""
"""With retries: an answer within moments of its question may cost the try, and is asked for again.

Airflow's scheduler takes the end of the process that asked for the end of the try that it has just
queued with the answer, and fails it ("state mismatch"). A person is not that fast; a test is.
"""

FAIL = """
import os
import signal
from datetime import UTC, datetime
from pathlib import Path

from airflow.sdk import DAG

from pipelines.dag_factory.failure_message import failure_message
from pipelines.dag_factory.stage_task import StageTask
from pipelines.domain.contract import Column, Files, Table
from pipelines.errors import FileRefused, Problem
from pipelines.use_case import UseCase

grain = Table(
    name="grain", source=Files(pattern="*.csv"), columns=[Column("a", "int64")], key=("a",)
)
mill = UseCase(name="mill", owner="plant", tables=[grain])

def refused(context):
    raise FileRefused(Problem(where="grain", expected="rye", found="sand", fix="Sieve it."))

def killed(context):
    os.kill(os.getpid(), signal.SIGKILL)

def told(context):
    Path({folder!r}, context["dag"].dag_id).write_text(str(os.getppid()))

for work in (refused, killed):
    with DAG(
        f"mill__{{work.__name__}}",
        schedule=None,
        start_date=datetime(2000, 1, 1, tzinfo=UTC),
        default_args={{"on_failure_callback": failure_message(mill)}},
        on_failure_callback=[failure_message(mill), told],
    ):
        StageTask(task_id="work", work=work)
"""
"""``told`` is called last, by a child of the process that reads files: then all is told."""

COUNT_THREADS = """
import runpy, sys
sys.argv = ["airflow", "scheduler"]
runpy.run_path({path!r})
assert "sklearn.ensemble" in sys.modules
print(len(list(__import__("pathlib").Path("/proc/self/task").iterdir())))
"""


@dataclass(frozen=True)
class Platform:
    """A home with its DAGs, and the commands on it."""

    settings: Settings

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "HEADFRAME_HOME": str(self.settings.home),
            "HEADFRAME_DAGS": str(self.settings.dags),
            "PYTHONPATH": str(Path(pipelines.__file__).parents[1]),
        }

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", CLI, *arguments],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments: str) -> tuple[int, str]:
        with self.start(*arguments) as process:
            output, _ = process.communicate(timeout=600)
        return process.returncode, output

    def status(self) -> tuple[int, dict[str, Any]]:
        code, output = self.run("status", "--json")
        return code, json.loads(output)

    def ports(self) -> Ports:
        known = ports.read(self.settings.root)
        assert known is not None
        return known

    def failed_requests(self) -> set[str]:
        """Return the path of each change that Airflow's API server was asked for and failed to make."""
        log = process_logs.log_file(self.settings.root, "api-server").read_text()
        return set(re.findall(r"method=PATCH path=(\S+) .*status_code=500", log))

    def add_dag(self, name: str, source: str) -> None:
        (self.settings.dags / f"{name}.py").write_text(source)


def new_platform(folder: Path) -> Platform:
    dags = folder / "site" / "dags"
    dags.mkdir(parents=True)
    platform = Platform(
        Settings(home=folder / "home", dags=dags, mlflow="", database="", notify="")
    )
    platform.add_dag("noop", NOTHING.format(name="noop"))
    return platform


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    started = new_platform(tmp_path_factory.mktemp("platform"))
    code, output = started.run("up")
    try:
        assert code == 0, output
        yield started
    finally:
        processes.stop(started.settings.root)


@pytest.fixture
def api(platform: Platform) -> Iterator[AirflowApi]:
    with airflow_api.connect(platform.settings) as connected:
        yield connected


@contextmanager
def written_by_another(platform: Platform, *, until_failed: set[str]) -> Iterator[None]:
    """Hold Airflow's database until its API server failed to answer a request to each of these paths."""
    file = airflow_home.airflow_folder(platform.settings) / "airflow.db"
    held = sqlite3.connect(file, timeout=60, isolation_level=None, check_same_thread=False)
    held.execute("begin immediate")

    def let_go() -> None:
        try:
            seconds = 4 * airflow_home.SERVER_LOCK_SECONDS
            what = "requests that Airflow fails to answer"
            wait_for(lambda: until_failed <= platform.failed_requests() or None, seconds, what)
        finally:
            held.execute("rollback")

    with ThreadPoolExecutor() as pool:
        released = pool.submit(let_go)
        yield
        released.result()
    held.close()


@contextmanager
def answer_lost(api: AirflowApi) -> Iterator[list[str]]:
    """Lose what Airflow says once of a change that it made; return the methods it was asked by."""
    lost: list[str] = []

    def lose(response: httpx.Response) -> None:
        if response.request.method == "PATCH" and response.is_success and not lost:
            lost.append(response.request.method)
            raise httpx.ReadError("the connection broke", request=response.request)

    api._client.event_hooks = {"response": [lose]}
    yield lost
    api._client.event_hooks = {}


def wait_for(found: Callable[[], Found | None], seconds: float, what: str) -> Found:
    deadline = time.monotonic() + seconds
    while (value := found()) is None:
        assert time.monotonic() < deadline, f"never happened: {what}"
        time.sleep(0.2)
    return value


def final_state(api: AirflowApi, dag_id: str) -> tuple[str, str]:
    """Run a DAG to its end; return the run's state and the log of its one task."""
    api.unpause(dag_id)
    run = api.trigger(dag_id, {"as_of": "2013-01-31T00:00:00Z"})
    while not run.ended:
        time.sleep(0.2)
        run = api.run(dag_id, run.run_id)
    assert run.conf == {"as_of": "2013-01-31T00:00:00Z"}
    (task,) = api.task_runs(dag_id, run.run_id)
    return run.state, api.log_text(task)


def test_up_made_everything_healthy(platform: Platform) -> None:
    code, status = platform.status()
    assert code == 0
    assert {part["name"]: part["found"] for part in status["parts"]} == dict.fromkeys(
        ("metadatabase", "scheduler", "dag_processor", "triggerer", "mlflow"), "healthy"
    )
    assert {child["restarts"] for child in status["processes"]} == {0}


def test_a_second_up_is_harmless_and_prints_no_password_into_a_pipe(platform: Platform) -> None:
    before = process_state.running(platform.settings.root)
    code, output = platform.run("up")
    assert code == 0
    assert "already running" in output
    assert platform.ports().airflow_address in output
    for password in airflow_home.passwords(platform.settings).values():
        assert password not in output
    assert process_state.running(platform.settings.root) == before


def test_a_run_succeeds_and_its_log_can_be_read(platform: Platform, api: AirflowApi) -> None:
    wait_for(lambda: {dag.dag_id for dag in api.dags()} >= {"noop"} or None, 60, "the DAG is read")
    state, log = final_state(api, "noop")
    assert state == "success"
    assert "nothing was done" in log
    assert api.questions() == ()


def test_a_new_file_shows_by_itself_and_a_broken_one_says_why(
    platform: Platform, api: AirflowApi
) -> None:
    platform.add_dag("newcomer", NOTHING.format(name="newcomer"))
    platform.add_dag("broken", "raise ValueError('half a file')")
    wait_for(lambda: {dag.dag_id for dag in api.dags()} >= {"newcomer"} or None, 60, "a new DAG")
    (failure,) = wait_for(lambda: api.import_failures() or None, 60, "an import failure")
    assert failure.file.endswith("broken.py")
    assert "half a file" in failure.message


def test_only_the_assigned_person_answers_a_question_and_only_once(
    platform: Platform, api: AirflowApi
) -> None:
    platform.add_dag("ask", ASK)
    wait_for(lambda: {dag.dag_id for dag in api.dags()} >= {"ask"} or None, 60, "the DAG is read")
    api.unpause("ask")
    run = api.trigger("ask")
    (question,) = wait_for(lambda: api.questions("ask", run.run_id) or None, 60, "a question")
    assert (question.subject, question.assigned_users) == ("Promote?", ("approver",))
    with pytest.raises(PlatformError, match=r"403 .*not a respondent"):
        api.answer(question, "Approve")
    with airflow_api.connect(platform.settings, user="approver") as approver:
        assert approver.questions("ask", run.run_id)
        paths = {
            "/api/v2/dags/noop",
            f"/api/v2/dags/ask/dagRuns/{run.run_id}/taskInstances/approve/-1/hitlDetails",
        }
        # Airflow fails to write either, as another's write lasts too long: both are asked for again.
        # Then what it says of the answer is lost, which is looked for before it is given again.
        with ThreadPoolExecutor() as pool, written_by_another(platform, until_failed=paths):
            running = pool.submit(api.unpause, "noop")
            with answer_lost(approver) as lost:
                approver.answer(question, "Approve")
        running.result()
        assert lost == ["PATCH"]
        with pytest.raises(PlatformError, match="409"):
            approver.answer(question, "Reject")

        def ended() -> bool | None:
            for again in api.questions("ask", run.run_id):
                approver.answer(again, "Approve")
            return api.run("ask", run.run_id).ended or None

        wait_for(ended, 120, "the run ends")
    assert api.run("ask", run.run_id).state == "success"
    assert api.questions() == ()


def test_a_refusal_says_what_airflow_said_and_an_absence_may_be_retried(
    platform: Platform, api: AirflowApi
) -> None:
    with pytest.raises(PlatformError, match="404 The DagRun with dag_id: `noop`"):
        api.run("noop", "nothing")
    wrong = "never-shown"
    with (
        AirflowApi(api.address, user="operator", password=wrong) as stranger,
        pytest.raises(PlatformError, match="401") as caught,
    ):
        stranger.dags()
    assert wrong not in str(caught.value)
    with AirflowApi("http://127.0.0.1:1") as nowhere, pytest.raises(ServiceUnavailable) as away:
        nowhere.health()
    assert away.value.retryable


def test_a_failed_run_is_one_incident_and_one_message_whichever_process_tells(
    platform: Platform, api: AirflowApi, tmp_path: Path
) -> None:
    names = {"mill__refused", "mill__killed"}
    platform.add_dag("mill", FAIL.format(folder=str(tmp_path)))
    wait_for(lambda: names <= {dag.dag_id for dag in api.dags()} or None, 60, "the DAGs are read")
    for name in sorted(names):
        api.unpause(name)
        api.trigger(name)

    def told() -> dict[str, int] | None:
        files = list(tmp_path.iterdir())
        return {f.name: int(f.read_text()) for f in files} if len(files) == 2 else None

    tellers = wait_for(told, 120, "the runs' failures are told")
    readers = process_state.owned(platform.settings.root, "dag-processor")
    assert set(tellers.values()) <= {process.pid for process in readers}
    found = {one.title: one for one in incident_ledger.incidents(platform.settings).values()}
    assert sorted(found) == [
        "mill__killed failed: The task left no reason: it was killed, or it lost Airflow. "
        "Look at its log.",
        "mill__refused failed: grain: expected rye; found sand.",
    ]
    assert {(one.owner, len(one.seen)) for one in found.values()} == {("plant", 1)}
    messages = notifications.recent(platform.settings, 20)
    about = [message.title for message in messages if "mill__" in message.title]
    assert len(about) == 2
    (refused,) = [message for message in messages if "mill__refused" in message.title]
    assert "Sieve it." in refused.body


def test_only_the_loopback_interface_is_listened_on(platform: Platform) -> None:
    assert home_processes.listening(platform.settings.root) == {"127.0.0.1"}


def test_what_the_scheduler_preloads_starts_no_thread(platform: Platform) -> None:
    folder = airflow_home.airflow_folder(platform.settings)
    code = COUNT_THREADS.format(path=str(folder / "config" / "airflow_local_settings.py"))
    variables = airflow_home.environment(platform.settings, platform.ports())
    counted = subprocess.run(
        [sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=True
    )
    assert counted.stdout.split()[-1] == "1"


def test_a_killed_scheduler_is_started_again_and_counted(
    platform: Platform, api: AirflowApi
) -> None:
    root = platform.settings.root
    _, status = platform.status()
    (before,) = [child for child in status["processes"] if child["name"] == "scheduler"]
    workers = [p for p in process_state.owned(root, "scheduler") if p.pid != before["pid"]]
    # Parallelism 2: both would wait for ever if only the scheduler died.
    assert len(workers) >= 2
    os.kill(before["pid"], signal.SIGKILL)
    wait_for(lambda: not any(map(is_alive, workers)) or None, 20, "the workers die too")

    def healthy_again() -> dict[str, Any] | None:
        code, status = platform.status()
        return status if code == 0 else None

    status = wait_for(healthy_again, 120, "all is healthy again")
    (after,) = [child for child in status["processes"] if child["name"] == "scheduler"]
    assert (after["restarts"], after["exit_code"]) == (1, -signal.SIGKILL)
    assert after["pid"] != before["pid"]
    assert status["messages"][-1]["title"] == "scheduler died and is started again"
    assert final_state(api, "noop")[0] == "success"


def test_down_leaves_no_process_and_the_next_up_keeps_address_and_passwords(
    platform: Platform,
) -> None:
    known = platform.ports()
    passwords = airflow_home.passwords(platform.settings)
    code, output = platform.run("down")
    assert (code, output.strip()) == (0, "Headframe is stopped.")
    assert process_state.owned(platform.settings.root) == ()
    assert platform.run("down") == (0, "Nothing was running.\n")
    code, status = platform.status()
    assert (code, status["running"], status["healthy"]) == (1, False, False)
    code, output = platform.run("up")
    assert code == 0, output
    assert platform.ports() == known
    assert airflow_home.passwords(platform.settings) == passwords


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Let what a test starts be interrupted, also where the tests run in the background of a shell."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupted_up_leaves_nothing_running(tmp_path: Path) -> None:
    platform = new_platform(tmp_path)
    root = platform.settings.root
    with platform.start("up") as process:
        wait_for(lambda: process_state.running(root), 120, "the supervisor runs")
        wait_for(lambda: process_state.owned(root, "scheduler") or None, 20, "the scheduler too")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode != 0
    assert process_state.owned(root) == ()
    assert process_state.running(root) is None


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
