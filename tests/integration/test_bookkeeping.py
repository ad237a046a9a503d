"""What a stage run pays for the commits before it: CPU seconds on a long, maintained lake."""

import json
import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.settings import Settings
from pipelines.stages.maintain import maintain
from tests import lakes

BUDGET_SECONDS = 0.3
"""CPU of one stage run's bookkeeping after 10,000 commits (the architecture's promise)."""

FILES_OF_A_RUN = 10
SINCE_MAINTENANCE = 50
"""Commits since the last maintenance: half a day of polls every quarter of an hour."""

CHECKPOINT_EVERY = 100
"""delta-rs's own interval."""

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SILVER = pa.schema(
    [("order_id", pa.int64()), ("known_at", pa.timestamp("us", tz="UTC")), ("_sha256", pa.string())]
)
SEEN = pa.schema(
    [
        ("use_case", pa.string()), ("name", pa.string()), ("size", pa.int64()),
        ("mtime_ns", pa.int64()), ("sha256", pa.string()),
        ("delivered_at", pa.timestamp("us", tz="UTC")),
    ]
)  # fmt: skip


def sha(number: int) -> str:
    return f"{number:064d}"


def take_in(home: Settings, number: int) -> None:
    """Make the two commits of an ingest of one file."""
    rows = pa.table({"order_id": [number], "known_at": [NOW], "_sha256": [sha(number)]})
    delta_tables.commit_rows(
        lakes.orders(home),
        rows.cast(SILVER),
        transactions={f"ingest:{sha(number)}": 1, "ingest": number + 1},
        metadata={"stage": "ingest", "run": "r", "law": {"landed": 1, "accepted": 1}, "files": 1},
    )
    seen = {
        "use_case": ["shop"], "name": [f"orders/{number:06}.csv"], "size": [1], "mtime_ns": [1],
        "sha256": [sha(number)], "delivered_at": [NOW],
    }  # fmt: skip
    change = delta_tables.Change(rows=pa.table(seen).cast(SEEN), metadata={"files": 1})
    delta_tables.commit_next(seen_index(home), SEEN, "landed:shop", lambda _: change)


def seen_index(home: Settings) -> Path:
    found = lake.ledger(home, "landed_files")
    assert isinstance(found, Path)
    return found


def grow(table: Path, commits: int) -> None:
    """Repeat the last commit of ``table`` as delta-rs would have written it, file and log entry.

    Real commits would take half an hour; the entry's text and the file's bytes are real ones.
    """
    last = delta_tables.version(table)
    entry = (table / "_delta_log" / f"{last:020}.json").read_text()
    actions = [json.loads(line) for line in entry.splitlines()]
    (name,) = [action["add"]["path"] for action in actions if "add" in action]
    for version in range(last + 1, last + 1 + commits):
        other = f"part-{version:08}.parquet"
        os.link(table / name, table / other)
        text = entry.replace(name, other).replace(sha(last - 1), sha(version - 1))
        (table / "_delta_log" / f"{version:020}.json").write_text(text)
    newest = last + commits
    checkpoint = newest - (newest + 1) % CHECKPOINT_EVERY
    DeltaTable(str(table), version=checkpoint).create_checkpoint()


def long_home(folder: Path, commits: int) -> Settings:
    """Return a home whose silver table and seen index have that many commits."""
    home = lakes.settings_in(folder)
    take_in(home, 0)
    for table in (lakes.orders(home), seen_index(home)):
        grow(table, commits - 1)
    return home


def cpu_seconds(work: Callable[[], object]) -> float:
    """Return the least CPU seconds of several tries: what the work costs when nothing disturbs."""
    least = float("inf")
    for _ in range(5):
        began = time.process_time()
        work()
        least = min(least, time.process_time() - began)
    return least


def bookkeeping(home: Settings, label: str) -> dict[str, float]:
    """Measure what one ingest run does beside its own rows, step by step."""
    silver, seen = lakes.orders(home), seen_index(home)
    wanted = [f"ingest:{sha(number)}" for number in range(FILES_OF_A_RUN)]
    number = iter(range(1_000_000, 2_000_000))

    def commit() -> None:
        rows = pa.table({"order_id": [1], "known_at": [NOW], "_sha256": ["x"]}).cast(SILVER)
        delta_tables.commit_rows(
            silver,
            rows,
            transactions={f"ingest:{next(number)}": 1},
            metadata={"stage": "ingest", "run": "r", "law": {"landed": 1}},
        )

    found = {
        "open silver": cpu_seconds(lambda: delta_tables.version(silver)),
        f"committed, {FILES_OF_A_RUN} files": cpu_seconds(
            lambda: delta_tables.committed(silver, wanted)
        ),
        "sequence transaction": cpu_seconds(lambda: delta_tables.transaction(silver, "ingest")),
        "seen index": cpu_seconds(lambda: delta_tables.read(seen, where="use_case = 'shop'")),
        "one commit": cpu_seconds(commit),
    }
    steps = ", ".join(f"{name} {seconds:.3f}" for name, seconds in found.items())
    sys.stdout.write(f"{label}: {sum(found.values()):.3f} CPU s ({steps})\n")
    return found


def after_maintenance(home: Settings) -> dict[str, float]:
    """Maintain, make half a day's commits, and measure."""
    done = maintain(home, now=datetime.now(UTC), run="test")
    assert done.problems == ()
    first = delta_tables.version(lakes.orders(home))
    for number in range(SINCE_MAINTENANCE):
        take_in(home, 500_000 + number)
    assert delta_tables.version(lakes.orders(home)) == first + SINCE_MAINTENANCE
    return bookkeeping(home, f"{first:,} commits, maintained")


def test_grown_commits_are_like_real_ones(tmp_path: Path) -> None:
    home = long_home(tmp_path, 150)
    take_in(home, 500_000)
    assert delta_tables.version(lakes.orders(home)) == 151
    assert len(delta_tables.read(seen_index(home))) == 151
    wanted = {f"ingest:{sha(number)}" for number in (0, 7, 149)}
    missing = {f"ingest:{sha(150)}"}
    assert delta_tables.committed(lakes.orders(home), wanted | missing) == wanted


@pytest.mark.prove
def test_bookkeeping_costs_under_0_3_cpu_seconds_after_10000_commits(tmp_path: Path) -> None:
    fresh = lakes.settings_in(tmp_path / "fresh")
    take_in(fresh, 0)
    floor = bookkeeping(fresh, "1 commit")
    home = long_home(tmp_path / "long", 10_000)
    neglected = bookkeeping(home, "10,000 commits, never maintained")
    maintained = after_maintenance(home)
    assert sum(floor.values()) < sum(maintained.values()) < BUDGET_SECONDS
    # The control: without maintenance the promise does not hold.
    assert sum(neglected.values()) > BUDGET_SECONDS
