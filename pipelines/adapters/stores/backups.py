"""Backups: a consistent copy of a live home, checked, that is a home itself."""

import json
import os
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import unquote

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables, table_upkeep
from pipelines.adapters.delta.log_files import log_files
from pipelines.adapters.delta.table_upkeep import DataFile
from pipelines.adapters.failpoints import failpoint
from pipelines.adapters.models import data_pins, decisions
from pipelines.adapters.settings import Settings
from pipelines.adapters.stores import plain_copies
from pipelines.adapters.stores.whole_files import write_whole
from pipelines.errors import CommitLost, LakeError, PlatformError, Problem

UNFINISHED = "backup.unfinished"
"""File in a destination whose copy did not come to its end."""

MANIFEST = "backup.json"
"""File in a finished copy: when it was taken, and what of each table it holds."""

LEFT_OUT = (
    "lake", "landing", "run", "environments", "airflow/logs", "airflow/bundles",
    "airflow/airflow.cfg", "replays",
)  # fmt: skip
"""Not copied with the home's other files: copied another way, made anew by each start, or, as what was
replayed of history, by the same command. Their links would become copies of silver."""

MLFLOW_PATHS = {
    "experiments": ("artifact_location",),
    "runs": ("artifact_uri",),
    "logged_models": ("artifact_location",),
    "model_versions": ("source", "storage_location"),
}
"""Table -> columns in which MLflow's database names the place of artifacts."""

TRIES = 5
"""Copies of MLflow's database until no decision was made meanwhile; decisions are minutes apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableCopy:
    """One table in the copy: its version, rows and files, and older versions kept for models."""

    version: int
    rows: int
    files: int
    bytes: int
    pinned: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """What a copy holds, and what it does not."""

    taken_at: str
    tables: Mapping[str, TableCopy]
    decisions: int
    other_files: int
    other_bytes: int
    left_out: tuple[str, ...]

    def describe(self) -> str:
        """Return the report: the sums, and a line for each thing that is not in the copy."""
        tables = self.tables.values()
        lines = [
            f"{len(tables):,} tables, {sum(table.rows for table in tables):,} rows, "
            f"{sum(table.bytes for table in tables) + self.other_bytes:,} bytes; "
            f"{self.decisions:,} decisions, {self.other_files:,} other files; every file read back"
        ]
        return "\n".join([*lines, *(f"not in the copy: {what}" for what in self.left_out)])


def backup(settings: Settings, destination: Path, *, now: datetime) -> Backup:
    """Copy the home to ``destination``, which must be empty or absent, while writers go on.

    The copy is a home: each table at one version with all its files, the versions that models need,
    and MLflow's places named as they are there. Raises PlatformError or LakeError when it cannot be
    made or does not check; what was written by then is marked as unfinished.
    """
    destination = destination.absolute()
    _refuse_place(settings, destination)
    write_whole(
        destination / UNFINISHED, "headframe backup did not finish here: delete the folder\n"
    )
    copy = settings.model_copy(
        update={
            "home": destination, "lake_folder": "", "landing_folder": "",
            "mlflow": "" if settings.mlflow_is_embedded else settings.mlflow,
        }
    )  # fmt: skip
    decided = _copy_registry(settings, copy)
    failpoint("backup.after_registry")
    pins = data_pins.pinned_versions(copy)
    tables = {}
    for name, path in sorted(_local_tables(settings).items()):
        newest = decided if name == "ledger.decisions" else delta_tables.version(path)
        target = destination / "lake" / Path(*name.split("."))
        tables[name] = _copy_table(path, target, newest, pins.get(name, set()))
        failpoint("backup.after_table")
    files, total, changing = _copy_others(settings, destination)
    result = Backup(
        taken_at=now.isoformat(),
        tables=tables,
        decisions=len(decisions.read_all(copy)),
        other_files=files,
        other_bytes=total,
        left_out=(*_elsewhere(settings), *changing),
    )
    content = json.dumps(asdict(result), indent=2)
    write_whole(destination / MANIFEST, content + "\n")
    os.sync()
    (destination / UNFINISHED).unlink()
    return result


def _refuse_place(settings: Settings, destination: Path) -> None:
    if not settings.root.is_dir():
        raise PlatformError(
            _problem("HEADFRAME_HOME", "a home to copy", "no folder", "Correct the setting.")
        )
    found = ""
    if destination.resolve().is_relative_to(settings.root.resolve()):
        found = "a folder inside the home that is to be copied"
    elif destination.exists() and not destination.is_dir():
        found = "a file"
    elif (destination / UNFINISHED).exists():
        found = "a copy that did not finish"
    elif destination.exists() and any(destination.iterdir()):
        found = "a folder that holds something"
    if found:
        raise PlatformError(
            _problem("the destination", "an empty or absent folder", found, "Name another folder.")
        )
    destination.mkdir(parents=True, exist_ok=True)
    destination.chmod(0o700)


def _copy_registry(settings: Settings, copy: Settings) -> int:
    """Copy MLflow's database at a moment without a decision; return the ledger's version then.

    A promotion writes ledger, alias, ledger: copies of both from different moments would disagree.
    """
    ledger = lake.ledger(settings, "decisions")
    source = _mlflow_database(settings)
    if source is None:
        return delta_tables.version(ledger)
    target = copy.root / "mlflow" / "mlflow.db"
    for _ in range(TRIES):
        before = delta_tables.version(ledger)
        target.unlink(missing_ok=True)
        plain_copies.copy_database(source, target)
        if delta_tables.version(ledger) == before:
            _rename_places(target, settings.mlflow_artifacts, copy.mlflow_artifacts)
            return before
    raise CommitLost(
        _problem(
            "the decisions ledger",
            "a moment without a decision",
            f"decisions during {TRIES} copies of MLflow's database",
            "Run `headframe backup` again.",
        )
    )


def _rename_places(database: Path, old: Path, new: Path) -> None:
    """Make MLflow's database name the artifacts of the copy, not those of the source."""
    with closing(sqlite3.connect(database)) as connection:
        for table, columns in MLFLOW_PATHS.items():
            for column in columns:
                for was, will in ((str(old), str(new)), (old.as_uri(), new.as_uri())):
                    # Names come from MLFLOW_PATHS alone.
                    statement = (
                        f"update {table} set {column} = ? || substr({column}, ?) "  # noqa: S608
                        f"where {column} = ? or substr({column}, 1, ?) = ?"
                    )
                    inside = f"{was}/"
                    connection.execute(statement, (will, len(was) + 1, was, len(inside), inside))
        connection.commit()


