"""Lake audit: that every row that ever landed is where the history of its table says it is."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import TYPE_CHECKING

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables, recorded_files
from pipelines.adapters.delta.commit_entries import Entry, entries
from pipelines.adapters.delta.delta_handles import problem
from pipelines.adapters.settings import Settings
from pipelines.adapters.silver import quarantined
from pipelines.adapters.silver.publishing import application
from pipelines.domain.contract import Table
from pipelines.domain.lineage import NOTHING, Law
from pipelines.errors import Problem

if TYPE_CHECKING:
    import pyarrow as pa

    from pipelines.adapters.stores.object_store import Folder

PART_ROWS = 1 << 21
"""Rows of silver whose names are compared at once: some 100 MB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableAudit:
    """What an audit of one table found: its rows and commits, what is wrong, what is unfinished."""

    table: str
    rows: int
    quarantined: int
    commits: int
    problems: tuple[Problem, ...]
    warnings: tuple[str, ...]

    def describe(self) -> str:
        """Return one line for the terminal."""
        verdict = f"{len(self.problems)} problems" if self.problems else "the law holds"
        return (
            f"{self.table}: {self.rows:,} rows in silver, {self.quarantined:,} in quarantine, "
            f"{self.commits:,} commits: {verdict}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LakeAudit:
    """What an audit of a use case found, table by table."""

    tables: tuple[TableAudit, ...]

    @property
    def problems(self) -> list[Problem]:
        """Everything that is wrong."""
        return [problem for table in self.tables for problem in table.problems]


def audit(settings: Settings, use_case: str, tables: Iterable[Table]) -> LakeAudit:
    """Verify the silver and the quarantine of every table against their whole history.

    Reads the log, the footers and the columns ``known_at``, ``_sha256`` and ``_row`` of all files;
    changes nothing. Memory is bounded whatever the size of silver.
    """
    return LakeAudit(
        tables=tuple(_Audited(settings, use_case, table.name).outcome() for table in tables)
    )


class _Audited:
    """One table while it is looked at."""

    def __init__(self, settings: Settings, use_case: str, table: str) -> None:
        self.name = f"{use_case}.{table}"
        self.table = table
        self.silver = lake.silver(settings, use_case, table)
        self.quarantine = lake.quarantine(settings, use_case, table)
        self.problems: list[Problem] = []
        self.warnings: list[str] = []

    def outcome(self) -> TableAudit:
        """Look at everything; what cannot be told because of one fault is not reported as another."""
        history = list(entries(self.silver))
        aside = list(entries(self.quarantine))
        for entry in history:
            self.problems += self._commit_problems(entry)
        rows = sum(self._files(self.silver))
        quarantined_rows = sum(self._files(self.quarantine))
        begun = max((entry.number for entry in history if entry.stage == "reingest"), default=-1)
        ended = max((entry.number for entry in aside if entry.stage == "reingest"), default=-1)
        whole = not history or history[0].version == 0 or begun >= 0
        if not whole:
            first = history[0].version
            self.warnings.append(
                f"{self.name}: commits before version {first} were removed from the log, so the sum "
                "over its history cannot be verified"
            )
        law = _sum(history, aside, begun)
        if whole and law.accepted != rows:
            expected = f"the {law.accepted:,} rows that its commits accepted"
            self._wrong(self.silver, expected, f"{rows:,}", self._rebuild)
        if begun > ended:
            self._wrong(
                self.quarantine,
                "the rows that a reingest set aside",
                "a reingest that was cut off before it wrote them",
                f"Run `headframe reingest {self.table}` again.",
            )
        elif not self.problems:
            self._names(law if whole else None, rows, quarantined_rows)
        return TableAudit(
            table=self.name,
            rows=rows,
            quarantined=quarantined_rows,
            commits=len(history),
            problems=tuple(self.problems),
            warnings=tuple(self.warnings),
        )

    @property
    def _rebuild(self) -> str:
        return f"Restore the table from a backup, or run `headframe reingest {self.table}`."

    def _commit_problems(self, entry: Entry) -> Iterator[Problem]:
        where = f"version {entry.version}"
        if entry.law is None:
            if entry.added or entry.removed:
                found = f"{entry.added:,} rows added and {entry.removed:,} files removed by {where}"
                expected = "every change of its rows to say where they came from"
                yield problem(self.silver, expected, f"{found}, which does not", self._rebuild)
            return
        try:
            law = Law(**entry.law)
        except (TypeError, ValueError):
            expected = "landed = accepted + repeated + quarantined + unparsed"
            found = f"{entry.law} in {where}"
            yield problem(self.silver, expected, found, self._rebuild)
            return
        if law.accepted != entry.added:
            expected = f"the {law.accepted:,} rows that {where} accepted"
            found = f"{entry.added:,} in the files it added"
            yield problem(self.silver, expected, found, self._rebuild)
        if entry.removed and entry.stage != "reingest":
            expected = f"no files removed by {where}, of stage {entry.stage}"
            yield problem(self.silver, expected, f"{entry.removed:,}", self._rebuild)

    def _files(self, table: "Folder") -> Iterator[int]:
        """Yield the rows of each file, as the log has them, and note what is wrong with it."""
        if not delta_tables.exists(table):
            return
        files = recorded_files.recorded(table)
        self.problems += recorded_files.problems(table, files)
        yield from (file.rows for file in files)

    def _names(self, law: Law | None, rows: int, aside: int) -> None:
        """Look for rows that are there twice, and count those that wait in quarantine."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if twice := _twice(self.silver, rows):
            found = f"{twice:,} there more than once"
            self._wrong(self.silver, "every landed row once", found, self._rebuild)
        named = quarantined.names(self.quarantine)
        if twice := _twice(self.quarantine, aside):
            found = f"{twice:,} there more than once"
            fix = f"Run `headframe reingest {self.table}`."
            self._wrong(self.quarantine, "every quarantined row once", found, fix)
        hashes = pc.unique(named["_sha256"]).to_pylist()
        taken = delta_tables.committed(self.silver, map(application, hashes))
        mine = pa.array([sha for sha in hashes if application(sha) in taken], pa.string())
        finished = named.filter(pc.is_in(named["_sha256"], value_set=mine))
        if waiting := named.num_rows - finished.num_rows:
            files = len(hashes) - len(mine)
            self.warnings.append(
                f"{self.name}: {waiting:,} quarantined rows of {files:,} files that silver has not "
                "taken; the next ingest finishes them"
            )
        both = quarantined.among(finished, self.silver).num_rows
        if both:
            self._wrong(
                self.quarantine,
                "no row of silver",
                f"{both:,} of them, left by a replay that was cut off",
                f"Run `headframe quarantine replay {self.table}`: it takes them out.",
            )
        if law and law.quarantined + law.unparsed != finished.num_rows - both:
            expected = f"the {law.quarantined + law.unparsed:,} rows that were set aside"
            found = f"{finished.num_rows - both:,}"
            self._wrong(self.quarantine, expected, found, self._rebuild)

    def _wrong(self, table: "Folder", expected: str, found: str, fix: str) -> None:
        self.problems.append(problem(table, expected, found, fix))


def _sum(history: Iterable[Entry], aside: Iterable[Entry], begun: int) -> Law:
    """Add the laws since the last reingest; those that do not add up are reported elsewhere."""
    silver: list[Law] = []
    for entry in history:
        if entry.stage == "reingest":
            silver.clear()
        silver += _law(entry)
    repeated = [
        law
        for entry in aside
        if entry.stage == "replay" and entry.number >= begun
        for law in _law(entry)
    ]
    return reduce(add, [*silver, *repeated], NOTHING)


def _law(entry: Entry) -> list[Law]:
    try:
        return [Law(**entry.law)] if entry.law else []
    except (TypeError, ValueError):
        return []


def _twice(table: "Folder", rows: int) -> int:
    """Return how many names more than one row has, looking at a part of the names at a time."""
    import duckdb

    if not rows:
        return 0
    parts, found = rows // PART_ROWS + 1, 0
    with duckdb.connect(":memory:", config={"threads": 1}) as connection:
        for part in range(parts):
            reader: pa.RecordBatchReader = delta_tables.read_batches(
                table, columns=quarantined.NAME
            )
            connection.register("named", reader)
            twice = connection.sql(
                "select 1 from (select hash(_sha256, _row) as name from named) "  # noqa: S608 - numbers
                f"where name % {parts} = {part} group by name having count(*) > 1"
            ).to_arrow_table()
            found += twice.num_rows
    return found
