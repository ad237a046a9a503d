"""The broker as it is: what `headframe doctor` and `up` say of one that answers, and of one that does not."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from pipelines.adapters.platform import broker, process_state
from pipelines.adapters.settings import Settings
from pipelines.cli import platform
from pipelines.errors import PlatformError, ServiceUnavailable
from tests import postgres, redis

pytestmark = [pytest.mark.needs_postgres, pytest.mark.needs_redis]


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[str, redis.Server]]:
    with postgres.serving() as database, redis.serving() as queue:
        yield database.url, queue


@pytest.fixture
def root(
    servers: tuple[str, redis.Server], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    database, queue = servers
    monkeypatch.setenv("HEADFRAME_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HEADFRAME_DAGS", str(tmp_path / "dags"))
    monkeypatch.setenv("HEADFRAME_DATABASE", database)
    monkeypatch.setenv("HEADFRAME_BROKER", queue.url)
    return tmp_path / "home"


def services() -> dict[str, str]:
    """Return what doctor says of database and broker; the exit status agrees with it."""
    app = typer.Typer()
    platform.register(app)
    answer = CliRunner().invoke(app, ["doctor", "--json"])
    checks = {check["name"]: check for check in json.loads(answer.stdout)["checks"]}
    found = {name: checks[name] for name in ("database", "broker")}
    assert (answer.exit_code == 0) == all(check["ok"] for check in checks.values())
    assert "canary" not in answer.stdout
    return {name: check["found"] for name, check in found.items()}


def test_doctor_is_content_with_servers_that_answer(root: Path) -> None:
    assert services() == {"database": "answers", "broker": "answers"}
    assert not root.exists()


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("redis://127.0.0.1:1/0", "no connection (ConnectionError)"),
        ("redis://:canary-wrong@127.0.0.1:{port}/0", "no connection (AuthenticationError)"),
        ("amqp://127.0.0.1", "HEADFRAME_BROKER is a amqp URL"),
    ],
)
def test_doctor_says_what_is_wrong_with_a_broker_and_up_starts_nothing(
    root: Path,
    servers: tuple[str, redis.Server],
    monkeypatch: pytest.MonkeyPatch,
    address: str,
    found: str,
) -> None:
    monkeypatch.setenv("HEADFRAME_BROKER", address.format(port=servers[1].port))
    assert services() == {"database": "answers", "broker": found}
    app = typer.Typer()
    platform.register(app)
    error = CliRunner().invoke(app, ["up"]).exception
    assert error is not None
    assert "HEADFRAME_BROKER" in str(error)
    assert "canary" not in str(error)
    assert process_state.owned(root) == ()


def test_a_database_that_does_not_answer_is_told_before_anything_starts(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADFRAME_DATABASE", "postgresql://keeper:canary@127.0.0.1:1/airflow")
    assert services() == {"database": "no connection (OperationalError)", "broker": "answers"}
    app = typer.Typer()
    platform.register(app)
    error = CliRunner().invoke(app, ["up"]).exception
    assert isinstance(error, PlatformError)
    assert "database: expected what a start needs" in str(error)
    assert process_state.owned(root) == ()


@pytest.mark.usefixtures("root")
def test_no_worker_and_no_broker_are_two_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    assert broker.answering(Settings(), identity="nobody") == frozenset()
    monkeypatch.setenv("HEADFRAME_BROKER", "redis://127.0.0.1:1/0")
    with pytest.raises(ServiceUnavailable) as away:
        broker.answering(Settings(), identity="nobody")
    assert away.value.retryable
