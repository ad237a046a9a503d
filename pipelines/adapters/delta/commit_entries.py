"""Commit entries: what every commit in a table's log says it did, and what it did to the files."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.adapters.delta import delta_tables
from pipelines.adapters.stores import object_store
from pipelines.adapters.stores.object_store import Folder
from pipelines.domain.lineage import NOTHING, Law

ENTRY = re.compile(r"(\d{20})\.json")
"""Name of a commit's file in the log, with its version."""

FILED = {"ingest": "deliveries", "replay": "moves", "reingest": "account"}
"""Stage -> the metadata that lists the laws of its deliveries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One commit: its stage, its law as it was written, and the rows of the files it added.

    ``added`` and ``removed`` count rows and files of changes to the data; a compaction has none.
    ``laws`` are those of its deliveries, as (name, sha256, counts). ``number`` is that of silver's
    publications which a replay or reingest followed, or is; -1 elsewhere.
    """

    version: int
    stage: str
    number: int
    law: dict[str, int] | None
    laws: tuple[tuple[str, str, dict[str, int]], ...]
    added: int
    removed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Every row of one delivery: the name of its file, and where its rows are now."""

    name: str
    law: Law


def entries(table: Folder) -> Iterator[Entry]:
    """Yield the commits whose entries the log still holds, oldest first; none of an absent table."""
    log = table / "_delta_log"
    for version in _versions(log):
        yield _entry(version, _content(log / f"{version:020}.json"))


def accounts(silver: Folder, quarantine: Folder) -> dict[str, Account]:
    """Return the account of every delivery that silver took, by its sha256.

    Ingest opens an account, a replay moves rows from quarantine to silver (a commit of silver) or
    finds that they repeat (a commit of quarantine), and a reingest writes the accounts anew.
    """
    found: dict[str, Account] = {}
    begun = 0
    for entry in entries(silver):
        if entry.stage == "reingest":
            found, begun = {}, entry.number
        _add(found, entry)
    for entry in entries(quarantine):
        # What a replay moved before the last reingest is counted in that one's accounts.
        if entry.stage == "replay" and entry.number >= begun:
            _add(found, entry)
    return found


def _add(found: dict[str, Account], entry: Entry) -> None:
    for name, sha256, counts in entry.laws:
        before = found[sha256].law if sha256 in found else NOTHING
        found[sha256] = Account(name=name, law=before + Law(**counts))


def _entry(version: int, content: bytes) -> Entry:
    actions = [json.loads(line) for line in content.splitlines() if line.strip()]
    told: dict[str, Any] = {}
    added = removed = 0
    for action in actions:
        told = action.get("commitInfo", told)
        if (file := action.get("add")) and file["dataChange"]:
            added += int(json.loads(file["stats"] or "{}").get("numRecords", 0))
        if (file := action.get("remove")) and file["dataChange"]:
            removed += 1
    stage = str(told.get("headframe.stage", ""))
    listed = json.loads(told.get(f"headframe.{FILED.get(stage)}", "[]"))
    law = told.get("headframe.law")
    return Entry(
        version=version,
        stage=stage,
        number=int(told.get("headframe.number", -1)),
        law=None if law is None else json.loads(law),
        laws=tuple(
            (item["name"], item["sha256"], {name: item[name] for name in Law.__slots__})
            for item in listed
        ),
        added=added,
        removed=removed,
    )


def _versions(log: Folder) -> list[int]:
    if isinstance(log, Path):
        names = [path.name for path in log.iterdir()] if delta_tables.exists(log.parent) else []
    else:
        names = [listed.name for listed in object_store.listing(log)]
    return sorted(int(found[1]) for name in names if (found := ENTRY.fullmatch(name)))


def _content(path: Folder) -> bytes:
    return path.read_bytes() if isinstance(path, Path) else object_store.read_bytes(path)
