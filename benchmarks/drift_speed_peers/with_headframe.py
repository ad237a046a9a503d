"""Headframe: scan the new rows, add them to the stored profiles, and test a day and a week."""

import pickle
from pathlib import Path

from benchmarks.drift_speed_files import (
    CURRENT,
    CURRENT_BLOCKS,
    EDGES,
    LEVELS,
    NUMBERS,
    PROFILES,
)
from benchmarks.ingest_peers.task import answer, asked


def main() -> None:
    """Judge the file in the folder ``source`` against the reference stored there."""
    import pyarrow.parquet as pq

    from pipelines.domain.drift.block_permutation import BlockPermutation
    from pipelines.domain.drift.block_profile import profiles_of, scan
    from pipelines.domain.drift.block_statistics import statistics_of
    from pipelines.domain.drift.drift_result import DriftEvidence
    from pipelines.domain.drift.hard_rules import HardRules

    task = asked()
    folder = Path(task.source)
    edges = pickle.loads((folder / EDGES).read_bytes())  # noqa: S301 - written by the benchmark
    stored = profiles_of(pq.read_table(folder / PROFILES), edges)
    profiles = [*stored]
    file = pq.ParquetFile(folder / CURRENT, read_dictionary=list(LEVELS))
    groups = [
        list(range(file.num_row_groups))[place::CURRENT_BLOCKS] for place in range(CURRENT_BLOCKS)
    ]
    for number, of_block in enumerate(group for group in groups if group):
        batches = file.iter_batches(row_groups=of_block, use_threads=False)
        profiles.append(scan(batches, edges, block=f"new {number}"))
    evidence = DriftEvidence(
        reference=tuple(range(len(stored))),
        current=tuple(range(len(stored), len(profiles))),
        statistics=statistics_of(profiles, edges),
        profiles=tuple(profiles),
        edges=edges,
        importance=dict.fromkeys(NUMBERS[:5], 0.2),
    )
    window = len(evidence.current)
    tests = (
        BlockPermutation(window=1, alpha=1 / len(stored)),
        BlockPermutation(window=window, alpha=0.005),
        HardRules(),
    )
    results = [test.judge(evidence) for test in tests]
    rows = sum(profile.rows for profile in profiles[len(stored) :])
    answer(task, rows=rows, outcomes=[result.outcome for result in results])


if __name__ == "__main__":
    main()
