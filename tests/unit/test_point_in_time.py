"""Features as of a time equal those of a loop over every landed row, on drawn histories."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pipelines.domain.contract import Column, Files, Table, silver_schema
from pipelines.domain.features import KnownTables, compute_features, features
from tests.returned_orders import FINAL_AFTER_HOURS, label, orders, returns

if TYPE_CHECKING:
    import duckdb

EPOCH = datetime(2026, 3, 1, tzinfo=UTC)
HOURS = 5

visits = Table(
    name="visits",
    source=Files(pattern="visits/*.csv"),
    columns=[
        Column("item", "string"),
        Column("visit", "int64"),
        Column("seconds", "int64", nullable=True),
    ],
    key=("item", "visit"),
)


@features(entity=orders, reads=[visits, returns])
def order_features(known: KnownTables) -> "duckdb.DuckDBPyRelation":
    return known.sql("""
        select a.item, a.price,
               (select count(*) from visits v where v.item = a.item) as visits,
               (select sum(seconds)::bigint from visits v where v.item = a.item) as seconds,
               (select count(*) from labels) as labelled,
               (select count(*) from labels where late) as late
        from asked a
    """)


class Landed(NamedTuple):
    """A row of any of the tables: the hour it became known, its key, its one value."""

    known: int
    item: str
    visit: int
    value: int | None


SOLD = {"a": 2, "b": 3, "c": 3, "d": 5}
"""Item to the hour it is sold."""

drawn = st.lists(
    st.builds(
        Landed,
        st.integers(0, HOURS),
        st.sampled_from(list(SOLD)),
        st.integers(1, 2),
        st.one_of(st.none(), st.integers(0, 6)),
    ),
    max_size=14,
)


def hour(number: int) -> datetime:
    return EPOCH + timedelta(hours=number)


def silver(table: Table, landed: Sequence[Landed], until: int) -> pa.Table:
    rows = [
        {
            "item": row.item,
            "sold_at": hour(SOLD[row.item]),
            "visit": row.visit,
            **dict.fromkeys(("price", "seconds", "days"), row.value),
            "known_at": hour(row.known),
            "_file": "f",
            "_row": number,
            "_sha256": f"{number:02}",
        }
        for number, row in enumerate(landed)
        if row.known <= until
    ]
    return pa.Table.from_pylist(rows, schema=silver_schema(table))


def standing(
    landed: Sequence[Landed], at: int, key: Callable[[Landed], object]
) -> dict[object, int | None]:
    """Loop over all rows: of each key the value that was known last, of equals the greatest."""
    found: dict[object, tuple[tuple[int, bool, int], int | None]] = {}
    for row in landed:
        # Where two values came at once the greater stands, and an empty one is the greatest.
        place = (row.known, row.value is None, row.value or 0)
        if row.known <= at and (key(row) not in found or place >= found[key(row)][0]):
            found[key(row)] = (place, row.value)
    return {name: value for name, (_, value) in found.items()}


def by_hand(
    sold: Sequence[Landed], seen: Sequence[Landed], returned: Sequence[Landed], at: int
) -> dict[str, tuple[int | None, ...]]:
    """Return item -> price, visits, seconds, labelled, late of every order that is still ahead."""
    known = standing(sold, at, lambda row: row.item)
    looked = standing(seen, at, lambda row: (row.item, row.visit))
    labels: list[bool] = []
    for item in known:
        final = SOLD[str(item)] + FINAL_AFTER_HOURS
        days = standing(returned, final, lambda row: row.item).get(item)
        if final <= at and days is not None:
            labels.append(days > 3)
    described: dict[str, tuple[int | None, ...]] = {}
    for item, price in known.items():
        mine = [looked[item, visit] for visit in (1, 2) if (item, visit) in looked]
        seconds = [value for value in mine if value is not None]
        if SOLD[str(item)] >= at:
            described[str(item)] = (
                price,
                len(mine),
                sum(seconds) if seconds else None,
                len(labels),
                sum(labels),
            )
    return described


def known_tables(
    sold: Sequence[Landed],
    seen: Sequence[Landed],
    returned: Sequence[Landed],
    *,
    until: int = HOURS,
) -> KnownTables:
    tables = {"orders": sold, "visits": seen, "returns": returned}
    known = KnownTables(
        {table.name: silver(table, tables[table.name], until) for table in order_features.tables},
        order_features.tables,
        label,
    )
    known.prepare_labels(orders)
    return known


def by_headframe(
    sold: Sequence[Landed], seen: Sequence[Landed], returned: Sequence[Landed], at: int
) -> dict[str, tuple[int | None, ...]]:
    rows = compute_features(
        known_tables(sold, seen, returned), order_features, as_of=hour(at), until=hour(2 * HOURS)
    )
    names = ("price", "visits", "seconds", "labelled", "late")
    return {row["item"]: tuple(row[name] for name in names) for row in rows.to_pylist()}


@hypothesis_settings(max_examples=40, deadline=None)
@given(drawn, drawn, drawn, st.integers(0, HOURS))
def test_features_as_of_a_time_equal_those_of_a_loop(
    sold: list[Landed], seen: list[Landed], returned: list[Landed], at: int
) -> None:
    assert by_headframe(sold, seen, returned, at) == by_hand(sold, seen, returned, at)


@pytest.mark.prove
@hypothesis_settings(max_examples=1000, deadline=None)
@given(drawn, drawn, drawn, st.integers(0, HOURS))
def test_features_as_of_a_time_equal_those_of_a_loop_on_many_more(
    sold: list[Landed], seen: list[Landed], returned: list[Landed], at: int
) -> None:
    assert by_headframe(sold, seen, returned, at) == by_hand(sold, seen, returned, at)


def test_the_loop_tells_a_correction_a_late_label_and_an_order_that_is_over() -> None:
    sold = [Landed(0, "a", 1, 5), Landed(1, "a", 1, 6), Landed(0, "d", 1, None)]
    seen = [Landed(1, "d", 1, 4), Landed(5, "d", 1, 9), Landed(2, "d", 2, None)]
    returned = [Landed(4, "a", 1, 6), Landed(5, "a", 1, 1)]
    assert by_hand(sold, seen, returned, 1) == {"a": (6, 0, None, 0, 0), "d": (None, 1, 4, 0, 0)}
    assert by_hand(sold, seen, returned, 3) == {"d": (None, 2, 4, 0, 0)}
    assert by_hand(sold, seen, returned, 4) == {"d": (None, 2, 4, 1, 1)}
    assert by_hand(sold, seen, returned, 5) == {"d": (None, 2, 9, 1, 1)}
    for at in (1, 3, 4, 5):
        assert by_headframe(sold, seen, returned, at) == by_hand(sold, seen, returned, at)


@hypothesis_settings(max_examples=25, deadline=None)
@given(drawn, drawn, drawn, st.integers(0, HOURS))
def test_tables_before_a_moment_are_those_of_rows_that_were_known_by_then(
    sold: list[Landed], seen: list[Landed], returned: list[Landed], at: int
) -> None:
    early = known_tables(sold, seen, returned).before(hour(at))
    alone = known_tables(sold, seen, returned, until=at)
    for name in ("orders", "visits", "returns"):
        told = [known.sql(f'from "{name}__versions"').fetchall() for known in (early, alone)]
        assert told[0] == told[1]
    assert early.label_states(orders, hour(at)).equals(alone.label_states(orders, hour(at)))
