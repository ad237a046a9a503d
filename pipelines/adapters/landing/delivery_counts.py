"""Delivery counts: what became of each delivery, a projection of the metadata of silver's commits."""

import json
from typing import TYPE_CHECKING, Any

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables, remembered
from pipelines.adapters.delta.commit_entries import FILED
from pipelines.adapters.landing import landed_folders
from pipelines.adapters.settings import Settings
from pipelines.domain.contract import Table
from pipelines.domain.feed_slots import Arrived

if TYPE_CHECKING:
    import pyarrow as pa

    from pipelines.adapters.stores.object_store import Folder

COMMITS_PER_FILE = 32
"""Commits of a table after which its rows become one file, so that a read opens few of them."""

COUNTS = ("landed", "accepted", "repeated", "quarantined", "unparsed")


def arrived(settings: Settings, use_case: str, table: Table) -> tuple[Arrived, ...]:
    """Return every delivery that landing ever saw of a table, with the rows it landed.

    Rows are None where silver has not taken the file in: it came all the same. One whose bytes are
    those of another has the rows of that one.
    """
    seen = lake.ledger(settings, "landed_files")
    if not delta_tables.exists(seen):
        return ()
    taken_in = delta_tables.version(lake.silver(settings, use_case, table.name))
    what = (arrived, use_case, table.name, table.files.pattern, taken_in)
    return remembered.once(seen, what, lambda: _arrived(settings, use_case, table, seen))


def _arrived(
    settings: Settings, use_case: str, table: Table, seen: "Folder"
) -> tuple[Arrived, ...]:
    import pyarrow as pa
    import pyarrow.compute as pc

    rows = delta_tables.read(
        seen,
        columns=["name", "sha256", "delivered_at"],
        where=f"use_case = {delta_tables.quoted(use_case)}",
    )
    names = landed_folders.matching(rows["name"].to_pylist(), table.files.pattern)
    files = rows.filter(pc.is_in(rows["name"], pa.array(names, pa.string()))).to_pylist()
    if not files:
        return ()
    landed = {row["sha256"]: row["landed"] for row in counts(settings, use_case, table.name)}
    return tuple(Arrived(row["delivered_at"], landed.get(row["sha256"])) for row in files)


def counts(settings: Settings, use_case: str, table: str) -> list[dict[str, Any]]:
    """Return a row per delivery that silver took in, by name, with its counts.

    ``ledger/deliveries`` is first brought up to date from the commits after the last it holds, or
    made anew where it is missing or ahead of silver. Reading a commit costs its log entry, so that
    each is read once, however many there are. A delivery that was ingested again has the counts of
    the last time, with what replays moved since.
    """
    silver, ledger = lake.silver(settings, use_case, table), lake.ledger(settings, "deliveries")
    held = _held(ledger, use_case, table)
    newest = delta_tables.version(silver)
    if newest == -1:
        return []
    if newest != _last(held):
        held = _brought_up_to_date(silver, ledger, held, use_case, table)
    found: dict[str, dict[str, Any]] = {}
    for row in held.sort_by("version").to_pylist():
        before = found.setdefault(row["sha256"], {**row, **dict.fromkeys(COUNTS, 0)})
        moved = row["stage"] == "replay"
        before |= {name: row[name] + (before[name] if moved else 0) for name in COUNTS}
    return sorted(found.values(), key=lambda row: row["name"])


def _brought_up_to_date(
    silver: "Folder", ledger: "Folder", held: "pa.Table", use_case: str, table: str
) -> "pa.Table":
    """Return all rows of the table after the ledger holds them; without news nothing is written."""
    import pyarrow as pa

    if not _news(silver, held, use_case, table).num_rows and _last(held) <= delta_tables.version(
        silver
    ):
        return held
    everything = held

    def make(number: int) -> delta_tables.Change | None:
        nonlocal everything
        held = _held(ledger, use_case, table)
        anew = _last(held) > delta_tables.version(silver)
        held = held.slice(0, 0) if anew else held
        news = _news(silver, held, use_case, table)
        everything = pa.concat_tables([held, news]).combine_chunks()
        if not anew and not news.num_rows:
            return None
        metadata = {"use_case": use_case, "table": table, "deliveries": news.num_rows}
        if not anew and (number + 1) % COMMITS_PER_FILE:
            return delta_tables.Change(rows=news, metadata=metadata)
        where = _where(use_case, table)
        return delta_tables.Change(rows=everything, metadata=metadata, replace=where)

    delta_tables.commit_next(ledger, _schema(), f"deliveries:{use_case}.{table}", make)
    return everything


def _news(silver: "Folder", held: "pa.Table", use_case: str, table: str) -> "pa.Table":
    """Return the deliveries of the commits after the last one that ``held`` has."""
    import pyarrow as pa

    last = _last(held)
    wanted = delta_tables.version(silver) - last
    if wanted <= 0:
        return _schema().empty_table()
    commits = delta_tables.history(silver, wanted)
    while commits and commits[0]["version"] - last > wanted:  # others came while this was read
        wanted = commits[0]["version"] - last
        commits = delta_tables.history(silver, wanted)
    rows = [
        {
            "use_case": use_case,
            "table": table,
            "version": commit["version"],
            "stage": stage,
            "name": delivery["name"],
            "sha256": delivery["sha256"],
            **{name: delivery[name] for name in COUNTS},
        }
        for commit in commits
        if (stage := commit.get("headframe.stage")) in FILED
        for delivery in json.loads(commit.get(f"headframe.{FILED[stage]}", "[]"))
    ]
    return pa.Table.from_pylist(rows, schema=_schema())


def _held(ledger: "Folder", use_case: str, table: str) -> "pa.Table":
    if not delta_tables.exists(ledger):
        return _schema().empty_table()
    return delta_tables.read(ledger, where=_where(use_case, table))


def _last(held: "pa.Table") -> int:
    import pyarrow.compute as pc

    return int(pc.max(held["version"]).as_py()) if held.num_rows else -1


def _where(use_case: str, table: str) -> str:
    quoted = delta_tables.quoted
    return f'use_case = {quoted(use_case)} and "table" = {quoted(table)}'


def _schema() -> "pa.Schema":
    import pyarrow as pa

    return pa.schema(
        [
            ("use_case", pa.string()),
            ("table", pa.string()),
            ("version", pa.int64()),
            ("stage", pa.string()),
            ("name", pa.string()),
            ("sha256", pa.string()),
            *((name, pa.int64()) for name in COUNTS),
        ]
    )
