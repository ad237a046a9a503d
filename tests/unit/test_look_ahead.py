"""Look ahead: what is rounded otherwise looks at nothing, and what cannot run is not tested."""

from collections.abc import Callable
from datetime import timedelta

import duckdb
import pyarrow as pa
import pytest

from pipelines.domain.contract import Column, Files, Table
from pipelines.domain.feature_differences import alike
from pipelines.domain.features import FeatureView, KnownTables, features
from pipelines.domain.labels import Label
from pipelines.domain.look_ahead import LookedAhead, look_ahead
from tests.returned_orders import label, orders, returns

visits = Table(
    name="visits",
    source=Files(pattern="visits/*.csv"),
    columns=[Column("item", "string"), Column("visit", "int64"), Column("seconds", "int64")],
    key=("item", "visit"),
)


def asking(query: str) -> FeatureView:
    @features(entity=orders, reads=[returns, visits])
    def asked(known: KnownTables) -> duckdb.DuckDBPyRelation:
        return known.sql(query)

    return asked


def test_a_sum_that_is_added_in_another_order_looks_at_nothing() -> None:
    # With fewer rows DuckDB joins in another order, and the last digit of one average is another.
    view = asking("""
        select a.item, avg(v.seconds / (o.price + 1)) as paid
        from asked a join visits v using (item) join orders o using (item) group by a.item
    """)
    assert look_ahead(view, label) == LookedAhead(draws=3)


def test_an_average_that_looks_ahead_is_found() -> None:
    view = asking("""
        select a.item, avg(v.seconds / 7) as paid
        from asked a join visits__versions v using (item) group by a.item
    """)
    assert look_ahead(view, label).problem is not None


def test_a_rule_that_no_made_up_label_fits_is_not_tested_rather_than_broken() -> None:
    texts = Table(
        name="returns",
        source=Files(pattern="returns/*.csv"),
        columns=[Column("item", "string"), Column("days", "string")],
        key=("item",),
    )
    late = Label(
        name="late",
        table=texts,
        rule="days::int > 3",
        expected_after=timedelta(hours=1),
        final_after=timedelta(hours=2),
    )

    @features(entity=orders, reads=[texts])
    def priced(known: KnownTables) -> duckdb.DuckDBPyRelation:
        return known.sql("select item, price from asked")

    told = "a conversion error of column days in DuckDB, in the label's rule"
    assert look_ahead(priced, late) == LookedAhead(draws=0, untested=told)


def test_a_function_that_raises_on_unknown_values_is_not_tested_and_no_value_is_told() -> None:
    @features(entity=orders, reads=[returns])
    def named(known: KnownTables) -> duckdb.DuckDBPyRelation:
        codes = {"pen": 1}
        found = [codes[item] for (item,) in known.sql("select item from asked").fetchall()]
        return known.sql(f"select item, {len(found)}::bigint as n from asked")

    told = "KeyError, raised by the function"
    assert look_ahead(named, label) == LookedAhead(draws=0, untested=told)


Rows = list[tuple[int, float | None]]


def numbers(rows: Rows) -> pa.Table:
    schema = pa.schema([("key", pa.int64()), ("number", pa.float64())])
    named = [dict(zip(schema.names, row, strict=True)) for row in rows]
    return pa.Table.from_pylist(named, schema=schema)


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ([(1, 0.1 + 0.2)], [(1, 0.3)], True),
        ([(1, 3.0), (2, 0.1 + 0.2 - 0.3)], [(1, 3.0), (2, 0.0)], True),  # the rest of two sums
        ([(1, 3.0), (2, 1e-9)], [(1, 3.0), (2, 0.0)], False),
        ([(1, 3.0), (2, None)], [(1, 3.0), (2, 0.0)], False),
        ([(1, float("inf")), (2, 1.0)], [(1, float("inf")), (2, 2.0)], False),
        ([(1, 3.0)], [(2, 3.0)], False),
        ([(1, None)], [(1, None)], True),
        ([], [], True),
    ],
)
def test_two_computations_are_alike_but_for_rounding(
    *, first: Rows, second: Rows, same: bool
) -> None:
    assert alike(numbers(first), numbers(second), ["key"]) is same
    assert alike(numbers(second), numbers(first), ["key"]) is same


@pytest.mark.parametrize(
    "other",
    [lambda rows: rows.rename_columns(["key", "count"]), lambda rows: rows.append_column("b", rows["key"])],
)  # fmt: skip
def test_other_columns_are_never_alike(other: Callable[[pa.Table], pa.Table]) -> None:
    rows = numbers([(1, 3.0)])
    assert not alike(rows, other(rows), ["key"])
