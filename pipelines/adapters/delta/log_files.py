"""Log files: the commit entries and checkpoints of a table on this machine, by version."""

import re
from pathlib import Path
from typing import NamedTuple

FOLDER = "_delta_log"

NAME = re.compile(r"(\d{20})\.(json|checkpoint[^#]*\.parquet)")
"""Name of a commit entry or a checkpoint, with its version."""


class LogFile(NamedTuple):
    """One of them; ``kind`` is "json" of an entry, and begins with "checkpoint" of a checkpoint."""

    version: int
    kind: str
    path: Path


def log_files(table: Path) -> list[LogFile]:
    """Return the log files of ``table``, oldest version first; other files are left out."""
    return sorted(
        LogFile(int(match[1]), match[2], path)
        for path in (table / FOLDER).iterdir()
        if (match := NAME.fullmatch(path.name))
    )
