"""Delta Lake: the only module that reads or writes tables."""

import json
import os
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.errors import CommitLost, LakeError, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa
    from deltalake import CommitProperties, DeltaTable

FORMAT = "1"
"""Value of the table property ``headframe.format`` that this code writes and reads."""

MOST_RACES = 20
"""Races against other writers of one table lost before giving up and letting the task retry."""

DELTA_RETRIES = 50
"""Commit attempts inside delta-rs for appends that do not conflict (its default of 15 was hit)."""


@dataclass(frozen=True, slots=True)
class Commit:
    """The outcome of one commit: the table version it is in, and whether this call wrote it."""

    version: int
    written: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Rows to append, or to put in place of exactly the rows of condition ``replace``."""

    rows: "pa.Table"
    metadata: Mapping[str, object]
    replace: str | None = None


@dataclass(frozen=True, slots=True)
class StagedFile:
    """A Parquet file inside a table's folder that no reader sees until it is committed."""

    path: Path
    rows: int


def exists(table: Path) -> bool:
    """Tell whether ``table`` is a Delta table."""
    return (table / "_delta_log").is_dir()


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
    return [str(uri).removeprefix("file://") for uri in _open(table).file_uris()]


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
def stage(table: Path, file_schema: "pa.Schema") -> "Iterator[Staging]":
    """Write rows to Parquet inside the table's folder, invisible; remove them if not committed."""
    staging = Staging(table, file_schema)
    try:
        yield staging
    finally:
        staging.discard()


class Staging:
    """Staged files of one table; those not committed are removed by ``discard``."""

    def __init__(self, table: Path, file_schema: "pa.Schema") -> None:
        self._table = table
        self._schema = file_schema
        self._files: list[StagedFile] = []

    def write(self, rows: "pa.Table") -> StagedFile:
        """Write one file of rows, whose schema must be the staged schema, and return it."""
        import pyarrow.parquet as pq

        _refuse_other_schema(self._table, rows.schema, self._schema)
        self._table.mkdir(parents=True, exist_ok=True)
        path = self._table / f"part-{uuid.uuid4()}.parquet"
        staged = StagedFile(path, rows.num_rows)
        self._files.append(staged)
        pq.write_table(rows, path, compression="zstd", compression_level=1)
        return staged

    def discard(self) -> None:
        """Remove every staged file that the table's newest version does not hold."""
        if not self._files:
            return
        live = set(files(self._table)) if exists(self._table) else set()
        for staged in self._files:
            if str(staged.path) not in live:
                staged.path.unlink(missing_ok=True)
        self._files.clear()


def commit_staged(
    table: Path,
    staged: Sequence[StagedFile],
    *,
    table_schema: "pa.Schema",
    transactions: Mapping[str, int],
    metadata: Mapping[str, object],
) -> Commit:
    """Publish staged files in one commit, at most once per transaction; see ``_commit_once``."""
    from deltalake import Schema

    def write(handle: "DeltaTable", properties: "CommitProperties") -> None:
        actions = [_add_action(file) for file in staged if file.rows]
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
    from deltalake import write_deltalake

    def write(handle: "DeltaTable", properties: "CommitProperties") -> None:
        if replace is None:
            write_deltalake(handle, rows, mode="append", commit_properties=properties)
        else:
            write_deltalake(
                handle, rows, mode="overwrite", predicate=replace, commit_properties=properties
            )

    return _commit_once(table, rows.schema, transactions, metadata, write)


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
    from deltalake import CommitProperties, Transaction, write_deltalake
    from deltalake.exceptions import CommitFailedError

    _create(table, table_schema)
    for _ in range(MOST_RACES):
        handle = _open(table)
        _refuse_other_schema(table, table_schema, _arrow_schema(handle))
        number = handle.transaction_version(sequence) or 0
        change = make(number)
        if change is None:
            return Commit(int(handle.version()), written=False)
        _refuse_other_schema(table, change.rows.schema, table_schema)
        properties = CommitProperties(
            app_transactions=[Transaction(sequence, number + 1)],
            custom_metadata=_metadata(change.metadata),
            max_commit_retries=DELTA_RETRIES,
        )
        try:
            if change.replace is None:
                write_deltalake(handle, change.rows, mode="append", commit_properties=properties)
            else:
                write_deltalake(
                    handle,
                    change.rows,
                    mode="overwrite",
                    predicate=change.replace,
                    commit_properties=properties,
                )
        except CommitFailedError:
            continue  # another writer was first: decide again on what it left
        return Commit(int(_open(table).version()), written=True)
    raise CommitLost(_lost(table, f"another writer ahead {MOST_RACES} times"))


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
    """Compare and swap: check the transactions on one handle and write with that same handle.

    All transactions already there: nothing is written. Some there: another run took part of the
    work, so CommitLost is raised and the stage starts again from what is left. delta-rs accepts a
    repeated transaction from a fresh handle, so the handle, never the path, is written through.
    """
    from deltalake import CommitProperties, Transaction
    from deltalake.exceptions import CommitFailedError

    _create(table, table_schema)
    properties = CommitProperties(
        app_transactions=[Transaction(name, number) for name, number in transactions.items()],
        custom_metadata=_metadata(metadata),
        max_commit_retries=DELTA_RETRIES,
    )
    for _ in range(MOST_RACES):
        handle = _open(table)
        _refuse_other_schema(table, table_schema, _arrow_schema(handle))
        current = {name: handle.transaction_version(name) for name in transactions}
        done = {name for name, found in current.items() if (found or 0) >= transactions[name]}
        if transactions and len(done) == len(transactions):
            return Commit(int(handle.version()), written=False)
        if done:
            raise CommitLost(_lost(table, f"{len(done)} of its {len(transactions)} transactions"))
        try:
            write(handle, properties)
        except CommitFailedError:
            continue  # another writer was first: look again at what it left to do
        return Commit(int(_open(table).version()), written=True)
    raise CommitLost(_lost(table, f"another writer ahead {MOST_RACES} times"))


