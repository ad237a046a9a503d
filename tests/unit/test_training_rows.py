"""Training rows: those of some scoring times, shared where they lie together and never lost."""

from datetime import UTC, datetime

import pyarrow as pa

from pipelines.adapters.models.training_rows import at
from pipelines.domain.labels import labelled

DAYS = [datetime(2026, 3, day, tzinfo=UTC) for day in range(1, 5)]
ROWS = pa.table(
    {
        "as_of": pa.array([DAYS[0], DAYS[0], DAYS[1], DAYS[2], DAYS[3]], pa.timestamp("us", "UTC")),
        "key": [5, 6, 7, 8, 9],
        "text": ["a", None, "c", "d", "e"],
    }
)


def address(rows: pa.Table) -> int:
    (chunk,) = rows["text"].chunks
    return int(chunk.buffers()[2].address)


def test_rows_that_lie_together_are_shared_and_others_are_brought_together() -> None:
    together = at(ROWS, DAYS[1:3])
    assert together["key"].to_pylist() == [7, 8]
    assert address(together) == address(ROWS)
    apart = at(ROWS, [DAYS[3], DAYS[0]])
    assert apart["key"].to_pylist() == [5, 6, 9]
    assert apart["text"].to_pylist() == ["a", None, "e"]
    assert at(ROWS, [datetime(2026, 4, 1, tzinfo=UTC)]).num_rows == 0


def test_rows_keep_their_order_whatever_the_order_of_their_labels() -> None:
    states = pa.table(
        {
            "key": [9, 8, 7, 5, 6],
            "state": ["final", "unlabelled", "final", "final", "final"],
            "value": [True, None, False, True, False],
        }
    )
    found = labelled(ROWS, states, ("key",))
    assert found.column_names == ["as_of", "key", "text", "label"]
    assert found["key"].to_pylist() == [5, 6, 7, 9]
    assert found["label"].to_pylist() == [True, False, False, True]
    whole = labelled(ROWS.filter(pa.array([True, True, True, False, True])), states, ("key",))
    assert whole["label"].to_pylist() == [True, False, False, True]
    assert whole["text"].to_pylist() == ["a", None, "c", "e"]
