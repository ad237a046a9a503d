"""Work: what a process of the training benchmark is asked to do, and how it counts and answers."""

import hashlib
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


@dataclass(slots=True, kw_only=True)
class Work:
    """A home to train in, the file for the answer, and what the part that counts cost so far."""

    home: Path
    answer: Path
    cpu_s: float = 0.0
    wall_s: float = 0.0

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count what happens inside, in CPU seconds of all threads and in wall seconds."""
        cpu_s, wall_s = time.process_time(), time.perf_counter()
        yield
        self.cpu_s += time.process_time() - cpu_s
        self.wall_s += time.perf_counter() - wall_s

    def tell(self, predictions: "np.ndarray", **said: object) -> None:
        """Answer with the cost, and the digest of what the model says of the rows it is judged on."""
        digest = hashlib.sha256(predictions.astype("<f8").tobytes()).hexdigest()
        told = {**said, "cpu_s": self.cpu_s, "wall_s": self.wall_s, "predictions": digest}
        self.answer.write_text(json.dumps(told))


def work() -> Work:
    """Return what this process was started for."""
    return Work(home=Path(sys.argv[1]), answer=Path(sys.argv[2]))


def matrix(home: Path, name: str) -> Any:  # noqa: ANN401 - an array of NumPy
    """Return one of the arrays that lie beside a home, in memory."""
    import numpy as np

    return np.load(home / f"{name}.npy")


def judged(home: Path, estimator: Any) -> "np.ndarray":  # noqa: ANN401 - scikit-learn's
    """Return what an estimator says of the rows that models are compared on."""
    found: np.ndarray = estimator.predict_proba(matrix(home, "judged"))[:, 1]
    return found
