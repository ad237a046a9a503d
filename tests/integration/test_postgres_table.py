"""Rows delivered to a real PostgreSQL: typed, keyed, in one transaction, and only into our table."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from pipelines.adapters.databases import connections
from pipelines.adapters.settings import Settings
from pipelines.domain.outputs import PostgresTable
from pipelines.errors import HeadframeError, OutputRefused, ServiceUnavailable, SettingsError
from pipelines.stages.deliver import deliver
from tests import postgres, predicted
from tests.postgres import PASSWORD, Server
from tests.predicted import FIRST, NEXT, Row

pytestmark = pytest.mark.needs_postgres

COLUMNS = ("p_missed", "age", "insurer", "stays", "urgent")
HOUSE = PostgresTable(
    name="house", consumer="planning", connection="house", table="visits", columns=COLUMNS
)
ROWS: list[Row] = [("A", 1, 0.25), ("B", 2, 0.5), ("C", 3, 0.75)]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with postgres.serving() as running:
        yield running


@pytest.fixture
def settings(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("HEADFRAME_CONNECTION_HOUSE", server.url)
    server.run(
        "drop schema if exists mart cascade", "drop schema public cascade", "create schema public"
    )
    return predicted.settings_in(tmp_path)


def bring(settings: Settings, *moments: datetime, output: PostgresTable = HOUSE) -> list[str]:
    found = deliver(
        predicted.declared(output),
        settings,
        scored_for=moments or (FIRST,),
        run="test",
        connections=connections.resolver(),
    )
    return [item.outcome for item in found.outputs]


def ask(server: Server, query: str) -> list[tuple[Any, ...]]:
    with closing(server.connect()) as session, session.cursor() as cursor:
        cursor.execute("set time zone 'UTC'")
        cursor.execute(query)
        return list(cursor.fetchall())


def refused(settings: Settings, output: PostgresTable = HOUSE) -> HeadframeError:
    with pytest.raises(HeadframeError) as caught:
        bring(settings, output=output)
    assert PASSWORD not in str(caught.value)
    assert "127.0.0.1" not in str(caught.value)
    assert caught.value.__cause__ is None, "the driver's error may quote rows"
    return caught.value


def test_the_table_is_created_with_typed_columns_and_a_primary_key(
    settings: Settings, server: Server
) -> None:
    predicted.publish(settings, ROWS)
    bring(settings)
    columns = ask(
        server,
        "select column_name, data_type, is_nullable from information_schema.columns "
        "where table_name = 'visits' order by ordinal_position",
    )
    assert columns == [
        ("day", "date", "NO"),
        ("ward", "text", "NO"),
        ("bed", "bigint", "NO"),
        ("scored_for", "timestamp with time zone", "NO"),
        ("p_missed", "double precision", "YES"),
        ("age", "double precision", "YES"),
        ("insurer", "text", "YES"),
        ("stays", "bigint", "YES"),
        ("urgent", "boolean", "YES"),
    ]
    key = ask(
        server,
        "select attname from pg_index join pg_attribute on attrelid = indrelid "
        "and attnum = any(indkey) where indrelid = 'visits'::regclass and indisprimary",
    )
    assert sorted(key) == [("bed",), ("day",), ("scored_for",), ("ward",)]
    assert ask(server, "select * from visits order by bed limit 1") == [
        (date(2026, 3, 1), "A", 1, FIRST, 0.25, 21.5, "insurer of A", 2, False)
    ]
    assert ask(server, "select obj_description('visits'::regclass)") == [
        ("headframe output visits/house",)
    ]


def test_a_new_generation_touches_the_rows_that_changed_and_no_others(
    settings: Settings, server: Server
) -> None:
    predicted.publish(settings, ROWS)
    predicted.publish(settings, ROWS, scored_for=NEXT)
    bring(settings, FIRST, NEXT)
    query = "select scored_for, ward, p_missed, xmin::text from visits"
    before = {row[:3]: row[3] for row in ask(server, query)}
    predicted.publish(settings, [("A", 1, 0.25), ("B", 2, 0.6), ("D", 4, 0.1)])
    bring(settings, FIRST, NEXT)
    after = {row[:3]: row[3] for row in ask(server, query)}
    untouched = {row for row in after if after[row] == before.get(row)}
    assert untouched == {(FIRST, "A", 0.25), *((NEXT, w, p) for w, _, p in ROWS)}
    assert set(after) - untouched == {(FIRST, "B", 0.6), (FIRST, "D", 0.1)}


def test_a_table_of_somebody_else_is_refused_and_left_as_it_is(
    settings: Settings, server: Server
) -> None:
    server.run("create table visits (day date, note text)", "insert into visits values (null, 'x')")
    predicted.publish(settings, ROWS)
    error = refused(settings)
    assert isinstance(error, OutputRefused)
    assert "one that Headframe did not make for this output" in str(error)
    assert ask(server, "select * from visits") == [(None, "x")]


def test_the_table_of_another_output_is_refused(settings: Settings, server: Server) -> None:
    predicted.publish(settings, ROWS)
    bring(settings)
    other = PostgresTable(name="other", consumer="x", connection="house", table="visits")
    assert "'headframe output visits/other'" in str(refused(settings, other))
    assert ask(server, "select count(*) from visits") == [(3,)]


@pytest.mark.parametrize(
    ("change", "differs"),
    [
        ("alter table visits add column note text", "note"),
        ("alter table visits drop column age", "age"),
        ("alter table visits alter column stays type text", "stays"),
        ("alter table visits drop constraint visits_pkey", "another primary key"),
    ],
)
def test_a_table_with_other_columns_is_refused_with_what_to_do(
    change: str, differs: str, settings: Settings, server: Server
) -> None:
    predicted.publish(settings, ROWS)
    bring(settings)
    server.run(change)
    before = ask(server, "select * from visits order by bed")
    predicted.publish(settings, ROWS[:1])
    error = refused(settings)
    assert f"a table that differs in {differs}" in str(error)
    assert "Drop the table" in str(error)
    assert ask(server, "select * from visits order by bed") == before


def test_a_table_that_was_dropped_by_hand_is_made_again(settings: Settings, server: Server) -> None:
    predicted.publish(settings, ROWS)
    predicted.publish(settings, ROWS, scored_for=NEXT)
    bring(settings, FIRST, NEXT)
    server.run("drop table visits")
    assert bring(settings) == ["delivered"]
    assert ask(server, "select count(*) from visits") == [(3,)]
    assert bring(settings, FIRST, NEXT) == ["unchanged", "delivered"]
    assert ask(server, "select count(*) from visits") == [(6,)]


def test_a_table_in_a_schema_keeps_its_notes_beside_it(settings: Settings, server: Server) -> None:
    server.run("create schema mart")
    predicted.publish(settings, ROWS)
    output = PostgresTable(name="order", consumer="x", connection="house", table="mart.order")
    assert bring(settings, output=output) == ["delivered"]
    assert bring(settings, output=output) == ["unchanged"]
    assert ask(server, 'select count(*) from mart."order"') == [(3,)]
    assert ask(server, "select target, generation, rows from mart.headframe_deliveries") == [
        ("headframe output visits/order", 1, 3)
    ]


def test_a_schema_that_is_not_there_is_said_so(settings: Settings) -> None:
    predicted.publish(settings, ROWS)
    output = PostgresTable(name="x", consumer="x", connection="house", table="no_such.visits")
    assert 'schema "no_such" does not exist' in str(refused(settings, output))


def test_a_user_who_may_not_create_tables_is_told_so(
    settings: Settings, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.run("drop role if exists reader", f"create role reader login password '{PASSWORD}'")
    server.run("grant usage on schema public to public")
    monkeypatch.setenv("HEADFRAME_CONNECTION_HOUSE", server.url.replace("keeper", "reader"))
    predicted.publish(settings, ROWS)
    assert "permission denied for schema public" in str(refused(settings))


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("postgresql://keeper:wrong@127.0.0.1:{port}/postgres", SettingsError),
        ("postgresql://keeper:{password}@127.0.0.1:{port}/no_such", SettingsError),
        ("postgresql://keeper:{password}@127.0.0.1:1/postgres", ServiceUnavailable),
        ("mysql://keeper:{password}@127.0.0.1/x", SettingsError),
        ("{password}", SettingsError),
    ],
)
def test_a_connection_that_does_not_work_is_named_without_what_is_in_it(
    url: str, kind: type[HeadframeError], settings: Settings, server: Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    password = server.url.split(":")[2].partition("@")[0]
    address = url.format(port=server.port, password=password)
    monkeypatch.setenv("HEADFRAME_CONNECTION_HOUSE", address)
    predicted.publish(settings, ROWS)
    error = refused(settings)
    assert type(error) is kind
    assert error.retryable == (kind is ServiceUnavailable)
    assert "'house'" in str(error)
    assert password not in str(error)


def test_a_text_with_the_character_nul_is_refused_and_nothing_changes(
    settings: Settings, server: Server
) -> None:
    predicted.publish(settings, ROWS)
    bring(settings)
    predicted.publish(settings, [("A\0B", 1, 0.5)])
    error = refused(settings)
    assert "NUL" in str(error)
    assert "A\0B" not in str(error)
    assert ask(server, "select count(*) from visits") == [(3,)]


def test_two_deliveries_at_once_leave_the_current_generation(
    settings: Settings, server: Server
) -> None:
    for number in range(3):
        predicted.publish(settings, [("A", 1, number / 10), ("B", number, 0.5)])
        with ThreadPoolExecutor(3) as threads:
            outcomes = [found for (found,) in threads.map(bring, [settings] * 3)]
        assert outcomes.count("unchanged") == 2, "one wrote, and the others found it done"
        found = ask(server, "select ward, bed, p_missed from visits order by ward")
        assert found == [("A", 1, number / 10), ("B", number, 0.5)]


texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=10)


@given(
    st.dictionaries(
        st.tuples(texts, st.integers(-(2**60), 2**60)), st.floats(0, 1), min_size=1, max_size=6
    )
)
@examples(
    max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_text_and_any_number_arrive_as_they_were(
    settings: Settings, server: Server, cells: dict[tuple[str, int], float]
) -> None:
    rows: Sequence[Row] = [(ward, bed, number) for (ward, bed), number in cells.items()]
    predicted.publish(settings, rows)
    bring(settings)
    found = ask(server, "select ward, bed, p_missed, insurer from visits")
    assert sorted(found) == sorted((w, b, p, f"insurer of {w}") for w, b, p in rows)


def test_times_before_and_after_summer_are_the_same_moments(
    settings: Settings, server: Server
) -> None:
    summer = datetime(2026, 7, 1, 3, tzinfo=UTC)
    predicted.publish(settings, ROWS)
    predicted.publish(settings, ROWS, scored_for=summer)
    server.run("alter database postgres set timezone to 'America/New_York'")
    bring(settings, FIRST, summer)
    found = ask(server, "select distinct scored_for from visits order by 1")
    server.run("alter database postgres reset timezone")
    assert [moment.astimezone(UTC) for (moment,) in found] == [FIRST, summer]
