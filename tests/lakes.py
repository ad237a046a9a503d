"""Lakes: small homes of literal tables, with registered models that need old versions of them."""

import json
import os
import shutil
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from sqlite3 import connect

import pyarrow as pa

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.models import mlflow_registry
from pipelines.adapters.settings import Settings
from pipelines.adapters.stores.object_store import Folder
from tests.empty_databases import place_mlflow

SCHEMA = pa.schema([("number", pa.int64())])

MOMENT = datetime(2026, 1, 1, tzinfo=UTC)

LONG_AGO = 1_000_000_000.0
"""Seconds since 1970: older than any retention."""


def settings_in(folder: Path) -> Settings:
    """Return settings whose every path lies below ``folder``."""
    return Settings(
        home=folder / "home", dags=folder / "dags", expectations=folder / "expectations"
    )


def numbers(*values: int) -> pa.Table:
    return pa.table({"number": list(values)}, schema=SCHEMA)


def append(table: Folder, *values: int, times: int = 1) -> int:
    """Append one row a commit, as a ledger grows; return the newest version."""
    for value in values:
        for _ in range(times):
            delta_tables.commit_rows(
                table, numbers(value), transactions={}, metadata={"stage": "test"}
            )
    return delta_tables.version(table)


def replace(table: Folder, *values: int) -> int:
    """Put other rows in place of all; return the newest version."""
    delta_tables.commit_rows(table, numbers(*values), transactions={}, metadata={}, replace="true")
    return delta_tables.version(table)


def rows(table: Folder, at_version: int | None = None) -> list[int]:
    """Return the rows of a version, sorted."""
    return sorted(delta_tables.read(table, at_version=at_version)["number"].to_pylist())


def orders(settings: Settings) -> Path:
    """Folder of the table that these tests look at."""
    folder = lake.silver(settings, "shop", "orders")
    assert isinstance(folder, Path)
    return folder


def make_registry(folder: Path) -> Path:
    """Make an empty MLflow database, to be copied."""
    file = folder / "mlflow.db"
    place_mlflow(file)
    return file


def use_registry(settings: Settings, template: Path) -> None:
    """Give the home an MLflow of its own."""
    target = settings.root / "mlflow" / "mlflow.db"
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(template, target)


def register_model(
    settings: Settings, versions: Mapping[str, int], *, features: str = "f" * 64
) -> Path:
    """Register a candidate made from these table versions, with one artifact; return its folder."""
    from mlflow import MlflowClient

    client = MlflowClient(settings.mlflow_uri)
    place = settings.mlflow_artifacts / "shop"
    if client.get_experiment_by_name("shop") is None:
        client.create_experiment("shop", artifact_location=str(place))
        client.create_registered_model(mlflow_registry.candidates_name("shop"))
    experiment = client.get_experiment_by_name("shop")
    tags = {"headframe.data_versions": json.dumps(versions), "headframe.features": features}
    run = client.create_run(experiment.experiment_id, tags=tags)
    client.log_text(run.info.run_id, "weights", "model/weights.txt")
    client.create_model_version(
        mlflow_registry.candidates_name("shop"),
        f"{run.info.artifact_uri}/model",
        run.info.run_id,
        tags=tags,
    )
    return Path(run.info.artifact_uri)


def age(*paths: Path) -> None:
    """Make files look as if they were written long ago."""
    for path in paths:
        os.utime(path, (LONG_AGO, LONG_AGO))


def tree(folder: Path) -> dict[str, int]:
    """Return every file below ``folder`` with its size."""
    return {
        path.relative_to(folder).as_posix(): path.stat().st_size
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def ask(database: Path, query: str) -> list[tuple[object, ...]]:
    """Return the rows of a query over a SQLite file."""
    with closing(connect(database)) as connection:
        return connection.execute(query).fetchall()
