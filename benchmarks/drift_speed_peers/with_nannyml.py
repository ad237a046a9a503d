"""NannyML: its univariate drift calculator with its defaults, in ten chunks."""

import os
from pathlib import Path

from benchmarks.drift_speed_files import COLUMNS, CURRENT, REFERENCE
from benchmarks.ingest_peers.task import answer, asked


def main() -> None:
    """Fit on the reference in the folder ``source`` and calculate the current file."""
    os.environ["NML_DISABLE_USAGE_LOGGING"] = "1"
    import nannyml as nml  # type: ignore[import-not-found] # lives in an environment of its own
    import pandas as pd

    task = asked()
    reference, current = (
        pd.read_parquet(Path(task.source) / name) for name in (REFERENCE, CURRENT)
    )
    calculator = nml.UnivariateDriftCalculator(column_names=list(COLUMNS))
    calculator.fit(reference)
    found = calculator.calculate(current).filter(period="analysis").to_df()
    answer(task, rows=len(current), outcomes=[str(len(found))])


if __name__ == "__main__":
    main()
