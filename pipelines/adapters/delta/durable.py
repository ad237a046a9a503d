"""Durable: what a commit wrote on a local disk is on the disk, not only in its cache."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import unquote

from pipelines.adapters.settings import current_settings


def settle(paths: Iterable[Path]) -> None:
    """Return once the content of each file and the names in each folder survive a power loss.

    Does nothing when HEADFRAME_FSYNC is off.
    """
    if not current_settings().fsync:
        return
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def settle_commit(table: Path, version: int) -> None:
    """Settle the data files that a commit added, its log entry, and their folders.

    delta-rs itself syncs nothing (measured, 1.6.6).
    """
    log = table / "_delta_log"
    entry = log / f"{version:020}.json"
    data = [table / name for name in _added(entry)]
    # A file that maintenance has replaced since then needs no settling.
    settle([*(path for path in data if path.exists()), entry, log, table])


def settle_checkpoint(table: Path, version: int) -> None:
    """Settle the checkpoint of a version and the pointer to it."""
    log = table / "_delta_log"
    settle([log / f"{version:020}.checkpoint.parquet", log / "_last_checkpoint", log])


def _added(entry: Path) -> list[str]:
    """Return the paths of the files that a log entry adds, inside the table's folder."""
    # Of bytes: a text's lines would also end at the separators that a value may hold.
    actions = (json.loads(line) for line in entry.read_bytes().splitlines())
    return [unquote(action["add"]["path"]) for action in actions if "add" in action]
