"""Label states against an oracle with hindsight, under delays, corrections and repeats."""

import dataclasses
import hashlib
import itertools
import random
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.domain.contract import Column, Files, Table, silver_schema
from pipelines.domain.features import KnownTables
from pipelines.domain.label_join import labelled_once
from pipelines.domain.labels import Label, labelled

EPOCH = datetime(2026, 3, 1, tzinfo=UTC)
FINAL_AFTER = 48
"""Hours from the event to a final label."""

visits = Table(
    name="visits",
    source=Files(pattern="visits/*.csv"),
    columns=[Column("visit", "string"), Column("starts_at", "timestamp[UTC]")],
    key=("visit",),
    event_time="starts_at",
)
bills = Table(
    name="bills",
    source=Files(pattern="bills/*.csv"),
    columns=[Column("visit", "string"), Column("amount", "int64", nullable=True)],
    key=("visit",),
)
PAID = Label(
    name="paid",
    table=bills,
    rule="amount > 10",
    expected_after=timedelta(hours=24),
    final_after=timedelta(hours=FINAL_AFTER),
)


@dataclass(frozen=True)
class Row:
    """One delivered version: hours since EPOCH, its file's digest, and a value."""

    visit: str
    known: int
    sha: str
    value: int | None


def hour(number: int) -> datetime:
    return EPOCH + timedelta(hours=number)


def table_of(table: Table, rows: list[Row]) -> pa.Table:
    value = table.columns[1].name
    listed = [
        {
            "visit": row.visit,
            value: hour(row.value or 0) if value == "starts_at" else row.value,
            "known_at": hour(row.known),
            "_file": "f",
            "_row": number,
            "_sha256": row.sha,
        }
        for number, row in enumerate(rows, start=1)
    ]
    return pa.Table.from_pylist(listed, schema=silver_schema(table))


def known_of(scheduled: list[Row], billed: list[Row]) -> KnownTables:
    versions = {"visits": table_of(visits, scheduled), "bills": table_of(bills, billed)}
    known = KnownTables(versions, [visits, bills], PAID)
    known.prepare_labels(visits)
    return known


def states(scheduled: list[Row], billed: list[Row], as_of: int) -> dict[str, tuple[Any, ...]]:
    found = known_of(scheduled, billed).label_states(visits, hour(as_of))
    return {
        row["visit"]: (row["state"], row["value"], row["late_corrections"])
        for row in found.to_pylist()
    }


def shown(rows: list[Row]) -> list[Row]:
    """Return a visit's versions in order; of those known at one moment only the last is seen.

    The greater value is the later one, and an empty value the greatest.
    """
    ordered = sorted(rows, key=lambda row: (row.known, row.value is None, row.value or 0, row.sha))
    later = {row.known: row for row in ordered}  # the last of a moment wins
    return [row for row in ordered if later[row.known] is row]


def oracle(scheduled: list[Row], billed: list[Row], as_of: int) -> dict[str, tuple[Any, ...]]:
    """Say with hindsight, visit by visit and version by version, what each label was."""
    answer: dict[str, tuple[Any, ...]] = {}
    for visit in sorted({row.visit for row in scheduled}):
        first = shown([row for row in scheduled if row.visit == visit])[0]
        if first.known > as_of:
            continue
        final_at = (first.value or 0) + FINAL_AFTER
        if final_at > as_of:
            answer[visit] = ("pending", None)
        final: bool | None = None
        late = 0
        for row in shown([row for row in billed if row.visit == visit]):
            paid = None if row.value is None else row.value > 10
            if row.known <= final_at:
                final = paid
            elif row.known <= as_of and paid is not None and paid != final:
                late += 1
        if final_at > as_of:
            answer[visit] = ("pending", None, 0)
        elif final is None:
            answer[visit] = ("unlabelled", None, late)
        else:
            answer[visit] = ("final", final, late)
    return answer


names = st.sampled_from(["a", "b", "c"])
hours = st.integers(0, 120)
shas = st.sampled_from(["01", "02", "03"])
PAYMENTS = st.none() | st.sampled_from([5, 11])


def versions(value: st.SearchStrategy[int | None]) -> st.SearchStrategy[list[Row]]:
    # One file holds a key once: the contract suite of ingest sees to that.
    rows = st.builds(Row, names, hours, shas, value)
    return st.lists(rows, max_size=10, unique_by=lambda row: (row.visit, row.known, row.sha))


@given(
    scheduled=versions(st.integers(0, 48)),
    billed=versions(st.one_of(st.none(), st.sampled_from([5, 10, 11, 50]))),
    as_ofs=st.lists(st.integers(0, 200), min_size=1, max_size=8),
    order=st.randoms(use_true_random=False),
)
@settings(deadline=None, max_examples=35)
def test_label_states_are_what_hindsight_says_in_whatever_order_rows_arrive(
    scheduled: list[Row], billed: list[Row], as_ofs: list[int], order: random.Random
) -> None:
    known = known_of(shuffled(scheduled, order), shuffled(billed, order))
    for as_of in as_ofs:
        found = known.label_states(visits, hour(as_of)).to_pylist()
        expected = oracle(scheduled, billed, as_of)
        assert {
            row["visit"]: (row["state"], row["value"], row["late_corrections"]) for row in found
        } == expected


