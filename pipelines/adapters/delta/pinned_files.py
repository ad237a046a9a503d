"""Pinned files: the Parquet files of one version of a table, read directly and in parts."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.adapters.delta import delta_handles
from pipelines.adapters.stores.object_store import Folder

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from deltalake import DeltaTable

INDIRECT = ("delta.columnMapping.mode", "delta.enableDeletionVectors")
"""Properties of tables whose files do not say themselves which rows and columns are in the table."""

BOUND = timedelta(milliseconds=1)
"""The log may tell a file's last moment cut to whole milliseconds (the Delta protocol's rule)."""

AT_ONCE = 16
"""Files fetched at the same time from a store."""

PARTITION = "partition."
"""Start of the columns in which delta-rs tells a file's partition values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PinnedFile:
    """A data file: its path inside the table's folder, its size, and what its partition says."""

    path: str
    bytes: int
    rows: int
    partition: Mapping[str, str]


def pinned(
    table: Folder, at_version: int | None = None, *, at: tuple[str, datetime] | None = None
) -> list[PinnedFile]:
    """Return the files of a version (the newest without one), in the order of their paths.

    ``at`` names a column and a moment: files whose bounds exclude it are left out. Raises LakeError
    for a table that is absent, or whose files do not hold its rows as they are.
    """
    return of_handle(table, delta_handles.opened(table, at_version), at=at)


def of_handle(
    table: Folder,
    handle: "DeltaTable",
    *,
    at: tuple[str, datetime] | None = None,
    between: tuple[str, datetime, datetime] | None = None,
    partition: tuple[str, str] | None = None,
) -> list[PinnedFile]:
    """Return what ``pinned`` returns, of the version that ``handle`` is on.

    ``between`` names a column, a first and a last moment: files with no moment of it are left out.
    ``partition`` names a partition column and the value that files have to have.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    _refuse_indirect(table, handle)
    asked = (at[0], at[1], at[1]) if at is not None else between
    with delta_handles.answers(table):
        told = pa.table(handle.get_add_actions(flatten=True))
    if partition is not None:
        values = told[PARTITION + partition[0]].cast(pa.string())
        told = told.filter(pc.equal(values, partition[1]))
    bounds = [f"min.{asked[0]}", f"max.{asked[0]}"] if asked is not None else []
    wanted = ("path", "size_bytes", "num_records", *bounds)
    # Of what a table tells of each file, the bounds of all columns are most.
    actions = told.select(
        [name for name in told.column_names if name in wanted or name.startswith(PARTITION)]
    ).to_pylist()
    return [
        PinnedFile(
            path=str(action["path"]),
            bytes=int(action["size_bytes"]),
            rows=int(action["num_records"] or 0),
            partition={
                name.removeprefix(PARTITION): str(value)
                for name, value in action.items()
                if name.startswith(PARTITION)
            },
        )
        for action in sorted(actions, key=lambda found: str(found["path"]))
        if asked is None or _may_hold(action, *asked)
    ]


def rows(table: Folder, paths: Sequence[str], columns: Sequence[str]) -> "pa.Table":
    """Return columns of all rows of files of the newest version, in the order of the files.

    File by file, which on a disk costs half of what delta-rs takes where there are many small ones, and
    for a few of them next to nothing; from a store, AT_ONCE at a time. Types are the table's. Raises
    as ``opened``.
    """
    import pyarrow as pa

    schema = delta_handles.arrow_schema(delta_handles.opened(table))
    wanted = pa.schema([schema.field(name) for name in columns])

    def read(path: str) -> "pa.Table":
        with opened(table, path) as held:
            found = held.read(columns=wanted.names, use_threads=False)
        return found.select(wanted.names).cast(wanted)

    if isinstance(table, Path):
        return pa.concat_tables([wanted.empty_table(), *map(read, paths)])
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return pa.concat_tables([wanted.empty_table(), *pool.map(read, paths)])


@contextmanager
def opened(
    table: Folder, path: str, *, dictionaries: Sequence[str] = ()
) -> Iterator["pq.ParquetFile"]:
    """Lend one file for reading; the columns of ``dictionaries`` come as dictionary codes.

    From a store only what is read is fetched. Raises VersionGone when it is gone, LakeError when it
    is broken.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with delta_handles.answers(table):
        try:
            source = str(table / path) if isinstance(table, Path) else _remote(table, path)
            # Of a file on disk each column is read for itself: its bytes need not all be in memory.
            with pq.ParquetFile(
                source, read_dictionary=list(dictionaries), pre_buffer=not isinstance(source, str)
            ) as found:
                yield found
        except FileNotFoundError as error:
            raise delta_handles.gone(table) from error
        except pa.ArrowInvalid as error:
            fix = "Restore the file from a backup, or make the table's rows anew."
            wanted = f"its data file {path.rpartition('/')[2]}"
            raise _broken(table, wanted, "one that cannot be read", fix) from error


def _remote(table: Folder, path: str) -> Any:  # noqa: ANN401 - untyped library
    """Open an object for random access through delta-rs's own client."""
    from deltalake.fs import DeltaStorageHandler
    from pyarrow.fs import PyFileSystem

    handler = DeltaStorageHandler(delta_handles.address(table), delta_handles.options(table))
    return PyFileSystem(handler).open_input_file(path)


def _may_hold(action: Mapping[str, Any], column: str, first: datetime, last: datetime) -> bool:
    low, high = action.get(f"min.{column}"), action.get(f"max.{column}")
    return (low is None or low <= last) and (high is None or high + BOUND > first)


def _refuse_indirect(table: Folder, handle: "DeltaTable") -> None:
    configuration = handle.metadata().configuration
    found = [name for name in INDIRECT if configuration.get(name, "none") not in ("none", "false")]
    if found:
        fix = "Another program turned it on: rebuild the table with Headframe."
        raise _broken(table, "files that hold its rows as they are", ", ".join(found), fix)


def _broken(table: Folder, expected: str, found: str, fix: str) -> Exception:
    from pipelines.errors import LakeError

    return LakeError(delta_handles.problem(table, expected, found, fix))
