"""Block profiles: counts that are right, add up in any order, and come back as they were."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from pipelines.domain.drift.block_profile import (
    ARRAYS,
    GRID,
    BlockProfile,
    bins_of,
    merged,
    profiles_of,
    scan,
)
from pipelines.domain.drift.block_statistics import statistics_of
from pipelines.domain.drift.column_edges import (
    CategoryEdges,
    NumericEdges,
    ReferenceEdges,
    edges_of,
)
from pipelines.errors import HeadframeError

MILES = NumericEdges(
    column="miles",
    cuts=(100.0, 200.0),
    minimum=50.0,
    maximum=300.0,
    centre=150.0,
    scale=50.0,
    ranks=(-4000, 0, 4000),
)
HOURS = NumericEdges(
    column="hours",
    cuts=(5.0,),
    minimum=0.0,
    maximum=9.0,
    centre=5.0,
    scale=2.0,
    ranks=(-2500, 2500),
)
ORIGIN = CategoryEdges(column="origin", levels=("EWR", "JFK"), others=("LGA",))
EDGES = ReferenceEdges((MILES, HOURS, ORIGIN), ranked=("miles", "hours"), segments=("origin",))

NAN, INFINITY = math.nan, math.inf


def table(rows: Sequence[tuple[Any, Any, Any]]) -> pa.Table:
    miles, hours, origin = zip(*rows, strict=True)
    return pa.table(
        {
            "miles": pa.array(miles, pa.float64()),
            "hours": pa.array(hours, pa.int64()),
            "origin": pa.array(origin, pa.string()),
        }
    )


ROWS = [
    (99.0, 4, "EWR"),
    (100.0, 5, "EWR"),
    (20.0, 5, "JFK"),
    (None, None, None),
    (NAN, 9, "LGA"),
    (INFINITY, 9, "ZZZ"),
    (400.0, 1, "EWR"),
]


def test_every_value_is_counted_where_it_belongs() -> None:
    profile = scan(table(ROWS).to_batches(), EDGES, block="2013-07-01")
    assert profile.rows == 7
    # below 100, below 200, from 200, missing
    assert profile.of(EDGES, "miles").tolist() == [2, 1, 2, 2]
    assert profile.of(EDGES, "hours").tolist() == [2, 4, 1]
    # EWR, JFK, other known ones, never seen, missing
    assert profile.of(EDGES, "origin").tolist() == [3, 1, 1, 1, 1]
    # 20 is below the reference's least; 400 and infinity are above its greatest
    assert profile.outside.tolist() == [[1, 2], [0, 0], [0, 0]]
    # finite miles: -1.02, -1, -2.6, 5 standard scores
    assert profile.moments[0].tolist() == pytest.approx([4, 0.38, 1.0404 + 1 + 6.76 + 25])
    assert profile.segment_rows.tolist() == [3, 1]
    assert profile.segment_counts[0][EDGES.places["miles"]].tolist() == [1, 1, 1, 0]
    # ranks by row: (-4, -2.5), (0, 2.5), (-4, 2.5), (0, 0), (0, 2.5), (4, 2.5), (4, -2.5) thousands
    assert profile.ranks.tolist() == [[64_000_000, 0], [0, 37_500_000]]
    assert profile.rank_sums.tolist() == [0, 5000]


@pytest.mark.parametrize("kind", [pa.dictionary(pa.int32(), pa.string()), pa.large_string()])
def test_text_is_counted_alike_however_arrow_holds_it(kind: pa.DataType) -> None:
    plain = table(ROWS)
    other = plain.set_column(2, "origin", plain["origin"].cast(kind))
    first, second = (scan(each.to_batches(), EDGES, block="b") for each in (plain, other))
    assert first.as_row() == second.as_row()


def test_a_dictionary_may_hold_null_and_levels_that_no_row_has() -> None:
    held = pa.DictionaryArray.from_arrays(
        pa.array([0, 1, None, 2], pa.int8()), pa.array(["JFK", None, "new", "gone"])
    )
    edges = ReferenceEdges((ORIGIN,))
    profile = scan(pa.table({"origin": held}).to_batches(), edges, block="b")
    assert profile.of(edges, "origin").tolist() == [0, 1, 0, 1, 2]


ROW = st.tuples(
    st.none() | st.floats(-500, 500) | st.sampled_from([NAN, INFINITY, -INFINITY, 100.0]),
    st.none() | st.integers(-10, 20),
    st.none() | st.sampled_from(["EWR", "JFK", "LGA", "ZZZ", ""]),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(ROW, min_size=1, max_size=40), st.data())
def test_profiles_of_parts_add_up_to_the_profile_of_the_whole(
    rows: list[Any], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(rows)))
    whole = scan(table(rows).to_batches(), EDGES, block="whole")
    parts = [
        scan(table(part).to_batches(), EDGES, block=str(number))
        for number, part in enumerate((rows[cut:], rows[:cut]))
        if part
    ]
    sum_of_parts = merged(parts, block="whole")
    assert sum_of_parts.rows == whole.rows
    for name in ARRAYS:
        exact = name != "moments"
        found, expected = getattr(sum_of_parts, name), getattr(whole, name)
        assert (found == expected).all() if exact else np.allclose(found, expected, rtol=1e-12)
    for column in ("miles", "hours", "origin"):
        assert whole.of(EDGES, column).sum() == len(rows)


def test_a_profile_survives_its_row() -> None:
    profile = scan(table(ROWS).to_batches(), EDGES, block="2013-07-01")
    schema_row = pa.Table.from_pylist([profile.as_row()]).to_pylist()[0]
    assert BlockProfile.from_row(schema_row, EDGES).as_row() == profile.as_row()


def test_profiles_survive_their_table() -> None:
    whole = [scan(table(ROWS[:last]).to_batches(), EDGES, block=str(last)) for last in (7, 1, 4)]
    kept = pa.Table.from_pylist([profile.as_row() for profile in whole])
    assert [p.as_row() for p in profiles_of(kept, EDGES)] == [p.as_row() for p in whole]
    with pytest.raises(HeadframeError, match="block '7': expected 9 numbers of counts"):
        profiles_of(kept, ReferenceEdges((MILES, ORIGIN)))


def test_a_profile_is_not_read_with_the_edges_of_another_reference() -> None:
    row = scan(table(ROWS).to_batches(), EDGES, block="2013-07-01").as_row()
    with pytest.raises(HeadframeError, match="'2013-07-01': expected 9 numbers of counts"):
        BlockProfile.from_row(row, ReferenceEdges((MILES, ORIGIN)))


def test_profiles_of_different_edges_are_not_merged() -> None:
    first = scan(table(ROWS).to_batches(), EDGES, block="a")
    second = scan(table(ROWS).to_batches(), ReferenceEdges((MILES, ORIGIN)), block="b")
    with pytest.raises(HeadframeError, match="block 'b'"):
        merged([first, second], block="both")


def test_a_column_that_is_neither_numbers_nor_text_is_named() -> None:
    days = pa.table({"day": pa.array([1], pa.date32())})
    with pytest.raises(
        HeadframeError, match="profile of 'day': expected numbers, booleans or text"
    ):
        edges_of(days, columns=["day"])


def test_ranks_of_text_without_an_order_and_segments_of_numbers_are_refused_together() -> None:
    with pytest.raises(HeadframeError) as refused:
        ReferenceEdges((MILES, ORIGIN), ranked=("origin", "gone"), segments=("miles",))
    assert len(refused.value.problems) == 3


def test_edges_are_values_of_the_reference_and_hold_equal_masses() -> None:
    rng = np.random.default_rng(3)
    miles = rng.lognormal(size=5000)
    edges = edges_of(pa.table({"miles": miles}), columns=["miles"])
    cuts = edges.of("miles")
    assert isinstance(cuts, NumericEdges)
    assert set(cuts.cuts) <= set(miles.tolist())
    profile = scan(pa.table({"miles": miles}).to_batches(), edges, block="reference")
    *bins, missing = profile.counts.tolist()
    assert (len(bins), sum(bins), missing) == (50, 5000, 0)
    assert set(bins) <= {99, 100, 101}
    assert profile.outside.sum() == 0
    assert profile.moments[0].tolist() == pytest.approx([5000, 0, 5000], abs=1e-8)


def test_rare_levels_share_a_count_and_are_not_new() -> None:
    codes = [f"L{number:02d}" for number in range(40) for _ in range(40 - number)]
    edges = edges_of(pa.table({"code": codes}), columns=["code"])
    of_code = edges.of("code")
    assert isinstance(of_code, CategoryEdges)
    assert of_code.levels == tuple(f"L{number:02d}" for number in range(30))
    profile = scan(pa.table({"code": [*codes, "new"]}).to_batches(), edges, block="b")
    assert profile.counts[-3:].tolist() == [sum(range(1, 11)), 1, 0]


def test_rank_correlations_are_those_of_spearman_up_to_the_bins() -> None:
    rng = np.random.default_rng(4)
    first = rng.normal(size=20_000)
    rows = pa.table({"a": np.exp(first), "b": -first + rng.normal(size=20_000)})
    edges = edges_of(rows, columns=["a", "b"], ranked=["a", "b"])
    statistics = statistics_of([scan(rows.to_batches(), edges, block="b")], edges)
    (found,) = [
        float(family.values[0, 0])
        for family in statistics.families
        if (family.column, family.family) == ("a", "ranks")
    ]
    assert found == pytest.approx(spearmanr(rows["a"], rows["b"]).statistic, abs=0.005)


def test_levels_are_ranked_by_the_mean_of_another_column_and_the_rest_share_a_rank() -> None:
    rows = pa.table(
        {"depot": ["b", "a", "b", "a", None, "c", "c", "c"], "p": [9, 1, 8, 2, 9, 5, 5, 5]}
    )
    edges = edges_of(rows, columns=["depot", "p"], ranked=["depot", "p"], ordered_by="p")
    of_depot = edges.of("depot")
    assert isinstance(of_depot, CategoryEdges)
    # Lowest mean first: a (2 of 7 rows), c (3), b (2); nothing is left for the others.
    assert dict(zip((*of_depot.levels, "others"), of_depot.ranks, strict=True)) == {
        "c": 0,
        "a": -3571,
        "b": 3571,
        "others": 0,
    }


def test_a_join_that_gives_a_category_to_other_rows_is_seen_in_its_ranks() -> None:
    depot = ["a", "b", "c"] * 200
    miles = [{"a": 5.0, "b": 1.0, "c": 9.0}[one] for one in depot]
    rows = pa.table({"depot": depot, "miles": miles})
    edges = edges_of(
        rows, columns=["depot", "miles"], ranked=["depot", "miles"], ordered_by="miles"
    )
    broken = rows.set_column(0, "depot", pa.array(depot[1:] + depot[:1]))
    blocks = [scan(each.to_batches(), edges, block="b") for each in (rows, broken)]
    ranks = next(each for each in statistics_of(blocks, edges).families if each.family == "ranks")
    assert ranks.values[:, 0].tolist() == pytest.approx([1.0, -0.5], abs=0.01)


def test_levels_that_are_missing_or_never_seen_have_the_middle_rank() -> None:
    edges = ReferenceEdges(
        (MILES, dataclasses.replace(ORIGIN, ranks=(-3000, 0, 4000))), ("origin", "miles")
    )
    rows = pa.table({"miles": [60.0] * 5, "origin": ["EWR", "JFK", "LGA", "ZZZ", None]})
    assert scan(rows.to_batches(), edges, block="b").rank_sums.tolist() == [1000, -20000]


def test_a_block_without_values_is_unknown_and_not_zero() -> None:
    nothing = pa.table({"miles": pa.array([None, None], pa.float64())})
    edges = ReferenceEdges((MILES,))
    statistics = statistics_of([scan(nothing.to_batches(), edges, block="b")], edges)
    unknown = {family.family: bool(np.isnan(family.values).all()) for family in statistics.families}
    assert unknown == {"bins": True, "moments": True, "missing": False}


NUMBER = st.floats(allow_nan=False) | st.floats(-10, 10) | st.integers(-5, 5).map(float)


@given(st.sets(NUMBER.filter(math.isfinite), max_size=49), st.lists(NUMBER, min_size=1))
def test_bins_are_those_of_a_search(cuts: set[float], values: list[float]) -> None:
    edges = np.asarray(sorted(cuts))
    # Enough rows for the grid, and every cut and its neighbours among them.
    near = [math.nextafter(cut, to) for cut in cuts for to in (-INFINITY, INFINITY)]
    asked = np.resize(np.asarray([*values, *cuts, *near]), GRID)
    assert (bins_of(edges, asked) == np.searchsorted(edges, asked, side="right")).all()


def test_values_never_seen_are_compared_with_the_rare_ones() -> None:
    edges = ReferenceEdges((ORIGIN,))
    blocks = [pa.table({"origin": ["EWR", value]}) for value in ("LGA", "ZZZ")]
    profiles = [scan(rows.to_batches(), edges, block="b") for rows in blocks]
    mix = statistics_of(profiles, edges).families[0]
    assert mix.family == "mix"
    assert mix.values[0].tolist() == mix.values[1].tolist()
    assert (mix.values**2).sum(axis=1).tolist() == pytest.approx([1.0, 1.0])
