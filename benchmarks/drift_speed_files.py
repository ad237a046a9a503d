"""Files: a reference and a current table of thirty mixed columns, alike but for chance."""

import pickle
import sys
import time
from pathlib import Path
from typing import Any

NUMBERS = tuple(f"number_{place}" for place in range(14))
"""Doubles: every second one lognormal; the first four miss 5 % of their values."""
WHOLE = tuple(f"whole_{place}" for place in range(3))
SINGLE = tuple(f"single_{place}" for place in range(3))
NUMERIC = (*NUMBERS, *WHOLE, *SINGLE)
LEVELS = {
    f"text_{place}": levels
    for place, levels in enumerate((3, 5, 8, 12, 20, 50, 100, 200, 500, 1000))
}
"""Text columns to their number of levels, the first as frequent as harmonic series has it."""
COLUMNS = (*NUMERIC, *LEVELS)
RANKED = NUMBERS[:8]
"""Numbers whose rank correlations are kept, as of a model's most important ones."""

MISSING = 0.05
MOST_IN_A_GROUP = 131_072
REFERENCE_BLOCKS = 150
CURRENT_BLOCKS = 7
REFERENCE, CURRENT = "reference.parquet", "current.parquet"
EDGES, PROFILES = "edges.pickle", "profiles.parquet"


def main() -> None:
    """Write both files and our stored reference into a folder; arguments are folder and rows.

    What the reference cost, which is paid once at promotion, is told beside it.
    """
    import pyarrow.parquet as pq

    folder, rows = Path(sys.argv[1]), int(sys.argv[2])
    group = min(MOST_IN_A_GROUP, -(-rows // CURRENT_BLOCKS))
    for seed, name in ((1, REFERENCE), (2, CURRENT)):
        pq.write_table(table(rows, seed), folder / name, row_group_size=group)
    began = time.process_time()
    store_reference(folder)
    (folder / "reference_cpu_s.txt").write_text(f"{time.process_time() - began:.3f}")


def table(rows: int, seed: int) -> Any:  # noqa: ANN401 - an Arrow table
    """Return the rows of one side; the same seed gives the same rows."""
    import numpy as np
    import pyarrow as pa

    rng = np.random.default_rng(seed)
    columns: dict[str, Any] = {}
    for place, name in enumerate(NUMBERS):
        values = rng.normal(size=rows) if place % 2 else rng.lognormal(size=rows)
        if place < 4:
            values[rng.random(rows) < MISSING] = np.nan
        columns[name] = pa.array(values, from_pandas=True)
    for place, name in enumerate(WHOLE):
        columns[name] = rng.integers(0, 10 ** (place + 1), rows)
    for name in SINGLE:
        columns[name] = rng.normal(size=rows).astype(np.float32)
    for name, levels in LEVELS.items():
        weights = 1 / np.arange(1, levels + 1)
        codes = rng.choice(levels, rows, p=weights / weights.sum()).astype(np.int32)
        names = [f"level_{level:04d}" for level in range(levels)]
        columns[name] = pa.DictionaryArray.from_arrays(codes, names).cast(pa.string())
    return pa.table(columns)


def store_reference(folder: Path) -> None:
    """Keep the edges and the profile of every reference block, as promotion does."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from pipelines.domain.drift.block_profile import scan
    from pipelines.domain.drift.column_edges import edges_of

    rows = pq.read_table(folder / REFERENCE, read_dictionary=list(LEVELS))
    edges = edges_of(rows, columns=COLUMNS, ranked=RANKED)
    size = -(-rows.num_rows // REFERENCE_BLOCKS)
    profiles = [
        scan(rows.slice(start, size).to_batches(), edges, block=str(start)).as_row()
        for start in range(0, rows.num_rows, size)
    ]
    pq.write_table(pa.Table.from_pylist(profiles), folder / PROFILES)
    (folder / EDGES).write_bytes(pickle.dumps(edges))


if __name__ == "__main__":
    main()
