"""Delta Lake: the only module that reads or writes tables."""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from pipelines.adapters.schema_gate import plain, refuse_other_schema
from pipelines.adapters.staged_files import StagedFile, Staging
from pipelines.errors import CommitLost, LakeError, Problem

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import CommitProperties, DeltaTable

FORMAT = "1"
"""Value of the table property ``headframe.format`` that this code writes and reads."""

MOST_RACES = 20
"""Races against other writers of one table lost before giving up and letting the task retry."""

PAUSE_SECONDS = 0.01
"""Pause after the first lost race; it grows by as much with each."""

DELTA_RETRIES = 50
"""Commit attempts inside delta-rs for appends that do not conflict (its default of 15 was hit)."""


@dataclass(frozen=True, slots=True)
class Commit:
    """The outcome of one commit: a table version that holds it, and whether this call wrote it."""

    version: int
    written: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Rows to append, or to put in place of exactly the rows of condition ``replace``."""

    rows: "pa.Table"
    metadata: Mapping[str, object]
    replace: str | None = None


def exists(table: Path) -> bool:
    """Tell whether ``table`` is a Delta table; a log that a kill left without a commit is none."""
    from deltalake import DeltaTable

    return bool(DeltaTable.is_deltatable(_address(table)))


def version(table: Path) -> int:
    """Return the newest version of ``table``; -1 when it does not exist."""
    return int(_open(table).version()) if exists(table) else -1


def read(
    table: Path,
    *,
    columns: Sequence[str] | None = None,
    where: str | None = None,
    at_version: int | None = None,
) -> "pa.Table":
    """Return the rows of ``table`` (at a version), cut by an SQL condition; raises LakeError if absent.

    Column types are those the table was created with. The order of rows is not defined.
    """
    import pyarrow as pa

    handle = _open(table, at_version)
    schema = _arrow_schema(handle)
    wanted = schema if columns is None else pa.schema([schema.field(name) for name in columns])
    batches = handle.scan(columns=list(wanted.names), predicate=where)
    return pa.table(pa.RecordBatchReader.from_stream(batches)).select(wanted.names).cast(wanted)


def schema(table: Path) -> "pa.Schema":
    """Return the schema of ``table``."""
    return _arrow_schema(_open(table))


def files(table: Path) -> list[str]:
    """Return the paths of the Parquet files of the newest version of ``table``."""
    return [unquote(str(uri).removeprefix("file://")) for uri in _open(table).file_uris()]


def transaction(table: Path, application: str) -> int | None:
    """Return the last transaction version that ``table`` holds for ``application``."""
    if not exists(table):
        return None
    found = _open(table).transaction_version(application)
    return None if found is None else int(found)


def committed(table: Path, applications: Iterable[str]) -> set[str]:
    """Return those of ``applications`` for which ``table`` holds a transaction."""
    if not exists(table):
        return set()
    handle = _open(table)
    return {name for name in applications if handle.transaction_version(name) is not None}


def history(table: Path, limit: int | None = None) -> list[dict[str, Any]]:
    """Return the commits of ``table``, newest first, each with its metadata and ``version``."""
    return list(_open(table).history(limit)) if exists(table) else []


@contextmanager
def stage(table: Path, file_schema: "pa.Schema") -> Iterator[Staging]:
    """Write rows to Parquet inside the table's folder, invisible; remove them if not committed."""
    staging = Staging(table, file_schema)
    try:
        yield staging
    finally:
        live = files(table) if exists(table) else []
        staging.discard({Path(file).name for file in live})


def commit_staged(
    table: Path,
    staged: Sequence[StagedFile],
    *,
    table_schema: "pa.Schema",
    transactions: Mapping[str, int],
    metadata: Mapping[str, object],
) -> Commit:
    """Publish staged files in one commit, at most once per transaction; see ``_commit_once``.

    Files without rows are left out, so a commit may carry transactions and metadata alone.
    """
    from deltalake import Schema
    from deltalake.transaction import AddAction

    def write(handle: "DeltaTable", properties: "CommitProperties") -> None:
        actions = [
            AddAction(
                path=file.path.name,
                size=file.path.stat().st_size,
                partition_values={},
                modification_time=int(file.path.stat().st_mtime * 1000),
                data_change=True,
                stats=file.statistics,
            )
            for file in staged
            if file.rows
        ]
        handle.create_write_transaction(
            actions, "append", Schema.from_arrow(table_schema), commit_properties=properties
        )

    return _commit_once(table, table_schema, transactions, metadata, write)


def commit_rows(
    table: Path,
    rows: "pa.Table",
    *,
    transactions: Mapping[str, int],
    metadata: Mapping[str, object],
    replace: str | None = None,
) -> Commit:
    """Append rows, or replace exactly the rows of condition ``replace``, once per transaction.

    Every new row must satisfy ``replace``. See ``_commit_once`` for what counts as done.
    """
    change = Change(rows=rows, metadata=metadata, replace=replace)
    return _commit_once(table, rows.schema, transactions, metadata, partial(_write, change))


def commit_next(
    table: Path,
    table_schema: "pa.Schema",
    sequence: str,
    make: Callable[[int], Change | None],
) -> Commit:
    """Commit what ``make`` says comes after the sequence's current number; None means nothing.

    ``make`` is called again, with the new number, each time another writer was first, so it must
    read whatever it decides by. Numbers start at 0 (nothing yet); the commit takes the next one.
    """

    def attempt(handle: "DeltaTable") -> Callable[[], None] | None:
        number = handle.transaction_version(sequence) or 0
        change = make(number)
        if change is None:
            return None
        refuse_other_schema(table, change.rows.schema, table_schema)
        properties = _properties({sequence: number + 1}, change.metadata)
        return lambda: _write(change, handle, properties)

    return _compare_and_swap(table, table_schema, attempt)


