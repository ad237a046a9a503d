"""Absence: the lake without some landed rows is the lake that never had them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.domain.absence import Landed
from pipelines.domain.contract import Table, silver_schema
from pipelines.domain.features import KnownTables
from tests.returned_orders import label, orders, returns

EPOCH = datetime(2026, 3, 1, tzinfo=UTC)

Row = tuple[str, int, str, int | None]
"""Item, hour it became known, digest of its file, price or days."""

SHAS = ("01", "02", "03")
rows = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c"]),
        st.integers(0, 6),
        st.sampled_from(SHAS),
        st.one_of(st.none(), st.integers(0, 6)),
    ),
    max_size=10,
    unique_by=lambda row: row[:3],
)
taken_away = st.sets(
    st.builds(
        lambda table, sha256, row: Landed(table=table, sha256=sha256, row=row),
        st.sampled_from(["orders", "returns"]),
        st.sampled_from(SHAS),
        st.one_of(st.none(), st.integers(1, 10)),
    ),
    min_size=1,
    max_size=3,
)


def hour(number: int) -> datetime:
    return EPOCH + timedelta(hours=number)


def known_of(sold: Sequence[tuple[int, Row]], returned: Sequence[tuple[int, Row]]) -> KnownTables:
    def table(of: Table, found: Sequence[tuple[int, Row]]) -> pa.Table:
        listed = [
            {
                "item": item,
                "sold_at": hour((value or 0) % 3),
                "price": value,
                "days": value,
                "known_at": hour(then),
                "_file": "f",
                "_row": number,
                "_sha256": sha,
            }
            for number, (item, then, sha, value) in found
        ]
        return pa.Table.from_pylist(listed, schema=silver_schema(of))

    versions = {"orders": table(orders, sold), "returns": table(returns, returned)}
    known = KnownTables(versions, [orders, returns], label)
    known.prepare_labels(orders)
    return known


def shown(known: KnownTables) -> dict[str, list[tuple[object, ...]]]:
    return {
        name: sorted(known.sql(f"select * from {name}").fetchall(), key=str)
        for name in ("orders", "returns", "labels")
    }


def numbered(found: Sequence[Row]) -> list[tuple[int, Row]]:
    return list(enumerate(found, start=1))


def left(found: Sequence[Row], name: str, absent: set[Landed]) -> list[tuple[int, Row]]:
    return [
        (number, row)
        for number, row in numbered(found)
        if not {
            Landed(table=name, sha256=row[2]),
            Landed(table=name, sha256=row[2], row=number),
        }
        & absent
    ]


# Out of order, so that a cut shows what an earlier one of a later time left behind.
cuts = st.permutations(range(8))


def assert_cut_as_if_never_landed(
    sold: list[Row], returned: list[Row], absent: set[Landed], times: Sequence[int]
) -> None:
    whole = known_of(numbered(sold), numbered(returned))
    never = known_of(left(sold, "orders", absent), left(returned, "returns", absent))
    for as_of in times:
        whole.cut(hour(as_of), without=absent)
        never.cut(hour(as_of))
        assert shown(whole) == shown(never)


def assert_unseen_changes_nothing(
    sold: list[Row], returned: list[Row], times: Sequence[int]
) -> None:
    known = known_of(numbered(sold), numbered(returned))
    files = {Landed(table=t, sha256=s) for t in ("orders", "returns") for s in SHAS}
    for as_of in times:
        known.cut(hour(as_of))
        before = shown(known)
        for landed in files - known.seen_at(hour(as_of)):
            known.cut(hour(as_of), without=[landed])
            assert shown(known) == before


@given(sold=rows, returned=rows, absent=taken_away, times=cuts)
@settings(deadline=None, max_examples=12)
def test_a_cut_without_rows_is_a_cut_of_a_lake_that_never_had_them(
    sold: list[Row], returned: list[Row], absent: set[Landed], times: list[int]
) -> None:
    assert_cut_as_if_never_landed(sold, returned, absent, times[:2])


@pytest.mark.prove
@given(sold=rows, returned=rows, absent=taken_away, times=cuts)
@settings(deadline=None, max_examples=500)
def test_any_cut_without_rows_is_a_cut_of_a_lake_that_never_had_them(
    sold: list[Row], returned: list[Row], absent: set[Landed], times: list[int]
) -> None:
    assert_cut_as_if_never_landed(sold, returned, absent, times)


@given(sold=rows, returned=rows, times=cuts)
@settings(deadline=None, max_examples=10)
def test_a_file_that_is_not_seen_changes_nothing(
    sold: list[Row], returned: list[Row], times: list[int]
) -> None:
    assert_unseen_changes_nothing(sold, returned, times[:1])


@pytest.mark.prove
@given(sold=rows, returned=rows, times=cuts)
@settings(deadline=None, max_examples=300)
def test_a_file_that_is_not_seen_ever_changes_nothing(
    sold: list[Row], returned: list[Row], times: list[int]
) -> None:
    assert_unseen_changes_nothing(sold, returned, times)


def test_taking_nothing_away_again_shows_everything() -> None:
    known = known_of(numbered([("a", 1, "01", 5), ("a", 4, "02", 6)]), [])
    known.cut(hour(5), without=[Landed(table="orders", sha256="02")])
    assert known.sql("select price from orders").fetchall() == [(5,)]
    known.cut(hour(5))
    assert known.sql("select price from orders").fetchall() == [(6,)]


@pytest.mark.parametrize(
    ("absent", "late"),
    [
        ([], [("a", True)]),
        ([Landed(table="returns", sha256="02")], [("a", False)]),
        ([Landed(table="returns", sha256="01")], [("a", True)]),
        ([Landed(table="returns", sha256="01"), Landed(table="returns", sha256="02")], []),
        ([Landed(table="orders", sha256="01")], []),
        ([Landed(table="orders", sha256="03")], [("a", True)]),
    ],
)
def test_a_label_is_what_stood_without_the_rows_when_it_became_final(
    absent: list[Landed], late: list[tuple[str, bool]]
) -> None:
    # Sold at hour 2, so final at hour 4; the correction of hour 5 comes too late in any case.
    known = known_of(
        numbered([("a", 0, "01", 2)]),
        numbered([("a", 1, "01", 1), ("a", 3, "02", 5), ("a", 5, "03", 0)]),
    )
    known.cut(hour(6), without=absent)
    assert known.sql("select item, late from labels").fetchall() == late
