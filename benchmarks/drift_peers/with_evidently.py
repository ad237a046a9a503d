"""Evidently: its data drift preset with everything as it comes, one report a block."""

import os
import time
from typing import Any

from benchmarks.drift_peers.task import answer, asked


def main() -> None:
    """Judge every block; tell scores, verdicts per column, the share drifted, and CPU seconds."""
    os.environ["DO_NOT_TRACK"] = "1"
    import pandas as pd
    from evidently import DataDefinition, Dataset, Report  # type: ignore[import-not-found] # own
    from evidently.presets import DataDriftPreset  # type: ignore[import-not-found] # environment

    task = asked()
    columns = [*task.numbers, *task.codes]
    definition = DataDefinition(
        numerical_columns=list(task.numbers), categorical_columns=list(task.codes)
    )
    reference = pd.read_parquet(task.reference, columns=columns)
    current = pd.read_parquet(task.current)
    blocks: list[dict[str, Any]] = []
    before = time.process_time()
    for _, rows in current.groupby("block"):
        report = Report([DataDriftPreset()])
        snapshot = report.run(
            Dataset.from_pandas(rows[columns].reset_index(drop=True), data_definition=definition),
            Dataset.from_pandas(reference, data_definition=definition),
        )
        blocks.append(_said(snapshot.dict()))
    answer(task, blocks=blocks, cpu_s=time.process_time() - before)


def _said(found: dict[str, Any]) -> dict[str, Any]:
    """Return the share of drifted columns and each column's score, from a report's metrics."""
    said: dict[str, Any] = {"scores": {}, "share": None}
    for metric in found["metrics"]:
        config, value = metric.get("config", {}), metric["value"]
        if isinstance(value, dict) and "share" in value:
            said["share"] = float(value["share"])
        elif "column" in config:
            said["scores"][config["column"]] = [float(value), float(config["threshold"])]
    return said


if __name__ == "__main__":
    main()
