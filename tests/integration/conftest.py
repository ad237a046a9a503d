"""What integration tests share: prepared homes, copied for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.adapters.models import code_archive
from pipelines.adapters.settings import Settings
from pipelines.stages.promote import promote
from pipelines.use_case import UseCase, load
from tests import machines


@pytest.fixture(scope="session")
def machines_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a home with the machines' files ingested and MLflow's database made."""
    return machines.build_template(tmp_path_factory.mktemp("machines"))


@pytest.fixture(scope="session")
def promoted_template(machines_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a home in which candidate 1 was promoted, and candidate 2 passed the gates."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(code_archive, "PACKAGE", machines_template / "no_library")
        return machines.build_promoted(machines_template, tmp_path_factory.mktemp("promoted"))


@pytest.fixture(scope="session")
def replaced_template(promoted_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a home in which version 2 replaced version 1 as champion; olga operates it."""
    folder = tmp_path_factory.mktemp("replaced")
    settings = machines.copy_template(promoted_template, folder)
    settings.users_file.write_text('[users]\nolga = ["operator"]\nsam = ["data_scientist"]\n')
    promote(load(settings.dags / "machines.py"), settings, version="2", as_of=machines.at(50))
    return folder


@pytest.fixture
def stable_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make the code digest that of the DAG file alone, and forget MLflow's address afterwards.

    Otherwise someone who edits the library while tests run would change the code of a use case
    between its training and its evaluation.
    """
    monkeypatch.setattr(code_archive, "PACKAGE", tmp_path / "no_library")
    yield
    import mlflow

    mlflow.set_tracking_uri(None)


@pytest.fixture
def machines_settings(machines_template: Path, tmp_path: Path, stable_code: None) -> Settings:
    """Return the settings of a fresh copy, ingested and nothing more."""
    return machines.copy_template(machines_template, tmp_path / "machines")


@pytest.fixture
def promoted(
    promoted_template: Path, tmp_path: Path, stable_code: None
) -> tuple[UseCase, Settings]:
    """Return a fresh copy in which 1 is the champion and 2 may replace it."""
    settings = machines.copy_template(promoted_template, tmp_path / "promoted")
    return load(settings.dags / f"{machines.NAME}.py"), settings


@pytest.fixture
def replaced(
    replaced_template: Path, tmp_path: Path, stable_code: None
) -> tuple[UseCase, Settings]:
    """Return a fresh copy in which 2 is the champion and 1 was before."""
    settings = machines.copy_template(replaced_template, tmp_path / "replaced")
    return load(settings.dags / f"{machines.NAME}.py"), settings
