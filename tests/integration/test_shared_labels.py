"""One row of a label's table may label several entities: each week's look at a matter that ends once."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.domain.absence import Landed
from pipelines.domain.contract import Column, Files, Table, silver_schema
from pipelines.domain.features import KnownTables
from pipelines.domain.labels import Label, joined_by

EPOCH = datetime(2026, 3, 1, tzinfo=UTC)
LOOKS = range(3)
SHAS = ("01", "02", "03")

Row = tuple[str, int, str, int | None]
"""Matter, hour its end became known, digest of its file, amount."""

looks = Table(
    name="looks",
    source=Files(pattern="looks/*.csv"),
    columns=[
        Column("look", "int64"),
        Column("matter", "string"),
        Column("looked_at", "timestamp[UTC]"),
    ],
    key=("look", "matter"),
    event_time="looked_at",
)


def ends(*key: str) -> Table:
    """Return the table that tells how matters ended, one row for each key."""
    columns = {"look": Column("look", "int64"), "matter": Column("matter", "string")}
    return Table(
        name="ends",
        source=Files(pattern="ends/*.csv"),
        columns=[*(columns[name] for name in key), Column("amount", "int64", nullable=True)],
        key=key,
    )


def label_on(table: Table) -> Label:
    return Label(
        name="won",
        table=table,
        rule="amount > 10",
        expected_after=timedelta(hours=2),
        final_after=timedelta(hours=4),
    )


def hour(number: int) -> datetime:
    return EPOCH + timedelta(hours=number)


def known_of(ended: Sequence[Row], *key: str) -> KnownTables:
    """Return matters a and b looked at three times, and how each ended: once, or for each look."""
    stamps = {"known_at": hour(0), "_file": "f", "_sha256": "l"}
    looked = [
        {"look": look, "matter": matter, "looked_at": hour(look), **stamps, "_row": place}
        for place, (look, matter) in enumerate((look, m) for look in LOOKS for m in "ab")
    ]
    told = [
        {"look": look, "matter": matter, "amount": amount, "known_at": hour(known), "_file": "f",
         "_row": place, "_sha256": sha}
        for place, (matter, known, sha, amount) in enumerate(ended, start=1)
        for look in (LOOKS if "look" in key else [0])
    ]  # fmt: skip
    table = ends(*key)
    held = [{k: v for k, v in row.items() if k in silver_schema(table).names} for row in told]
    versions = {
        "looks": pa.Table.from_pylist(looked, schema=silver_schema(looks)),
        "ends": pa.Table.from_pylist(held, schema=silver_schema(table)),
    }
    known = KnownTables(versions, [looks, table], label_on(table))
    known.prepare_labels(looks)
    return known


def test_the_key_of_the_ends_joins_them() -> None:
    assert joined_by(label_on(ends("matter")), looks) == ("matter",)
    assert joined_by(label_on(ends("look", "matter")), looks) == ("look", "matter")


def test_a_column_that_is_no_part_of_its_key_joins_nothing() -> None:
    told = ends("matter")
    when = replace(told, columns=[*told.columns, Column("look", "int64", nullable=True)])
    assert joined_by(label_on(when), looks) == ("matter",)


def test_one_end_is_the_label_of_every_look_that_it_comes_in_time_for() -> None:
    known = known_of([("a", 5, "01", 50), ("b", 4, "02", 5), ("b", 6, "03", 20)], "matter")
    found = known.label_states(looks, hour(7)).to_pylist()
    assert [(r["look"], r["matter"], r["state"], r["value"], r["late_corrections"]) for r in found] == [
        (0, "a", "unlabelled", None, 1),  # final at hour 4, before the end was known
        (0, "b", "final", False, 1),
        (1, "a", "final", True, 0),
        (1, "b", "final", False, 1),
        (2, "a", "final", True, 0),
        (2, "b", "final", True, 0),
    ]  # fmt: skip


rows = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c"]),
        st.integers(0, 8),
        st.sampled_from(SHAS),
        st.one_of(st.none(), st.sampled_from([5, 50])),
    ),
    max_size=8,
    unique_by=lambda row: row[:3],
)
absences = st.sets(
    st.builds(lambda sha, row: Landed(table="ends", sha256=sha, row=row), st.sampled_from(SHAS),
              st.one_of(st.none(), st.integers(1, 8))),
    max_size=2,
)  # fmt: skip


@given(ended=rows, absent=absences, as_of=st.integers(0, 10))
@settings(deadline=None, max_examples=10)
def test_an_end_told_once_is_as_good_as_one_told_for_every_look(
    ended: list[Row], absent: set[Landed], as_of: int
) -> None:
    once, each = known_of(ended, "matter"), known_of(ended, "look", "matter")
    for known in (once, each):
        known.cut(hour(as_of), without=absent)
    query = "select * from labels order by all"
    assert once.sql(query).fetchall() == each.sql(query).fetchall()
    states = [known.label_states(looks, hour(as_of), without=absent) for known in (once, each)]
    assert states[0].to_pylist() == states[1].to_pylist()
