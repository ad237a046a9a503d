"""Foreign tables: Delta tables that somebody else writes, read and never written."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from pipelines.adapters.delta.schema_gate import plain
from pipelines.errors import DeclarationError, Problem, ServiceUnavailable

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable

READ_RIGHT = ("timestampNtz", "deletionVectors", "v2Checkpoint", "vacuumProtocolCheck")
"""Reader features with which delta-rs 1.6.6 returns the rows as they are: the first two are tested;
the others say how the log is kept and files are removed, nothing about rows."""

MAPPING = "delta.columnMapping.mode"
"""Table property: with another value than 'none', columns have other names in the files."""

LITTLE_AT_ONCE = {"batch_size": 65_536, "batch_readahead": 1, "fragment_readahead": 1}
"""How files are read; pyarrow would otherwise hold 64 batches ahead."""

Write = Callable[["pa.RecordBatch"], None]


@dataclass(frozen=True, slots=True)
class State:
    """A version of a table, and the table's own id: another table has another id."""

    version: int
    table_id: str


@dataclass(frozen=True, slots=True)
class Added:
    """Files that versions up to ``version`` added, all of which that version still holds."""

    version: int
    paths: frozenset[str]


def state(location: str, where: str) -> State:
    """Return the newest state of a table.

    Raises ServiceUnavailable where there is none, DeclarationError for a table that delta-rs would
    not read right.
    """
    handle = _open(location, where)
    return State(int(handle.version()), str(handle.metadata().id))


def additions(location: str, where: str, after: int, until: int) -> list[Added] | str:
    """Return the files that the versions in (``after``, ``until``] added; else why that is not all.

    Rewriting files without changing rows (compaction) adds nothing.
    """
    found: list[Added] = []
    open_paths: set[str] = set()
    for version in range(after + 1, until + 1):
        actions = _actions(location, where, version)
        if actions is None:
            return f"the log of version {version} is gone"
        if kinds := sorted({"metaData", "protocol"} & {kind for kind, _ in actions}):
            return f"version {version} changed the table itself ({', '.join(kinds)})"
        changes = [(kind, told) for kind, told in actions if kind in ("add", "remove")]
        real = [(kind, told) for kind, told in changes if told.get("dataChange", True)]
        if any(kind == "remove" or told.get("deletionVector") for kind, told in real):
            return f"version {version} changed or removed rows"
        gone = {unquote(told["path"]) for kind, told in changes if kind == "remove"}
        if open_paths & gone:  # compacted since: the version before still has the files as added
            found.append(Added(version - 1, frozenset(open_paths)))
            open_paths = set()
        open_paths |= {unquote(told["path"]) for _, told in real}
    if open_paths:
        found.append(Added(until, frozenset(open_paths)))
    return found


def write_added(location: str, where: str, added: Sequence[Added], write: Write) -> bool:
    """Give the rows of added files to ``write``; return False, giving none, where that cannot be.

    A table with deletion vectors is one of those, and one whose files were vacuumed since.
    """
    from deltalake.exceptions import DeltaProtocolError

    chosen = []
    for part in added:
        handle = _open(location, where, part.version)
        with _unavailable(where):
            try:
                found = _files(handle, part.paths)
            except DeltaProtocolError:
                return False
        if found is None:
            return False
        chosen.append((found, _schema(handle)))
    for files, schema in chosen:
        with _unavailable(where):
            _write(files.to_batches(**LITTLE_AT_ONCE), schema, write)
    return True


def write_whole(location: str, where: str, version: int, write: Write) -> None:
    """Give all rows of one version to ``write``, after a batch without rows."""
    import pyarrow as pa

    handle = _open(location, where, version)
    with _unavailable(where):
        _write(pa.RecordBatchReader.from_stream(handle.scan()), _schema(handle), write)


def _open(location: str, where: str, version: int | None = None) -> "DeltaTable":
    from deltalake import DeltaTable

    with _unavailable(where):
        handle = DeltaTable(location, version=version)
    features = {*(handle.protocol().reader_features or ())} - {*READ_RIGHT}
    mapping = handle.metadata().configuration.get(MAPPING, "none")
    if features or mapping != "none":
        told = sorted(features) or [f"columnMapping ({mapping})"]
        raise DeclarationError(
            Problem(
                where=f"{where}, source",
                expected="a Delta table without features that would be read wrong",
                found=", ".join(told),
                fix="Ask its owners for a table without them, or for Parquet files in landing.",
            )
        )
    return handle


def _actions(location: str, where: str, version: int) -> list[tuple[str, dict[str, Any]]] | None:
    """Return the actions of one commit, each with its kind; None where the log was cleaned."""
    import pyarrow.fs as pa_fs
    from deltalake.fs import DeltaStorageHandler

    files = pa_fs.PyFileSystem(DeltaStorageHandler(location))
    with _unavailable(where):
        try:
            with files.open_input_stream(f"_delta_log/{version:020}.json") as stream:
                entry = stream.read()
        except FileNotFoundError:
            return None
    # Of bytes: a text's lines would also end at the separators that a value may hold.
    return [item for line in entry.splitlines() if line for item in json.loads(line).items()]


def _files(handle: "DeltaTable", paths: frozenset[str]) -> Any:  # noqa: ANN401 - pyarrow has no types
    """Return the dataset of just these files of a version; None where one is not there."""
    from pyarrow.dataset import FileSystemDataset

    whole = handle.to_pyarrow_dataset()
    chosen = [part for part in whole.get_fragments() if part.path in paths]
    if len(chosen) < len(paths) or not all(_is_there(part) for part in chosen):
        return None
    return FileSystemDataset(chosen, whole.schema, whole.format, whole.filesystem)


def _is_there(part: Any) -> bool:  # noqa: ANN401 - pyarrow has no types
    """Tell whether a file can be opened, by reading its footer."""
    try:
        part.ensure_complete_metadata()
    except FileNotFoundError:
        return False
    return True


def _schema(handle: "DeltaTable") -> "pa.Schema":
    """Return the table's columns in Arrow's plain types; a scan gives views of texts."""
    import pyarrow as pa

    found = pa.schema(handle.schema().to_arrow())
    return pa.schema([pa.field(field.name, plain(field.type)) for field in found])


def _write(batches: Iterable["pa.RecordBatch"], schema: "pa.Schema", write: Write) -> None:
    import pyarrow as pa

    write(pa.RecordBatch.from_pylist([], schema=schema))
    for batch in batches:
        write(batch.select(schema.names).cast(schema))


@contextmanager
def _unavailable(where: str) -> Iterator[None]:
    """Turn what storage and log say into an error that names neither a path nor an address."""
    from deltalake.exceptions import DeltaError, DeltaProtocolError, TableNotFoundError

    wanted, fix = (
        "a Delta table at its location",
        "See that the location is right and the table there.",
    )
    try:
        yield
    except DeltaProtocolError:
        raise
    except (TableNotFoundError, OSError) as error:
        found = f"none that can be reached ({type(error).__name__})"
        told = Problem(where=f"{where}, source", expected=wanted, found=found, fix=fix)
        raise ServiceUnavailable(told) from error
    except DeltaError as error:
        found = f"one that delta-rs cannot read ({type(error).__name__})"
        told = Problem(where=f"{where}, source", expected=wanted, found=found, fix=fix)
        raise DeclarationError(told) from error
