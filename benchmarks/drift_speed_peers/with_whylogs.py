"""whylogs: a profile of the current rows; comparing it comes on top."""

import os
from pathlib import Path

from benchmarks.drift_speed_files import CURRENT
from benchmarks.ingest_peers.task import answer, asked


def main() -> None:
    """Profile the current file in the folder ``source``."""
    os.environ["WHYLOGS_NO_ANALYTICS"] = "1"
    import pandas as pd
    import whylogs as why  # type: ignore[import-not-found] # lives in an environment of its own

    task = asked()
    current = pd.read_parquet(Path(task.source) / CURRENT)
    view = why.log(current).view()
    answer(task, rows=len(current), outcomes=[str(len(view.get_columns()))])


if __name__ == "__main__":
    main()