def _mlflow_database(settings: Settings) -> Path | None:
    """Return the SQLite file of the embedded MLflow, if there is one."""
    prefix = data_pins.SQLITE
    file = settings.root / "mlflow" / "mlflow.db"
    if settings.mlflow_uri.startswith(prefix):
        file = Path(settings.mlflow_uri.removeprefix(prefix))
    return file if settings.mlflow_is_embedded and file.exists() else None


def _local_tables(settings: Settings) -> dict[str, Path]:
    return {
        name: path
        for name, path in lake.table_paths(settings).items()
        if isinstance(path, Path) and delta_tables.exists(path)
    }


def _copy_table(source: Path, target: Path, newest: int, pinned: Iterable[int]) -> TableCopy:
    """Copy the files of some versions, then the log up to ``newest``; what came later is not there."""
    kept = tuple(sorted(version for version in pinned if version < newest))
    wanted = {version: table_upkeep.files_at(source, version) for version in (*kept, newest)}
    unique = {file.path: file for files in wanted.values() for file in files}
    for name in unique:
        plain_copies.copy_file(source / unquote(name), target / unquote(name))
    failpoint("backup.between_files_and_log")
    for path in (file.path for file in log_files(source) if file.version <= newest):
        plain_copies.copy_file(path, target / "_delta_log" / path.name)
    _copy_hint(source / "_delta_log", target / "_delta_log", newest)
    for version, files in wanted.items():
        _check(target, version, files)
    return TableCopy(
        version=newest,
        rows=sum(file.rows or 0 for file in wanted[newest]),
        files=len(unique),
        bytes=sum(file.bytes for file in unique.values()),
        pinned=kept,
    )


