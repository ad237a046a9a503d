"""A hermetic Airflow for these tests: its own home, database and DAG folder, and no process."""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.adapters.models import code_archive
from pipelines.adapters.platform.airflow_home import LOCK_SECONDS
from pipelines.adapters.settings import Settings
from tests.dags.airflow_server import serving
from tests.empty_databases import place_airflow
from tests.goldens import REWRITE

REPOSITORY = Path(__file__).parents[2]

collect_ignore = ["troubles.py"]  # a DAG file: it imports Airflow, which the settings must precede

SETTINGS = {
    "AIRFLOW__API__BASE_URL": "http://airflow.test",
    "AIRFLOW__API__SECRET_KEY": "s" * 32,
    "AIRFLOW__API_AUTH__JWT_SECRET": "j" * 64,
    "AIRFLOW__CORE__DAG_DISCOVERY_SAFE_MODE": "False",
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    # A DAG whose home changed is written down again, however soon.
    "AIRFLOW__CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL": "0",
    "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": (
        "dag_test:user,approver:user,second:user,operator:op,headframe:viewer"
    ),
    "AIRFLOW__CORE__PLUGINS_FOLDER": str(REPOSITORY / "plugins"),
    "AIRFLOW__OPENLINEAGE__DISABLED": "True",
    "HEADFRAME_EXPECTATIONS": str(REPOSITORY / "expectations"),
}

WARNINGS = (
    # Airflow: alembic's own configuration, and old names that its modules still answer to.
    "ignore:No path_separator found in configuration:DeprecationWarning",
)
"""What Airflow and the libraries it loads warn about, and nobody here can mend."""

USERS = """\
[users]
dag_test = ["data_scientist", "approver"]
approver = ["approver"]
operator = ["operator"]
"""
"""``dag_test`` starts every run of these tests, and may approve what others asked for."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the tests of this folder pass over Airflow's own warnings."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            for line in WARNINGS:
                item.add_marker(pytest.mark.filterwarnings(line))


@pytest.fixture(scope="package", autouse=True)
def dags_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Point Airflow at fresh folders before anything imports it; return its DAG folder."""
    assert "airflow.settings" not in sys.modules, (
        "imported too early: it has the user's own database"
    )
    root = tmp_path_factory.mktemp("airflow")
    dags = root / "dags"
    dags.mkdir()
    shutil.copy(Path(__file__).parent / "troubles.py", dags)
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(("AIRFLOW", "HEADFRAME")) and name != REWRITE:
                patch.delenv(name)
        for name, value in SETTINGS.items():
            patch.setenv(name, value)
        patch.setenv("AIRFLOW_HOME", str(root))
        patch.setenv("AIRFLOW__CORE__DAGS_FOLDER", str(dags))
        patch.setenv(
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE", str(root / "passwords.json")
        )
        # As in a home: several threads write, and a loaded machine is slow to let the next one.
        database = f"sqlite:///{root}/airflow.db?timeout={LOCK_SECONDS}"
        patch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", database)
        patch.setenv("HEADFRAME_DAGS", str(dags))
        patch.setenv("HEADFRAME_HOME", str(root / "home"))
        # Someone who edits the library while tests run would change the code under a run.
        patch.setattr(code_archive, "PACKAGE", root / "no_library")
        yield dags


@pytest.fixture(scope="module", autouse=True)
def empty_airflow(dags_folder: Path) -> Iterator[None]:
    """Begin every file without what another one declared, registered or ran."""
    for file in dags_folder.glob("*.py"):
        if file.name != "troubles.py":
            file.unlink()
    shutil.rmtree(dags_folder.parent / "home", ignore_errors=True)
    place_airflow(dags_folder.parent / "airflow.db")
    yield
    import mlflow

    mlflow.set_tracking_uri(None)


@pytest.fixture(scope="module")
def airflow_api(dags_folder: Path) -> Iterator[None]:
    """Serve Airflow's own API to every task, as governed use cases need it."""
    root = dags_folder.parent
    with serving(root) as address, pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADFRAME_AIRFLOW", address)
        patch.setenv("HEADFRAME_AIRFLOW_PASSWORD_FILE", str(root / "password"))
        yield


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Return the settings of an empty home of the test's own, with users."""
    return use_home(tmp_path / "home", monkeypatch)


def use_home(home: Path, patch: pytest.MonkeyPatch) -> Settings:
    """Make ``home`` the home of every task that runs from here on."""
    patch.setenv("HEADFRAME_HOME", str(home))
    found = Settings()
    found.users_file.parent.mkdir(parents=True, exist_ok=True)
    found.users_file.write_text(USERS, "utf-8")
    return found
