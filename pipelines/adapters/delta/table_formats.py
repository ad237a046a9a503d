"""Table formats: which layout each table was written in, and its migration to this release's."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.adapters.delta import delta_handles, durable, prediction_partitions
from pipelines.adapters.failpoints import failpoint
from pipelines.adapters.stores.object_store import Folder
from pipelines.errors import LakeError, Problem

if TYPE_CHECKING:
    from deltalake import DeltaTable

PROPERTY = "headframe.format"


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One step from a format to the next.

    ``change`` gets a dotted table name and its folder and must be safe to run again after a kill in
    the middle: the format is written after it, in a commit of its own.
    """

    old: str
    new: str
    summary: str
    change: Callable[[str, Folder], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One migration of one table, done or to be done."""

    table: str
    old: str
    new: str
    summary: str

    def describe(self) -> str:
        """Return one line for the terminal."""
        return f"{self.table}: format {self.old} to {self.new}, {self.summary}"


MIGRATIONS = (
    Migration(
        old="1",
        new="2",
        summary="each window of predictions a partition",
        change=prediction_partitions.migrate,
    ),
)
"""Every step there is, oldest format first. A table takes those that lead to its own newest."""


def planned(
    tables: Mapping[str, Folder], migrations: Iterable[Migration] = MIGRATIONS
) -> list[Step]:
    """Return the steps that bring every table to this release's format, in order.

    Raises LakeError, naming every such table, when one has a newer format, none, or one from which
    no step leads here: then nothing may be changed.
    """
    steps_from = {migration.old: migration for migration in migrations}
    steps, problems = [], []
    for name, path in sorted(tables.items()):
        found, newest = format_of(path), newest_format(name)
        reached = found
        while reached != newest and reached in steps_from:
            migration = steps_from[reached]
            steps.append(
                Step(table=name, old=reached, new=migration.new, summary=migration.summary)
            )
            reached = migration.new
        if reached != newest:
            problems.append(_foreign(name, found))
    if problems:
        raise LakeError(*problems)
    return steps


def upgrade(
    tables: Mapping[str, Folder], migrations: Iterable[Migration] = MIGRATIONS
) -> list[Step]:
    """Bring every table to this release's format; return the steps that were done.

    Killed anywhere, it goes on from there when run again. Raises as ``planned``, before any change.
    """
    known = tuple(migrations)
    steps = planned(tables, known)
    changes = {migration.old: migration.change for migration in known}
    for step in steps:
        changes[step.old](step.table, tables[step.table])
        failpoint("upgrade.between_change_and_format")
        path = tables[step.table]
        handle = _opened(path)
        handle.alter.set_table_properties(
            {PROPERTY: step.new},
            raise_if_not_exists=False,  # delta-rs knows only its own properties
            commit_properties=delta_handles.properties(
                {}, {"stage": "upgrade", "from": step.old, "to": step.new}
            ),
            post_commithook_properties=delta_handles.no_hooks(),
        )
        if isinstance(path, Path):
            durable.settle_commit(path, int(handle.version()))
        failpoint("upgrade.after_format")
    return steps


def newest_format(name: str) -> str:
    """Return the format in which this release writes the table of a dotted name."""
    partitioned = name.startswith(prediction_partitions.ZONE)
    return delta_handles.PARTITIONED if partitioned else delta_handles.FORMAT


def format_of(table: Folder) -> str:
    """Return the format that ``table`` says it has; empty when it says none."""
    return str(_opened(table).metadata().configuration.get(PROPERTY, ""))


def _opened(table: Folder) -> "DeltaTable":
    """Open a table of any format."""
    from deltalake import DeltaTable

    return DeltaTable(delta_handles.address(table), storage_options=delta_handles.options(table))


def _foreign(name: str, found: str) -> Problem:
    newest = newest_format(name)
    if found.isdecimal() and int(found) > int(newest):
        told, fix = f"format {found}, which is newer", "Use the Headframe release that wrote it."
    elif found:
        told = f"format {found}, from which no step leads here"
        fix = "Upgrade with the releases in between, one after the other."
    else:
        told, fix = "a table without a format", "It is not Headframe's: move the folder away."
    expected = f"Headframe table format {newest} or an older one"
    return Problem(where=f"table {name}", expected=expected, found=told, fix=fix)
