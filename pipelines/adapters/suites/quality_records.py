"""Quality records: every check as a file of the home, and as rows of ``ledger/quality``, once."""

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.failpoints import failpoint
from pipelines.adapters.settings import Settings
from pipelines.adapters.stores.whole_files import write_whole
from pipelines.domain.quality_record import (
    QualityRecord,
    content_of,
    file_name,
    ledger_rows,
    ledger_schema,
    record_as_json,
    record_from_json,
    record_of,
)
from pipelines.errors import CommitLost, LakeError, Problem

if TYPE_CHECKING:
    from pipelines.adapters.silver.intake import Intake
    from pipelines.domain.quality import CheckResult

UNFINISHED = ".unfinished"
"""Folder of a use case's marks: one empty file per record that the ledger does not hold yet."""

BETWEEN = "~~"
"""Stands in a mark's name for the slashes of its record's path."""

LEFT_BEHIND_SECONDS = 3600
"""Age from which another run's mark was left by a process that was killed, not by one at work."""

COMMITS_SEARCHED = 200
"""Commits of silver, newest first, among which a killed run's publication is looked for."""

MOST_RACES = 5
"""Times the ledger is asked again which checks it holds, when another ingest came between."""


@dataclass(slots=True, kw_only=True)
class RunRecords:
    """The checks of one run of ingest: kept before anything is published, then put in the ledger.

    Killed anywhere, the next ingest of the use case finishes what was published or refused.
    """

    settings: Settings
    use_case: str
    run: str
    as_of: datetime
    _kept: dict[str, tuple[Path, QualityRecord]] = field(default_factory=dict)

    def keep(
        self, taking: "Intake", checked: "CheckResult", kwargs: Mapping[str, Mapping[str, Any]]
    ) -> None:
        """Write the file of one table's check, whose verdict is not acted upon yet.

        A check of the same rows in the same run has the same file. One that this process made
        before of other rows, and published nothing by, is forgotten.
        """
        if not taking.taken:
            return  # every file was refused, so that nothing was checked
        record = record_of(
            checked,
            use_case=self.use_case,
            table=taking.places.table.name,
            run=self.run,
            as_of=self.as_of,
            files=[delivery.sha256 for delivery in taking.taken],
            landed=sum(law.landed for law in taking.laws().values()),
            kwargs=kwargs,
            contract=taking.reasons,
        )
        if before := self._kept.pop(record.table, None):
            _forget(self._folder, before[0])
        path = _place(self._folder, record)
        _mark(self._folder, path).parent.mkdir(parents=True, exist_ok=True)
        _mark(self._folder, path).touch()
        _write(path, record)
        self._kept[record.table] = (path, record)
        failpoint("ingest.after_quality_record")

    def published(self, table: str, version: int) -> None:
        """Note that the rows of the table's check, if there was one, are in this version."""
        if table in self._kept:
            path, record = self._kept[table]
            self._kept[table] = path, replace(record, table_version=version)

    def finish(self) -> int:
        """Append to the ledger every check that published or was refused; return how many.

        One commit holds all. A check whose table failed before it published is left to the retry.
        Raises what ``delta_tables.commit_rows`` does.
        """
        mine = dict(self._kept.values())
        ended = []
        for path in _unfinished(self._folder):
            record = mine[path] if path in mine else self._left_behind(path)
            if record is None or not (
                record.verdict == "refuse" or record.table_version is not None
            ):
                continue
            if record.table_version is not None:
                _write(path, record)
            ended.append((path, record))
        failpoint("ingest.before_quality_ledger")
        written = _append(self.settings, [record for _, record in ended], self.run)
        failpoint("ingest.after_quality_ledger")
        for path, _ in ended:
            _mark(self._folder, path).unlink(missing_ok=True)
        return written

    @property
    def _folder(self) -> Path:
        return records_folder(self.settings) / self.use_case

    def _left_behind(self, path: Path) -> QualityRecord | None:
        """Return a killed run's record with the version it published; None if there is none.

        Its file is removed when it published nothing and refused nothing: its rows are checked
        again. That of a process that may be at work is left alone.
        """
        mark = _mark(self._folder, path)
        record = read_record(path) if path.exists() else None
        if record is None or record.run != self.run:
            if time.time() - mark.stat().st_mtime < LEFT_BEHIND_SECONDS:
                return None
            if record is None:
                mark.unlink()
                return None
        if record.verdict == "refuse":
            return record
        version = _published_version(self.settings, record)
        if version is None:
            _forget(self._folder, path)
            return None
        return replace(record, table_version=version)


