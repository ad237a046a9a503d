"""Replay journal: which steps of a replay are done, what came of each and what it cost."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pipelines.adapters.stores import whole_files

FILE = "journal.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A step that was done: its name, CPU seconds by stage, wall seconds, and what came of it.

    ``found`` holds plain values that are the same whenever and wherever the step is done.
    """

    step: str
    cpu_s: Mapping[str, float]
    wall_s: float
    found: Mapping[str, Any] = field(default_factory=dict)


class ReplayJournal:
    """The journal of one policy, in its home."""

    def __init__(self, home: Path) -> None:
        self._file = home / FILE
        self._done: dict[str, Done] = {}
        if self._file.exists():
            plain = json.loads(self._file.read_text("utf-8"))
            self._done = {one["step"]: Done(**one) for one in plain}

    def __contains__(self, step: str) -> bool:
        return step in self._done

    @property
    def entries(self) -> list[Done]:
        """All steps that are done, in order."""
        return list(self._done.values())

    def add(self, done: Done) -> None:
        """Write a step down; a kill leaves the journal as it was before or as it is after."""
        self._done[done.step] = done
        whole_files.write_whole(
            self._file, json.dumps([asdict(one) for one in self._done.values()])
        )
