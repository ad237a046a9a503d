"""Forked: processes to be killed, which start at once from one that has imported the libraries."""

import multiprocessing
import os
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.adapters.failpoints import ARMED, REACHED

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext
    from multiprocessing.process import BaseProcess

PRELOADED = (
    *("deltalake", "duckdb", "mlflow", "mlflow.sklearn", "pandas", "psycopg2"),
    *("pyarrow.compute", "pyarrow.csv", "pyarrow.parquet"),
    *("sklearn.compose", "sklearn.linear_model", "sklearn.preprocessing", "skops.io"),
    "mlflow.store.tracking.sqlalchemy_store",
    *("tests.faults.model_runs", "tests.faults.score_runs", "tests.predicted"),
    "tests.faults.frozen",
)
"""Imported, never used, by the process that all others fork from. Python has one such process: were
the list another for some tests, whichever came first would decide what the others still import."""


@cache
def processes() -> "ForkServerContext":
    """Return the context whose processes have the libraries when they start."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOADED))
    return context


def run_script(
    script: str,
    *arguments: str,
    reached: Path,
    failpoint: str = "",
    seconds: float = 300,
) -> tuple[int, str]:
    """Run a script to its end; return the exit status (negative: the signal) and what went wrong.

    The failpoint kills it, and then its name is in the file ``reached``. Its environment is that of
    this process, as it would be of one that is started anew.
    """
    told = reached.with_name(f"{reached.name}.errors")
    environment = {**os.environ, ARMED: failpoint, REACHED: str(reached)}
    forked = processes().Process(target=_script, args=(script, arguments, environment, told))
    forked.start()
    return end(forked, seconds), told.read_text()


def end(forked: "BaseProcess", seconds: float) -> int:
    """Wait for a process, kill it once the seconds are over; return its exit status."""
    forked.join(seconds)
    if forked.exitcode is None:
        forked.kill()
        forked.join()
    assert forked.exitcode is not None
    return forked.exitcode


def _script(
    script: str, arguments: tuple[str, ...], environment: Mapping[str, str], told: Path
) -> None:
    told.parent.mkdir(parents=True, exist_ok=True)
    os.dup2(os.open(told, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    os.environ.clear()
    os.environ |= environment
    sys.argv = ["-c", *arguments]
    exec(compile(script, "script", "exec"), {"__name__": "__main__"})  # noqa: S102 - a test's own script
