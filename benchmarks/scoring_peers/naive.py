"""Naive: all rows in one pandas frame, MLflow's pyfunc, and a Delta table of the result."""

import sys

from benchmarks.ingest_peers.task import answer
from benchmarks.scoring_peers.task import asked
from benchmarks.scoring_rows import KEY


def main() -> None:
    """Read the needed columns, or with "all" every column, predict, and write what was read."""
    import mlflow
    import pandas as pd
    from deltalake import write_deltalake

    task, everything = asked(), sys.argv[2] == "all"
    scored = task.scored
    model = mlflow.pyfunc.load_model(str(task.model))
    features = [*scored.numeric, *scored.categorical]
    rows = pd.read_parquet(
        list(scored.files), columns=None if everything else [KEY, *features], engine="pyarrow"
    )
    frame = rows[features].astype(dict.fromkeys(scored.numeric, "float64"))
    # A missing text is a category of its own, as it was for training.
    frame[list(scored.categorical)] = frame[list(scored.categorical)].fillna("")
    kept = rows if everything else rows[[KEY]]
    write_deltalake(task.target, kept.assign(prediction=model.predict(frame)[:, 1]))
    answer(task, table=task.target)


if __name__ == "__main__":
    main()
