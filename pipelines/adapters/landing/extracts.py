"""Extracts: what a query or a foreign Delta table newly holds, landed as one immutable file."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pipelines.adapters.landing import extract_files, unchanged_rows
from pipelines.adapters.landing.extract_files import Unfinished
from pipelines.adapters.settings import Settings
from pipelines.adapters.sources import delta_folder
from pipelines.adapters.sources import query as query_source
from pipelines.adapters.stores.object_store import Folder
from pipelines.domain.contract import DeltaFolder, Query, Table
from pipelines.domain.digest import digest_of
from pipelines.domain.header import normal


@dataclass(frozen=True, slots=True, kw_only=True)
class Extracted:
    """What asking a source came to: the extract landed, "" where there was nothing new.

    ``watermark_from`` and ``watermark_to`` are the range it covers, as text: of a query its
    watermark, of a Delta table its versions.
    """

    table: str
    name: str
    rows: int
    watermark_from: str | None
    watermark_to: str | None


@dataclass(frozen=True, slots=True)
class Asked:
    """When a source was last asked, and how many new rows it had then."""

    at: datetime
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """One extract at work: where it lands, and the sidecars of those before it, oldest first."""

    table: Table
    where: str
    folder: Folder
    working: Path
    earlier: Sequence[str]
    last: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """The file to land, what its sidecar tells, and whether it is landed also without rows."""

    file: Unfinished
    low: str | None
    high: str | None
    tells: Mapping[str, object]
    always: bool = False


def extract(
    settings: Settings, use_case: str, table: Table, *, connections: Callable[[str], str]
) -> Extracted:
    """Ask the source of ``table`` for what is new since its last extract, and land it.

    ``connections`` gives the SQLAlchemy URL of a connection's name. What was extracted is known
    from the sidecars of the landed extracts alone, so one that was killed is simply done again:
    no row is lost, none is landed twice. Without new rows nothing is landed, but that the source
    was asked is recorded (``last_asked``). A query that was changed is extracted from its start,
    without the rows that are landed already; then an extract without rows may be landed, which
    records the change.

    Raises DeclarationError, SettingsError, ServiceUnavailable as the source does, and CommitLost
    where another extract of this table is at work.
    """
    folder = settings.landing / use_case / table.name
    spool = settings.root / "extracts" / use_case / table.name
    with extract_files.alone(folder, spool) as working, ExitStack() as unfinished:
        earlier = extract_files.names(folder)
        job = _Job(
            table=table,
            where=f"{use_case}, table {table.name!r}",
            folder=folder,
            working=working,
            earlier=earlier,
            last=extract_files.told(folder, earlier[-1]) if earlier else None,
        )
        found = _ask(job, connections, unfinished)
        rows, name = found.file.rows, ""
        if rows or found.always:
            range_ = {"watermark_from": found.low, "watermark_to": found.high}
            name = extract_files.land(folder, found.file, {**found.tells, **range_, "rows": rows})
        extract_files.note_asked(folder, {"rows": rows, "extract": name})
    return Extracted(
        table=table.name, name=name, rows=rows, watermark_from=found.low, watermark_to=found.high
    )


def last_asked(settings: Settings, use_case: str, table: Table) -> Asked | None:
    """Return when the source of ``table`` was last asked, None if never: no rows is another thing."""
    found = extract_files.asked(settings.landing / use_case / table.name)
    if found is None:
        return None
    return Asked(datetime.fromisoformat(found["asked_at"]), found["rows"])


def _ask(job: _Job, connections: Callable[[str], str], unfinished: ExitStack) -> _Found:
    file = _unfinished(job, unfinished)
    source = job.table.source
    if isinstance(source, Query):
        return _ask_query(job, source, connections(source.connection), file, unfinished)
    if isinstance(source, DeltaFolder):
        changes = delta_folder.extract(source, where=job.where, last=job.last, write=file.write)
        file.finish()
        return _Found(file=file, low=changes.low, high=changes.high, tells=changes.tells)
    raise TypeError("files are delivered, not extracted")


def _ask_query(
    job: _Job, query: Query, url: str, file: Unfinished, unfinished: ExitStack
) -> _Found:
    digest = digest_of([query.connection, query.sql, query.watermark])
    same = job.last is not None and job.last.get("query") == digest
    low = job.last["watermark_to"] if same and job.last else None
    high = query_source.extract(url, query, where=job.where, above=low, write=file.write)
    file.finish()
    read = file.rows
    if query.watermark is None:
        if _is_the_last(job, file.path):
            file = _none_of(file, job, unfinished)
    elif query.overlap is not None or low is None:
        file = _without_known(file, job, query.watermark, unfinished)
    tells = {
        "source": "query",
        "connection": query.connection,
        "query": digest,
        "watermark": query.watermark,
        "rows_left_out": read - file.rows,
    }
    always = query.watermark is not None and job.last is not None and not same
    return _Found(file=file, low=low, high=high, tells=tells, always=always)


def _is_the_last(job: _Job, path: Path) -> bool:
    """Tell whether the whole result is what the last extract holds."""
    if not job.earlier:
        return False
    with extract_files.local(job.folder, job.earlier[-1], job.working) as last:
        return unchanged_rows.same_columns(path, last) and unchanged_rows.same_rows(path, last)


def _without_known(
    file: Unfinished, job: _Job, watermark: str, unfinished: ExitStack
) -> Unfinished:
    """Return the rows of ``file`` without those that earlier extracts hold, unchanged since.

    Only the last extracts count, as far back as they reach up to the lowest watermark of ``file``
    and have its columns: before other columns, everything was something else.
    """
    identity = _identity(job.table, watermark, file.path)
    lowest = unchanged_rows.first_value(file.path, identity[-1])
    with ExitStack() as copies:
        known: list[Path] = []
        for name in reversed(job.earlier):
            if query_source.is_below(extract_files.told(job.folder, name)["watermark_to"], lowest):
                break
            path = copies.enter_context(extract_files.local(job.folder, name, job.working))
            if not unchanged_rows.same_columns(file.path, path):
                break
            known.insert(0, path)
        positions = unchanged_rows.changed(file.path, known, identity)
    if len(positions) == file.rows:
        return file
    kept = _unfinished(job, unfinished)
    unchanged_rows.copy_rows(file.path, positions, kept.write)
    kept.finish()
    return kept


def _identity(table: Table, watermark: str, path: Path) -> list[str]:
    """Return the result's own names of key and watermark; the watermark is last."""
    import pyarrow.parquet as pq

    spelled = {normal(name): name for name in pq.read_schema(path).names}
    key = [name for name in table.key if name in spelled and name != watermark]
    return [*(spelled[name] for name in key), spelled[watermark]]


def _none_of(file: Unfinished, job: _Job, unfinished: ExitStack) -> Unfinished:
    import pyarrow as pa

    kept = _unfinished(job, unfinished)
    unchanged_rows.copy_rows(file.path, pa.array([], pa.int64()), kept.write)
    kept.finish()
    return kept


def _unfinished(job: _Job, unfinished: ExitStack) -> Unfinished:
    file = Unfinished(job.working)
    unfinished.callback(file.discard)
    return file
