"""Quality docs: every kept check as a page that opens without a server, and lists of them."""

import json
from dataclasses import dataclass
from pathlib import Path

from pipelines.adapters.settings import Settings
from pipelines.adapters.stores.whole_files import write_whole
from pipelines.adapters.suites.docs_pages import Listed, home_page, use_case_page
from pipelines.adapters.suites.quality_records import read_record, record_files, recorded_tables
from pipelines.domain.quality_record import QualityRecord

KEPT = 100
"""Checks of a table that have a page, the last by day of their as_of; each page takes 30 kB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DocsMade:
    """Pages written and removed, how many there are, and the first page."""

    written: int
    removed: int
    pages: int
    index: Path

    def describe(self) -> str:
        """Return one line for the log and the terminal."""
        return (
            f"{self.written:,} pages written, {self.removed:,} removed; {self.pages:,} checks listed "
            f"(the last {KEPT} of each table): {self.index}"
        )


def quality_docs(settings: Settings, use_case: str = "") -> DocsMade:
    """Write the pages of checks that have none yet, and the lists; of one use case when it is named.

    GX, which takes seconds to import, is imported only when a page is missing or older than its
    record. Pages beyond the last ``KEPT`` of a table are removed. Raises LakeError for a damaged
    record.
    """
    folder = docs_folder(settings)
    written = removed = 0
    tables: dict[str, dict[str, list[Listed]]] = {}
    for name, table in recorded_tables(settings, use_case):
        listed: list[Listed] = []
        kept: set[Path] = set()
        for file in record_files(settings, name, table, KEPT):
            record = read_record(file)
            page = folder / name / table / file.parent.name / f"{file.stem}.html"
            if record.results:
                written += _write_page(page, file, record)
                kept |= {page, page.with_suffix(".json")}
            listed.append(
                Listed(
                    record=record,
                    day=file.parent.name,
                    stem=file.stem,
                    has_page=bool(record.results),
                )
            )
        removed += _remove_others(folder / name / table, kept)
        tables.setdefault(name, {})[table] = listed
    for name, found in tables.items():
        write_whole(folder / name / "index.html", use_case_page(name, found, KEPT))
    write_whole(folder / "index.html", home_page(_last(settings), KEPT))
    return DocsMade(
        written=written,
        removed=removed,
        pages=sum(len(listed) for found in tables.values() for listed in found.values()),
        index=folder / "index.html",
    )


def docs_folder(settings: Settings) -> Path:
    """Folder of the pages: ``index.html`` leads to all of them."""
    return settings.root / "data_docs"


def _write_page(page: Path, file: Path, record: QualityRecord) -> bool:
    """Write a record's page and its result in GX's JSON, unless they are newer than the record."""
    from pipelines.adapters.suites import data_docs

    since = max(file.stat().st_mtime, data_docs.newest_change())
    if page.exists() and page.stat().st_mtime >= since:
        return False
    found = json.dumps(data_docs.as_gx_json(record), indent=1, ensure_ascii=False)
    write_whole(page.with_suffix(".json"), found)
    write_whole(page, data_docs.page(record, gx_json=f"{page.stem}.json"))
    return True


def _remove_others(folder: Path, kept: set[Path]) -> int:
    """Remove the pages of a table that are not among ``kept``; return how many."""
    others = [path for path in folder.glob("*/*") if path not in kept]
    for path in others:
        path.unlink(missing_ok=True)
    for day in folder.glob("*"):
        if not any(day.iterdir()):
            day.rmdir()
    return sum(path.suffix == ".html" for path in others)


def _last(settings: Settings) -> list[QualityRecord]:
    """Return the last check of each table of every use case."""
    return [
        read_record(file)
        for name, table in recorded_tables(settings)
        for file in record_files(settings, name, table, 1)
    ]
