"""Study journals: maintenance removes those of old searches that came to a candidate, and no other."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipelines.adapters.models import search_record
from pipelines.adapters.models.mlflow_registry import candidates_name
from pipelines.adapters.models.studies import journal
from pipelines.adapters.settings import Settings
from pipelines.stages.maintain import Maintained, maintain
from tests import lakes

NOW = datetime(2026, 6, 1, tzinfo=UTC)
REGISTERED, GIVEN_UP, YOUNG = "a" * 64, "b" * 64, "c" * 64


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Settings]:
    """Return a home with three searches, of which two came to a candidate; one of them is young."""
    home = lakes.settings_in(tmp_path)
    lakes.use_registry(home, lakes.make_registry(tmp_path / "registry"))
    for key, days in ((REGISTERED, 31), (GIVEN_UP, 31), (YOUNG, 29)):
        kept = journal(home, "shop", key)
        kept.parent.mkdir(parents=True, exist_ok=True)
        for path in (kept, kept.with_suffix(".lock")):
            path.write_text("trials\n")
            written = (NOW - timedelta(days=days)).timestamp()
            os.utime(path, (written, written))
    for key in (REGISTERED, YOUNG):
        register(home, key)
    yield home
    import mlflow

    mlflow.set_tracking_uri(None)


def register(home: Settings, key: str) -> None:
    from mlflow import MlflowClient

    lakes.register_model(home, {})
    client, name = MlflowClient(home.mlflow_uri), candidates_name("shop")
    newest = max(int(one.version) for one in client.search_model_versions(f"name = '{name}'"))
    for tag, value in ((search_record.STUDY, key), ("headframe.use_case", "shop")):
        client.set_model_version_tag(name, str(newest), tag, value)


def run(home: Settings, *, dry_run: bool = False) -> Maintained:
    return maintain(home, now=NOW, run="test", dry_run=dry_run)


def left(home: Settings) -> set[str]:
    return {path.name for path in (home.root / "studies" / "shop").iterdir()}


def test_the_journal_of_an_old_search_goes_once_its_candidate_is_registered(home: Settings) -> None:
    before = left(home)
    would = run(home, dry_run=True)
    assert left(home) == before
    done = run(home)
    gone = {f"{REGISTERED[:32]}.journal", f"{REGISTERED[:32]}.lock"}
    assert left(home) == before - gone
    assert would.studies == done.studies
    assert (done.studies.files, done.removed_bytes) == (2, 14)
    assert "studies: 2 files (14 bytes) of searches that came to a candidate" in done.describe()
    assert run(home).studies.files == 0


def test_a_search_that_goes_on_keeps_its_journal_whatever_its_age(home: Settings) -> None:
    run(home)
    assert journal(home, "shop", GIVEN_UP).exists()
