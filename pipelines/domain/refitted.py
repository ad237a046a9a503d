"""Refitted: what a process is asked that fits a registered model again, and what it answers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.domain.recipe import Surroundings
from pipelines.errors import Problem

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

ORDER, ANSWER = "order.json", "answer.json"
PROBE, ROWS, PREDICTIONS = "probe.parquet", "rows.parquet", "predictions.parquet"
"""Files of the folder that asks and answers."""

KEY = "key."
"""Start of the columns of ROWS that hold an entity's key, beside scoring time and mark."""

PREDICTION = "prediction"
"""The column of PREDICTIONS."""

DONE = "done"
"""The step of a process that came to its end; others are "code", "data", "fit" and "predict"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What to fit: a version by its tags, and the seed and the threads to fit with."""

    use_case: str
    tags: Mapping[str, str]
    seed: int
    threads: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Refitted:
    """What the process said: how far it came, what it read and used, what the model predicts.

    ``columns`` are digests of the training rows and ``marks`` their marks and keys, None where it
    did not come to read them; ``predictions`` are of the probe set, None where none were made.
    ``loaded`` are the packages that were imported, None where nobody knows. ``ended`` says what
    ended the process from outside, such as "killed by signal 9 (SIGKILL)"; empty where nothing did.
    """

    order: Order
    step: str
    problems: tuple[Problem, ...] = ()
    error: str = ""
    code: str = ""
    declared_seed: int | None = None
    label_table: str = ""
    surroundings: Surroundings | None = None
    loaded: frozenset[str] | None = None
    columns: Mapping[str, str] | None = None
    marks: "pa.Table | None" = None
    predictions: "np.ndarray | None" = None
    ended: str = ""

    @property
    def cut_off(self) -> bool:
        """Whether it was ended from outside before it had predicted."""
        return bool(self.ended) and self.predictions is None

    @property
    def failure(self) -> str:
        """Why there are no predictions."""
        if self.ended:
            return f"its process was {self.ended} at step {self.step!r}"
        if self.problems:
            return "; ".join(
                f"{one.where}: expected {one.expected}, found {one.found}" for one in self.problems
            )
        return f"{self.error or 'its process ended'} at step {self.step!r}; its log has the stack"
