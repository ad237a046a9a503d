"""Maintain: compact every table, remove what no version needs, and report what was found."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables, leftovers, table_upkeep
from pipelines.adapters.delta.leftovers import Leftover
from pipelines.adapters.delta.table_upkeep import Compacted
from pipelines.adapters.failpoints import failpoint
from pipelines.adapters.models import data_pins, study_journals
from pipelines.adapters.platform import cost_ledger
from pipelines.adapters.settings import Settings
from pipelines.adapters.stores import object_store
from pipelines.adapters.stores.object_store import Folder
from pipelines.errors import HeadframeError, LakeError, Problem

NOT_IN_A_STORE = (
    "The lake is in an object store: log files stay, and what killed writers left is removed with "
    "the old data files. A bucket rule should end unfinished uploads."
)
"""What maintenance leaves to the store; said in each report."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long what nobody reads any more is kept."""

    files_hours: int = 168
    """Data files that were replaced, and files that no version holds: longer than the longest run."""

    staging_hours: int = 24
    """Half-written files of writers that were killed."""

    log_days: int | None = None
    """Log entries that no kept version needs; None keeps all: they are the record of stage runs."""

    study_days: int = 30
    """Journals of searches whose candidate is registered: the run keeps their trials."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """Files that were removed (or would be), and their bytes."""

    files: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TableMaintained:
    """What was done to one table, and what was not done, with the reason."""

    table: str
    compacted: Compacted
    data: Removed
    log: Removed
    staging: Removed
    pinned: tuple[int, ...]
    problems: tuple[str, ...]

    @property
    def removed_bytes(self) -> int:
        """Bytes of everything that was removed."""
        return self.data.bytes + self.log.bytes + self.staging.bytes

    def describe(self) -> str:
        """Return one line for the log and the terminal."""
        done = [
            f"{removed.files:,} {what} ({removed.bytes:,} bytes) removed"
            for what, removed in (
                ("data files", self.data),
                ("log files", self.log),
                ("unfinished files", self.staging),
            )
            if removed.files
        ]
        if self.compacted.before != self.compacted.after:
            done.insert(0, f"{self.compacted.before:,} files became {self.compacted.after:,}")
        if self.compacted.lost:
            done.insert(0, "compaction gave way to live writers")
        if self.pinned:
            done.append(f"versions {', '.join(map(str, self.pinned))} kept for models")
        return f"{self.table}: {'; '.join([*done, *self.problems]) or 'nothing to do'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Maintained:
    """What maintenance did to each table, what lies in the lake without a table, and what failed."""

    tables: tuple[TableMaintained, ...]
    orphans: tuple[Leftover, ...]
    studies: Removed
    notes: tuple[str, ...]
    dry_run: bool

    @property
    def removed_bytes(self) -> int:
        """Bytes of everything that was removed."""
        return sum(table.removed_bytes for table in self.tables) + self.studies.bytes

    @property
    def problems(self) -> tuple[str, ...]:
        """What could not be done, each with its table."""
        return tuple(
            f"{table.table}: {problem}" for table in self.tables for problem in table.problems
        )

    def describe(self) -> str:
        """Return the report: a line per table and orphan, and the sum."""
        lines = ["Dry run: nothing was changed."] if self.dry_run else []
        lines += [table.describe() for table in self.tables]
        if self.studies.files:
            lines.append(
                f"studies: {self.studies.files:,} files ({self.studies.bytes:,} bytes) of searches "
                "that came to a candidate removed"
            )
        lines += self.notes
        lines += [f"no table's: {found.path}, {found.bytes:,} bytes" for found in self.orphans]
        lines.append(
            f"{len(self.tables):,} tables, {self.removed_bytes:,} bytes removed, "
            f"{sum(found.bytes for found in self.orphans):,} bytes of no table, "
            f"{len(self.problems)} problems"
        )
        return "\n".join(lines)


def maintain(
    settings: Settings,
    *,
    now: datetime,
    run: str,
    retention: Retention | None = None,
    dry_run: bool = False,
) -> Maintained:
    """Maintain every table; one that cannot be is named in the result and holds back no other.

    A second run finds nothing left to do, and finishes what a killed one began. Raises LakeError or
    ServiceUnavailable when it is not known which versions the registered models need.
    """
    kept = retention or Retention()
    pins = data_pins.pinned_versions(settings)
    notes = [] if isinstance(settings.lake, Path) else [NOT_IN_A_STORE]
    try:
        if not dry_run:
            cost_ledger.fold(settings, run=run)
    except HeadframeError as error:
        notes.append(f"what stages cost waits for the next run: {error}")
    paths = {
        name: path for name, path in lake.table_paths(settings).items() if delta_tables.exists(path)
    }
    tables = [
        _Table(
            name=name,
            path=path,
            pinned=tuple(sorted(pins.get(name, ()))),
            holds_another=any(_is_inside(other, path) for other in paths.values()),
        ).maintained(kept, now=now, run=run, dry_run=dry_run)
        for name, path in paths.items()
    ]
    return Maintained(
        tables=tuple(tables),
        orphans=_orphans(settings.lake, paths.values()),
        studies=_removed(
            study_journals.ended(
                settings, before=(now - timedelta(days=kept.study_days)).timestamp()
            ),
            dry_run=dry_run,
        ),
        notes=tuple(notes),
        dry_run=dry_run,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    """One table of the lake, and the versions of it that models need."""

    name: str
    path: Folder
    pinned: tuple[int, ...]
    holds_another: bool

    def maintained(
        self, kept: Retention, *, now: datetime, run: str, dry_run: bool
    ) -> TableMaintained:
        """Do the steps in an order in which a kill after any leaves the table whole."""
        compacted = Compacted(before=0, after=0)
        data = log = staging = Removed()
        problems = []
        try:
            files = table_upkeep.files_at(self.path, delta_tables.version(self.path))
            compacted = Compacted(before=len(files), after=len(files))
            if not dry_run:
                compacted = self._rewritten(run)
            data = self._vacuumed(kept, run=run, dry_run=dry_run)
            failpoint("maintain.after_vacuum")
            if isinstance(self.path, Path):
                log = self._log_cleaned(self.path, kept, now=now, dry_run=dry_run)
                failpoint("maintain.after_log")
                before = (now - timedelta(hours=kept.staging_hours)).timestamp()
                staging = _removed(leftovers.staging(self.path, before=before), dry_run=dry_run)
        except HeadframeError as error:
            problems = [str(problem) for problem in error.problems]
        return TableMaintained(
            table=self.name,
            compacted=compacted,
            data=data,
            log=log,
            staging=staging,
            pinned=self.pinned,
            problems=tuple(problems),
        )

    def _rewritten(self, run: str) -> Compacted:
        metadata = {"run": run}
        keeps_log = table_upkeep.keep_log(self.path, metadata=metadata)
        compacted = table_upkeep.compact(self.path, metadata=metadata)
        failpoint("maintain.after_compact")
        if keeps_log:  # else delta-rs would take old entries away with a checkpoint
            table_upkeep.checkpoint(self.path)
        failpoint("maintain.after_checkpoint")
        return compacted

    def _vacuumed(self, kept: Retention, *, run: str, dry_run: bool) -> Removed:
        """Remove old data files, whose bytes are counted before they go."""
        versions, hours = self.pinned, kept.files_hours
        found = table_upkeep.replaced_files(
            self.path, keep_versions=versions, retention_hours=hours
        )
        if found and self.holds_another:
            raise LakeError(
                Problem(
                    where=f"table {self.name}",
                    expected="a folder of its own",
                    found="another table inside it, whose files are not this table's",
                    fix="Move the inner table away; until then nothing is removed here.",
                )
            )
        if found and not dry_run:
            table_upkeep.vacuum(
                self.path, keep_versions=versions, retention_hours=hours, metadata={"run": run}
            )
        return Removed(files=len(found), bytes=sum(found.values()))

    def _log_cleaned(self, path: Path, kept: Retention, *, now: datetime, dry_run: bool) -> Removed:
        checkpoints = now - timedelta(hours=kept.files_hours)
        entries = None if kept.log_days is None else now - timedelta(days=kept.log_days)
        old = table_upkeep.superseded_log(
            path,
            keep_versions=self.pinned,
            checkpoints_before=checkpoints.timestamp(),
            entries_before=entries.timestamp() if entries else 0,
        )
        return _removed(old, dry_run=dry_run)


def _is_inside(inner: Folder, outer: Folder) -> bool:
    return len(inner.parts) > len(outer.parts) and inner.parts[: len(outer.parts)] == outer.parts


def _orphans(lake_folder: Folder, tables: Collection[Folder]) -> tuple[Leftover, ...]:
    if isinstance(lake_folder, Path):
        local = [table for table in tables if isinstance(table, Path)]
        return tuple(leftovers.orphans(lake_folder, local))
    inside = [f"{table.relative_to(lake_folder)}/" for table in tables]  # type: ignore[arg-type]  # one store
    return tuple(
        Leftover(found.name, found.size)
        for found in object_store.listing(lake_folder)
        if not found.name.startswith(tuple(inside))
    )


def _removed(paths: list[Path], *, dry_run: bool) -> Removed:
    if dry_run:
        return Removed(files=len(paths), bytes=sum(path.stat().st_size for path in paths))
    return Removed(files=len(paths), bytes=leftovers.remove(paths))
