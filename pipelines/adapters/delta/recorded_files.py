"""Recorded files: what a table's log says of each of its data files, and what the file says itself."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.adapters.delta import delta_handles
from pipelines.adapters.landing import landed_folders
from pipelines.adapters.stores import object_store
from pipelines.adapters.stores.object_store import Folder
from pipelines.domain.contract import KNOWN_AT
from pipelines.errors import Problem

if TYPE_CHECKING:
    import pyarrow.parquet as pq

RESTORE = "Restore the file from a backup, or rebuild the table: `headframe reingest`."


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A data file as the log has it; ``oldest`` and ``newest`` bound known_at where it says so."""

    name: str
    bytes: int
    rows: int
    oldest: datetime | None
    newest: datetime | None


def recorded(table: Folder) -> list[Recorded]:
    """Return the data files of the newest version; raises LakeError when it cannot be opened."""
    import pyarrow as pa

    handle = delta_handles.opened(table)
    with delta_handles.answers(table):
        actions = pa.table(handle.get_add_actions(flatten=True))
    return [
        Recorded(
            name=str(action["path"]),
            bytes=int(action["size_bytes"]),
            rows=int(action["num_records"] or 0),
            oldest=action.get(f"min.{KNOWN_AT}"),
            newest=action.get(f"max.{KNOWN_AT}"),
        )
        for action in actions.to_pylist()
    ]


def problems(table: Folder, files: list[Recorded]) -> Iterator[Problem]:
    """Yield what is wrong with the files: absent, of another size or row count, or out of bounds."""
    import pyarrow as pa

    sizes = _sizes(table)
    for file in files:
        size = sizes.get(file.name)
        if size is None:
            yield _problem(table, "its data file to be there", f"no {file.name}", RESTORE)
            continue
        if size != file.bytes:
            expected, found = f"{file.name} of {file.bytes:,} bytes", f"{size:,} bytes"
            yield _problem(table, expected, found, RESTORE)
        try:
            with landed_folders.local_copy(table / file.name) as path:
                yield from _content_problems(table, file, path)
        except (OSError, pa.ArrowInvalid) as error:
            found = f"one that cannot be read ({type(error).__name__})"
            yield _problem(table, f"{file.name} to be a Parquet file", found, RESTORE)


def _content_problems(table: Folder, file: Recorded, path: Path) -> Iterator[Problem]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as opened:
        if opened.metadata.num_rows != file.rows:
            expected = f"{file.rows:,} rows in {file.name}"
            yield _problem(table, expected, f"{opened.metadata.num_rows:,}", RESTORE)
        low, high = _bounds(opened)
    if low is None or high is None:
        return
    if (file.oldest and low < file.oldest) or (file.newest and high > file.newest):
        expected = f"{KNOWN_AT} of {file.name} within what the log says"
        yield _problem(table, expected, "rows outside, which a reader at a time may miss", RESTORE)


def _bounds(opened: "pq.ParquetFile") -> tuple[datetime | None, datetime | None]:
    """Return the least and the greatest known_at, by its values, a batch at a time."""
    import pyarrow.compute as pc

    low = high = None
    if KNOWN_AT not in opened.schema_arrow.names:
        return None, None
    for batch in opened.iter_batches(columns=[KNOWN_AT]):
        found = pc.min_max(batch.column(0)).as_py()
        if found["min"] is not None:
            low = min(low or found["min"], found["min"])
            high = max(high or found["max"], found["max"])
    return low, high


def _sizes(table: Folder) -> dict[str, int]:
    if isinstance(table, Path):
        return {path.name: path.stat().st_size for path in table.glob("*.parquet")}
    return {listed.name: listed.size for listed in object_store.listing(table)}


def _problem(table: Folder, expected: str, found: str, fix: str) -> Problem:
    return delta_handles.problem(table, expected, found, fix)