def _copy_hint(source: Path, target: Path, newest: int) -> None:
    """Copy the pointer to the last checkpoint, unless that is later than the copy."""
    file = source / "_last_checkpoint"
    text = file.read_text() if file.exists() else '{"version": -1}'
    named = json.loads(text)["version"]
    if 0 <= named <= newest and list(target.glob(f"{named:020}.checkpoint*.parquet")):
        write_whole(target / file.name, text)


def _check(table: Path, version: int, expected: list[DataFile]) -> None:
    """Raise LakeError unless the copy opens at ``version`` with these files, whole."""
    import pyarrow.parquet as pq

    found = table_upkeep.files_at(table, version)
    broken = sorted(file.path for file in set(expected) ^ set(found))
    for file in found:
        path = table / unquote(file.path)
        whole = path.exists() and path.stat().st_size == file.bytes
        if not whole or file.rows not in (None, pq.read_metadata(path).num_rows):
            broken.append(file.path)
    if broken:
        raise LakeError(
            _problem(
                f"the copy of table {table.parent.name}/{table.name}, version {version}",
                f"its {len(expected)} files, whole",
                f"{len(broken)} that are not, such as {broken[0]}",
                "Look at the table with `headframe sql`; a file may be missing in the home itself.",
            )
        )


def _copy_others(settings: Settings, destination: Path) -> tuple[int, int, list[str]]:
    """Copy landing and the home's own files; return how many, their bytes, and what kept changing."""
    count = total = 0
    changing = []
    pairs = [(path, destination / path.relative_to(settings.root)) for path in _own_files(settings)]
    if isinstance(landing := settings.landing, Path):
        names = [path.relative_to(landing) for path in _files(landing)]
        pairs += [(landing / name, destination / "landing" / name) for name in names]
    for source, target in pairs:
        if target.exists():  # MLflow's database, copied first
            continue
        # Landed files and artifacts are their bytes, also where they are databases.
        if plain_copies.is_database(source) and _is_in_use(settings, source):
            plain_copies.copy_database(source, target)
            size: int | None = target.stat().st_size
        else:
            size = plain_copies.copy_file(source, target)
        if size is None:
            name = target.relative_to(destination).as_posix()
            changing.append(f"{name}, which changed while it was copied")
        else:
            count, total = count + 1, total + size
    return count, total, changing


def _own_files(settings: Settings) -> Iterator[Path]:
    skipped = {settings.root / name for name in (*LEFT_OUT, MANIFEST, UNFINISHED)}
    for path in _files(settings.root, skipped):
        side = path.name.endswith(plain_copies.SQLITE_SIDES) and _is_in_use(settings, path)
        if not side:
            yield path


def _is_in_use(settings: Settings, path: Path) -> bool:
    """Tell whether a file of the home may be written in place, as databases are."""
    return not any(
        isinstance(folder, Path) and path.is_relative_to(folder)
        for folder in (settings.landing, settings.mlflow_artifacts)
    )


def _files(folder: Path, skipped: Collection[Path] = ()) -> Iterator[Path]:
    """Yield the regular files below ``folder``, sorted; links are nobody's data."""
    if not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        if path in skipped or path.is_symlink():
            continue
        if path.is_dir():
            yield from _files(path, skipped)
        elif path.is_file():
            yield path


def _elsewhere(settings: Settings) -> Iterator[str]:
    """Say what this home keeps in systems that have backups of their own."""
    if not isinstance(settings.lake, Path):
        yield "the lake, in an object store: turn on the bucket's versions or replication"
    if not isinstance(settings.landing, Path):
        yield "landing, in an object store: turn on the bucket's versions or replication"
    if not settings.mlflow_is_embedded:
        yield "MLflow, a server of its own: back up its database and artifacts"
    if settings.database:
        yield "Airflow's database, a server of its own: use its dump command"


def _problem(where: str, expected: str, found: str, fix: str) -> Problem:
    return Problem(where=where, expected=expected, found=found, fix=fix)
