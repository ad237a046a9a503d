"""Kept: what monitors said on an order, on disk, so that a run of hours may be interrupted."""

import hashlib
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmarks.drift_quality_real import Agreement
from benchmarks.drift_quality_runs import Task, Told

ROOT = Path(__file__).parents[1]
CODE = ("benchmarks/drift_quality_*.py", "pipelines/domain/drift/*.py", "pipelines/domain/*.py")
"""Files whose text decides what is said."""


@dataclass(frozen=True, kw_only=True)  # no slots: the digest is kept in the instance
class Kept:
    """A folder of answers, each found again only by the code that gave it.

    Read what was written here only: a pickle runs what it holds.
    """

    folder: Path

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)

    @cached_property
    def digest(self) -> str:
        """Identity of the code that answers."""
        found = hashlib.sha256()
        for file in sorted({file for pattern in CODE for file in ROOT.glob(pattern)}):
            found.update(f"{file.relative_to(ROOT)}\n".encode() + file.read_bytes())
        return found.hexdigest()[:16]

    def get(self, task: Task) -> Told | None:
        """Return what was said on an order; None when it was not run yet."""
        told: Told | None = self._read(_name(task))
        return told

    def put(self, told: Told) -> None:
        """Keep what was said on an order."""
        self._write(_name(told.task), told)

    def agreement(self, peer: str, judged: Callable[[], Agreement]) -> Agreement:
        """Return how a package agrees with our reading of it; it judges when it did not yet."""
        found: Agreement | None = self._read(peer)
        if found is None:
            found = judged()
            self._write(peer, found)
        return found

    def _read(self, name: str) -> Any:  # noqa: ANN401 - what was written
        file = self._file(name)
        return pickle.loads(file.read_bytes()) if file.exists() else None  # noqa: S301 - our own

    def _write(self, name: str, value: object) -> None:
        """Write whole or not at all."""
        file = self._file(name)
        begun = file.with_suffix(".begun")
        begun.write_bytes(pickle.dumps(value))
        begun.replace(file)

    def _file(self, name: str) -> Path:
        return self.folder / f"{self.digest}-{name}.pkl"


def _name(task: Task) -> str:
    kind = task.kind.replace(" ", "_").replace(",", "")
    return f"{kind}-{task.split.name}-{task.part}-{task.seed}"
