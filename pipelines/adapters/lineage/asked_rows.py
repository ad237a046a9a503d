"""Asked rows: the landed rows that a file's name, or one version of a table, stands for."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.landing import seen_files
from pipelines.adapters.lineage.taken_files import TakenFile, TakenFiles
from pipelines.adapters.settings import Settings
from pipelines.domain.absence import Landed
from pipelines.domain.contract import Table
from pipelines.errors import Problem, SettingsError

MOST_NEAR = 3
"""Names that an error offers instead of one that is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedRows:
    """Landed rows, and the files they came in; a file whose every row was set aside has none."""

    landed: frozenset[Landed]
    files: tuple[TakenFile, ...]


def rows_of_files(
    settings: Settings, use_case: str, taken: Sequence[TakenFiles], names: Sequence[str]
) -> AskedRows:
    """Return the rows of landed files, named as below the use case's landing folder.

    A name whose bytes were taken under another one stands for those. A file that is landed and not
    taken has no rows. Raises SettingsError, with the nearest names, for what never was landed.
    """
    folder = settings.landing / use_case
    told = [_short(name, str(folder), use_case) for name in names]
    index = lake.ledger(settings, "landed_files")
    seen = seen_files.recorded(index, use_case, folder, frozenset(told))
    by_name = {file.name: file.sha256 for table in taken for file in table.by_sha256.values()}
    problems = []
    found: dict[tuple[str, str], TakenFile] = {}
    for name in told:
        if name not in by_name and name not in seen:
            problems.append(_no_file(name, [*by_name]))
            continue
        sha256 = by_name[name] if name in by_name else seen[name].sha256
        for table in taken:
            if sha256 in table.by_sha256:
                found[table.table, sha256] = table.by_sha256[sha256]
    if problems:
        raise SettingsError(*problems)
    return AskedRows(
        landed=frozenset(Landed(table=table, sha256=sha256) for table, sha256 in found),
        files=tuple(found.values()),
    )


def rows_of_version(
    settings: Settings, use_case: str, table: Table, taken: TakenFiles, version: int
) -> AskedRows:
    """Return the rows that one commit of silver brought: those of its files, or that it replayed.

    A commit that only compacted brought none. Raises SettingsError for a version that is none, and
    for a reingest, which replaces rows: without them there would be others.
    """
    silver = lake.silver(settings, use_case, table.name)
    commits = {int(commit["version"]): commit for commit in delta_tables.history(silver)}
    where = f"silver.{use_case}.{table.name}"
    if version not in commits:
        versions = f"a version from {min(commits)} to {max(commits)}" if commits else "a table"
        raise SettingsError(
            Problem(
                where=where,
                expected=versions,
                found=str(version) if commits else "none yet",
                fix="Correct --version.",
            )
        )
    stage = commits[version].get("headframe.stage")
    if stage == "reingest":
        raise SettingsError(
            Problem(
                where=f"{where}, version {version}",
                expected="a commit that brought rows",
                found="a reingest, which put rows in place of others",
                fix="Ask for the files it read again, with --file.",
            )
        )
    if stage == "replay":
        return _replayed(settings, use_case, table, taken, version)
    files = tuple(file for file in taken.by_sha256.values() if file.version == version)
    landed = frozenset(Landed(table=table.name, sha256=file.sha256) for file in files)
    return AskedRows(landed=landed, files=files)


def _replayed(
    settings: Settings, use_case: str, table: Table, taken: TakenFiles, version: int
) -> AskedRows:
    """Return the rows that a version has and the one before has not."""
    silver = lake.silver(settings, use_case, table.name)
    after, before = (
        {
            (row["_sha256"], row["_row"])
            for row in delta_tables.read(
                silver, columns=["_sha256", "_row"], at_version=number
            ).to_pylist()
        }
        for number in (version, version - 1)
    )
    brought = after - before
    return AskedRows(
        landed=frozenset(
            Landed(table=table.name, sha256=sha256, row=row) for sha256, row in brought
        ),
        files=tuple(taken.by_sha256[sha256] for sha256 in sorted({sha for sha, _ in brought})),
    )


def _short(name: str, folder: str, use_case: str) -> str:
    """Return a name as landing records it, without the folders before it."""
    for start in (f"{folder}/", f"landing/{use_case}/", f"{use_case}/", "./"):
        name = name.removeprefix(start)
    return name


def _no_file(name: str, names: Sequence[str]) -> Problem:
    near = difflib.get_close_matches(name, names, n=MOST_NEAR, cutoff=0.5)
    hint = f"; near are {', '.join(near)}" if near else ""
    return Problem(
        where="--file",
        expected="a file below the use case's landing folder that was seen there",
        found=f"{name!r}{hint}",
        fix="Correct the name, such as arrivals/2013-04-01.csv.gz.",
    )
