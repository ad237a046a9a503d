"""Row marks: which rows differ is found again, and equal rows are equal whatever lies below them."""

from datetime import UTC, date, datetime

import pyarrow as pa
import pyarrow.compute as pc
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.domain.row_marks import MARKED_ROWS, changes, column_digests, marked

FIRST, SECOND = datetime(2026, 1, 5, 4, tzinfo=UTC), datetime(2026, 1, 6, 4, tzinfo=UTC)


def table(*rows: tuple[datetime, str, float | None, bool | None]) -> pa.Table:
    moments, names, loads, labels = zip(*rows, strict=True)
    return pa.table(
        {
            "machine": pa.array(names, pa.string()),
            "as_of": pa.array(moments, pa.timestamp("us", tz="UTC")),
            "load": pa.array(loads, pa.float64()),
            "label": pa.array(labels, pa.bool_()),
        }
    )


ROWS = (
    (FIRST, "A00", 0.5, True),
    (FIRST, "B01", None, False),
    (SECOND, "A00", 0.25, None),
    (SECOND, "B01", 0.25, True),
)


def differ(*rows: tuple[datetime, str, float | None, bool | None]) -> tuple[object, ...]:
    found = changes(marked(table(*ROWS)), marked(table(*rows)))
    return found.changed, found.gone, found.moved


def test_the_same_rows_have_no_changes() -> None:
    assert differ(*ROWS) == ((), 0, False)


def test_a_changed_value_is_found_at_its_place() -> None:
    for place, row in enumerate(ROWS):
        for other in (("C", *row[2:]), (row[1], 9.0, row[3]), (row[1], row[2], row[3] is not True)):
            rows = [*ROWS[:place], (row[0], *other), *ROWS[place + 1 :]]
            assert differ(*rows) == ((place,), 1, False), (place, other)


def test_a_missing_value_is_neither_nought_nor_empty() -> None:
    for column, filled in (("load", 0.0), ("machine", "")):
        rows = table((FIRST, "A00", None, True)).set_column(
            0, "machine", pa.array([None], "string")
        )
        both = rows.set_column(
            rows.column_names.index(column), column, pc.fill_null(rows[column], filled)
        )
        assert changes(marked(rows), marked(both)).changed == (0,)


def test_rows_that_are_gone_added_or_moved_are_told_apart() -> None:
    assert differ(*ROWS[1:]) == ((), 1, False)
    assert differ(*ROWS, (SECOND, "C02", 0.1, True)) == ((4,), 0, False)
    assert differ(*ROWS, ROWS[3]) == ((4,), 0, False)
    assert differ(ROWS[1], ROWS[0], *ROWS[2:]) == ((), 0, True)
    # The same row at another scoring time is another row.
    assert differ(*ROWS[:3], (FIRST, *ROWS[3][1:])) == ((3,), 1, False)


def test_marks_and_digests_are_of_values_not_of_memory() -> None:
    whole = table(*ROWS)
    chunked = pa.concat_tables([whole.slice(0, 1), whole.slice(1)])
    assert marked(chunked).equals(marked(whole))
    assert column_digests(chunked) == column_digests(whole)
    assert marked(whole.slice(2))["mark"].to_pylist() == marked(whole)["mark"].to_pylist()[2:]


def test_marks_do_not_depend_on_how_many_rows_are_marked_at_once() -> None:
    rows = pa.concat_tables([table(*ROWS)] * (MARKED_ROWS // 2))
    found = marked(rows)["mark"].to_pylist()
    assert len(found) > MARKED_ROWS
    assert found == marked(table(*ROWS))["mark"].to_pylist() * (MARKED_ROWS // 2)
    assert marked(rows.slice(0, 0)).num_rows == 0


def test_marks_are_the_same_in_every_release() -> None:
    # They are kept beside models: other marks for the same rows would name every row as changed.
    rows = pa.table(
        {
            "as_of": pa.array([FIRST], pa.timestamp("us", tz="UTC")),
            "day": pa.array([date(2026, 1, 5)]),
            "count": pa.array([-3], pa.int64()),
            "share": pa.array([0.1]),
            "name": pa.array(["Ä"]),
            "late": pa.array([True]),
        }
    )
    assert marked(rows)["mark"].to_pylist() == [3734763306]


@settings(max_examples=20)
@given(st.lists(st.integers(0, 5), max_size=12), st.lists(st.integers(0, 5), max_size=12))
def test_changes_count_as_two_bags_of_rows_do(before: list[int], after: list[int]) -> None:
    def bag(values: list[int]) -> pa.Table:
        return pa.table(
            {
                "as_of": pa.array([FIRST] * len(values), pa.timestamp("us", tz="UTC")),
                "value": pa.array(values, pa.int64()),
            }
        )

    found = changes(marked(bag(before)), marked(bag(after)))
    added = sum(max(0, after.count(value) - before.count(value)) for value in set(after))
    gone = sum(max(0, before.count(value) - after.count(value)) for value in set(before))
    assert (len(found.changed), found.gone) == (added, gone)
    assert found.moved == (not added and not gone and before != after)
