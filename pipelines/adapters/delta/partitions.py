"""Partitions: staged files that take the place of one whole partition of a table, in one commit."""

import shutil
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from pipelines.adapters.delta import (
    delta_handles,
    delta_transactions,
    durable,
    live_files,
    pinned_files,
)
from pipelines.adapters.delta.delta_commits import (
    Commit,
    Write,
    commit_once,
    compare_and_swap,
    lost,
    marked,
)
from pipelines.adapters.delta.pinned_files import PinnedFile
from pipelines.adapters.stores import object_store
from pipelines.adapters.stores.object_store import Folder
from pipelines.domain.scoring import PartFile
from pipelines.errors import CommitLost, LakeError, ServiceUnavailable

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable


Placed: TypeAlias = tuple[PartFile, Mapping[str, str]]
"""A file with the values of its partition."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The schema of a partitioned table, partition columns included, and those columns."""

    schema: "pa.Schema"
    partition_by: tuple[str, ...]

    @property
    def in_files(self) -> "pa.Schema":
        """The columns that data files hold: a partition's values are in the log alone."""
        import pyarrow as pa

        return pa.schema([f for f in self.schema if f.name not in self.partition_by])


@dataclass(frozen=True, slots=True, kw_only=True)
class Swap:
    """Files to publish, each with the values of its partition, and what the commit says.

    ``replace`` is the column and value whose files go; None adds to what is there.
    """

    files: Sequence[Placed]
    replace: tuple[str, str] | None
    transactions: Mapping[str, int]
    metadata: Mapping[str, object]


class Held:
    """What a table holds at the moment of a decision; the commit goes through the same handle."""

    def __init__(self, table: Folder, handle: "DeltaTable") -> None:
        _refuse_older(table, handle)
        self._table = table
        self._handle = handle

    def transaction(self, name: str) -> int:
        """Return the version of a transaction, 0 for none."""
        return delta_transactions.version(self._table, self._handle, name)

    def files(self, column: str, value: str) -> list[PinnedFile]:
        """Return the files of one partition."""
        return pinned_files.of_handle(self._table, self._handle, partition=(column, value))


def held(table: Folder) -> Held | None:
    """Return what the newest version of ``table`` holds; None when it is absent."""
    handle = delta_handles.opened_if_exists(table)
    return None if handle is None else Held(table, handle)


def are_in(table: Folder) -> bool:
    """Tell whether ``table`` has partitions: columns that are in its log alone, not in its files."""
    return bool(delta_handles.opened(table).metadata().partition_columns)


def swap(table: Folder, layout: Layout, decide: Callable[[Held], Swap | None]) -> Commit:
    """Commit what ``decide`` says of what the table holds; None commits nothing.

    ``decide`` is called again whenever another writer came first. Its files lie in the table's
    folder already, where no reader sees them before.
    """

    def attempt(handle: "DeltaTable", mark: str) -> Write | None:
        found = decide(Held(table, handle))
        if found is None:
            return None
        told = replace(found, metadata=marked(found.metadata, mark))
        return lambda: _commit(table, layout, handle, told)

    return compare_and_swap(table, layout.schema, attempt, partition_by=layout.partition_by)


def append(
    table: Folder,
    layout: Layout,
    files: Sequence[Placed],
    *,
    transactions: Mapping[str, int],
    metadata: Mapping[str, object],
) -> Commit:
    """Add files, at most once per transaction; see ``commit_once``.

    A transaction that is there with a lower version is another's work that this would double:
    CommitLost is raised. Files of what was done already are removed.
    """

    def write(handle: "DeltaTable", carried: Mapping[str, int], told: Mapping[str, object]) -> None:
        found = delta_transactions.versions(table, handle, carried)
        if found:
            raise CommitLost(lost(table, f"{len(found)} of its transactions, by another run"))
        change = Swap(files=files, replace=None, transactions=carried, metadata=told)
        _commit(table, layout, handle, change)

    commit = commit_once(table, layout.schema, transactions, metadata, write)
    if not commit.written:
        _remove(table, [file for file, _ in files])
    return commit


def copied(source: Folder, file: PinnedFile, target: Folder) -> PartFile:
    """Copy a data file, as it is, into the folder of another table; return it for a commit there.

    Nothing is decoded, so it takes no memory. A copy that no commit follows is swept later.
    """
    name = f"part-{uuid.uuid4()}.parquet"
    if isinstance(source, Path) and isinstance(target, Path):
        target.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / file.path, target / name)
    else:
        assert not isinstance(source, Path)  # noqa: S101 - both lie in the same lake
        assert not isinstance(target, Path)  # noqa: S101 - as above
        object_store.copy(source / file.path, target / name)
    told = f'{{"numRecords": {file.rows}}}'
    return PartFile(name=name, bytes=file.bytes, rows=file.rows, statistics=told)


def _commit(table: Folder, layout: Layout, handle: "DeltaTable", change: Swap) -> None:
    from deltalake import Schema
    from deltalake.transaction import AddAction

    if isinstance(table, Path):
        durable.settle([*(table / file.name for file, _ in change.files), table])
    now = int(time.time() * 1000)
    actions = [
        AddAction(
            path=file.name,
            size=file.bytes,
            partition_values=dict(partition),
            modification_time=now,
            data_change=True,
            stats=file.statistics,
        )
        for file, partition in change.files
    ]
    mode: Literal["append", "overwrite"] = "append" if change.replace is None else "overwrite"
    filters = None
    if change.replace is not None:
        column, value = change.replace
        filters = [(column, "=", value)]
    handle.create_write_transaction(
        actions,
        mode,
        Schema.from_arrow(layout.schema),
        partition_by=list(layout.partition_by),
        partition_filters=filters,
        commit_properties=delta_handles.properties(change.transactions, change.metadata),
        post_commithook_properties=delta_handles.no_hooks(),
    )


def _remove(table: Folder, files: Sequence[PartFile]) -> None:
    """Remove files that no commit holds; what cannot be removed now is swept later."""
    live = live_files.Names(table)
    with suppress(ServiceUnavailable):
        for file in files:
            if file.name in live:
                continue
            if isinstance(table, Path):
                (table / file.name).unlink(missing_ok=True)
            else:
                object_store.delete(table / file.name)


def _refuse_older(table: Folder, handle: "DeltaTable") -> None:
    """Raise LakeError for a table that a release before partitions wrote."""
    found = handle.metadata().configuration.get("headframe.format")
    if found != delta_handles.PARTITIONED:
        wanted = f"Headframe table format {delta_handles.PARTITIONED}"
        fix = "Stop the platform and run `headframe upgrade`."
        raise LakeError(delta_handles.problem(table, wanted, f"format {found}", fix))
