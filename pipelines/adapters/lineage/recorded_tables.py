"""Recorded tables: the lake as a window was scored from it, whatever came to it since."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.lineage.repeated_rows import repeated_rows
from pipelines.adapters.lineage.taken_files import TakenFiles, taken_files
from pipelines.adapters.settings import Settings
from pipelines.domain.absence import Landed
from pipelines.domain.contract import Table, silver_schema
from pipelines.domain.features import FeatureView, KnownTables
from pipelines.domain.label_rule import lay_out_labels
from pipelines.domain.labels import Label
from pipelines.errors import VersionGone

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True, kw_only=True)
class AsRecorded:
    """Known tables that hold what some versions of silver did, and the files those did not hold yet.

    ``first_known`` says of every file when the first of its rows became known.
    """

    known: KnownTables
    unseen: frozenset[Landed]
    first_known: Mapping[Landed, datetime]

    def unseen_at(self, as_of: datetime) -> frozenset[Landed]:
        """Return the unseen files that would have been seen at ``as_of``."""
        return frozenset(file for file in self.unseen if self._by(file, as_of))

    def saw(self, landed: Iterable[Landed], as_of: datetime) -> bool:
        """Tell whether any of the landed rows' files was seen at ``as_of``."""
        files = {Landed(table=rows.table, sha256=rows.sha256) for rows in landed}
        return any(file not in self.unseen and self._by(file, as_of) for file in files)

    def _by(self, file: Landed, as_of: datetime) -> bool:
        return file in self.first_known and self.first_known[file] <= as_of


class RecordedTables:
    """Known tables at recorded versions of silver, read once for all versions that differ in files.

    Silver only grows between two rewrites (a replay or a reingest), so what a version held is what
    a later one holds without the files taken since. Repeated rows are laid beside what silver
    holds, each under its own file, so that a file can be taken away and its repeats stay.
    """

    def __init__(
        self, settings: Settings, use_case: str, view: FeatureView, label: Label | None
    ) -> None:
        self._settings, self._use_case = settings, use_case
        self._view, self._label = view, label
        self.files: dict[str, TakenFiles] = {
            table.name: taken_files(settings, use_case, table) for table in view.tables
        }
        self._versions: dict[str, int] = {}
        self._known: KnownTables | None = None
        self._first_known: Mapping[Landed, datetime] = {}
        self._gone: dict[tuple[str, int], VersionGone] = {}

    def at(self, recorded: Mapping[str, int]) -> AsRecorded:
        """Return known tables, and which of their files these versions did not hold yet.

        ``recorded`` are versions of silver by table name; a table that is not named counts as it is
        now. Raises VersionGone when one from before a rewrite can no longer be read.
        """
        known = self._loaded(recorded)
        unseen = {
            Landed(table=name, sha256=file.sha256)
            for name, files in self.files.items()
            for file in files.after(recorded.get(name, files.version))
        }
        return AsRecorded(known=known, unseen=frozenset(unseen), first_known=self._first_known)

    def took(self, landed: Iterable[Landed], recorded: Mapping[str, int]) -> bool:
        """Tell whether recorded versions of silver held any file of the landed rows; reads no row."""
        return any(
            (files := self.files[rows.table]).by_sha256[rows.sha256].version
            <= recorded.get(rows.table, files.version)
            for rows in landed
        )

    def _loaded(self, recorded: Mapping[str, int]) -> KnownTables:
        while True:
            wanted = {name: self._version(name, recorded) for name in self.files}
            if self._known is not None and wanted == self._versions:
                return self._known
            self._known = None  # the old ones first: memory
            held: dict[str, pa.Table] = {}
            for table in self._view.tables:
                try:
                    held[table.name] = self._rows(table, wanted[table.name])
                except VersionGone as error:
                    self._gone[table.name, wanted[table.name]] = error
                    break
            else:
                self._known, self._versions = self._laid_out(held), wanted
                self._first_known = self._known.first_known()

    def _version(self, name: str, recorded: Mapping[str, int]) -> int:
        """Return the version to read: one of many windows, else the very one that was recorded.

        The first is removed a week after a rewrite; the other stays where a model was made from it.
        """
        files = self.files[name]
        exact = recorded.get(name, files.version)
        for version in (files.readable_as(exact), exact):
            if (name, version) not in self._gone:
                return version
        raise VersionGone(*self._gone[name, exact].problems)

    def _laid_out(self, held: "Mapping[str, pa.Table]") -> KnownTables:
        known = KnownTables(held, self._view.tables, self._label)
        lay_out_labels(known, self._view.entity, self._label)
        return known

    def _rows(self, table: Table, version: int) -> "pa.Table":
        import pyarrow as pa

        if version < 0:
            return silver_schema(table).empty_table()
        silver = lake.silver(self._settings, self._use_case, table.name)
        rows = delta_tables.read(silver, at_version=version)
        files = self.files[table.name].by_sha256.values()
        taken = [file for file in files if file.version <= version]
        repeats = repeated_rows(self._settings, self._use_case, table, rows, taken)
        return pa.concat_tables([rows, repeats]) if repeats.num_rows else rows


def by_table(use_case: str, tables: Iterable[Table], versions: Mapping[str, int]) -> dict[str, int]:
    """Return versions recorded under ``silver.<use_case>.<table>`` by table name."""
    names = {f"silver.{use_case}.{table.name}": table.name for table in tables}
    return {names[name]: int(version) for name, version in versions.items() if name in names}
