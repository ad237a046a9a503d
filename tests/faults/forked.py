"""Forked: processes to be killed, which start at once from one that has imported the libraries."""

import multiprocessing
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext

PRELOADED = (
    *("deltalake", "duckdb", "mlflow", "mlflow.sklearn", "pandas", "psycopg2"),
    *("pyarrow.compute", "pyarrow.csv", "pyarrow.parquet"),
    *("sklearn.compose", "sklearn.linear_model", "sklearn.preprocessing", "skops.io"),
    "mlflow.store.tracking.sqlalchemy_store",
)
"""Imported, never used, by the process that all others fork from. Python has one such process: were
the list another for some tests, whichever came first would decide what the others still import."""


@cache
def processes() -> "ForkServerContext":
    """Return the context whose processes have the libraries when they start."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOADED))
    return context
