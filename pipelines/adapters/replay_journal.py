"""Replay journal: which steps of a replay are done, what came of each and what it cost."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from pipelines.adapters import lake
from pipelines.adapters.delta.log_files import log_files
from pipelines.adapters.settings import Settings
from pipelines.adapters.stores import object_store, whole_files
from pipelines.errors import LakeError, Problem

FILE = "journal.json"

BEGUN = "begun.json"
"""What the step under way has cost; of no use once it is done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A step that was done: its name, CPU seconds by stage, wall seconds, and what came of it.

    ``found`` holds plain values that are the same whenever and wherever the step is done.
    """

    step: str
    cpu_s: Mapping[str, float]
    wall_s: float
    found: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A step under way: what its tries cost so far, in CPU seconds by stage and in wall seconds."""

    step: str
    cpu_s: Mapping[str, float] = field(default_factory=dict)
    wall_s: float = 0.0


def steps_done(settings: Settings) -> int:
    """Return how many steps the journal of a home has, which another process may be writing."""
    file = settings.root / FILE
    return len(json.loads(file.read_text("utf-8"))["steps"]) if file.exists() else 0


class ReplayJournal:
    """The journal of one policy, in its home.

    Raises LakeError where a table of that home is behind what the journal says of it, as a power cut
    may leave it: a step that is gone would never be done again.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._file, self._begun = settings.root / FILE, settings.root / BEGUN
        self._done: dict[str, Done] = {}
        if self._file.exists():
            plain = json.loads(self._file.read_text("utf-8"))
            self._done = {one["step"]: Done(**one) for one in plain["steps"]}
            self._refuse_lost(plain["tables"])

    def __contains__(self, step: str) -> bool:
        return step in self._done

    @property
    def entries(self) -> list[Done]:
        """All steps that are done, in order."""
        return list(self._done.values())

    def found(self, step: str) -> Mapping[str, Any]:
        """Return what came of a step that is done."""
        return self._done[step].found

    def begun(self, step: str) -> Begun:
        """Return what earlier tries of a step cost: nothing where there was none."""
        if not self._begun.exists():
            return Begun(step=step)
        last = Begun(**json.loads(self._begun.read_text("utf-8")))
        return last if last.step == step else Begun(step=step)

    def begin(self, begun: Begun) -> None:
        """Write down what a step has cost so far."""
        whole_files.write_whole(self._begun, json.dumps(asdict(begun)))

    def add(self, done: Done) -> None:
        """Write a step down; a kill leaves the journal as it was before or as it is after."""
        self._done[done.step] = done
        steps = [asdict(one) for one in self._done.values()]
        told = json.dumps({"steps": steps, "tables": self._versions()})
        whole_files.write_whole(self._file, told)

    def _refuse_lost(self, noted: Mapping[str, int]) -> None:
        there = self._versions()
        behind = sorted(name for name, at in noted.items() if there.get(name, -1) < at)
        if behind:
            raise LakeError(
                Problem(
                    where=f"replay {self._settings.root.name}",
                    expected="every table as far as its journal says",
                    found=f"behind it: {', '.join(behind[:3])}"
                    + (f" and {len(behind) - 3} more" if len(behind) > 3 else ""),
                    fix="Files of the replay were lost, by a power cut or by hand: begin anew (--fresh).",
                )
            )

    def _versions(self) -> dict[str, int]:
        """Return the newest version of every table of this home, by what its log has."""
        return {
            name: max((file.version for file in log_files(object_store.local(folder))), default=-1)
            for name, folder in lake.table_paths(self._settings).items()
        }
