"""Stale results: feature rows, predictions and models made before what they were made from changed."""

import json
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from datetime import datetime

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.models import data_pins
from pipelines.adapters.settings import Settings
from pipelines.adapters.silver import made_marks, stale_marks
from pipelines.domain.contract import Table
from pipelines.domain.lateness import Mark, Marks, changed

BLOCK = "features:"
"""Start of the transactions of feature blocks; the scoring time follows."""


def warnings(
    settings: Settings, use_case: str, tables: Sequence[Table], read_by_features: Sequence[Table]
) -> list[str]:
    """Return one line for each place that holds stale results, and what becomes of them."""
    marks = stale_marks.of_tables(settings, use_case, tables)
    featured = {table.name: marks[table.name] for table in read_by_features}
    return [
        *_blocks(settings, use_case, featured),
        *_windows(settings, use_case, featured),
        *_models(settings, use_case, marks),
    ]


def _blocks(settings: Settings, use_case: str, marks: Marks) -> Iterator[str]:
    moments = sorted(mark.since for told in marks.values() for mark in told)
    start = f"gold.features.{use_case}__"
    for name, folder in lake.table_paths(settings).items():
        if not name.startswith(start):
            continue
        blocks = delta_tables.transactions_of(folder, BLOCK)
        editions = delta_tables.transaction_versions(folder, blocks)
        stale = [
            block
            for block, edition in editions.items()
            if edition <= bisect_right(moments, _moment(block, BLOCK))
        ]
        if stale:
            yield (
                f"{name}: {len(stale):,} of {len(blocks):,} blocks are stale; each is computed again "
                "when it is next asked for"
            )


def _windows(settings: Settings, use_case: str, marks: Marks) -> Iterator[str]:
    windows = made_marks.segments(settings, use_case)
    blocks = made_marks.blocks_of(settings, use_case, windows.values())
    stale = sorted(
        scored_for
        for scored_for, segments in windows.items()
        if any(
            changed(segment, blocks.get((segment.features, segment.as_of), ()), marks)
            for segment in segments
        )
    )
    if stale:
        yield (
            f"predictions.{use_case}: {len(stale):,} of {len(windows):,} windows are stale, "
            f"{stale[0].isoformat()} the first; `headframe run score {use_case} --late` scores those "
            "of the last days again"
        )


def _models(settings: Settings, use_case: str, marks: Marks) -> Iterator[str]:
    newest = {
        f"silver.{use_case}.{table}": version
        for table, told in marks.items()
        if (version := _rewritten(settings, use_case, table, told)) is not None
    }
    pinned = data_pins.pinned_versions(settings)
    for name, version in sorted(newest.items()):
        if old := sorted(made for made in pinned.get(name, ()) if made < version):
            yield (
                f"{name}: models were trained on versions {json.dumps(old)[1:-1]}, before version "
                f"{version} changed its past; train again"
            )


def _rewritten(settings: Settings, use_case: str, table: str, marks: Sequence[Mark]) -> int | None:
    """Return the last version of a table that a replay or reingest made; None without any."""
    numbers = {mark.number for mark in marks if mark.reason != "ingest"}
    history = delta_tables.history(lake.silver(settings, use_case, table)) if numbers else []
    made = (
        int(commit["version"])
        for commit in history
        if int(commit.get("headframe.number", -1)) in numbers
    )
    return max(made, default=None)


def _moment(name: str, start: str) -> datetime:
    return datetime.fromisoformat(name.removeprefix(start))
