"""Evidently: its data drift preset with its defaults, one report."""

import os
from pathlib import Path

from benchmarks.drift_speed_files import COLUMNS, CURRENT, LEVELS, NUMERIC, REFERENCE
from benchmarks.ingest_peers.task import answer, asked


def main() -> None:
    """Compare the files in the folder ``source``."""
    os.environ["DO_NOT_TRACK"] = "1"
    import pandas as pd
    from evidently import DataDefinition, Dataset, Report  # type: ignore[import-not-found] # own
    from evidently.presets import DataDriftPreset  # type: ignore[import-not-found] # environment

    task = asked()
    definition = DataDefinition(numerical_columns=list(NUMERIC), categorical_columns=list(LEVELS))
    reference, current = (
        pd.read_parquet(Path(task.source) / name, columns=list(COLUMNS))
        for name in (REFERENCE, CURRENT)
    )
    snapshot = Report([DataDriftPreset()]).run(
        Dataset.from_pandas(current, data_definition=definition),
        Dataset.from_pandas(reference, data_definition=definition),
    )
    metrics = snapshot.dict()["metrics"]
    answer(task, rows=len(current), outcomes=[str(len(metrics))])


if __name__ == "__main__":
    main()
