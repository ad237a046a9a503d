"""Table upkeep: few large files, no more old versions than needed, and a log that opens the rest."""

import json
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.adapters.delta import delta_handles, durable
from pipelines.adapters.delta.log_files import NAME, log_files
from pipelines.adapters.stores import object_store
from pipelines.adapters.stores.object_store import Folder
from pipelines.errors import LakeError

if TYPE_CHECKING:
    from deltalake import CommitProperties, DeltaTable

TARGET_BYTES = 128 << 20
"""Size that compaction aims at: a file that a reader fetches and decodes in about a second."""

LEAST_SMALL_FILES = 16
"""Fewer small files stay: each compaction may rewrite one large file beside them."""

CHECKPOINT_AFTER = 20
"""Commits since the last checkpoint that are worth a new one; each costs 0.3 ms at every opening."""

ATTEMPTS = 3
"""Tries to get a commit of maintenance in between live writers; the next day tries again."""

PAUSE_SECONDS = 0.2

KEEPS_LOG = {"delta.enableExpiredLogCleanup": "false"}
"""Has every table that this release creates, see ``delta_handles.PROPERTIES``; older ones get it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compacted:
    """Files of the newest version before and after; ``lost`` when live writers came first."""

    before: int
    after: int
    lost: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFile:
    """A data file of one version: its path inside the table's folder, size, and rows if known."""

    path: str
    bytes: int
    rows: int | None


