"""Task: the files a peer reads, and the one it leaves its answer in."""

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftTask:
    """Judge each block of ``current`` against ``reference``; both are Parquet files.

    Their column ``block`` (whole numbers from 0) tells the block of a row, ``late`` its label and
    ``score`` the model's prediction; ``numbers`` and ``codes`` are the monitored columns. The
    answer goes to the file ``answer``.
    """

    reference: str
    current: str
    numbers: tuple[str, ...]
    codes: tuple[str, ...]
    answer: str

    def as_argument(self) -> str:
        """Return the task as the one argument of its process."""
        return json.dumps(asdict(self))


def asked() -> DriftTask:
    """Return the task this process was started with."""
    return DriftTask(**json.loads(sys.argv[1]))


def answer(task: DriftTask, **said: object) -> None:
    """Write what the peer said."""
    Path(task.answer).write_text(json.dumps(said))
