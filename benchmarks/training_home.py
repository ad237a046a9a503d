"""Home: flights with known delays, ingested and described as the platform does, ready to train on."""

import json
import os
import shutil
import sys
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.scoring_home import DECLARED, FIRST, NAME, land, settings_in

if TYPE_CHECKING:
    from pipelines.adapters.models.training_rows import TrainingRows
    from pipelines.domain.training import FeatureColumns
    from pipelines.use_case import UseCase

TRAINED, GAP, HELD_OUT = 60, 2, 20
"""Days that a model learns from, days whose labels were open then, and days that are held out."""
DAYS = TRAINED + GAP + HELD_OUT
AS_OF = FIRST + timedelta(days=DAYS + GAP, hours=12)
"""When the training takes place: the labels of the last day are final."""

JUDGED_ROWS = 5_000
"""Held-out rows that models are compared on."""


def use_case_in(home: Path) -> "UseCase":
    """Return the use case that a home holds a copy of."""
    from pipelines.use_case import load

    return load(home / "dags" / f"{NAME}.py")


def main() -> None:
    """Build the home named by the first argument with so many training rows, where it is missing.

    A process of its own, so that its memory is not taken for that of what is measured after it.
    """
    home, rows = Path(sys.argv[1]), int(sys.argv[2])
    os.environ["OMP_NUM_THREADS"] = "1"
    if not (home / "built").exists():
        shutil.rmtree(home, ignore_errors=True)
        build(home, rows)
        (home / "built").touch()


def build(home: Path, rows: int) -> None:
    """Ingest the flights of every day, describe them, and keep the estimator's matrix beside them.

    ``rows`` are those of the training window; a third more are held out or lie in the gap.
    """
    from pipelines.adapters.models import mlflow_registry
    from pipelines.stages.ingest import ingest, refusals

    settings = settings_in(home)
    path = home / "dags" / f"{NAME}.py"
    path.parent.mkdir(parents=True)
    shutil.copy(DECLARED, path)
    land(settings, days=DAYS, rows_a_day=rows // TRAINED)
    found = ingest(use_case_in(home), settings, as_of=AS_OF, run="benchmark")
    if refused := refusals(found):
        raise refused
    chosen = chosen_in(home)
    if chosen.rows.num_rows != rows // TRAINED * TRAINED:
        raise ValueError(f"{chosen.rows.num_rows} rows to train on, not {rows}")
    _keep(home, chosen)
    mlflow_registry.registered(settings)  # makes its database, which a home does once
    (settings.root / "mlflow").rename(home / "mlflow")


def forget_models(home: Path) -> None:
    """Let a home be as it was built: without any model, or any study of a search."""
    settings = settings_in(home)
    # The ledger too: it knows the digest of a version that MLflow then has no more.
    for left in ("mlflow", "studies", "lake/ledger"):
        shutil.rmtree(settings.root / left, ignore_errors=True)
    shutil.copytree(home / "mlflow", settings.root / "mlflow")


def chosen_in(home: Path) -> "TrainingRows":
    """Return the rows of the training, described where they were not yet."""
    from pipelines.adapters.models import training_rows
    from pipelines.use_case import TrainedUseCase

    parts = TrainedUseCase.of(use_case_in(home))
    return training_rows.choose(
        settings_in(home),
        NAME,
        view=parts.features,
        label=parts.label,
        training=parts.training,
        times=parts.scoring.times,
        as_of=AS_OF,
    )


def columns_in(home: Path) -> "FeatureColumns":
    """Return the features of a home's matrix, in its order."""
    from pipelines.domain.training import FeatureColumns

    return FeatureColumns(**json.loads((home / "columns.json").read_text()))


def _keep(home: Path, chosen: "TrainingRows") -> None:
    """Keep the rows to train on as scikit-learn's own transformer sees them, and as it makes them.

    That is a float64 matrix, row by row in memory.
    """
    import numpy as np
    from pyarrow import feather

    from pipelines.adapters.models.training_rows import label_of
    from pipelines.domain.training import feature_frame
    from pipelines.use_case import TrainedUseCase

    columns = chosen.columns
    training = TrainedUseCase.of(use_case_in(home)).training
    encoder = training.candidates[0].build(columns, training.seed)[0]
    matrix = encoder.fit_transform(feature_frame(chosen.rows, columns))
    judged = feature_frame(chosen.held_out.slice(0, JUDGED_ROWS), columns)
    np.save(home / "matrix.npy", np.ascontiguousarray(matrix))
    np.save(home / "label.npy", label_of(chosen.rows))
    np.save(home / "judged.npy", encoder.transform(judged))
    feather.write_feather(chosen.rows.select(columns.all), home / "rows.feather")
    (home / "columns.json").write_text(json.dumps(asdict(columns)))


if __name__ == "__main__":
    main()