def _create(table: Path, table_schema: "pa.Schema") -> None:
    from deltalake import DeltaTable

    if not exists(table):
        table.parent.mkdir(parents=True, exist_ok=True)
        DeltaTable.create(
            str(table),
            table_schema,
            mode="ignore",
            configuration={"headframe.format": FORMAT},
            raise_if_key_not_exists=False,
        )


def _open(table: Path, at_version: int | None = None) -> "DeltaTable":
    from deltalake import DeltaTable

    if not exists(table):
        raise LakeError(
            Problem(
                where=str(table.name),
                expected="a Delta table",
                found="no table yet",
                fix="Run the stage that writes it first.",
            )
        )
    handle = DeltaTable(str(table), version=at_version)
    found = handle.metadata().configuration.get("headframe.format")
    if found != FORMAT:
        raise LakeError(
            Problem(
                where=f"table {table.name}",
                expected=f"Headframe table format {FORMAT}",
                found=f"format {found}",
                fix="Use the Headframe release that wrote the table, or move the folder away.",
            )
        )
    return handle


def _arrow_schema(handle: "DeltaTable") -> "pa.Schema":
    import pyarrow as pa

    found = pa.schema(handle.schema().to_arrow())
    return pa.schema([pa.field(field.name, _plain(field.type)) for field in found])


def _plain(kind: "pa.DataType") -> "pa.DataType":
    """Return a list type with Arrow's own name for its item, so that equal types compare equal."""
    import pyarrow as pa

    return pa.list_(kind.value_type) if pa.types.is_list(kind) else kind


def _refuse_other_schema(table: Path, found: "pa.Schema", expected: "pa.Schema") -> None:
    """Raise LakeError unless names, order and types are equal: delta-rs would cast silently."""
    shape = [(field.name, str(_plain(field.type))) for field in found]
    wanted = [(field.name, str(_plain(field.type))) for field in expected]
    if shape != wanted:
        differing = sorted({name for name, _ in set(shape) ^ set(wanted)}) or ["their order"]
        raise LakeError(
            Problem(
                where=f"table {table.parent.name}/{table.name}",
                expected=f"rows with columns {wanted}",
                found=f"rows that differ in {', '.join(differing)}",
                fix="A contract change needs a new table: rename it, or rebuild it from landing.",
            )
        )


def _add_action(staged: StagedFile) -> Any:  # noqa: ANN401 - untyped library
    from deltalake.transaction import AddAction

    stats = json.dumps({"numRecords": staged.rows, **_bounds(staged.path)}, default=str)
    size = staged.path.stat().st_size
    modified = int(staged.path.stat().st_mtime * 1000)
    return AddAction(os.path.basename(staged.path), size, {}, modified, True, stats)  # noqa: FBT003, PTH119 - library's positional flag


def _bounds(path: Path) -> dict[str, dict[str, object]]:
    """Return the file's minima, maxima and null counts for data skipping, from its footer."""
    import pyarrow.parquet as pq

    metadata = pq.read_metadata(path)
    low: dict[str, Any] = {}
    high: dict[str, Any] = {}
    nulls: dict[str, int] = {}
    for group in range(metadata.num_row_groups):
        for index in range(metadata.num_columns):
            column = metadata.row_group(group).column(index)
            statistics = column.statistics
            name = column.path_in_schema
            if statistics is None or not statistics.has_min_max or name not in ("known_at",):
                continue
            low[name] = min(low.get(name, statistics.min), statistics.min)
            high[name] = max(high.get(name, statistics.max), statistics.max)
            nulls[name] = nulls.get(name, 0) + statistics.null_count
    text = {name: value.isoformat() for name, value in low.items()}
    return {
        "minValues": text,
        "maxValues": {name: value.isoformat() for name, value in high.items()},
        "nullCount": nulls,
    }


def _metadata(values: Mapping[str, object]) -> dict[str, str]:
    """Return commit metadata: every name under ``headframe.``, every value as text or JSON."""
    return {
        f"headframe.{name}": value
        if isinstance(value, str)
        else json.dumps(value, sort_keys=True, default=str)
        for name, value in values.items()
    }


def _lost(table: Path, found: str) -> Problem:
    return Problem(
        where=f"table {table.parent.name}/{table.name}",
        expected="to be the only writer of this work",
        found=found,
        fix="Nothing was lost; run the stage again.",
    )
