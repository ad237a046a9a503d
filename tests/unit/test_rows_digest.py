"""The digest of feature rows is one of their values, whatever lies around them in memory."""

import numpy as np
import pyarrow as pa
import pytest

from pipelines.domain.features import rows_digest


def column(values: list[float | None], *, below: float) -> pa.Array:
    """Return an array with ``below`` in the memory of what is missing."""
    filled = np.array([below if value is None else value for value in values])
    return pa.array(filled, mask=np.array([value is None for value in values]))


def test_what_lies_below_a_missing_value_does_not_matter() -> None:
    one, other = ({"x": column([1.5, None, 3.0], below=below)} for below in (0.0, 99.0))
    assert pa.table(one)["x"].chunk(0).buffers()[1] != pa.table(other)["x"].chunk(0).buffers()[1]
    assert rows_digest(pa.table(one)) == rows_digest(pa.table(other))


def test_the_bits_after_the_last_value_do_not_matter() -> None:
    clean, dirty = (
        pa.Array.from_buffers(pa.bool_(), 3, [None, pa.py_buffer(bytes([bits]))])
        for bits in (0b00000101, 0b11111101)
    )
    assert clean.equals(dirty)
    assert rows_digest(pa.table({"x": clean})) == rows_digest(pa.table({"x": dirty}))


def test_chunks_and_slices_do_not_matter() -> None:
    whole = pa.table({"x": [None, 1, None, 2], "t": ["a", None, "b", "c"], "f": [True, None] * 2})
    parts = pa.concat_tables([whole.slice(0, 1), whole.slice(1)])
    padded = pa.concat_tables([whole, whole]).combine_chunks().slice(4)
    assert rows_digest(parts) == rows_digest(padded) == rows_digest(whole)


@pytest.mark.parametrize("none_missing", [["a", "bb", "ccc", "e", "d"], ["", "ä", "", "e", "ff"]])
def test_the_texts_around_a_part_do_not_matter(none_missing: list[str]) -> None:
    part = pa.table({"t": pa.array(none_missing * 3)}).slice(5, 5)
    assert rows_digest(part) == rows_digest(pa.table({"t": pa.array(none_missing)}))


@pytest.mark.parametrize(
    "other", [[1.0, 0.0], [1.0, float("nan")], [None, 1.0], [1.0], [1.0, None, None]]
)
def test_another_value_order_or_number_of_rows_does(other: list[float | None]) -> None:
    kind = pa.float64()
    rows = pa.table({"x": pa.array([1.0, None], kind)})
    assert rows_digest(rows) != rows_digest(pa.table({"x": pa.array(other, kind)}))
