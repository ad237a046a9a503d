"""Floor: the estimator's own predictions of a ready matrix, float64 in C order, and nothing else."""

import time

from benchmarks.ingest_peers.task import answer
from benchmarks.scoring_peers.task import asked, pipeline
from benchmarks.scoring_rows import BATCH_ROWS, KEY


def main() -> None:
    """Predict batch by batch; only that is counted, not reading the matrix nor keeping the answer."""
    import numpy as np
    import pyarrow as pa
    from pyarrow import parquet

    task = asked()
    scored, estimator = task.scored, pipeline(task)[-1]
    matrix, keys = (np.load(path, mmap_mode="r") for path in (scored.matrix, scored.keys))
    predictions = np.empty(len(keys))
    cpu_s = wall_s = 0.0
    for begin in range(0, len(keys), BATCH_ROWS):
        ready = np.array(matrix[begin : begin + BATCH_ROWS], order="C")
        began = time.process_time(), time.perf_counter()
        found = estimator.predict_proba(ready)[:, 1]
        cpu_s += time.process_time() - began[0]
        wall_s += time.perf_counter() - began[1]
        predictions[begin : begin + BATCH_ROWS] = found
    table = f"{task.target}/floor.parquet"
    parquet.write_table(pa.table({KEY: keys, "prediction": predictions}), table)
    answer(task, files=[table], counted_cpu_s=cpu_s, counted_wall_s=wall_s)


if __name__ == "__main__":
    main()