def quoted(value: str) -> str:
    """Return ``value`` as an SQL string literal, safe inside a predicate."""
    return "'" + value.replace("'", "''") + "'"


def _commit_once(
    table: Path,
    table_schema: "pa.Schema",
    transactions: Mapping[str, int],
    metadata: Mapping[str, object],
    write: Callable[["DeltaTable", "CommitProperties"], None],
) -> Commit:
    """Write unless the table holds the transactions already.

    All of them there: nothing is written. Some there: another run took part of the work, so
    CommitLost is raised and the stage starts again from what is left.
    """
    properties = _properties(transactions, metadata)

    def attempt(handle: "DeltaTable") -> Callable[[], None] | None:
        current = {name: handle.transaction_version(name) for name in transactions}
        done = [n for n, found in current.items() if found is not None and found >= transactions[n]]
        if not done:
            return lambda: write(handle, properties)
        if len(done) < len(transactions):
            raise CommitLost(_lost(table, f"{len(done)} of its {len(transactions)} transactions"))
        return None

    return _compare_and_swap(table, table_schema, attempt)


def _compare_and_swap(
    table: Path,
    table_schema: "pa.Schema",
    attempt: Callable[["DeltaTable"], Callable[[], None] | None],
) -> Commit:
    """Ask ``attempt`` what to write after looking at a handle, and write it with that same handle.

    delta-rs accepts a repeated transaction from a fresh handle, but refuses it from one that was
    opened before the other commit: the handle, never the path, is written through.
    """
    from deltalake.exceptions import CommitFailedError

    _create(table, table_schema)
    lost: CommitFailedError | None = None
    for race in range(MOST_RACES):
        time.sleep(race * PAUSE_SECONDS)
        handle = _open(table)
        refuse_other_schema(table, table_schema, _arrow_schema(handle))
        write = attempt(handle)
        if write is None:
            return Commit(int(handle.version()), written=False)
        try:
            write()
        except CommitFailedError as error:
            lost = error  # another writer was first: look again at what it left to do
            continue
        return Commit(int(_open(table).version()), written=True)
    raise CommitLost(_lost(table, f"another writer ahead {MOST_RACES} times")) from lost


def _write(change: Change, handle: "DeltaTable", properties: "CommitProperties") -> None:
    from deltalake import write_deltalake

    mode: Any = "append" if change.replace is None else "overwrite"
    write_deltalake(
        handle, change.rows, mode=mode, predicate=change.replace, commit_properties=properties
    )


def _properties(
    transactions: Mapping[str, int], metadata: Mapping[str, object]
) -> "CommitProperties":
    """Return what a commit carries: its transactions and its metadata, named ``headframe.*``."""
    from deltalake import CommitProperties, Transaction

    values = {
        name: value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)
        for name, value in metadata.items()
    }
    return CommitProperties(
        app_transactions=[Transaction(name, number) for name, number in transactions.items()],
        custom_metadata={f"headframe.{name}": value for name, value in values.items()},
        max_commit_retries=DELTA_RETRIES,
    )


def _create(table: Path, table_schema: "pa.Schema") -> None:
    from deltalake import DeltaTable
    from deltalake.exceptions import CommitFailedError

    if exists(table):
        return
    table.mkdir(parents=True, exist_ok=True)
    # Another writer may create it at the same moment: then this one's attempt fails, and is done.
    with suppress(CommitFailedError):
        DeltaTable.create(
            _address(table),
            table_schema,
            mode="ignore",
            configuration={"headframe.format": FORMAT},
            raise_if_key_not_exists=False,
        )


def _open(table: Path, at_version: int | None = None) -> "DeltaTable":
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError

    if not exists(table):
        raise LakeError(
            _problem(table, "a Delta table", "none yet", "Run the stage that writes it first.")
        )
    try:
        handle = DeltaTable(_address(table), version=at_version)
    except DeltaError as error:
        wanted = "a log that can be read" if at_version is None else f"version {at_version}"
        fix = "Ask for a version that `headframe history` lists, or restore the folder."
        raise LakeError(_problem(table, wanted, str(error).split("\n", 1)[0], fix)) from error
    found = handle.metadata().configuration.get("headframe.format")
    if found != FORMAT:
        wanted, told = f"Headframe table format {FORMAT}", f"format {found}"
        fix = "Use the Headframe release that wrote the table, or move the folder away."
        raise LakeError(_problem(table, wanted, told, fix))
    return handle


def _arrow_schema(handle: "DeltaTable") -> "pa.Schema":
    import pyarrow as pa

    found = pa.schema(handle.schema().to_arrow())
    return pa.schema([pa.field(field.name, plain(field.type)) for field in found])


def _address(table: Path) -> str:
    """Return the folder as delta-rs takes it. Raises LakeError for a path that it misreads."""
    if misread := " ".join(sorted(set("%*[]") & set(str(table)))):
        fix = "Move HEADFRAME_HOME to a path without these characters."
        raise LakeError(_problem(table, "a path that delta-rs can read", misread, fix))
    return str(table)


def _lost(table: Path, found: str) -> Problem:
    fix = "Nothing was lost; run the stage again."
    return _problem(table, "to be the only writer of this work", found, fix)


def _problem(table: Path, expected: str, found: str, fix: str) -> Problem:
    where = f"table {table.parent.name}/{table.name}"
    return Problem(where=where, expected=expected, found=found, fix=fix)
