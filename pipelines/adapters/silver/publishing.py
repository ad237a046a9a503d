"""Publishing: what ingest, replay and reingest of a table share, so that two at once cannot err."""

from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from pipelines.adapters.delta.delta_tables import Commit
from pipelines.adapters.silver.intake import Places
from pipelines.errors import CommitLost, Problem

SEQUENCE = "ingest"
"""Transaction that numbers a table's publications, so that two at once cannot miss each other's rows."""

MOST_RESTARTS = 5
"""Times the work on a table begins again behind others before the task's own retry does."""

Outcome = TypeVar("Outcome")


def application(sha256: str) -> str:
    """Return the transaction that marks a file's bytes as taken."""
    return f"ingest:{sha256}"


def restarted(work: Callable[[], Outcome]) -> Outcome:
    """Return what ``work`` returns, looking again whenever another run was first.

    Raises CommitLost when others came first time and again.
    """
    for _ in range(MOST_RESTARTS):
        with suppress(CommitLost):
            return work()
    return work()


def refuse_lost(commit: Commit, places: Places) -> None:
    """Raise CommitLost unless this call wrote the commit."""
    if not commit.written:
        raise lost(places)


def lost(places: Places) -> CommitLost:
    """Return the error of work that another run did first."""
    return CommitLost(
        Problem(
            where=f"table {places.use_case}/{places.table.name}",
            expected="to be the only run that changes it",
            found="another one ahead",
            fix="Nothing was lost; run it again.",
        )
    )
