"""The platform commands where nothing runs: what they refuse, and what they say then."""

import json
import socket
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from pipelines.adapters.platform import machine, process_logs, process_state
from pipelines.cli import platform
from pipelines.errors import PlatformError


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    platform.register(app)
    return app


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    monkeypatch.setenv("HEADFRAME_HOME", str(home))
    monkeypatch.setenv("HEADFRAME_DAGS", str(tmp_path / "dags"))
    monkeypatch.delenv("HEADFRAME_PORT", raising=False)
    return home


def refusal(app: typer.Typer, *arguments: str) -> str:
    error = CliRunner().invoke(app, list(arguments)).exception
    assert isinstance(error, PlatformError)
    return str(error)


def test_up_refuses_a_nearly_full_disk(
    app: typer.Typer, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "LEAST_FREE_GIB", 1e9)
    assert "GiB free" in refusal(app, "up")
    assert process_state.owned(root) == ()


def test_up_refuses_a_home_that_cannot_be_written(
    app: typer.Typer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("HEADFRAME_HOME", str(tmp_path / "file" / "home"))
    assert "HEADFRAME_HOME" in refusal(app, "up")


def test_up_refuses_a_port_in_use(app: typer.Typer, root: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"port {port}" in refusal(app, "up", "--port", str(port))
        result = CliRunner().invoke(app, ["doctor", "--json"], env={"HEADFRAME_PORT": str(port)})
    assert result.exit_code == 1
    wrong = [check for check in json.loads(result.stdout)["checks"] if not check["ok"]]
    assert [(check["name"], str(port) in check["found"]) for check in wrong] == [("ports", True)]
    assert process_state.owned(root) == ()


def test_doctor_is_content_with_this_machine(app: typer.Typer, root: Path) -> None:
    result = CliRunner().invoke(app, ["doctor", "--json"])
    content = json.loads(result.stdout)
    assert (result.exit_code, content["ok"]) == (0, True), content
    assert not root.exists()


def test_status_of_a_home_never_started_is_not_healthy(app: typer.Typer, root: Path) -> None:
    result = CliRunner().invoke(app, ["status"])
    assert result.exit_code == 1
    assert "not running" in result.stdout
    assert not root.exists()


def test_logs_show_the_end_and_name_the_nearest_process(app: typer.Typer, root: Path) -> None:
    path = process_logs.log_file(root, "scheduler")
    path.parent.mkdir(parents=True)
    path.write_text("one [bold]\ntwo\nthree\n")
    assert CliRunner().invoke(app, ["logs", "scheduler", "--lines", "2"]).stdout == "two\nthree\n"
    assert "one [bold]" in CliRunner().invoke(app, ["logs"]).stdout
    assert "Did you mean 'scheduler'?" in refusal(app, "logs", "schedular")
