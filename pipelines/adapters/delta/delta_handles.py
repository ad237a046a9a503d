"""Delta handles: opening and creating tables, and what delta-rs needs to be told about each."""

import json
import re
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.adapters.delta import durable
from pipelines.adapters.delta.schema_gate import plain
from pipelines.adapters.stores import object_store
from pipelines.adapters.stores.object_store import Folder, StoreUrl
from pipelines.adapters.stores.store_outages import REQUEST, outage
from pipelines.errors import LakeError, Problem, VersionGone

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import CommitProperties, DeltaTable, PostCommitHookProperties

FORMAT = "1"
"""Value of the table property ``headframe.format`` of tables whose files hold every column."""

PARTITIONED = "2"
"""Its value for tables with partition columns, which are in the log alone."""

PROPERTIES = {"headframe.format": FORMAT, "delta.enableExpiredLogCleanup": "false"}
"""Properties of a new table. By itself delta-rs deletes log entries older than 30 days, and with
them the metadata of stage runs and the versions that models were trained on."""

DEPTH = 3
"""Folders between a table and the lake's own, at most: ``gold/features/<use_case>``."""

DELTA_RETRIES = 50
"""Commit attempts inside delta-rs for appends that do not conflict (its default of 15 was hit)."""


@dataclass(slots=True)
class KeptTable:
    """A table that stays open: its handle, and its transactions up to version ``read_to``.

    ``memory`` is what was made of version ``memory_of``.
    """

    handle: "DeltaTable"
    transactions: Mapping[str, int] = field(default_factory=dict)
    read_to: int = -1
    memory: dict[Hashable, Any] = field(default_factory=dict)
    memory_of: int = -1


_kept: ContextVar[dict[Folder, KeptTable] | None] = ContextVar("kept_tables", default=None)

_SAFE: set[tuple[str, int]] = set()
"""Stores that this process found to keep commits apart."""

GONE = re.compile(r"Object at location (?!\S*_delta_log)\S+\.parquet not found")
"""What delta-rs says of a data file that the log names and that is not there, on a disk and in a store."""

FULL_DISK = ("No space left on device", "os error 28", "Disk quota exceeded")
"""What delta-rs says when a local disk takes no more."""


def exists(table: Folder) -> bool:
    """Tell whether ``table`` is a Delta table; a log that a kill left without a commit is none."""
    from deltalake import DeltaTable

    if kept_table(table) is not None:
        return True
    with answers(table):
        return bool(DeltaTable.is_deltatable(address(table), options(table)))


def opened(table: Folder, at_version: int | None = None) -> "DeltaTable":
    """Return a handle on ``table`` (at a version). Raises LakeError if absent or not ours.

    That of a table that is ``kept`` moves on with the next commit: it is to be used at once.
    """
    handle = opened_if_exists(table, at_version)
    if handle is None:
        fix = "Run the stage that writes it first."
        raise LakeError(problem(table, "a Delta table", "none yet", fix))
    return handle


@contextmanager
def kept() -> Iterator[None]:
    """Open each table once for all that is done inside, and read what was committed since at each look.

    For one thread that is the only writer of its tables, as a replay is: what it holds of a table
    moves on with the next look at it. Nobody may maintain or remove these tables meanwhile.
    """
    token = _kept.set({})
    try:
        yield
    finally:
        _kept.reset(token)


def kept_table(table: Folder) -> KeptTable | None:
    """Return what is kept of a table; None where tables are not ``kept``, or this one was not opened."""
    return (_kept.get() or {}).get(table)


def are_kept() -> bool:
    """Tell whether tables stay open."""
    return _kept.get() is not None


def open_anew(table: Folder) -> None:
    """Open a kept table again, since it has a new checkpoint.

    Each commit through a handle costs 0.3 ms for every entry since the checkpoint it was opened with.
    """
    if (known := kept_table(table)) is not None:
        known.handle = _opened(table, None) or known.handle


def move_on(table: Folder, handle: "DeltaTable") -> None:
    """Bring a handle to the newest version.

    delta-rs lists the log for it, 4 ms after some hundred commits; on a disk the name of the next
    entry tells whether there is one: maintenance alone removes entries, and those of long ago.
    """
    ahead = f"{int(handle.version()) + 1:020}.json"
    if isinstance(table, Path) and not (table / "_delta_log" / ahead).exists():
        return
    with answers(table):
        handle.update_incremental()


def opened_if_exists(table: Folder, at_version: int | None = None) -> "DeltaTable | None":
    """Return a handle on ``table``, None if absent. Raises LakeError for one that is not ours."""
    there = _kept.get()
    if there is not None and (known := there.get(table)) is not None:
        move_on(table, known.handle)
        if at_version in (None, int(known.handle.version())):
            return known.handle
    handle = _opened(table, at_version)
    if there is not None and handle is not None and at_version is None:
        there[table] = KeptTable(handle)
    return handle


