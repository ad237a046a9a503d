"""Feature differences: what differs, what is the same number added up in another order."""

import math

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.domain.feature_differences import CHANGED, SIDE, changed_names, differences

SCHEMA = pa.schema([("key", pa.int64()), ("number", pa.float64()), ("text", pa.string())])


def table(*rows: tuple[int, float | None, str | None]) -> pa.Table:
    names = SCHEMA.names
    return pa.Table.from_pylist([dict(zip(names, r, strict=True)) for r in rows], schema=SCHEMA)


@pytest.mark.parametrize(
    ("first", "second", "differs"),
    [
        (0.1 + 0.2, 0.3, False),
        (1.0, 1.0 + 1e-9, True),
        (0.0, 1e-300, True),
        (math.nan, math.nan, False),
        (math.nan, 1.0, True),
        (math.inf, math.inf, False),
        (math.inf, -math.inf, True),
        (math.inf, 3.0, True),
        (None, 0.0, True),
        (None, None, False),
    ],
)
def test_numbers_differ_by_more_than_rounding(
    *, first: float | None, second: float | None, differs: bool
) -> None:
    found = differences(table((1, first, "a")), table((1, second, "a")), ["key"]).to_pylist()
    assert [row[CHANGED] for row in found] == ([["number"]] if differs else [])
    assert changed_names({"number": first}, {"number": second}) == (("number",) if differs else ())


def test_a_row_that_one_side_lacks_is_told_with_its_side() -> None:
    first, second = table((1, 1.0, "a"), (2, 2.0, "b")), table((2, 2.0, "c"), (3, 3.0, None))
    assert differences(first, second, ["key"]).to_pylist() == [
        {"key": 1, SIDE: "first", CHANGED: []},
        {"key": 2, SIDE: "both", CHANGED: ["text"]},
        {"key": 3, SIDE: "second", CHANGED: []},
    ]


numbers = st.one_of(st.none(), st.floats(), st.sampled_from([0.3, 0.1 + 0.2, 1e300, -0.0]))


@given(first=numbers, second=numbers, texts=st.tuples(*[st.sampled_from(["a", "b", None])] * 2))
@settings(deadline=None, max_examples=40)
def test_one_row_is_judged_as_a_table_of_it_is(
    first: float | None, second: float | None, texts: tuple[str | None, str | None]
) -> None:
    one, other = table((1, first, texts[0])), table((1, second, texts[1]))
    found = differences(one, other, ["key"]).to_pylist()
    assert list(changed_names(one.to_pylist()[0], other.to_pylist()[0])) == (
        found[0][CHANGED] if found else []
    )
