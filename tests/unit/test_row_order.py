"""Row order: sorted as Arrow sorts, and not moved where nothing need be."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.domain.row_order import in_order, is_in_order

KEYS = st.tuples(st.integers(0, 2), st.one_of(st.none(), st.sampled_from(["", "a", "b", "é"])))


def table_of(keys: list[tuple[int, str | None]]) -> pa.Table:
    return pa.table(
        {
            "block": pa.array([block for block, _ in keys], pa.int64()),
            "key": pa.array([key for _, key in keys], pa.string()),
            "place": pa.array(range(len(keys)), pa.int64()),
        }
    )


@given(st.lists(KEYS, max_size=8), st.integers(0, 8))
def test_rows_are_sorted_by_bytes_and_equal_ones_keep_their_order(
    keys: list[tuple[int, str | None]], cut: int
) -> None:
    rows = table_of(keys)
    chunked = pa.concat_tables([rows.slice(0, cut), rows.slice(cut)])
    found = in_order(chunked, ["block", "key"])
    ordered = sorted(
        enumerate(keys),
        key=lambda row: (row[1][0], row[1][1] is None, (row[1][1] or "").encode(), row[0]),
    )
    assert found["place"].to_pylist() == [place for place, _ in ordered]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ([], True),
        ([(1, "b")], True),
        ([(0, "b"), (1, "a"), (1, "a")], True),
        ([(0, "b"), (0, "a")], False),
        ([(1, "a"), (0, "b")], False),
    ],
)
def test_rows_in_order_are_returned_as_they_lie(
    keys: list[tuple[int, str | None]], expected: object
) -> None:
    rows = table_of(keys)
    assert is_in_order(rows, ["block", "key"]) is expected
    assert (in_order(rows, ["block", "key"]) is rows) is expected