def _opened(table: Folder, at_version: int | None) -> "DeltaTable | None":
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError, TableNotFoundError

    try:
        with answers(table):
            handle = DeltaTable(address(table), version=at_version, storage_options=options(table))
    except TableNotFoundError:
        return None
    except DeltaError as error:
        wanted = "a log that can be read" if at_version is None else f"version {at_version}"
        fix = "Ask for a version that the table still has, or restore the folder."
        raise LakeError(problem(table, wanted, str(error).split("\n", 1)[0], fix)) from error
    found = handle.metadata().configuration.get("headframe.format")
    if found not in (FORMAT, PARTITIONED):
        wanted, told = f"Headframe table format {FORMAT} or {PARTITIONED}", f"format {found}"
        fix = "Use the Headframe release that wrote the table, or move the folder away."
        raise LakeError(problem(table, wanted, told, fix))
    return handle


def refuse_unsafe(table: Folder) -> None:
    """Raise SettingsError for a store that would lose commits; each is probed once per process."""
    if isinstance(table, Path):
        return
    store = table.root, object_store.surroundings()
    if store not in _SAFE:
        object_store.refuse_unsafe(table)
        _SAFE.add(store)


def create(table: Folder, table_schema: "pa.Schema", *, partition_by: Sequence[str] = ()) -> None:
    """Create ``table``, unless another writer has just done so."""
    from deltalake import DeltaTable
    from deltalake.exceptions import CommitFailedError

    if isinstance(table, Path):
        table.mkdir(parents=True, exist_ok=True)
    with suppress(CommitFailedError), answers(table):
        DeltaTable.create(
            address(table),
            table_schema,
            mode="ignore",
            partition_by=list(partition_by) or None,
            configuration=PROPERTIES | ({"headframe.format": PARTITIONED} if partition_by else {}),
            raise_if_key_not_exists=False,
            storage_options=options(table),
        )
    if isinstance(table, Path):
        durable.settle_commit(table, 0)
        durable.settle(table.parents[:DEPTH])


def arrow_schema(handle: "DeltaTable") -> "pa.Schema":
    """Return the schema of the table that ``handle`` is on."""
    import pyarrow as pa

    found = pa.schema(handle.schema().to_arrow())
    return pa.schema([pa.field(field.name, plain(field.type)) for field in found])


def properties(
    transactions: Mapping[str, int],
    metadata: Mapping[str, object],
    *,
    retries: int = DELTA_RETRIES,
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
        max_commit_retries=retries,
    )


def no_hooks() -> "PostCommitHookProperties":
    """Return what keeps delta-rs from looking for checkpoints to write and entries to delete."""
    from deltalake import PostCommitHookProperties

    return PostCommitHookProperties(create_checkpoint=False, cleanup_expired_logs=False)


@contextmanager
def answers(table: Folder) -> Iterator[None]:
    """Turn what delta-rs says about a silent store, a full disk or a lost file into our errors.

    Its text about a store is dropped, since it may hold a signed URL.
    """
    from deltalake.exceptions import DeltaError

    try:
        yield
    except (OSError, DeltaError, ValueError) as error:  # Arrow's errors are ValueErrors
        text = str(error)
        if GONE.search(text):
            raise gone(table) from None
        if isinstance(table, StoreUrl) and _is_outage(error, text):
            raise outage(table.root, text) from None
        if isinstance(table, Path) and any(words in text for words in FULL_DISK):
            fix = "Free some space and run the stage again: nothing of it was committed."
            raise LakeError(
                problem(table, "room on the disk for its files", "a full disk", fix)
            ) from error
        raise


def gone(table: Folder) -> VersionGone:
    """Return the error of a version whose data files were removed."""
    wanted = "the data files of the version that is read"
    fix = "What was replaced a week ago, and no model needs, is removed: read a newer version. "
    fix += "Where it is the newest, restore the folder from a backup."
    return VersionGone(problem(table, wanted, "one that is there no more", fix))


def address(table: Folder) -> str:
    """Return the folder as delta-rs takes it. Raises LakeError for a path that it misreads."""
    path = str(table)
    # delta-rs encodes a URL's path twice, so only what needs no encoding is found again.
    misread = (
        {
            sign
            for sign in table.path
            if not (sign.isascii() and (sign.isalnum() or sign in "/._-="))
        }
        if isinstance(table, StoreUrl)
        else set("%*[]") & set(path)
    )
    if misread:
        fix = "Move HEADFRAME_HOME or HEADFRAME_LAKE to a path without these characters."
        wanted = "a path that delta-rs can read"
        raise LakeError(problem(table, wanted, " ".join(sorted(misread)), fix))
    return path


def options(table: Folder) -> dict[str, str] | None:
    """Return delta-rs's options for a store; addresses and credentials it takes from the environment."""
    if isinstance(table, Path):
        return None
    object_store.refuse_no_address()
    return {
        "max_retries": str(object_store.MOST_RETRIES),
        "retry_timeout": f"{object_store.RETRY_SECONDS}s",
    }


def problem(table: Folder, expected: str, found: str, fix: str) -> Problem:
    """Return a problem with ``table``, named by its last two folders."""
    where = f"table {table.parent.name}/{table.name}"
    return Problem(where=where, expected=expected, found=found, fix=fix)


def _is_outage(error: Exception, text: str) -> bool:
    return isinstance(error, OSError) or REQUEST in text
