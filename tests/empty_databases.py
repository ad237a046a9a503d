"""Empty databases of MLflow and Airflow, which take seconds to make: made once, then copied."""

import os
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from importlib.metadata import version
from pathlib import Path


def place_mlflow(target: Path) -> None:
    """Put an empty tracking database at ``target``."""

    def make(file: Path) -> None:
        from mlflow import MlflowClient

        MlflowClient(f"sqlite:///{file}").search_experiments(max_results=1)

    _place("mlflow", target, make)


def place_airflow(target: Path) -> None:
    """Put an empty metadata database at ``target``, which Airflow is configured to use."""

    def make(file: Path) -> None:
        from airflow.utils import db

        db.initdb()
        _copy(target, file)

    _place("apache-airflow", target, make)


def _place(package: str, target: Path, make: Callable[[Path], None]) -> None:
    """Copy what was made for this version of a package, by whichever process came first."""
    user = os.getuid()
    kept = Path(tempfile.gettempdir()) / f"headframe-tests-{user}" / package / version(package)
    if not kept.exists():
        kept.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent) as folder:
            made = Path(folder) / "made.db"
            make(made)
            assert _tables(made), f"{package} made its tables in another database"
            made.replace(kept)
    _copy(kept, target)


def _copy(source: Path, target: Path) -> None:
    """Copy a database as its last commit left it, open or not."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(source)) as whole, closing(sqlite3.connect(target)) as copy:
        whole.backup(copy)


def _tables(database: Path) -> int:
    with closing(sqlite3.connect(database)) as opened:
        (found,) = opened.execute("select count(*) from sqlite_master").fetchone()
    return int(found)
