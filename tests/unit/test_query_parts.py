"""Query parts: through which named subqueries a query reads a table, and when nobody can tell."""

from collections.abc import Iterator

import duckdb
import pytest

from pipelines.domain.query_parts import query_parts

TABLES = ("orders", "prices", "labels")

QUERY = """
    with recent as (select o.item from orders o join labels using (item)
                    where o.day >= (select max(day) from labels)),
    cheap as (select item, price from prices where price < 3),
    both_of as (select * from recent join cheap using (item))
    select item, (select count(*) from cheap) as cheap_ones from both_of
"""


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(":memory:") as made:
        made.execute("create table orders (item varchar, day int)")
        made.execute("create table labels (item varchar, day int)")
        made.execute("create table prices (item varchar, price double)")
        made.execute("insert into prices values ('a', 1), ('b', 2), ('b', 2), ('c', 9)")
        yield made


@pytest.mark.parametrize(
    ("tables", "parts"),
    [
        (["labels"], ["recent"]),
        (["prices"], ["cheap"]),
        (["prices", "labels"], ["recent", "cheap"]),
        (["nothing"], []),
    ],
)
def test_a_table_is_read_through_the_parts_that_name_it(
    tables: list[str], parts: list[str], connection: duckdb.DuckDBPyConnection
) -> None:
    found = query_parts(connection.sql, QUERY, TABLES)
    assert found is not None
    assert found.through(tables) == parts


@pytest.mark.parametrize(
    "outer",
    [
        "select * from cheap join prices using (item)",
        "select (select max(price) from prices) as most from cheap",
        "select item from cheap where item in (select item from prices)",
        "select item from cheap order by (select max(price) from prices)",
    ],
)
def test_a_table_that_the_query_reads_itself_is_read_through_no_part(
    outer: str, connection: duckdb.DuckDBPyConnection
) -> None:
    query = f"with cheap as (select * from prices where price < 3) {outer}"
    found = query_parts(connection.sql, query, TABLES)
    assert found is not None
    assert found.through(["prices"]) is None
    assert found.through(["labels"]) == []


@pytest.mark.parametrize(
    "query",
    [
        "select * from range(3)",
        "select * from query('select * from prices')",
        "select * from query_table('prices')",
        "select * from prices; select * from labels",
        "select * from prices union all select * from prices",
        "from secrets",
        "with a as (with b as (select * from prices) select * from b) select * from a",
        "select * from",
    ],
)
def test_nobody_can_tell_what_a_query_reads_that_does_not_name_it_plainly(
    query: str, connection: duckdb.DuckDBPyConnection
) -> None:
    assert query_parts(connection.sql, query, TABLES) is None


def test_a_fingerprint_changes_with_the_rows_of_its_part_and_not_with_their_order(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    found = query_parts(connection.sql, QUERY, TABLES)
    assert found is not None
    asked = found.fingerprint(connection.sql, "cheap")
    answers = []
    for change in (
        "select 1",
        "create or replace table prices as select item, price::double as price from (values ('b', 2), ('a', 1), ('b', 2)) t(item, price)",
        "insert into prices values ('d', 10)",
        "insert into prices values ('a', 1)",
        "update prices set price = 2.5 where item = 'b'",
    ):
        connection.execute(change).fetchall()
        answers.append(connection.sql(asked).fetchall())
    assert answers[0] == answers[1] == answers[2]
    assert len({str(answer) for answer in answers}) == 3
