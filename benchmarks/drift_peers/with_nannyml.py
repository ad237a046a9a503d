"""NannyML: univariate drift, data reconstruction and realised performance, with its defaults."""

import os
import time
from typing import Any

from benchmarks.drift_peers.task import answer, asked

FIRST_DAY = "2020-01-01"
"""Blocks become days from here on, reference first: NannyML makes its chunks of dates."""


def main() -> None:
    """Judge every block as a chunk; tell values, alerts of each method, and CPU seconds."""
    os.environ["NML_DISABLE_USAGE_LOGGING"] = "1"
    import nannyml as nml  # type: ignore[import-not-found] # lives in an environment of its own
    import pandas as pd

    task = asked()
    columns = [*task.numbers, *task.codes]
    reference, current = pd.read_parquet(task.reference), pd.read_parquet(task.current)
    current["block"] += int(reference["block"].max()) + 1
    for rows in (reference, current):
        rows["at"] = pd.Timestamp(FIRST_DAY) + pd.to_timedelta(rows["block"], unit="D")
        rows["predicted"] = (rows["score"] >= 0.5).astype(int)
    dates = {"timestamp_column_name": "at", "chunk_period": "D"}
    before = time.process_time()
    univariate = nml.UnivariateDriftCalculator(column_names=columns, **dates)
    univariate.fit(reference)
    found = univariate.calculate(current).filter(period="analysis").to_df()
    said: dict[str, Any] = {
        "univariate": {name: _said(found[(name, "jensen_shannon")]) for name in columns}
    }
    joint = nml.DataReconstructionDriftCalculator(column_names=columns, **dates)
    joint.fit(reference)
    found = joint.calculate(current).filter(period="analysis").to_df()
    said["reconstruction"] = _said(found["reconstruction_error"])
    realised = nml.PerformanceCalculator(
        problem_type="classification_binary",
        y_true="late",
        y_pred="predicted",
        y_pred_proba="score",
        metrics=["roc_auc", "accuracy"],
        **dates,
    )
    realised.fit(reference)
    found = realised.calculate(current).filter(period="analysis").to_df()
    said["performance"] = {name: _said(found[name]) for name in ("roc_auc", "accuracy")}
    answer(task, **said, cpu_s=time.process_time() - before)


def _said(found: Any) -> dict[str, Any]:  # noqa: ANN401 - a pandas frame of one method
    return {
        "values": [float(value) for value in found["value"]],
        "alerts": [bool(alert) for alert in found["alert"]],
    }


if __name__ == "__main__":
    main()
