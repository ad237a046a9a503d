"""Task: what a process of the ingest benchmark is asked to do, and what it answers."""

import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Take the file ``source`` of a format into a Delta table in the folder ``target``.

    ``began`` is the moment the process was started (seconds since the epoch). ``answer`` is the
    file for what the process says when it is done.
    """

    format: str
    source: str
    target: str
    rows: int
    answer: str
    began: float

    def as_argument(self) -> str:
        """Return the task as the one argument of its process."""
        return json.dumps(asdict(self))


def asked() -> Task:
    """Return the task this process was started with."""
    return Task(**json.loads(sys.argv[1]))


def answer(task: Task, **said: object) -> None:
    """Write what was done, and which modules that took, in the order they were imported."""
    modules = [
        name
        for name, module in list(sys.modules.items())
        if (spec := getattr(module, "__spec__", None)) and spec.name == name
    ]
    Path(task.answer).write_text(json.dumps({**said, "modules": modules}))


def spent_so_far(task: Task) -> dict[str, float]:
    """Return the seconds spent before the work that counts, for work that needs preparing."""
    return {"before_cpu_s": time.process_time(), "before_wall_s": time.time() - task.began}
