"""Stale marks: since when a commit changed what silver had told, kept inside that very commit."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from pipelines.adapters.delta import delta_tables

if TYPE_CHECKING:
    from pipelines.adapters.delta.staged_files import StagedFile
    from pipelines.adapters.stores.object_store import Folder

PREFIX = "stale:"
"""Start of the transactions that are marks: ``stale:<number>:<reason>:<since>``."""

Reason = Literal["replay", "reingest"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What was known at ``since`` (UTC) and later was changed by publication ``number`` of a table.

    What was made from the table at such a time before that publication is stale.
    """

    number: int
    reason: str
    since: datetime


def transactions(number: int, reason: Reason, since: datetime | None) -> dict[str, int]:
    """Return the transactions that mark a commit of silver; none where it changes no row.

    They are part of the commit, so a kill cannot part the change from its mark, and unlike metadata
    they outlive the entries of the log.
    """
    return {f"{PREFIX}{number}:{reason}:{since.isoformat()}": 1} if since else {}


def marks(silver: "Folder") -> list[Mark]:
    """Return every mark of a table, oldest first; none of an absent one."""
    names = delta_tables.applications(silver, PREFIX)
    found = []
    for name in names:
        number, reason, since = name.removeprefix(PREFIX).split(":", 2)
        moment = datetime.fromisoformat(since)
        found.append(Mark(number=int(number), reason=reason, since=moment))
    return sorted(found, key=lambda mark: mark.number)


def oldest(staged: Iterable["StagedFile"]) -> datetime | None:
    """Return the earliest known_at of staged rows, None of none."""
    told = [json.loads(file.statistics).get("minValues", {}).get("known_at") for file in staged]
    return min((datetime.fromisoformat(moment) for moment in told if moment), default=None)
