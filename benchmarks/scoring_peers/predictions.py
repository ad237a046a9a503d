"""Predictions: what one system wrote, compared with what the first one wrote, by key and bit."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.scoring_rows import KEY

if TYPE_CHECKING:
    import numpy as np


def main() -> None:
    """Add what differs to the answer named by the first argument; the second names the first's."""
    answer, kept = Path(sys.argv[1]), Path(sys.argv[2])
    said = json.loads(answer.read_text())
    said |= compare(*read(said), kept)
    answer.write_text(json.dumps(said))


def read(said: dict[str, Any]) -> tuple["np.ndarray", "np.ndarray"]:
    """Return keys and predictions, sorted by key."""
    import numpy as np
    from deltalake import DeltaTable
    from pyarrow import parquet

    files = said.get("files") or [
        uri.removeprefix("file://") for uri in DeltaTable(said["table"]).file_uris()
    ]
    found = [
        parquet.ParquetFile(file).read(columns=[KEY, "prediction"]).combine_chunks()
        for file in files
    ]
    keys = np.concatenate([rows[KEY].to_numpy() for rows in found])
    predictions = np.concatenate([rows["prediction"].to_numpy() for rows in found])
    if (np.diff(keys) <= 0).any():
        order = np.argsort(keys, kind="stable")
        keys, predictions = keys[order], predictions[order]
    return keys, predictions


def compare(keys: "np.ndarray", predictions: "np.ndarray", kept: Path) -> dict[str, int]:
    """Return how many rows there are, how often a key repeats, and how many predictions differ.

    The first that is asked is kept and differs from nothing. Other keys count as ``other_keys``,
    and predictions are compared as bits, and only where keys are the same.
    """
    import numpy as np

    found = {"rows": len(keys), "repeated": int((np.diff(keys) == 0).sum())}
    if not kept.exists():
        np.savez(kept, keys=keys, predictions=predictions)
        return found | {"other_keys": 0, "differing": 0}
    with np.load(kept) as first:
        if not np.array_equal(keys, first["keys"]):
            other = len(np.setxor1d(keys, first["keys"]))
            return found | {"other_keys": max(1, other), "differing": 0}
        bits, others = predictions.view(np.int64), first["predictions"].view(np.int64)
        return found | {"other_keys": 0, "differing": int((bits != others).sum())}


if __name__ == "__main__":
    main()
