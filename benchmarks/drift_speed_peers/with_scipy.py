"""SciPy by hand: Kolmogorov-Smirnov per number, chi-square per text column, on all rows."""

from pathlib import Path

from benchmarks.drift_speed_files import CURRENT, LEVELS, NUMERIC, REFERENCE
from benchmarks.ingest_peers.task import answer, asked


def main() -> None:
    """Compare the files in the folder ``source`` column by column."""
    import numpy as np
    import pandas as pd
    from scipy.stats import chi2_contingency, ks_2samp

    task = asked()
    reference, current = (
        pd.read_parquet(Path(task.source) / name) for name in (REFERENCE, CURRENT)
    )
    p_values = [
        float(ks_2samp(reference[name].dropna(), current[name].dropna()).pvalue) for name in NUMERIC
    ]
    for name in LEVELS:
        counts = [side[name].value_counts() for side in (reference, current)]
        both = np.stack([of.reindex(counts[0].index, fill_value=0) for of in counts])
        p_values.append(float(chi2_contingency(both).pvalue))
    answer(task, rows=len(current), outcomes=["drifted" if p < 0.05 else "quiet" for p in p_values])


if __name__ == "__main__":
    main()
