"""The broker's settings: what they make of Airflow, what stands against them, what is never told."""

from pathlib import Path

import pytest

from pipelines.adapters.platform import airflow_home, broker, platform_processes, workers
from pipelines.adapters.platform.ports import Ports
from pipelines.adapters.settings import Settings
from pipelines.errors import PlatformError, SettingsError

PORTS = Ports(airflow=20001, mlflow=20002, worker_logs=20003, triggerer_logs=20004)
REDIS = "redis://:s3cr3t@127.0.0.1:6379/0"
POSTGRES = "postgresql://keeper:s3cr3t@127.0.0.1/airflow"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    chosen = Settings(home=tmp_path / "home", dags=tmp_path / "site" / "dags").model_copy(
        update={"broker": REDIS, "database": POSTGRES, "mlflow": "", "airflow": ""}
    )
    airflow_home.prepare(chosen)
    return chosen


@pytest.mark.parametrize(
    ("url", "database", "found"),
    [
        ("", "", []),
        (REDIS, POSTGRES, []),
        ("rediss://cache.example/3", "postgresql+psycopg2://db/airflow", []),
        (REDIS, "", [("HEADFRAME_DATABASE", "SQLite under the home")]),
        (REDIS, "mysql://u:s3cr3t@db/airflow", [("HEADFRAME_DATABASE", "'mysql'")]),
        ("amqp://u:s3cr3t@queue", POSTGRES, [("HEADFRAME_BROKER", "a amqp URL")]),
        ("s3cr3t", POSTGRES, [("HEADFRAME_BROKER", "no URL")]),
        ("redis://", POSTGRES, [("HEADFRAME_BROKER", "a redis URL without a host")]),
        (
            "redis:///0",
            "sqlite:///x",
            [
                ("HEADFRAME_BROKER", "a redis URL without a host"),
                ("HEADFRAME_DATABASE", "'sqlite'"),
            ],
        ),
    ],
)
def test_every_problem_of_the_settings_is_told_at_once_and_no_secret(
    settings: Settings, url: str, database: str, found: list[tuple[str, str]]
) -> None:
    chosen = settings.model_copy(update={"broker": url, "database": database})
    told = broker.problems(chosen)
    assert [(problem.where, problem.found) for problem in told] == found
    if found:
        with pytest.raises(SettingsError) as caught:
            broker.require(chosen)
        assert "s3cr3t" not in str(caught.value)


def test_without_a_broker_nothing_of_airflow_changes(settings: Settings) -> None:
    alone = settings.model_copy(update={"broker": "", "workers": 3})
    variables = airflow_home.environment(alone, PORTS)
    assert variables["AIRFLOW__CORE__EXECUTOR"] == "LocalExecutor"
    assert [name for name in variables if "CELERY" in name] == []
    assert workers.names(alone) == ()


def test_with_a_broker_tasks_go_to_workers_and_dead_ones_are_noticed(settings: Settings) -> None:
    variables = airflow_home.environment(settings, PORTS)
    assert variables["AIRFLOW__CORE__EXECUTOR"] == "CeleryExecutor"
    assert variables["AIRFLOW__CELERY__BROKER_URL"] == REDIS
    assert variables["AIRFLOW__CELERY__WORKER_CONCURRENCY"] == "2"
    # A message held by a worker that died is not waited for: the scheduler notices by itself.
    assert float(variables["AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT"]) <= 60
    prefetch = variables["AIRFLOW__CELERY__WORKER_PREFETCH_MULTIPLIER"]
    assert (prefetch, variables["AIRFLOW__CELERY__TASK_ACKS_LATE"]) == ("1", "True")
    # What the options of one section add must not take the others of that section away.
    assert variables["AIRFLOW__CORE__DAGS_FOLDER"] == str(settings.dags)
    assert variables["AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME"] == "0.2"


def test_two_homes_that_share_a_redis_keep_their_messages_apart(
    settings: Settings, tmp_path: Path
) -> None:
    other = settings.model_copy(update={"home": tmp_path / "other"})
    airflow_home.prepare(other)
    name = "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__GLOBAL_KEYPREFIX"
    first, second = (airflow_home.environment(s, PORTS)[name] for s in (settings, other))
    assert first != second
    assert first == airflow_home.environment(settings, PORTS)[name]
    # No part of it tells anything of the home's secrets.
    secrets = (airflow_home.airflow_folder(settings) / "secrets.json").read_text()
    assert first.removeprefix("headframe-").removesuffix(":") not in secrets


def test_up_starts_as_many_workers_as_asked_for_each_under_a_name_of_its_own(
    settings: Settings,
) -> None:
    three = settings.model_copy(update={"workers": 3, "worker_tasks": 5})
    children = {child.name: child for child in platform_processes.children(three, PORTS)}
    assert [name for name in children if name.startswith("worker")] == [
        "worker-1",
        "worker-2",
        "worker-3",
    ]
    command = children["worker-2"].command
    assert command[1:3] == ("celery", "worker")
    assert command[command.index("--concurrency") + 1] == "5"
    assert command[command.index("--celery-hostname") + 1] == workers.hostname("worker-2")
    # Its log server would listen on every interface.
    assert "--skip-serve-logs" in command
    assert "s3cr3t" not in " ".join(command)


def test_workers_reach_airflow_through_the_address_that_is_set(settings: Settings) -> None:
    proxied = settings.model_copy(update={"airflow": "https://airflow.example/"})
    variables = airflow_home.environment(proxied, PORTS)
    address = variables["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"]
    assert address == "https://airflow.example/execution/"
    assert variables["AIRFLOW__API__BASE_URL"] == "https://airflow.example"
    assert variables["AIRFLOW__API__HOST"] == "127.0.0.1"


def test_a_worker_of_a_home_that_never_started_says_what_to_do(settings: Settings) -> None:
    with pytest.raises(PlatformError, match="no ports of such a start"):
        workers.become(settings, "extra")
    alone = settings.model_copy(update={"broker": ""})
    with pytest.raises(PlatformError, match="no HEADFRAME_BROKER"):
        workers.become(alone, "extra")