def compact(
    table: Folder,
    *,
    target_bytes: int = TARGET_BYTES,
    least_files: int = LEAST_SMALL_FILES,
    metadata: Mapping[str, str] | None = None,
) -> Compacted:
    """Rewrite the small files of ``table`` into files near ``target_bytes``; its rows stay.

    Nothing is done below ``least_files`` files of less than a quarter of the target, nor where files
    lie in partitions: a commit writes each of those whole, in as few files as it may. A live writer
    is never made to fail: it goes on over a compaction, or this gives up with ``lost``.
    """
    from deltalake import WriterProperties
    from deltalake.exceptions import CommitFailedError

    before = 0
    for attempt in range(ATTEMPTS):
        time.sleep(attempt * PAUSE_SECONDS)
        handle = delta_handles.opened(table)
        sizes = [file.bytes for file in _data_files(handle)]
        before = len(sizes)
        if handle.metadata().partition_columns:
            return Compacted(before=before, after=before)
        if sum(size < target_bytes // 4 for size in sizes) < least_files:
            return Compacted(before=before, after=before)
        try:
            handle.optimize.compact(
                target_size=target_bytes,
                max_concurrent_tasks=1,  # memory: one output file at a time
                writer_properties=WriterProperties(compression="ZSTD", compression_level=1),
                commit_properties=_commit_properties(metadata),
                post_commithook_properties=delta_handles.no_hooks(),
            )
        except CommitFailedError:
            continue  # a live writer replaced what was being rewritten
        _settle(table, handle)
        return Compacted(before=before, after=len(_data_files(handle)))
    return Compacted(before=before, after=before, lost=True)


def keep_log(table: Folder, *, metadata: Mapping[str, str] | None = None) -> bool:
    """Forbid delta-rs to delete log entries of ``table`` by their age; False when writers came first."""
    from deltalake.exceptions import CommitFailedError

    for attempt in range(ATTEMPTS):
        time.sleep(attempt * PAUSE_SECONDS)
        handle = delta_handles.opened(table)
        if KEEPS_LOG.items() <= handle.metadata().configuration.items():
            return True
        try:
            handle.alter.set_table_properties(
                KEEPS_LOG,
                commit_properties=_commit_properties(metadata),
                post_commithook_properties=delta_handles.no_hooks(),
            )
        except CommitFailedError:
            continue
        _settle(table, handle)
        return True
    return False


def checkpoint(table: Folder) -> bool:
    """Write a checkpoint when CHECKPOINT_AFTER commits came since the last; tell whether it did."""
    handle = delta_handles.opened(table)
    if int(handle.version()) - _last_checkpoint(table) < CHECKPOINT_AFTER:
        return False
    with delta_handles.answers(table):
        handle.create_checkpoint()
    if isinstance(table, Path):
        durable.settle_checkpoint(table, int(handle.version()))
    return True


def replaced_files(
    table: Folder, *, keep_versions: Collection[int], retention_hours: int
) -> dict[str, int]:
    """Return the data files that no kept version holds: path inside the table's folder -> bytes.

    Kept are the newest version, ``keep_versions``, what was replaced less than ``retention_hours``
    ago, and files younger than that which no version holds: a live writer's. Raises LakeError when
    a version to keep cannot be opened.
    """
    found = _vacuum(table, keep_versions, retention_hours, metadata=None)
    # delta-rs lists what the log calls removed, also when an earlier vacuum has taken it.
    if isinstance(table, Path):
        return {name: (table / name).stat().st_size for name in found if (table / name).exists()}
    sizes = {listed.name: listed.size for listed in object_store.listing(table)}
    return {name: sizes[name] for name in found if name in sizes}


def vacuum(
    table: Folder,
    *,
    keep_versions: Collection[int],
    retention_hours: int,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Remove what ``replaced_files`` lists. It adds two commits to the log, even with an empty list."""
    _vacuum(table, keep_versions, retention_hours, metadata=metadata or {})


def files_at(table: Folder, version: int) -> list[DataFile]:
    """Return the data files of one version of ``table``; raises LakeError when it cannot be opened."""
    return _data_files(delta_handles.opened(table, version))


def superseded_log(
    table: Path, *, keep_versions: Iterable[int], checkpoints_before: float, entries_before: float
) -> list[Path]:
    """Return log files of ``table`` that opening neither the newest nor a kept version needs.

    To open a version takes the newest checkpoint up to it, and every entry after that. The limits
    are modification times in seconds since 1970; files from then on stay.
    """
    files = log_files(table)
    entries = sorted(version for version, kind, _ in files if kind == "json")
    checkpoints = sorted({version for version, kind, _ in files if kind != "json"})
    if not checkpoints or not entries:
        return []
    newest, hinted = checkpoints[-1], _hinted(table)
    starts = {
        version: max((found for found in checkpoints if found <= version), default=-1)
        for version in {*keep_versions, entries[-1]}
    }

    def is_needed(version: int, kind: str) -> bool:
        if version >= newest:
            return True
        if kind != "json":
            return version == hinted or version in starts.values()
        return version >= hinted >= 0 or any(
            start <= version <= kept for kept, start in starts.items()
        )

    return [
        path
        for version, kind, path in files
        if not is_needed(version, kind)
        and path.stat().st_mtime < (entries_before if kind == "json" else checkpoints_before)
    ]


def _vacuum(
    table: Folder,
    keep_versions: Collection[int],
    retention_hours: int,
    *,
    metadata: Mapping[str, str] | None,
) -> list[str]:
    """Remove files, or only list them when there is no ``metadata`` for a commit."""
    from deltalake.exceptions import DeltaError

    for version in keep_versions:
        delta_handles.opened(table, version)  # raises in our words
    handle = delta_handles.opened(table)
    try:
        found = handle.vacuum(
            retention_hours=retention_hours,
            dry_run=metadata is None,
            enforce_retention_duration=False,  # the stage owns the limit
            full=True,
            keep_versions=sorted(keep_versions) or None,
            commit_properties=_commit_properties(metadata),
            post_commithook_properties=delta_handles.no_hooks(),
        )
    except DeltaError as error:
        wanted = "a folder whose old files can be removed"
        told = str(error).split("\n", 1)[0] if isinstance(table, Path) else type(error).__name__
        fix = "Nothing more was removed; run `headframe maintain` again."
        raise LakeError(delta_handles.problem(table, wanted, told, fix)) from error
    return sorted(str(path) for path in found)


def _last_checkpoint(table: Folder) -> int:
    """Return the version of the newest checkpoint, -1 without one."""
    log = table / "_delta_log"
    names = (
        [path.name for path in log.iterdir()]
        if isinstance(log, Path)
        else [listed.name for listed in object_store.listing(log)]
    )
    matches = [match for name in names if (match := NAME.fullmatch(name))]
    return max((int(match[1]) for match in matches if match[2] != "json"), default=-1)


def _hinted(table: Path) -> int:
    """Return the checkpoint from which readers start to look, -1 without such a hint.

    Two writers can leave an older one than the newest; removing it would shut the table.
    """
    hint = table / "_delta_log" / "_last_checkpoint"
    return int(json.loads(hint.read_text("utf-8"))["version"]) if hint.exists() else -1


def _settle(table: Folder, handle: "DeltaTable") -> None:
    """Return once the commit that ``handle`` made is on a local disk."""
    if isinstance(table, Path):
        durable.settle_commit(table, int(handle.version()))


def _data_files(handle: "DeltaTable") -> list[DataFile]:
    import pyarrow as pa

    added = pa.table(handle.get_add_actions(flatten=True)).to_pylist()
    return [
        DataFile(path=row["path"], bytes=row["size_bytes"], rows=row.get("num_records"))
        for row in added
    ]


def _commit_properties(metadata: Mapping[str, Any] | None) -> "CommitProperties":
    return delta_handles.properties({}, {"stage": "maintain", **(metadata or {})})