def records_folder(settings: Settings) -> Path:
    """Folder of the records: ``<use_case>/<table>/<day of as_of>/<run>.json``."""
    return settings.root / "quality"


def record_files(settings: Settings, use_case: str, table: str, most: int) -> list[Path]:
    """Return the files of a table's last ``most`` checks by the day of their ``as_of``, newest first.

    Of one day they come in the order of their names.
    """
    folder = records_folder(settings) / use_case / table
    found: list[Path] = []
    for day in _folders(folder):
        found += sorted(day.glob("[!.]*.json"), reverse=True)
        if len(found) >= most:
            break
    return found[:most]


def recorded_tables(settings: Settings, use_case: str = "") -> list[tuple[str, str]]:
    """Return each use case and table that has records, sorted; of one use case when it is named."""
    root = records_folder(settings)
    names = [use_case] if use_case else [folder.name for folder in _folders(root)]
    return sorted((name, table.name) for name in names for table in _folders(root / name))


def read_record(path: Path) -> QualityRecord:
    """Return a kept record. Raises LakeError for a file that is none."""
    try:
        return record_from_json(json.loads(path.read_text("utf-8")))
    except (ValueError, KeyError, TypeError) as error:
        raise LakeError(
            Problem(
                where="quality/" + "/".join(path.parts[-4:]),
                expected="a quality record as this release writes it",
                found=f"{type(error).__name__} on reading it",
                fix="Delete the file; ledger/quality keeps its numbers.",
            )
        ) from error


def _append(settings: Settings, records: list[QualityRecord], run: str) -> int:
    """Append the rows of records that the ledger does not hold; return how many records."""
    import pyarrow as pa

    ledger = lake.ledger(settings, "quality")
    fresh = {f"quality:{r.key}": rows for r in records if (rows := ledger_rows(r))}
    for _ in range(MOST_RACES):
        if not fresh:
            return 0
        rows = [row for found in fresh.values() for row in found]
        try:
            commit = delta_tables.commit_rows(
                ledger,
                pa.Table.from_pylist(rows, schema=ledger_schema()),
                transactions=dict.fromkeys(fresh, 1),
                metadata={"stage": "ingest", "run": run, "rows": len(rows)},
            )
        except CommitLost as error:
            lost = error  # it holds some of them: look which are left
            held = delta_tables.committed(ledger, fresh)
            fresh = {name: found for name, found in fresh.items() if name not in held}
            continue
        return len(fresh) if commit.written else 0
    raise lost


def _published_version(settings: Settings, record: QualityRecord) -> int | None:
    """Return the version of silver whose commit is of the record's run and files."""
    silver = lake.silver(settings, record.use_case, record.table)
    for commit in delta_tables.history(silver, COMMITS_SEARCHED):
        if commit.get("headframe.run") != record.run or "headframe.deliveries" not in commit:
            continue
        files = [noted["sha256"] for noted in json.loads(commit["headframe.deliveries"])]
        if content_of(files) == record.content:
            return int(commit["version"])
    return None


def _place(folder: Path, record: QualityRecord) -> Path:
    """Return the record's file: that of its run, or one of its own beside another check of the run."""
    day = folder / record.table / record.as_of.astimezone(UTC).date().isoformat()
    path = day / f"{file_name(record.run)}.json"
    if path.exists() and read_record(path).key != record.key:
        return day / f"{file_name(record.run)}.{record.key[:8]}.json"
    return path


def _write(path: Path, record: QualityRecord) -> None:
    text = json.dumps(record_as_json(record), ensure_ascii=False, separators=(",", ":"))
    write_whole(path, text)


def _mark(folder: Path, path: Path) -> Path:
    return folder / UNFINISHED / BETWEEN.join(path.relative_to(folder).parts)


def _unfinished(folder: Path) -> list[Path]:
    """Return the records that have a mark, sorted."""
    marks = folder / UNFINISHED
    names = sorted(mark.name for mark in marks.iterdir()) if marks.exists() else []
    return [folder.joinpath(*name.split(BETWEEN)) for name in names]


def _forget(folder: Path, path: Path) -> None:
    path.unlink(missing_ok=True)
    _mark(folder, path).unlink(missing_ok=True)


def _folders(folder: Path) -> Iterator[Path]:
    """Yield the folders in a folder, last name first; none where it is missing."""
    if folder.exists():
        inside = (path for path in folder.iterdir() if path.is_dir())
        yield from sorted((p for p in inside if not p.name.startswith(".")), reverse=True)
