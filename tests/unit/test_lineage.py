"""Where a row came from, the law of its counts, and which rows say something new."""

import math
from datetime import UTC, date, datetime
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.domain.contract import Column, Files, Table, silver_schema
from pipelines.domain.delivery import Delivery
from pipelines.domain.lineage import Law, stamp, unrepeated

PRICES = Table(
    name="prices",
    source=Files(pattern="*.csv"),
    columns=[
        Column("product", "string"),
        Column("price", "double", nullable=True),
        Column("since", "date", nullable=True),
    ],
    key=("product",),
)
MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
TUESDAY = datetime(2026, 3, 3, tzinfo=UTC)


def versions(*rows: tuple[str, float | None, datetime, str, int]) -> pa.Table:
    names = ("product", "price", "known_at", "_file", "_row")
    listed = [dict(zip(names, row, strict=True), _sha256=f"sha of {row[3]}") for row in rows]
    return pa.Table.from_pylist(listed, schema=silver_schema(PRICES))


NOTHING = versions()


def kept(rows: pa.Table, existing: pa.Table = NOTHING) -> tuple[list[tuple[Any, ...]], int]:
    new, repeated = unrepeated(rows, existing, PRICES)
    assert new.schema == rows.schema
    columns = ("product", "price", "known_at", "_file", "_row")
    return [tuple(row[name] for name in columns) for row in new.to_pylist()], repeated


def test_counts_that_add_up_are_a_law_and_add_column_by_column() -> None:
    one = Law(landed=10, accepted=6, repeated=1, quarantined=2, unparsed=1)
    assert (one + one).as_json() == {
        "landed": 20, "accepted": 12, "repeated": 2, "quarantined": 4, "unparsed": 2
    }  # fmt: skip


@pytest.mark.parametrize("landed", [9, 11])
def test_counts_that_lose_or_make_a_row_are_no_law(landed: int) -> None:
    with pytest.raises(ValueError, match="rows were lost or made"):
        Law(landed=landed, accepted=6, repeated=1, quarantined=2, unparsed=1)


def test_every_row_is_stamped_with_its_delivery() -> None:
    delivery = Delivery(
        name="prices/a.csv", path=Path("a"), size=1, mtime_ns=1, sha256="abc", delivered_at=MONDAY
    )
    rows = pa.table({"product": ["tea", "milk"], "_row": [1, 2]})
    where = {"known_at": MONDAY, "_file": "prices/a.csv", "_sha256": "abc"}
    assert stamp(rows, delivery).to_pylist() == [
        {"product": "tea", "_row": 1, **where},
        {"product": "milk", "_row": 2, **where},
    ]
    empty = stamp(rows.slice(0, 0), delivery)
    assert (empty.num_rows, empty.schema.names) == (0, stamp(rows, delivery).schema.names)


def test_a_row_known_twice_at_the_same_time_is_kept_once() -> None:
    assert kept(
        versions(
            ("tea", 1.0, MONDAY, "a", 1),
            ("tea", 1.0, MONDAY, "a", 2),
            ("tea", 1.0, MONDAY, "b", 1),
            ("milk", None, MONDAY, "b", 2),
            ("milk", None, MONDAY, "b", 3),
        )
    ) == ([("tea", 1.0, MONDAY, "b", 1), ("milk", None, MONDAY, "b", 3)], 3)


def test_a_file_that_takes_a_value_back_keeps_its_last_word_last() -> None:
    rows = [("tea", price, MONDAY, "a", row) for row, price in enumerate([1.0, 2.0, 1.0], start=1)]
    assert kept(versions(*rows)) == (
        [("tea", 2.0, MONDAY, "a", 2), ("tea", 1.0, MONDAY, "a", 3)],
        1,
    )


def test_a_row_that_silver_holds_is_repeated_also_where_a_value_is_missing() -> None:
    existing = versions(("tea", 1.0, MONDAY, "a", 1), ("milk", None, MONDAY, "a", 2))
    again = versions(
        ("tea", 1.0, MONDAY, "b", 1), ("milk", None, MONDAY, "b", 2), ("milk", 2.0, MONDAY, "b", 3)
    )
    assert kept(again, existing) == ([("milk", 2.0, MONDAY, "b", 3)], 2)


def test_a_value_that_comes_back_later_is_a_version_of_its_own() -> None:
    a_b = versions(("tea", 1.0, MONDAY, "a", 1), ("tea", 2.0, TUESDAY, "b", 1))
    wednesday = datetime(2026, 3, 4, tzinfo=UTC)
    assert kept(versions(("tea", 1.0, wednesday, "c", 1)), a_b) == (
        [("tea", 1.0, wednesday, "c", 1)],
        0,
    )


def test_a_number_that_is_none_repeats_itself() -> None:
    rows = versions(("tea", math.nan, MONDAY, "a", 1), ("tea", math.nan, MONDAY, "a", 2))
    assert kept(rows)[1] == 1


def test_no_rows_repeat_nothing() -> None:
    assert kept(NOTHING, versions(("tea", 1.0, MONDAY, "a", 1))) == ([], 0)


def test_moments_a_microsecond_apart_are_two() -> None:
    later = MONDAY.replace(microsecond=1)
    rows = versions(("tea", 1.0, MONDAY, "a", 1), ("tea", 1.0, later, "b", 1))
    assert kept(rows)[1] == 0


def test_dates_are_compared_as_dates() -> None:
    rows = versions(("tea", 1.0, MONDAY, "a", 1), ("tea", 1.0, MONDAY, "a", 2))
    days = pa.array([date(2026, 3, 1), date(2026, 3, 2)], pa.date32())
    rows = rows.set_column(rows.column_names.index("since"), "since", days)
    assert kept(rows)[1] == 0


ROWS = st.lists(
    st.tuples(
        st.sampled_from(["tea", "milk"]),
        st.sampled_from([1.0, 2.0, None]),
        st.sampled_from([MONDAY, TUESDAY]),
        st.sampled_from(["a", "b", "c"]),
    ),
    max_size=12,
).map(lambda rows: [(*row, number) for number, row in enumerate(rows, start=1)])


@settings(deadline=None, max_examples=50)
@given(ROWS, st.integers(0, 12), st.randoms(use_true_random=False))
def test_the_same_values_are_kept_in_any_order_and_in_any_parts(
    rows: list[Any], cut: int, chance: Random
) -> None:
    def values(found: list[tuple[Any, ...]]) -> set[tuple[Any, ...]]:
        assert len({row[:3] for row in found}) == len(found)
        return {row[:3] for row in found}

    at_once, repeated = kept(versions(*rows))
    assert len(at_once) + repeated == len(rows)
    shuffled = list(rows)
    chance.shuffle(shuffled)
    first, _ = unrepeated(versions(*shuffled[:cut]), NOTHING, PRICES)
    second, _ = unrepeated(versions(*shuffled[cut:]), first, PRICES)
    both = pa.concat_tables([first, second]).select(["product", "price", "known_at"]).to_pylist()
    assert values(at_once) == {row[:3] for row in rows}
    assert values([tuple(row.values()) for row in both]) == values(at_once)
