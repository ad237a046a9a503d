"""Delta Lake: the only module that reads or writes rows of tables."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from pipelines.adapters.delta import (
    delta_commits,
    delta_handles,
    delta_transactions,
    durable,
    live_files,
    remembered,
)
from pipelines.adapters.delta.delta_commits import (
    Write,
    commit_once,
    compare_and_swap,
    lost,
    marked,
)
from pipelines.adapters.delta.delta_handles import no_hooks, opened, opened_if_exists, properties
from pipelines.adapters.delta.schema_gate import refuse_other_schema
from pipelines.adapters.delta.staged_files import StagedFile, Staging
from pipelines.adapters.delta.typed_batches import typed
from pipelines.adapters.stores import object_store
from pipelines.adapters.stores.object_store import Folder, StoreUrl
from pipelines.errors import CommitLost, ServiceUnavailable

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable


Commit: TypeAlias = delta_commits.Commit


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Rows to append, or to put in place of exactly the rows of condition ``replace``.

    ``transactions`` are what the commit tells beside the one that it is counted by.
    """

    rows: "pa.Table"
    metadata: Mapping[str, object]
    replace: str | None = None
    transactions: Mapping[str, int] = field(default_factory=dict)


def exists(table: Folder) -> bool:
    """Tell whether ``table`` is a Delta table; a log that a kill left without a commit is none."""
    return delta_handles.exists(table)


def version(table: Folder) -> int:
    """Return the newest version of ``table``; -1 when it does not exist."""
    handle = opened_if_exists(table)
    return -1 if handle is None else int(handle.version())


def read(
    table: Folder,
    *,
    columns: Sequence[str] | None = None,
    where: str | None = None,
    at_version: int | None = None,
) -> "pa.Table":
    """Return the rows of ``table`` (at a version), cut by an SQL condition; raises LakeError if absent.

    Column types are those the table was created with. The order of rows is not defined.
    """

    def make() -> "pa.Table":
        reader = read_batches(table, columns=columns, where=where, at_version=at_version)
        with delta_handles.answers(table):
            return reader.read_all()

    if at_version is not None:
        return make()
    what = (read, None if columns is None else tuple(columns), where)
    return remembered.once(table, what, make, keep=remembered.is_small)


def read_batches(
    table: Folder,
    *,
    columns: Sequence[str] | None = None,
    where: str | None = None,
    at_version: int | None = None,
) -> "pa.RecordBatchReader":
    """Return a reader over what ``read`` returns, a batch at a time, for tables of any size."""
    import pyarrow as pa

    handle = opened(table, at_version)
    schema = delta_handles.arrow_schema(handle)
    wanted = schema if columns is None else pa.schema([schema.field(name) for name in columns])
    with delta_handles.answers(table):
        scanned = handle.scan(columns=list(wanted.names), predicate=where)
        found = pa.RecordBatchReader.from_stream(scanned)

    def batches() -> Iterator["pa.RecordBatch"]:
        with delta_handles.answers(table):
            yield from typed(found, wanted)

    return pa.RecordBatchReader.from_batches(wanted, batches())


def schema(table: Folder) -> "pa.Schema":
    """Return the schema of ``table``."""
    return delta_handles.arrow_schema(opened(table))


def files(table: Folder) -> list[str]:
    """Return the paths (in a store: the URLs) of the Parquet files of the newest version."""
    return live_files.paths(table)


def transaction(table: Folder, application: str) -> int | None:
    """Return the last transaction version that ``table`` holds for ``application``."""
    return transaction_versions(table, [application]).get(application)


def transaction_versions(table: Folder, applications: Iterable[str]) -> dict[str, int]:
    """Return the last transaction versions that ``table`` holds, of ``applications`` it holds any for."""
    handle = opened_if_exists(table)
    return delta_transactions.versions(table, handle, set(applications)) if handle else {}


def committed(table: Folder, applications: Iterable[str]) -> set[str]:
    """Return those of ``applications`` for which ``table`` holds a transaction."""
    return set(transaction_versions(table, applications))


def transactions_of(table: Folder, prefix: str) -> dict[str, int]:
    """Return the versions of all transactions of ``table`` that begin with ``prefix``, by name, sorted."""
    handle = opened_if_exists(table)
    return delta_transactions.beginning(table, handle, prefix) if handle else {}


def history(table: Folder, limit: int | None = None) -> list[dict[str, Any]]:
    """Return the commits of ``table``, newest first, each with its metadata and ``version``."""
    handle = opened_if_exists(table)
    if handle is None:
        return []
    with delta_handles.answers(table):
        return list(handle.history(limit))


@contextmanager
def stage(table: Folder, file_schema: "pa.Schema") -> Iterator[Staging]:
    """Lend a place on this machine for files of ``table`` that no reader sees before their commit.

    It is the table's own folder where that is local. Files that were not committed are removed.
    """
    if isinstance(table, Path):
        staging = Staging(table, file_schema)
        try:
            with delta_handles.answers(table):
                yield staging
        finally:
            staging.discard(live_files.Names(table))
        return
    with TemporaryDirectory(prefix="headframe-") as scratch:
        # Messages name a table by its last two folders.
        yield Staging(Path(scratch) / table.parent.name / table.name, file_schema)


