"""Scoring on Celery: PostgreSQL, Redis, two workers, and one of them killed in the middle of a run."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.platform import airflow_api, process_state, processes
from pipelines.adapters.platform.airflow_answers import Run, TaskRun
from pipelines.adapters.platform.airflow_api import AirflowApi
from pipelines.adapters.settings import Settings
from pipelines.stages.evaluate import evaluate
from pipelines.stages.promote import promote
from pipelines.stages.score import score
from pipelines.stages.train import train
from tests import home_processes, machines, postgres, redis
from tests.machines import Variant, at

pytestmark = [
    pytest.mark.prove,
    pytest.mark.platform,
    pytest.mark.needs_postgres,
    pytest.mark.needs_redis,
]

Found = TypeVar("Found")

DAG_ID = "machines__score"
SINCE, UNTIL = at(40, 0), at(48, 0)
"""Eight scoring times of forty machines each, dealt to four parts."""

PARTS = 4
HEADFRAME = Path(sys.executable).with_name("headframe")
EXTRA = "extra"
"""The worker that runs beside the one that ``headframe up`` starts."""

RUN_SECONDS = 240.0
"""A dead worker is noticed after 60 s and its part tried again after 30 more."""

Rows = dict[tuple[str, ...], tuple[str, ...]]


@dataclass(frozen=True)
class Site:
    """A running home with two workers of one slot each, and what one task would predict."""

    settings: Settings
    redis: redis.Server
    environment: dict[str, str]
    extra: subprocess.Popen[bytes]
    whole: Rows

    def headframe(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [HEADFRAME, *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    settings = machines.settings_in(machines.build_template(tmp_path_factory.mktemp("celery")))
    whole = _champion_and_what_it_predicts(settings)
    machines.declare(settings, Variant(parts=PARTS))
    with postgres.serving() as database, redis.serving() as broker:
        environment = {
            **{name: text for name, text in os.environ.items() if "HEADFRAME" not in name},
            "HEADFRAME_HOME": str(settings.home),
            "HEADFRAME_DAGS": str(settings.dags),
            "HEADFRAME_EXPECTATIONS": str(settings.expectations),
            "HEADFRAME_DATABASE": database.url,
            "HEADFRAME_BROKER": broker.url,
            "HEADFRAME_WORKER_TASKS": "1",
        }
        try:
            up = subprocess.run(
                [HEADFRAME, "up"], env=environment, capture_output=True, text=True, check=False
            )
            assert up.returncode == 0, up.stderr
            with (settings.home / "logs" / f"{EXTRA}.log").open("wb") as log:
                extra = subprocess.Popen(
                    [HEADFRAME, "worker", "--name", EXTRA],
                    env=environment,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            yield Site(settings, broker, environment, extra, whole)
        finally:
            processes.stop(settings.root)


def _champion_and_what_it_predicts(settings: Settings) -> Rows:
    """Promote a model, and return what one process predicts with it; no prediction is left."""
    use_case = machines.declare(settings)
    train(use_case, settings, as_of=at(50), run="test", requester="sam")
    evaluate(use_case, settings, version="1")
    promote(use_case, settings, version="1", as_of=at(50))
    score(use_case, settings, since=SINCE, until=UNTIL, run="whole")
    whole = _predictions(settings)
    _forget(settings)
    return whole


def _predictions(settings: Settings) -> Rows:
    """Return key and scoring time of each current prediction, with its float as its bits."""
    table = delta_tables.read(lake.predictions(settings, machines.NAME))
    rows: Rows = {
        (str(row["day"]), row["machine"], row["scored_for"].isoformat()): (
            row["prediction"].hex(),
            row["raw_prediction"].hex(),
            row["artifact_sha256"],
            str(row["generation"]),
        )
        for row in table.to_pylist()
    }
    assert len(rows) == table.num_rows, "a prediction is current once"
    return rows


def _forget(settings: Settings) -> None:
    shutil.rmtree(Path(str(lake.predictions(settings, machines.NAME))).parent)


def _wait_for(found: Callable[[], Found | None], seconds: float, what: str) -> Found:
    deadline = time.monotonic() + seconds
    while (value := found()) is None:
        assert time.monotonic() < deadline, f"never happened: {what}"
        time.sleep(0.05)
    return value


def _start(api: AirflowApi) -> Run:
    _wait_for(
        lambda: {dag.dag_id for dag in api.dags()} >= {DAG_ID} or None, 120, "the DAG is read"
    )
    api.unpause(DAG_ID)
    return api.trigger(DAG_ID, {"as_of": SINCE.isoformat(), "until": UNTIL.isoformat()})


def _end(api: AirflowApi, run: Run) -> Run:
    def ended() -> Run | None:
        found = api.run(DAG_ID, run.run_id)
        return found if found.ended else None

    return _wait_for(ended, RUN_SECONDS, "the run ends")


def _parts(api: AirflowApi, run: Run) -> list[TaskRun]:
    found = [task for task in api.task_runs(DAG_ID, run.run_id) if task.task_id == "score_part"]
    return sorted(found, key=lambda task: task.map_index)


def _makers(api: AirflowApi, run: Run) -> list[str]:
    """Return which worker made each part, as the log of its last try says."""
    said = re.compile(r"rows scored, 0 refused, by (\S+) on")
    return [said.findall(api.log_text(part))[-1] for part in _parts(api, run)]


def test_two_workers_share_the_parts_and_make_the_predictions_of_one_task(site: Site) -> None:
    both = {"worker-1", f"{EXTRA}.{socket.gethostname()}"}
    _wait_for(lambda: _told_by_status(site) >= both or None, 60, "both workers answer")
    with airflow_api.connect(site.settings) as api:
        run = _end(api, _start(api))
        assert run.state == "success"
        assert [part.try_number for part in _parts(api, run)] == [1] * PARTS
        assert set(_makers(api, run)) == {"worker-1", EXTRA}
    assert _predictions(site.settings) == site.whole
    assert len(site.whole) == 8 * machines.MACHINES


def test_a_worker_killed_in_the_middle_of_a_part_costs_a_try_and_no_prediction(site: Site) -> None:
    _forget(site.settings)
    with airflow_api.connect(site.settings) as api:
        run = _start(api)
        lost = _wait_for(lambda: _part_begun_by(site, api, run), 120, "a part begins")
        os.killpg(site.extra.pid, signal.SIGKILL)
        site.extra.wait()
        run = _end(api, run)
        assert run.state == "success"
        tries = {part.map_index: part.try_number for part in _parts(api, run)}
        assert tries == {**dict.fromkeys(range(PARTS), 1), lost: 2}
        assert _makers(api, run)[lost] == "worker-1"
    assert _predictions(site.settings) == site.whole
    assert f"{EXTRA}.{socket.gethostname()}" not in _told_by_status(site)


def test_a_worker_has_loaded_what_tasks_need_and_forks_them_from_one_thread(site: Site) -> None:
    (leader,) = (
        process
        for process in process_state.owned(site.settings.root, "worker-1")
        if "MainProcess" in " ".join(process.cmdline())
    )
    for process in (leader, *leader.children(recursive=True)):
        assert process.num_threads() == 1
        assert any("sklearn" in mapped.path for mapped in process.memory_maps())


def test_nothing_listens_beyond_the_loopback_interface_and_no_password_is_in_a_log(
    site: Site,
) -> None:
    assert home_processes.listening(site.settings.root) == {"127.0.0.1"}
    logs = [path for path in site.settings.root.rglob("*.log") if path.is_file()]
    assert len(logs) > 10
    secrets = [redis.PASSWORD, postgres.PASSWORD, "canary"]
    assert [path for path in logs if any(s in path.read_text("utf-8") for s in secrets)] == []
    told = home_processes.command_lines(site.settings.root)
    assert "canary" not in told


def test_all_that_is_in_redis_bears_the_name_of_the_home(site: Site) -> None:
    keys = site.redis.ask("keys", "*")
    assert len({key.split(":")[0] for key in keys}) == 1
    assert all(re.match(r"headframe-[0-9a-f]{12}:", key) for key in keys)


def test_down_ends_every_worker_of_the_home(site: Site) -> None:
    assert site.headframe("down").returncode == 0
    assert process_state.owned(site.settings.root) == ()


def _told_by_status(site: Site) -> set[str]:
    """Return the workers that ``headframe status`` calls healthy."""
    lines = site.headframe("status").stdout.splitlines()
    healthy = {line.removesuffix(": healthy") for line in lines if line.endswith(": healthy")}
    return {name for name in healthy if name.startswith(("worker", EXTRA))}


def _part_begun_by(site: Site, api: AirflowApi, run: Run) -> int | None:
    """Freeze the extra worker once it has begun a part and not ended it; return the part."""
    log = (site.settings.home / "logs" / f"{EXTRA}.log").read_text("utf-8")
    began = rf"task_id='score_part'.*?run_id='{re.escape(run.run_id)}'.*?map_index=(\d+)"
    found = re.findall(began, log)
    if not found:
        return None
    os.killpg(site.extra.pid, signal.SIGSTOP)
    states = {part.map_index: part.state for part in _parts(api, run)}
    if states[int(found[-1])] == "running":
        return int(found[-1])
    os.killpg(site.extra.pid, signal.SIGCONT)
    return None
