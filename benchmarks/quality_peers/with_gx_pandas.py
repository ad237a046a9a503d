"""Great Expectations on pandas: the columns that the checks read, as a data frame."""

import os
import resource
import sys
from pathlib import Path

from benchmarks.ingest_peers.task import answer, asked
from benchmarks.quality_peers.gx_results import judged
from benchmarks.quality_peers.suite import READ, ROW

MOST_MEMORY = 0.8
"""Share of the memory that is free at the start which the process may take before it gives up."""


def main() -> None:
    """Check the staged files in the folder ``source``; the arguments after it are part and detail.

    Raises MemoryError where the rows do not fit.
    """
    task, part, detail = asked(), sys.argv[2], sys.argv[3]
    _bound_memory()
    # GX reads it when it is imported.
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    import great_expectations as gx
    import pandas as pd
    from great_expectations.data_context.types.base import ProgressBarsConfig

    frame = pd.read_parquet(
        task.source,  # all files of the folder
        columns=[*READ, *([ROW] if detail == "listed" else [])],
    )
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    asset = context.data_sources.add_pandas("benchmark").add_dataframe_asset("rows")
    batch = asset.add_batch_definition_whole_dataframe("whole").get_batch({"dataframe": frame})
    answer(task, **judged(batch, part, detail))


def _bound_memory() -> None:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            most = int(int(line.split()[1]) * 1024 * MOST_MEMORY)
            resource.setrlimit(resource.RLIMIT_DATA, (most, most))


if __name__ == "__main__":
    main()
