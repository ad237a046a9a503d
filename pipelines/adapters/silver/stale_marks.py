"""Stale marks: since when a commit changed what silver had told, kept inside that very commit."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from math import inf
from typing import TYPE_CHECKING, Literal

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_handles, delta_tables
from pipelines.adapters.settings import Settings
from pipelines.adapters.silver.publishing import SEQUENCE
from pipelines.domain.contract import Table
from pipelines.domain.lateness import Mark

if TYPE_CHECKING:
    from pipelines.adapters.delta.staged_files import StagedFile
    from pipelines.adapters.stores.object_store import Folder

PREFIX = "stale:"
"""Start of the transactions that are marks: ``stale:<number>:<reason>:<since>|<taken in>``."""

Reason = Literal["ingest", "replay", "reingest"]


def transactions(
    number: int, reason: Reason, since: datetime | None, *, taken_in: datetime
) -> dict[str, int]:
    """Return the transactions that mark a commit of silver; none where it changes no row.

    ``since`` is the oldest known_at that it brings or changes, ``taken_in`` the as_of of its run.
    They are part of the commit, so a kill cannot part the change from its mark, and unlike metadata
    they outlive the entries of the log.
    """
    if since is None:
        return {}
    return {f"{PREFIX}{number}:{reason}:{since.isoformat()}|{taken_in.isoformat()}": 1}


def marks(silver: "Folder", *, at_version: int | None = None) -> list[Mark]:
    """Return every mark of a table, oldest first; none of an absent one.

    With ``at_version`` those of the publications that this version holds, and no later ones.
    """
    names = delta_tables.transactions_of(silver, PREFIX)
    found = []
    for name in names:
        number, reason, told = name.removeprefix(PREFIX).split(":", 2)
        since, _, taken_in = told.partition("|")
        found.append(
            Mark(
                number=int(number),
                reason=reason,
                since=datetime.fromisoformat(since),
                taken_in=datetime.fromisoformat(taken_in) if taken_in else None,
            )
        )
    last = inf if at_version is None else _publications(silver, at_version)
    return sorted((m for m in found if m.number <= last), key=lambda mark: mark.number)


def of_tables(
    settings: Settings,
    use_case: str,
    tables: Sequence[Table],
    *,
    at: Mapping[str, int] | None = None,
) -> dict[str, list[Mark]]:
    """Return the marks of each table, by its name.

    ``at`` holds versions by dotted name; a table that it lacks was absent, and has no marks.
    """
    folders = {table.name: lake.silver(settings, use_case, table.name) for table in tables}
    if at is None:
        return {name: marks(folder) for name, folder in folders.items()}
    versions = {name: at.get(f"silver.{use_case}.{name}", -1) for name in folders}
    return {
        name: marks(folder, at_version=versions[name]) if versions[name] >= 0 else []
        for name, folder in folders.items()
    }


def _publications(silver: "Folder", version: int) -> int:
    """Return the number of the last publication that a version of a table holds."""
    return int(delta_handles.opened(silver, version).transaction_version(SEQUENCE) or 0)


def oldest(staged: Iterable["StagedFile"]) -> datetime | None:
    """Return the earliest known_at of staged rows, None of none."""
    told = [json.loads(file.statistics).get("minValues", {}).get("known_at") for file in staged]
    return min((datetime.fromisoformat(moment) for moment in told if moment), default=None)
