"""Known tables: at any time, of every key the last version that was known, and nothing else."""

import random
from datetime import UTC, datetime, timedelta

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.domain.contract import Column, Files, Table, silver_schema
from pipelines.domain.features import KnownTables

EPOCH = datetime(2026, 3, 1, tzinfo=UTC)

prices = Table(
    name="prices",
    source=Files(pattern="prices/*.csv"),
    columns=[Column("item", "string"), Column("price", "int64")],
    key=("item",),
)

Version = tuple[str, int, str, int]
"""Item, hour it became known, digest of its file, price."""

versions = st.lists(
    st.tuples(
        st.sampled_from(["a", "b"]),
        st.integers(0, 6),
        st.sampled_from(["01", "02", "03"]),
        st.integers(0, 99),
    ),
    max_size=12,
    unique_by=lambda version: version[:3],
)


def hour(number: int) -> datetime:
    return EPOCH + timedelta(hours=number)


def known_of(rows: list[Version]) -> KnownTables:
    listed = [
        {
            "item": item,
            "price": price,
            "known_at": hour(known),
            "_file": "f",
            "_row": number,
            "_sha256": sha,
        }
        for number, (item, known, sha, price) in enumerate(rows, start=1)
    ]
    table = pa.Table.from_pylist(listed, schema=silver_schema(prices))
    return KnownTables({"prices": table}, [prices], None)


@given(rows=versions, order=st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=40)
def test_a_cut_shows_the_last_version_known_of_every_key(
    rows: list[Version], order: random.Random
) -> None:
    mixed = list(rows)
    order.shuffle(mixed)
    known = known_of(mixed)
    for as_of in range(8):
        known.cut(hour(as_of))
        in_order = sorted(rows, key=lambda row: (row[1], row[3]))  # time, then content
        last = {item: price for item, then, _, price in in_order if then <= as_of}
        seen = known.sql("select item, price from prices order by item").fetchall()
        assert seen == sorted(last.items())


def test_the_newest_delivery_is_the_newest_known_at_the_time() -> None:
    known = known_of([("a", 1, "01", 5), ("a", 4, "02", 6)])
    assert known.newest_known(hour(0)) == {"prices": None}
    assert known.newest_known(hour(3)) == {"prices": hour(1)}
    assert known.newest_known(hour(4)) == {"prices": hour(4)}


def test_a_table_may_have_the_name_of_a_word_of_sql() -> None:
    order = Table(
        name="order",
        source=Files(pattern="order/*.csv"),
        columns=[Column("group", "string"), Column("select", "int64")],
        key=("group",),
    )
    row = {"group": "x", "select": 1, "known_at": EPOCH, "_file": "f", "_row": 1, "_sha256": "0"}
    table = pa.Table.from_pylist([row], schema=silver_schema(order))
    known = KnownTables({"order": table}, [order], None)
    known.cut(hour(1))
    assert known.sql('select "group", "select" from "order"').fetchall() == [("x", 1)]
