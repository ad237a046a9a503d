"""Threads: how many a task may use while it predicts or fits."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

BEFORE_IMPORT = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
"""What OpenMP reads when a library that uses it is first imported: one thread, idle without work."""


@contextmanager
def one_thread() -> Iterator[None]:
    """Let this process compute on one thread, so that sums come out the same everywhere."""
    with at_most(1):
        yield


@contextmanager
def at_most(threads: int) -> Iterator[None]:
    """Let this process compute on so many threads.

    Covers OpenMP and BLAS, also of libraries that are imported already, and Arrow. Afterwards each
    has as many threads as before.
    """
    for name, value in BEFORE_IMPORT.items():
        os.environ.setdefault(name, value)
    import pyarrow as pa
    import sklearn  # noqa: F401 - its libraries must be loaded to be limited
    from threadpoolctl import threadpool_limits

    before = pa.cpu_count()
    pa.set_cpu_count(threads)
    try:
        with threadpool_limits(limits=threads):
            yield
    finally:
        pa.set_cpu_count(before)
