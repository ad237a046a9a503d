"""Task: what a process of the scoring benchmark is asked to do, and what it reads."""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.ingest_peers.task import Task
from benchmarks.scoring_home import Scored, model_folder

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoringTask(Task):
    """Predict ``rows`` of the home ``source`` with the model of so many ``trees``."""

    trees: int

    @property
    def scored(self) -> Scored:
        """What there is to predict."""
        return Scored.of(Path(self.source), self.rows)

    @property
    def model(self) -> Path:
        """The model's folder."""
        return model_folder(Path(self.source), self.trees)


def asked() -> ScoringTask:
    """Return the task this process was started with."""
    return ScoringTask(**json.loads(sys.argv[1]))


def pipeline(task: ScoringTask) -> Any:  # noqa: ANN401 - scikit-learn's
    """Return the fitted pipeline, without MLflow around it."""
    import skops.io

    from pipelines.adapters.models.mlflow_registry import TRUSTED_TYPES

    return skops.io.load(task.model / "model.skops", trusted=list(TRUSTED_TYPES))


def batches(scored: Scored, rows: int, columns: list[str]) -> Iterator["pa.RecordBatch"]:
    """Yield the feature rows, at most so many at a time."""
    from pyarrow import parquet

    for file in scored.files:
        yield from parquet.ParquetFile(file).iter_batches(rows, columns=columns)