@given(
    scheduled=versions(st.integers(0, 48)),
    billed=versions(st.one_of(st.none(), st.sampled_from([5, 11]))),
    as_of=st.integers(0, 200),
)
@settings(deadline=None, max_examples=20)
def test_features_see_exactly_the_final_labels(
    scheduled: list[Row], billed: list[Row], as_of: int
) -> None:
    known = known_of(scheduled, billed)
    known.cut(hour(as_of))
    seen = known.sql("select visit, paid from labels order by visit").fetchall()
    finals = [
        (visit, value)
        for visit, (state, value, _) in oracle(scheduled, billed, as_of).items()
        if state == "final"
    ]
    assert seen == finals


@given(
    scheduled=versions(st.integers(0, 48)),
    billed=versions(PAYMENTS),
    as_of=st.integers(40, 130),
    asked=st.lists(names, unique=True),
)
@settings(deadline=None, max_examples=40)
def test_one_join_tells_the_same_labels_where_no_version_was_replaced(
    scheduled: list[Row], billed: list[Row], as_of: int, asked: list[str]
) -> None:
    rows = pa.table({"visit": pa.array(asked, pa.string()), "place": pa.array(range(len(asked)))})
    found = labelled_once(
        rows,
        table_of(visits, scheduled),
        table_of(bills, billed),
        label=PAID,
        entity=visits,
        as_of=hour(as_of),
    )
    of = [(Counter(row.visit for row in rows)) for rows in (scheduled, billed)]
    assert (found is None) == any(of[0][visit] * of[1][visit] > 1 for visit in asked)
    if found is not None:
        known = known_of(scheduled, billed).label_states(visits, hour(as_of))
        assert found.equals(labelled(rows, known, ("visit",)))


def numbered(rows: pa.Table) -> pa.Table:
    """Return rows whose visits are numbers, not texts."""
    return rows.set_column(0, "visit", rows["visit"].cast(pa.int64()))


@pytest.mark.parametrize("as_of", [47, 48, 77, 78, 100])
@pytest.mark.parametrize("arrived", ["in order", "anyhow"])
@pytest.mark.parametrize("keys", ["texts", "numbers"])
def test_labels_told_at_once_are_those_of_hindsight_around_the_hour_that_makes_them_final(
    as_of: int, arrived: str, keys: str
) -> None:
    # A visit is scheduled early or late, starts at hour 0 or 30, and its bill comes before, at or
    # after the hour that makes it final; each visit once, and some have no bill.
    drawn = itertools.product([0, 90], [0, 30], [20, 48, 49, 78, 79, 100], [None, 5, 11])
    scheduled, billed = [], []
    for number, (scheduled_at, starts_at, billed_at, amount) in enumerate(drawn):
        scheduled.append(Row(f"{number:02}", scheduled_at, "01", starts_at))
        billed += [Row(f"{number:02}", billed_at, "01", amount)] if number % 7 else []
    expected = [
        (visit, value)
        for visit, (state, value, _) in reversed(oracle(scheduled, billed, as_of).items())
        if state == "final"
    ]
    if arrived == "anyhow":
        scheduled.sort(key=lambda row: hashlib.sha256(row.visit.encode()).digest())
        billed.sort(key=lambda row: row.visit[::-1])
    asked = [*sorted((row.visit for row in scheduled), reverse=True), "99"]
    tables = [pa.table({"visit": asked}), table_of(visits, scheduled), table_of(bills, billed)]
    if keys == "numbers":
        tables = [numbered(table) for table in tables]
    found = labelled_once(*tables, label=PAID, entity=visits, as_of=hour(as_of))
    assert found is not None
    told = zip(found["visit"].to_pylist(), found["label"].to_pylist(), strict=True)
    assert [(f"{visit:>02}", value) for visit, value in told] == expected


@pytest.mark.parametrize("twice", [0, 1])
def test_labels_are_not_told_at_once_where_a_version_must_be_chosen(twice: int) -> None:
    once, again = [Row("1", 0, "01", 1), Row("2", 0, "01", 1)], [Row("2", 5, "02", 1)]
    rows = [once + again * (twice == side) for side in (0, 1)]
    for change in (numbered, lambda table: table):
        asked, scheduled, billed = map(
            change,
            [pa.table({"visit": ["1", "2"]}), table_of(visits, rows[0]), table_of(bills, rows[1])],
        )
        found = labelled_once(asked, scheduled, billed, label=PAID, entity=visits, as_of=hour(200))
        assert found is None


VISIT = [Row("a", 0, "01", 10)]
"""Starts at hour 10: the label is final at hour 58."""


