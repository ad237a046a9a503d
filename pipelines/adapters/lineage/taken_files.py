"""Taken files: which landed files silver took in, by which commit, and what became of their rows."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.settings import Settings
from pipelines.domain.lineage import Law

if TYPE_CHECKING:
    from pipelines.domain.contract import Table

REWRITES = ("replay", "reingest")
"""Stages whose commits of silver change rows of files that were taken before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenFile:
    """A landed file whose bytes silver took: its first name, and the commit that took it.

    ``law`` counts its rows as that commit left them; ``version`` is silver's then and ``run`` the
    run. ``delivered_at`` is None of a file that only a reingest accounts for.
    """

    table: str
    name: str
    sha256: str
    delivered_at: datetime | None
    version: int
    run: str
    law: Law


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenFiles:
    """Every file that a table took, by sha256; ``rewrites`` are versions that changed their rows."""

    table: str
    by_sha256: Mapping[str, TakenFile] = field(default_factory=dict)
    rewrites: tuple[int, ...] = ()
    version: int = -1

    def after(self, version: int) -> list[TakenFile]:
        """Return the files that silver took after a version."""
        return [file for file in self.by_sha256.values() if file.version > version]

    def readable_as(self, version: int) -> int:
        """Return the last version that holds all rows of ``version`` unchanged, and only more files."""
        later = [rewrite for rewrite in self.rewrites if rewrite > version]
        return min(later) - 1 if later else self.version


def taken_files(settings: Settings, use_case: str, table: "Table") -> TakenFiles:
    """Return what the log of a table says of its files; nothing of a table that is not there yet."""
    silver = lake.silver(settings, use_case, table.name)
    found: dict[str, TakenFile] = {}
    rewrites = []
    for commit in delta_tables.history(silver):  # newest first
        if commit.get("headframe.stage") in REWRITES:
            rewrites.append(int(commit["version"]))
        # The oldest commit stands: it took the file.
        found |= {file.sha256: file for file in _files(table.name, commit)}
    return TakenFiles(
        table=table.name,
        by_sha256=found,
        rewrites=tuple(sorted(rewrites)),
        version=delta_tables.version(silver),
    )


def _files(table: str, commit: Mapping[str, Any]) -> Iterator[TakenFile]:
    for name in ("deliveries", "account"):
        for noted in json.loads(commit.get(f"headframe.{name}", "[]")):
            told = noted.get("delivered_at")
            yield TakenFile(
                table=table,
                name=noted["name"],
                sha256=noted["sha256"],
                delivered_at=datetime.fromisoformat(told) if told else None,
                version=int(commit["version"]),
                run=str(commit.get("headframe.run", "")),
                law=Law(**{part: int(noted[part]) for part in Law.__slots__}),
            )
