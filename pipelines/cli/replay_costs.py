"""Replay costs: CPU seconds of a step by stage, counted over all tries of it, without imports."""

import importlib
import time as clock
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from pipelines.adapters.replay_journal import Begun, ReplayJournal

WARM = (
    *("deltalake", "duckdb", "mlflow.sklearn", "mlflow.store.tracking.sqlalchemy_store", "optuna"),
    *("pandas", "pyarrow.compute", "pyarrow.dataset"),
    *("pyarrow.parquet", "scipy.stats", "sklearn.compose", "sklearn.ensemble"),
    *("sklearn.linear_model", "sklearn.pipeline", "sklearn.preprocessing", "skops.io"),
    *("pipelines.stages.begin_training", "pipelines.stages.evaluate", "pipelines.stages.late"),
    *("pipelines.stages.monitor", "pipelines.stages.probation", "pipelines.stages.promote"),
    *("pipelines.stages.retrain", "pipelines.stages.score", "pipelines.stages.shadow"),
    "pipelines.stages.train",
)
"""What stages import when they first run: some seconds, which are no cost of the policy that is first."""


def warm_up() -> None:
    """Import what stages import, so that no stage is charged with it."""
    for name in WARM:
        importlib.import_module(name)


@dataclass(slots=True)
class StepCosts:
    """What a step cost so far, tries that were cut off included.

    Written down after each stage: of a kill in the middle of one, what it had cost by then is lost,
    and the next try does most of it again.
    """

    journal: ReplayJournal
    step: str
    cpu_s: dict[str, float] = field(default_factory=dict)
    _wall_s: float = 0.0
    _began: float = field(default_factory=clock.perf_counter)

    @classmethod
    def of(cls, journal: ReplayJournal, step: str) -> "StepCosts":
        """Return the costs of a step with those of the tries before."""
        before = journal.begun(step)
        return cls(journal=journal, step=step, cpu_s=dict(before.cpu_s), _wall_s=before.wall_s)

    @property
    def wall_s(self) -> float:
        """Wall seconds of all tries."""
        return self._wall_s + clock.perf_counter() - self._began

    @contextmanager
    def counted(self, stage: str) -> Iterator[None]:
        """Add the CPU seconds of what happens inside, in all threads of this process."""
        began = clock.process_time()
        try:
            yield
        finally:
            spent = clock.process_time() - began
            self.cpu_s[stage] = self.cpu_s.get(stage, 0.0) + spent
            self.journal.begin(Begun(step=self.step, cpu_s=self.cpu_s, wall_s=self.wall_s))
