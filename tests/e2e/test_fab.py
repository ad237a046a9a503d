"""FAB, Airflow's auth manager of a database: who has a role, asked of a running API server."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from pipelines.adapters.platform import airflow_api, authentication, ports
from pipelines.adapters.platform.role_holders import holders
from pipelines.adapters.settings import Settings
from pipelines.domain.approval import Person
from pipelines.errors import PlatformError
from tests.dags.conftest import REPOSITORY

pytestmark = [pytest.mark.prove, pytest.mark.platform]

AIRFLOW = str(Path(sys.executable).with_name("airflow"))
PASSWORD = "of-these-tests"  # noqa: S105 - of these tests
READY_SECONDS = 300

PEOPLE = {"headframe": "Viewer", "ann": "approver", "sam": "User", "zoe": "approver"}
"""Users in the order in which they are made, each with a role."""


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Serve an Airflow with FAB and its users; return the settings of a home that uses it."""
    root = tmp_path_factory.mktemp("fab")
    port = ports.choose(root).airflow
    variables = {
        **{name: value for name, value in os.environ.items() if "AIRFLOW" not in name},
        "AIRFLOW_HOME": str(root / "airflow"),
        "AIRFLOW__API__SECRET_KEY": "s" * 32,
        "AIRFLOW__API_AUTH__JWT_SECRET": "j" * 64,
        "AIRFLOW__CORE__AUTH_MANAGER": authentication.FAB,
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(root),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(REPOSITORY / "plugins"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{root}/airflow.db",
        "AIRFLOW__OPENLINEAGE__DISABLED": "True",
        "PYTHONPATH": str(REPOSITORY),
    }

    def airflow(*words: str) -> None:
        subprocess.run([AIRFLOW, *words], env=variables, check=True, capture_output=True)

    airflow("db", "migrate")
    airflow("roles", "create", "approver")
    for name, role in PEOPLE.items():
        named = ("--firstname", name, "--lastname", "Test", "--email", f"{name}@example.com")
        airflow("users", "create", "-u", name, "-r", role, "-p", PASSWORD, *named)
    (root / "password").write_text(PASSWORD)
    address = f"http://127.0.0.1:{port}"
    with (root / "log.txt").open("wb") as log:
        server = subprocess.Popen(
            [AIRFLOW, "api-server", "--host", "127.0.0.1", "--port", str(port)],
            env=variables,
            stdout=log,
            stderr=log,
        )
    try:
        _wait(address, server, root / "log.txt")
        yield Settings(home=root / "home", airflow=address, airflow_password_file=root / "password")
    finally:
        server.terminate()
        server.wait(60)


def _wait(address: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        assert server.poll() is None, log.read_text()[-3000:]
        try:
            httpx.get(f"{address}/api/v2/monitor/health", trust_env=False).raise_for_status()
        except httpx.HTTPError:
            time.sleep(1)
        else:
            return
    raise AssertionError(log.read_text()[-3000:])


def test_a_role_is_its_active_users_with_the_numbers_that_airflow_knows_them_by(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__AUTH_MANAGER", authentication.FAB)
    assert holders(settings, "approver") == (
        Person(id="2", name="ann", mail="ann@example.com"),
        Person(id="4", name="zoe", mail="zoe@example.com"),
    )
    assert holders(settings, "operator") == ()


def test_nobody_else_may_ask_for_them(settings: Settings) -> None:
    with (
        airflow_api.AirflowApi(settings.airflow, user="sam", password=PASSWORD) as api,
        pytest.raises(PlatformError, match="Only the user headframe may ask who has a role"),
    ):
        api.people("approver")
    answer = httpx.get(
        f"{settings.airflow}/headframe/people", params={"role": "approver"}, trust_env=False
    )
    assert answer.status_code == 401