def commit_staged(
    table: Folder,
    staged: Sequence[StagedFile],
    *,
    table_schema: "pa.Schema",
    transactions: Mapping[str, int],
    metadata: Mapping[str, object],
) -> Commit:
    """Publish staged files in one commit, at most once per transaction; see ``commit_once``.

    Files without rows are left out, so a commit may carry transactions and metadata alone. To a
    store they are uploaded first; a kill leaves an upload that no reader sees, for maintenance.
    """
    filed = _Filed(table, staged, table_schema)
    commit = commit_once(table, table_schema, transactions, metadata, filed.commit)
    filed.tidy(commit)
    return commit


def replace_all_staged(
    table: Folder,
    staged: Sequence[StagedFile],
    *,
    table_schema: "pa.Schema",
    made_from: int,
    transactions: Mapping[str, int],
    metadata: Mapping[str, object],
) -> Commit:
    """Publish staged files in place of all rows, in one commit that may change the schema.

    ``made_from`` is the ``version`` of the table that they were made from: when another commit
    followed it, CommitLost is raised, for this one would undo it. Transactions of earlier commits
    stay, so those given here must be new. Earlier versions stay readable.
    """
    filed = _Filed(table, staged, table_schema)

    def write(handle: "DeltaTable", carried: Mapping[str, int], told: Mapping[str, object]) -> None:
        if handle.version() != made_from:
            raise CommitLost(lost(table, f"version {handle.version()} after {made_from}"))
        filed.commit(handle, carried, told, mode="overwrite", retries=0)

    commit = commit_once(table, None, transactions, metadata, write)
    filed.tidy(commit)
    return commit


def commit_rows(
    table: Folder,
    rows: "pa.Table",
    *,
    transactions: Mapping[str, int],
    metadata: Mapping[str, object],
    replace: str | None = None,
) -> Commit:
    """Append rows, or replace exactly the rows of condition ``replace``, once per transaction.

    Every new row must satisfy ``replace``. See ``commit_once`` for what counts as done.
    """
    change = Change(rows=rows, metadata=metadata, replace=replace)
    write = partial(_write, change)
    return commit_once(table, rows.schema, transactions, metadata, write)


def commit_next(
    table: Folder,
    table_schema: "pa.Schema",
    sequence: str,
    make: Callable[[int], Change | None],
) -> Commit:
    """Commit what ``make`` says comes after the sequence's current number; None means nothing.

    ``make`` is called again, with the new number, each time another writer was first, so it must
    read whatever it decides by. Numbers start at 0 (nothing yet); the commit takes the next one.
    """

    def attempt(handle: "DeltaTable", mark: str) -> Write | None:
        number = delta_transactions.version(table, handle, sequence)
        change = make(number)
        if change is None:
            return None
        refuse_other_schema(table, change.rows.schema, table_schema)
        carried = {sequence: number + 1, **change.transactions}
        return partial(_write, change, handle, carried, marked(change.metadata, mark))

    return compare_and_swap(table, table_schema, attempt)


def quoted(value: str) -> str:
    """Return ``value`` as an SQL string literal, safe inside a predicate."""
    return "'" + value.replace("'", "''") + "'"


class _Filed:
    """Staged files on their way into one commit of their table."""

    def __init__(
        self, table: Folder, staged: Sequence[StagedFile], table_schema: "pa.Schema"
    ) -> None:
        self._table = table
        self._staged = [file for file in staged if file.rows]
        self._schema = table_schema
        self._uploaded: list[StoreUrl] = []

    def commit(
        self,
        handle: "DeltaTable",
        transactions: Mapping[str, int],
        metadata: Mapping[str, object],
        *,
        mode: Literal["append", "overwrite"] = "append",
        retries: int = delta_handles.DELTA_RETRIES,
    ) -> None:
        """Make the files safe where they are read from, then commit them."""
        from deltalake import Schema
        from deltalake.transaction import AddAction

        self._make_safe()
        actions: list[Any] = [
            AddAction(
                path=file.path.name,
                size=file.path.stat().st_size,
                partition_values={},
                modification_time=int(file.path.stat().st_mtime * 1000),
                data_change=True,
                stats=file.statistics,
            )
            for file in self._staged
        ]
        handle.create_write_transaction(
            actions,
            mode,
            Schema.from_arrow(self._schema),
            commit_properties=properties(transactions, metadata, retries=retries),
            post_commithook_properties=no_hooks(),
        )

    def tidy(self, commit: Commit) -> None:
        """Note what was published; delete what was uploaded for a commit that was done already."""
        if commit.written:
            for file in self._staged:
                file.published.add(file.path.name)
        if commit.written or not self._uploaded:
            return
        live = live_files.Names(self._table)
        # What stays lies where no reader sees it; maintenance sweeps it.
        with suppress(ServiceUnavailable):
            for url in self._uploaded:
                if url.name not in live:
                    object_store.delete(url)

    def _make_safe(self) -> None:
        if isinstance(self._table, Path):
            durable.settle([*(file.path for file in self._staged), self._table])
            return
        for file in self._staged[len(self._uploaded) :]:
            url = self._table / file.path.name
            object_store.put(file.path, url)
            self._uploaded.append(url)


def _write(
    change: Change,
    handle: "DeltaTable",
    transactions: Mapping[str, int],
    metadata: Mapping[str, object],
) -> None:
    from deltalake import write_deltalake

    write_deltalake(
        handle,
        change.rows,
        mode="append" if change.replace is None else "overwrite",
        predicate=change.replace,
        commit_properties=properties(transactions, metadata),
        post_commithook_properties=no_hooks(),
    )