@pytest.mark.parametrize(
    ("billed", "as_of", "expected"),
    [
        ([], 57, ("pending", None, 0)),
        ([], 58, ("unlabelled", None, 0)),
        ([Row("a", 12, "01", 50)], 57, ("pending", None, 0)),
        ([Row("a", 12, "01", 50)], 58, ("final", True, 0)),
        ([Row("a", 58, "01", 50)], 58, ("final", True, 0)),
        ([Row("a", 59, "01", 50)], 58, ("unlabelled", None, 0)),
        ([Row("a", 59, "01", 50)], 59, ("unlabelled", None, 1)),
        ([Row("a", 12, "01", None)], 58, ("unlabelled", None, 0)),
        ([Row("a", 12, "01", 50), Row("a", 20, "02", None)], 58, ("unlabelled", None, 0)),
        ([Row("a", 12, "01", 50), Row("a", 20, "02", 3)], 58, ("final", False, 0)),
        ([Row("a", 12, "01", 50), Row("a", 58, "02", 3)], 58, ("final", False, 0)),
        ([Row("a", 12, "01", 50), Row("a", 60, "02", 3)], 59, ("final", True, 0)),
        ([Row("a", 12, "01", 50), Row("a", 60, "02", 3)], 60, ("final", True, 1)),
        ([Row("a", 12, "01", 50), Row("a", 60, "02", 60)], 60, ("final", True, 0)),
        ([Row("a", 12, "01", 50), Row("a", 60, "02", None)], 60, ("final", True, 0)),
        (
            [Row("a", 12, "01", 50), Row("a", 60, "02", 3), Row("a", 70, "03", 4)],
            70,
            ("final", True, 2),
        ),
        ([Row("a", 12, "01", 3), Row("a", 12, "02", 50)], 58, ("final", True, 0)),
        (
            [Row("a", 12, "01", 50), Row("a", 60, "02", 3), Row("a", 60, "03", 50)],
            60,
            ("final", True, 0),
        ),
    ],
    ids=[
        "nothing yet",
        "never",
        "known but not final",
        "final at its very hour",
        "known at the final hour",
        "known an hour too late, unseen",
        "known an hour too late",
        "known to be empty",
        "withdrawn in time",
        "corrected in time",
        "corrected at the final hour",
        "corrected late, unseen",
        "corrected late",
        "repeated late",
        "withdrawn late",
        "corrected late twice",
        "two versions at one moment",
        "a late version never seen",
    ],
)
def test_a_label_at_the_edges_of_its_time(
    billed: list[Row], as_of: int, expected: tuple[str, bool | None, int]
) -> None:
    assert states(VISIT, billed, as_of) == {"a": expected}
    assert oracle(VISIT, billed, as_of) == {"a": expected}


def test_a_moved_visit_keeps_the_final_hour_it_had_when_it_was_first_known() -> None:
    moved = [*VISIT, Row("a", 5, "02", 40)]
    assert states(moved, [Row("a", 12, "01", 50)], 58) == {"a": ("final", True, 0)}


def test_a_visit_that_is_not_known_yet_has_no_state() -> None:
    assert states([Row("a", 3, "01", 10)], [], 2) == {}


def test_a_bill_without_a_visit_is_no_label() -> None:
    assert states([], [Row("a", 3, "01", 50)], 200) == {}


def test_labelled_keeps_the_rows_with_a_final_label_in_their_order() -> None:
    rows = pa.table({"visit": ["c", "a", "b", "a"], "value": [1, 2, 3, 4]})
    found = pa.table(
        {
            "visit": ["a", "b", "c"],
            "state": ["final", "unlabelled", "final"],
            "value": pa.array([True, None, False], pa.bool_()),
        }
    )
    assert labelled(rows, found, ("visit",)).to_pydict() == {
        "visit": ["c", "a", "a"],
        "value": [1, 2, 4],
        "label": [False, True, True],
    }


def shuffled(rows: list[Row], order: random.Random) -> list[Row]:
    mixed = list(rows)
    order.shuffle(mixed)
    return mixed


def test_a_label_with_a_unit_is_the_number_and_what_is_not_finite_is_not_known() -> None:
    share = dataclasses.replace(
        PAID, name="share", rule="case amount when 0 then 'nan'::double else 12 / amount end",
        unit="twelfths",
    )  # fmt: skip
    scheduled = [Row(name, 0, "s", 1) for name in ("bad", "gone", "half", "odd")]
    billed = [
        Row("half", 2, "b", 24), Row("bad", 2, "b", 0), Row("gone", 2, "b", None),
        Row("odd", 2, "b", 0), Row("odd", 5, "c", 4),
    ]  # fmt: skip
    versions = {"visits": table_of(visits, scheduled), "bills": table_of(bills, billed)}
    known = KnownTables(versions, [visits, bills], share)
    known.prepare_labels(visits)
    assert known.label_type == "DOUBLE"
    found = known.label_states(visits, hour(FINAL_AFTER + 2))
    assert {row["visit"]: (row["state"], row["value"]) for row in found.to_pylist()} == {
        "bad": ("unlabelled", None),
        "gone": ("unlabelled", None),
        "half": ("final", 0.5),
        "odd": ("final", 3.0),
    }
    assert found.schema.field("value").type == pa.float64()
    rows = pa.table({"visit": ["odd", "half", "bad"]})
    assert labelled(rows, found, ("visit",))["label"].to_pylist() == [3.0, 0.5]
