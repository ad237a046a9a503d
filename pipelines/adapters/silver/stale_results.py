"""Stale results: feature rows, predictions and models made before what they were made from changed."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.models import data_pins
from pipelines.adapters.settings import Settings
from pipelines.adapters.silver import stale_marks
from pipelines.adapters.silver.stale_marks import Mark
from pipelines.domain.contract import Table

BLOCK = "features:"
"""Start of the transactions of feature blocks; the scoring time follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Change:
    """A mark, with the version of its table and the moment (ms) at which it was committed."""

    table: str
    mark: Mark
    version: int
    committed: int


def warnings(
    settings: Settings, use_case: str, tables: Sequence[Table], read_by_features: Sequence[Table]
) -> list[str]:
    """Return one line for each place that holds stale results, and what becomes of them."""
    changes = [change for table in tables for change in _changes(settings, use_case, table.name)]
    if not changes:
        return []
    read = {table.name for table in read_by_features}
    featured = [change for change in changes if change.table in read]
    return [
        *_blocks(settings, use_case, [change.mark for change in featured]),
        *_windows(settings, use_case, featured),
        *_models(settings, use_case, changes),
    ]


def _changes(settings: Settings, use_case: str, table: str) -> Iterator[_Change]:
    silver = lake.silver(settings, use_case, table)
    marks = {mark.number: mark for mark in stale_marks.marks(silver)}
    for commit in delta_tables.history(silver) if marks else []:
        mark = marks.get(int(commit.get("headframe.number", -1)))
        if mark:
            version, moment = int(commit["version"]), int(commit["timestamp"])
            yield _Change(table=table, mark=mark, version=version, committed=moment)


def _blocks(settings: Settings, use_case: str, marks: Sequence[Mark]) -> Iterator[str]:
    start = f"gold.features.{use_case}__"
    for name, folder in lake.table_paths(settings).items():
        if not name.startswith(start):
            continue
        blocks = delta_tables.applications(folder, BLOCK)
        editions = delta_tables.transaction_versions(folder, blocks)
        stale = [
            block
            for block, edition in editions.items()
            if edition <= sum(mark.since <= _moment(block, BLOCK) for mark in marks)
        ]
        if stale:
            yield (
                f"{name}: {len(stale):,} of {len(blocks):,} blocks are stale; each is computed again "
                "when it is next asked for"
            )


def _windows(settings: Settings, use_case: str, changes: Sequence[_Change]) -> Iterator[str]:
    written: dict[str, int] = {}
    for commit in delta_tables.history(lake.predictions(settings, use_case)):
        if "headframe.window" in commit:  # newest first
            written.setdefault(commit["headframe.window"], int(commit["timestamp"]))
    stale = sorted(
        window
        for window, moment in written.items()
        if any(
            change.mark.since <= datetime.fromisoformat(window.partition("/")[2])
            and moment < change.committed
            for change in changes
        )
    )
    if stale:
        yield (
            f"predictions.{use_case}: {len(stale):,} of {len(written):,} windows are stale, "
            f"{stale[0]} the first; score them again"
        )


def _models(settings: Settings, use_case: str, changes: Sequence[_Change]) -> Iterator[str]:
    newest: dict[str, int] = {}
    for change in changes:
        name = f"silver.{use_case}.{change.table}"
        newest[name] = max(newest.get(name, -1), change.version)
    pinned = data_pins.pinned_versions(settings)
    for name, version in sorted(newest.items()):
        if old := sorted(made for made in pinned.get(name, ()) if made < version):
            yield (
                f"{name}: models were trained on versions {json.dumps(old)[1:-1]}, before version "
                f"{version} changed its past; train again"
            )


def _moment(name: str, start: str) -> datetime:
    return datetime.fromisoformat(name.removeprefix(start))
