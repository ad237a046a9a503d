"""Delta commits: look at a handle, write with that same handle, and look again when in doubt."""

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from pipelines.adapters.delta import delta_handles, delta_transactions, durable
from pipelines.adapters.delta.schema_gate import refuse_other_schema
from pipelines.adapters.stores.object_store import Folder
from pipelines.errors import CommitLost, Problem, ServiceUnavailable

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable

MOST_RACES = 20
"""Races against other writers of one table lost before giving up and letting the task retry."""

PAUSE_SECONDS = 0.01
"""Pause after the first lost race; it grows by as much with each."""

MOST_OUTAGES = 2
"""Commits to a silent store before giving up; each has been tried again inside the library."""

CHECKPOINT_EVERY = 25
"""Commits between checkpoints. delta-rs's own hook, which is off, costs 70 ms at every commit of a
table with 10,000 of them (measured, 1.6.6); a checkpoint costs 50 ms, and an entry without one 0.3
for who opens the table and as much for each commit through a handle."""

MARK = "attempt"
"""Metadata that names the call which made a commit, so that it knows its own when in doubt."""

Write: TypeAlias = Callable[[], None]
"""Makes one commit, if no other that conflicts came since its handle was opened."""

Attempt: TypeAlias = Callable[["DeltaTable", str], Write | None]
"""Given a handle and this call's mark, says what to write; None where nothing is left to do."""

WriteOnce: TypeAlias = Callable[["DeltaTable", Mapping[str, int], Mapping[str, object]], None]
"""Makes one commit through a handle, with these transactions and this metadata."""


@dataclass(frozen=True, slots=True)
class Commit:
    """The outcome of one commit: a table version that holds it, and whether this call wrote it.

    ``written`` is right even where the store's answer to the commit was lost: the table is asked.
    """

    version: int
    written: bool


def commit_once(
    table: Folder,
    table_schema: "pa.Schema | None",
    transactions: Mapping[str, int],
    metadata: Mapping[str, object],
    write: WriteOnce,
) -> Commit:
    """Write unless the table holds the transactions already.

    All of them there: nothing is written. Some there: another run took part of the work, so
    CommitLost is raised and the stage starts again from what is left.
    """

    def attempt(handle: "DeltaTable", mark: str) -> Write | None:
        current = delta_transactions.versions(table, handle, transactions)
        done = [name for name, found in current.items() if found >= transactions[name]]
        if not done:
            return lambda: write(handle, transactions, marked(metadata, mark))
        if len(done) < len(transactions):
            raise CommitLost(lost(table, f"{len(done)} of its {len(transactions)} transactions"))
        return None

    return compare_and_swap(table, table_schema, attempt)


def compare_and_swap(
    table: Folder,
    table_schema: "pa.Schema | None",
    attempt: Attempt,
    *,
    partition_by: Sequence[str] = (),
) -> Commit:
    """Ask ``attempt`` what to write after looking at a handle, and write it with that same handle.

    delta-rs accepts a repeated transaction from a fresh handle, but refuses it from one that was
    opened before the other commit: the handle, never the path, is written through. Without a
    schema the table must exist, and rows of any schema may come. A table that is absent is created,
    partitioned by ``partition_by``.

    A store may take a commit and its answer may be lost. Then delta-rs tries again and takes its
    own commit for another writer's, or gives up; either way the log is searched for this call's
    mark. ServiceUnavailable is raised where that cannot be found out: the commit may be there, and
    the same call later finds its transactions.
    """
    from deltalake.exceptions import CommitFailedError

    delta_handles.refuse_unsafe(table)
    mark = uuid.uuid4().hex
    first, outages = -1, 0
    failure: Exception | None = None
    for race in range(MOST_RACES):
        time.sleep(race * PAUSE_SECONDS)
        handle = _opened(table, table_schema, partition_by)
        if failure is None:
            first = int(handle.version())
        elif _holds(table, handle, mark, since=first):
            return _settled(table, handle, first, written=True)
        if table_schema is not None:
            refuse_other_schema(table, table_schema, delta_handles.arrow_schema(handle))
        write = attempt(handle, mark)
        if write is None:
            return _settled(table, handle, first, written=False)
        try:
            with delta_handles.answers(table):
                write()
            delta_handles.move_on(table, handle)
        except CommitFailedError as error:
            failure = error  # another writer was first: look again at what it left to do
            continue
        except ServiceUnavailable as error:
            failure, outages = error, outages + 1
            if outages == MOST_OUTAGES:
                raise
            continue
        return _settled(table, handle, first, written=True)
    raise CommitLost(lost(table, f"another writer ahead {MOST_RACES} times")) from failure


def marked(metadata: Mapping[str, object], mark: str) -> dict[str, object]:
    """Return ``metadata`` with the mark of the call that commits it."""
    return {**metadata, MARK: mark}


def lost(table: Folder, found: str) -> Problem:
    """Return the problem of work that another writer did, or is ahead with."""
    fix = "Nothing was lost; run the stage again."
    return delta_handles.problem(table, "to be the only writer of this work", found, fix)


def _holds(table: Folder, handle: "DeltaTable", mark: str, *, since: int) -> bool:
    """Tell whether a commit after version ``since`` carries the mark."""
    later = int(handle.version()) - since
    with delta_handles.answers(table):
        return any(found.get(f"headframe.{MARK}") == mark for found in handle.history(later or 1))


def _opened(
    table: Folder, table_schema: "pa.Schema | None", partition_by: Sequence[str]
) -> "DeltaTable":
    handle = delta_handles.opened_if_exists(table)
    if handle is None and table_schema is not None:
        delta_handles.create(table, table_schema, partition_by=partition_by)
    return handle or delta_handles.opened(table)


def _settled(table: Folder, handle: "DeltaTable", first: int, *, written: bool) -> Commit:
    """Return the outcome once it is on the disk (where the table is local), with a checkpoint."""
    version = int(handle.version())
    if isinstance(table, Path):
        for number in range(min(first + 1, version), version + 1):
            durable.settle_commit(table, number)
    if written and first // CHECKPOINT_EVERY < version // CHECKPOINT_EVERY:
        with delta_handles.answers(table):
            handle.create_checkpoint()
        if isinstance(table, Path):
            durable.settle_checkpoint(table, version)
        delta_handles.open_anew(table)
    return Commit(version, written=written)
