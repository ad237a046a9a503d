"""A query's rows land as extracts, each row once, from a database that is only read."""

import json
import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.adapters import lake
from pipelines.adapters.databases import connections
from pipelines.adapters.landing import extract_files, extracts
from pipelines.adapters.landing.extracts import Extracted, extract, last_asked
from pipelines.adapters.landing.landing import SIDECAR
from pipelines.adapters.settings import Settings
from pipelines.adapters.stores import object_store
from pipelines.adapters.stores.object_store import StoreUrl
from pipelines.domain.contract import Column, Query, Table
from pipelines.errors import (
    CommitLost,
    DeclarationError,
    HeadframeError,
    ServiceUnavailable,
    SettingsError,
)
from pipelines.stages.ingest import ingest
from pipelines.use_case import UseCase
from tests import postgres
from tests.faults.forked import run_script
from tests.postgres import PASSWORD, Server

pytestmark = pytest.mark.needs_postgres

EVERYTHING = Query(connection="till", sql="select id, amount, changed_at from sales")
SALES = Table(
    name="sales",
    source=replace(EVERYTHING, watermark="changed_at"),
    columns=[
        Column("id", "int64"),
        Column("amount", "double", nullable=True),
        Column("changed_at", "timestamp[UTC]"),
    ],
    key=("id",),
)
OVERLAPPING = replace(
    SALES,
    source=replace(EVERYTHING, watermark="changed_at", overlap=timedelta(hours=1)),
)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with postgres.serving() as running:
        yield running


@pytest.fixture
def database(server: Server) -> Server:
    """Return the server with three sales in it, of 10:00, 11:00 and 12:00."""
    server.run(
        "drop table if exists sales",
        "create table sales (id int, amount float8, changed_at timestamptz)",
        *(insert(number, number + 0.5, 9 + number) for number in (1, 2, 3)),
    )
    return server


@pytest.fixture
def settings(tmp_path: Path, database: Server, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("HEADFRAME_CONNECTION_TILL", database.url)
    return Settings(home=tmp_path)


def insert(number: int, amount: float, hour: int, minute: int = 0) -> str:
    return (
        f"insert into sales values ({number}, {amount}, '2026-03-01 {hour:02}:{minute:02}:00+00')"
    )


def at(hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 3, 1, hour, minute, tzinfo=UTC)


def ask(settings: Settings, table: Table = SALES) -> Extracted:
    return extract(settings, "shop", table, connections=connections.resolver())


def ask_for(settings: Settings, sql: str, **more: Any) -> Extracted:  # noqa: ANN401 - a query's fields
    return ask(settings, replace(SALES, source=Query(connection="till", sql=sql, **more)))


def folder(settings: Settings) -> Path:
    return settings.root / "landing" / "shop" / "sales"


def read(settings: Settings, found: Extracted) -> pa.Table:
    return pq.read_table(folder(settings) / found.name)


def ids(settings: Settings, found: Extracted) -> list[int]:
    return list(read(settings, found)["id"].to_pylist())


def all_ids(settings: Settings) -> list[int]:
    """Return the ids of all that landed, in the order in which it did."""
    files = [path for path in sorted(folder(settings).glob("*.parquet")) if path.name[0] != "."]
    return [number for path in files for number in pq.read_table(path)["id"].to_pylist()]


def sidecar(settings: Settings, found: Extracted) -> dict[str, Any]:
    text = (folder(settings) / f"{found.name}.delivered.json").read_text("utf-8")
    return dict(json.loads(text))


def test_the_first_extract_lands_every_row_and_tells_where_it_ended(settings: Settings) -> None:
    before = datetime.now(UTC)
    found = ask(settings)
    assert (found.table, found.rows) == ("sales", 3)
    assert (found.watermark_from, found.watermark_to) == (None, "2026-03-01T12:00:00+00:00")
    rows = read(settings, found)
    assert rows.to_pylist() == [
        {"id": 1, "amount": 1.5, "changed_at": at(10)},
        {"id": 2, "amount": 2.5, "changed_at": at(11)},
        {"id": 3, "amount": 3.5, "changed_at": at(12)},
    ]
    told = sidecar(settings, found)
    assert before <= datetime.fromisoformat(told.pop("delivered_at")) <= datetime.now(UTC)
    assert len(told.pop("query")) == 64
    assert told == {
        "source": "query",
        "connection": "till",
        "watermark": "changed_at",
        "watermark_from": None,
        "watermark_to": "2026-03-01T12:00:00+00:00",
        "rows": 3,
        "rows_left_out": 0,
    }
    assert (folder(settings) / found.name).match(SALES.files.pattern)


def test_the_next_extract_begins_where_the_last_landed_one_ended(
    settings: Settings, database: Server
) -> None:
    first = ask(settings)
    database.run(insert(4, 4.5, 13), insert(1, 9.5, 14))
    second = ask(settings)
    assert second.watermark_from == first.watermark_to == "2026-03-01T12:00:00+00:00"
    assert second.watermark_to == "2026-03-01T14:00:00+00:00"
    assert ids(settings, second) == [4, 1]
    assert first.name < second.name


def test_without_new_rows_nothing_lands_but_that_was_asked_is_known(settings: Settings) -> None:
    assert last_asked(settings, "shop", SALES) is None
    ask(settings)
    landed = sorted(folder(settings).glob("[!.]*"))
    before = datetime.now(UTC)
    found = ask(settings)
    assert (found.name, found.rows) == ("", 0)
    assert sorted(folder(settings).glob("[!.]*")) == landed
    asked = last_asked(settings, "shop", SALES)
    assert asked is not None
    assert asked.rows == 0
    assert before <= asked.at <= datetime.now(UTC)


@pytest.mark.parametrize(
    ("table", "found_late"), [(OVERLAPPING, [4]), (SALES, [])], ids=["overlap", "control"]
)
def test_a_row_stamped_early_and_committed_late_is_found_by_the_overlap_alone(
    settings: Settings, database: Server, table: Table, found_late: list[int]
) -> None:
    with closing(database.connect()) as slow, slow.cursor() as cursor:
        cursor.execute(insert(4, 4.5, 11, 30))
        database.run(insert(5, 5.5, 12, 15))
        assert ids(settings, ask(settings, table)) == [1, 2, 3, 5]
        slow.commit()
    assert all_ids(settings) == [1, 2, 3, 5]
    assert ask(settings, table).rows == len(found_late)
    assert all_ids(settings) == [1, 2, 3, 5, *found_late]
    assert ask(settings, table).name == ""


@pytest.mark.parametrize(("table", "found"), [(OVERLAPPING, [6]), (SALES, [])])
def test_a_tie_with_the_highest_watermark_is_found_by_the_overlap_alone(
    settings: Settings, database: Server, table: Table, found: list[int]
) -> None:
    ask(settings, table)
    database.run(insert(6, 6.5, 12))
    ask(settings, table)
    assert all_ids(settings) == [1, 2, 3, *found]


def test_in_the_overlap_only_changed_rows_are_extracted_again(
    settings: Settings, database: Server
) -> None:
    ask(settings, OVERLAPPING)
    change = "update sales set amount = {} where id = 3"
    amounts = []
    for amount in ("null", "3.5", "3.5", "'NaN'", "'NaN'", "-0.25"):
        database.run(change.format(amount))
        found = ask(settings, OVERLAPPING)
        amounts.append(str(read(settings, found)["amount"].to_pylist()) if found.name else "")
    # 3.5 had been extracted, but not last: that it came back is a change.
    assert amounts == ["[None]", "[3.5]", "", "[nan]", "", "[-0.25]"]
    assert ask(settings, OVERLAPPING).watermark_to == "2026-03-01T12:00:00+00:00"


def test_rows_of_one_key_and_watermark_are_extracted_together_once_one_changed(
    settings: Settings, database: Server
) -> None:
    database.run(insert(3, 7.5, 12))
    ask(settings, OVERLAPPING)
    assert ask(settings, OVERLAPPING).name == ""
    database.run("update sales set amount = 8.5 where amount = 7.5")
    found = read(settings, ask(settings, OVERLAPPING))["amount"].to_pylist()
    assert sorted(found) == [3.5, 8.5]
    assert ask(settings, OVERLAPPING).name == ""


@pytest.mark.parametrize(
    ("kind", "overlap", "values"),
    [
        ("int8", 2, ["9007199254740993", "9007199254740994"]),
        ("date", timedelta(days=1), ["'2026-03-01'", "'2026-03-02'"]),
        ("timestamp", timedelta(hours=1), ["'2026-03-01 10:00'", "'2026-03-01 11:00'"]),
        ("numeric(20, 3)", 1, ["12345678901234567.125", "12345678901234567.126"]),
        ("text", None, ["'a''b:x%'", "'b'"]),
    ],
)
def test_a_watermark_of_any_declared_type_goes_on_where_it_stood(
    settings: Settings, database: Server, kind: str, overlap: int | None, values: list[str]
) -> None:
    database.run("drop table if exists marks", f"create table marks (id int, mark {kind})")
    table = replace(
        SALES,
        source=Query(
            connection="till", sql="select * from marks", watermark="mark", overlap=overlap
        ),
    )
    for number, value in enumerate(values):
        database.run(f"insert into marks values ({number}, {value})")
        assert ids(settings, ask(settings, table)) == [number]
        assert ask(settings, table).name == ""


def test_texts_follow_the_order_of_the_database(settings: Settings, database: Server) -> None:
    database.run(
        "drop table if exists marks",
        'create table marks (id int, mark text collate "en-x-icu")',
        "insert into marks values (1, 'a'), (2, 'B')",
    )
    table = replace(
        SALES, source=Query(connection="till", sql="select * from marks", watermark="mark")
    )
    assert ask(settings, table).watermark_to == "B"
    database.run("insert into marks values (3, 'Z'), (4, 'c')")
    assert ids(settings, ask(settings, table)) == [4, 3]


def test_rows_without_a_watermark_are_reported_never_passed_over(
    settings: Settings, database: Server
) -> None:
    ask(settings)
    database.run("insert into sales values (4, 4.5, null)")
    with pytest.raises(DeclarationError, match="watermark 'changed_at' in every row"):
        ask(settings)
    assert all_ids(settings) == [1, 2, 3]
    assert not list(folder(settings).glob(".unfinished*"))


def test_a_query_without_a_watermark_lands_whole_when_anything_changed(
    settings: Settings, database: Server
) -> None:
    table = replace(SALES, source=EVERYTHING)
    assert ask(settings, table).rows == 3
    assert ask(settings, table).rows == 0
    database.run("update sales set amount = 9 where id = 2")
    assert ask(settings, table).rows == 3
    assert ask(settings, table).rows == 0
    database.run("delete from sales where id = 1", insert(2, 9, 11))
    assert ask(settings, table).rows == 3
    assert ask(settings, table).rows == 0


def test_a_changed_query_is_extracted_from_its_start_without_what_landed_already(
    settings: Settings, database: Server
) -> None:
    some = replace(
        SALES,
        source=replace(
            EVERYTHING, sql=f"{EVERYTHING.sql} where id <> 2 -- not two", watermark="changed_at"
        ),
    )
    assert ids(settings, ask(settings, some)) == [1, 3]
    assert ids(settings, ask(settings)) == [2]
    assert ask(settings).name == ""
    # A change of the text alone lands an extract without rows, once: it records where to go on.
    reworded = replace(
        SALES, source=replace(EVERYTHING, sql=f"{EVERYTHING.sql} ;", watermark="changed_at")
    )
    empty = ask(settings, reworded)
    assert (empty.rows, read(settings, empty).num_rows) == (0, 0)
    assert empty.name
    assert ask(settings, reworded).name == ""
    database.run(insert(4, 4.5, 13))
    assert ids(settings, ask(settings, reworded)) == [4]


def test_a_changed_query_with_another_column_extracts_every_row_again(settings: Settings) -> None:
    ask(settings)
    found = ask_for(settings, "select *, 'x' as kind from sales", watermark="changed_at")
    assert ids(settings, found) == [1, 2, 3]
    # Back again, the last that landed is another thing: all rows are news.
    assert ids(settings, ask(settings)) == [1, 2, 3]


def test_every_type_lands_as_the_database_holds_it(settings: Settings) -> None:
    found = ask_for(
        settings,
        """
        select 1 as id, 9223372036854775807::int8 as big, 0.1::float4 as single, 'NaN'::float8 as nan,
            1.10::numeric(4, 2) as price, 0.30000000000000004::numeric as exact, true as yes,
            '2026-03-01'::date as day, '2026-03-01 10:00:00.000001'::timestamp as no_zone,
            '2026-03-01 10:00:00+02'::timestamptz as moment, '1 month'::interval as month,
            '{"a": 1.0}'::json as object, array[1, null] as list, '\\x00ff'::bytea as bytes,
            'a  '::char(3) as padded, null::int as nothing, '50%: :x' as "Odd-Name"
        """,
    )
    rows = read(settings, found)
    utc = pa.timestamp("us", tz="UTC")
    assert dict(zip(rows.schema.names, rows.schema.types, strict=True)) == {
        "id": pa.int64(),
        "big": pa.int64(),
        "single": pa.float64(),
        "nan": pa.float64(),
        "price": pa.decimal128(4, 2),
        "exact": pa.string(),
        "yes": pa.bool_(),
        "day": pa.date32(),
        "no_zone": pa.timestamp("us"),
        "moment": utc,
        "month": pa.string(),
        "object": pa.string(),
        "list": pa.string(),
        "bytes": pa.string(),
        "padded": pa.string(),
        "nothing": pa.int64(),
        "Odd-Name": pa.string(),
    }
    (row,) = rows.to_pylist()
    assert str(row.pop("nan")) == "nan"
    assert row == {
        "id": 1,
        "big": 9223372036854775807,
        "single": 0.10000000149011612,
        "price": Decimal("1.10"),
        "exact": "0.30000000000000004",
        "yes": True,
        "day": datetime(2026, 3, 1, tzinfo=UTC).date(),
        "no_zone": datetime(2026, 3, 1, 10, 0, 0, 1),  # noqa: DTZ001 - it has no zone
        "moment": at(8),
        "month": "1 mon",
        "object": '{"a": 1.0}',
        "list": "{1,NULL}",
        "bytes": "\\x00ff",
        "padded": "a  ",
        "nothing": None,
        "Odd-Name": "50%: :x",
    }


@pytest.mark.parametrize(
    "value",
    [
        "'infinity'::date",
        "'-infinity'::timestamptz",
        "'0044-03-15 BC'::date",
        "'12026-03-01'::timestamp",
        "'NaN'::numeric(4, 2)",
    ],
)
def test_a_value_that_cannot_be_held_ends_the_extract_and_is_not_told(
    settings: Settings, value: str
) -> None:
    with pytest.raises(DeclarationError, match="values of column 'odd'") as raised:
        ask_for(settings, f"select 1 as id, {value} as odd")
    assert "2026-03-01" not in str(raised.value)
    assert raised.value.__context__ is None
    assert all_ids(settings) == []


def test_one_transaction_that_only_reads_sees_one_state(settings: Settings) -> None:
    found = ask_for(
        settings,
        "select 1 as id, current_setting('transaction_isolation') as isolation,"
        " current_setting('transaction_read_only') as only_reads",
    )
    assert read(settings, found).to_pylist() == [
        {"id": 1, "isolation": "repeatable read", "only_reads": "on"}
    ]


WRITER = (
    "create or replace function take_one() returns int language sql as "
    "$$ delete from sales where id = 1 returning id $$"
)


def test_a_query_that_changes_something_behind_a_function_is_refused_by_the_database(
    settings: Settings, database: Server
) -> None:
    database.run(WRITER)
    with pytest.raises(DeclarationError, match="a query that only reads"):
        ask_for(settings, "select take_one() as id")
    assert ask(settings).rows == 3


def test_the_control_shows_that_the_function_changes_something_where_it_may(
    settings: Settings, database: Server
) -> None:
    database.run(WRITER, "select take_one() as id")
    assert ask(settings).rows == 2


@pytest.mark.parametrize(
    "sql",
    [
        "delete from sales returning id",
        "select 1 as id; delete from sales",
        "select 1) as extracted; delete from sales; --",
        "with gone as (delete from sales returning id) select id from gone",
        "select id into other from sales",
    ],
)
def test_what_is_not_one_select_is_refused_unasked(settings: Settings, sql: str) -> None:
    with pytest.raises(DeclarationError, match="one SELECT"):
        ask_for(settings, sql)
    assert ask(settings).rows == 3


def test_a_session_cannot_be_talked_into_writing(settings: Settings, database: Server) -> None:
    database.run(WRITER)
    sql = (
        "select set_config('transaction_read_only', 'off', true) as id"
        " union all select take_one()::text"
    )
    with pytest.raises(DeclarationError):
        ask_for(settings, sql)
    assert ask(settings).rows == 3


def test_a_wrong_query_is_told_in_the_words_of_the_database(settings: Settings) -> None:
    with pytest.raises(DeclarationError) as raised:
        ask_for(settings, "select idd from sales")
    assert str(raised.value) == (
        "shop, table 'sales': expected a query that runs; found undefined column, SQLSTATE 42703: "
        'column "idd" does not exist.\n  Correct the query; nothing was landed.'
    )
    with pytest.raises(DeclarationError, match="'id' twice"):
        ask_for(settings, 'select id, 2 as "ID" from sales')
    with pytest.raises(DeclarationError, match="watermark 'changed_at' in the result"):
        ask_for(settings, "select id from sales", watermark="changed_at")


def test_what_the_database_says_about_a_row_is_not_told(settings: Settings) -> None:
    with pytest.raises(DeclarationError) as raised:
        ask_for(settings, "select ('can' || 'ary')::int as id")
    assert "SQLSTATE 22P02" in str(raised.value)
    assert "canary" not in everything_of(raised.value)


def everything_of(error: BaseException) -> str:
    """Return all that can be read from an error: its text, its traceback, and what hangs on it."""
    texts = []
    seen: list[BaseException | None] = [error]
    for found in seen:
        if found is not None:
            texts += ["".join(traceback.format_exception(found)), repr(found), repr(found.args)]
            seen += [e for e in (found.__cause__, found.__context__) if e not in seen]
    return "\n".join(texts)


def with_url(url: str) -> Callable[[str], str]:
    return lambda _: url


@pytest.mark.parametrize(
    ("broken", "kind"),
    [
        (lambda url, server: url.replace("keeper", "stranger"), SettingsError),
        (lambda url, server: url.replace("/postgres", "/nowhere"), SettingsError),
        (lambda url, server: url.replace("word@", "wort@"), SettingsError),
        (lambda url, server: url.replace(f":{server.port}", ":1"), ServiceUnavailable),
        (lambda url, server: url.replace("127.0.0.1", "nowhere.invalid"), ServiceUnavailable),
        (lambda url, server: url.replace(f":{server.port}", ":port"), SettingsError),
        (lambda url, server: url.replace("postgresql://", "oracle://"), SettingsError),
        (lambda url, server: url.replace("postgresql://", ""), SettingsError),
    ],
)
def test_a_connection_that_fails_shows_neither_password_nor_address(
    settings: Settings,
    server: Server,
    broken: Callable[[str, Server], str],
    kind: type[HeadframeError],
) -> None:
    url = broken(server.url, server)
    assert url != server.url
    with pytest.raises(kind) as raised:
        extract(settings, "shop", SALES, connections=with_url(url))
    assert raised.value.retryable is (kind is ServiceUnavailable)
    shown = everything_of(raised.value)
    assert "connection 'till'" in shown
    for secret in (PASSWORD, "s3cr3t", "canary", "keeper", "stranger"):
        assert secret not in shown


def test_no_file_that_an_extract_leaves_holds_the_password(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    ask(settings)
    files = [path for path in settings.root.rglob("*") if path.is_file()]
    assert len(files) == 3
    assert all(b"s3cr3t" not in path.read_bytes() for path in files)
    assert "s3cr3t" not in caplog.text


def test_a_database_that_went_away_may_be_waited_for(settings: Settings, server: Server) -> None:
    sql = "select 1 as id, pg_terminate_backend(pg_backend_pid())"
    with pytest.raises(ServiceUnavailable):
        ask_for(settings, sql)


def test_two_extracts_of_one_table_are_never_at_work_at_once(settings: Settings) -> None:
    with (
        extract_files.alone(folder(settings), settings.root / "spool"),
        pytest.raises(CommitLost, match="one extract at a time"),
    ):
        ask(settings)
    assert ask(settings).rows == 3


def test_a_clock_that_was_set_back_does_not_change_the_order(
    settings: Settings, database: Server
) -> None:
    first = ask(settings)
    later = "29991231T235959.999998Z.parquet"
    for suffix in ("", ".delivered.json"):
        path = folder(settings) / (first.name + suffix)
        path.rename(folder(settings) / (later + suffix))
    database.run(insert(4, 4.5, 13))
    assert ask(settings).name == "29991231T235959.999999Z.parquet"


def test_an_extract_whose_sidecar_is_lost_stops_the_next(settings: Settings) -> None:
    found = ask(settings)
    (folder(settings) / f"{found.name}.delivered.json").unlink()
    with pytest.raises(HeadframeError, match="the sidecar that was landed with this extract"):
        ask(settings)


EXTRACT = """
import sys
from pathlib import Path
from pipelines.adapters.databases import connections
from pipelines.adapters.landing.extracts import extract
from pipelines.adapters.settings import Settings
from tests.integration.test_query_source import OVERLAPPING, SALES
table = {"SALES": SALES, "OVERLAPPING": OVERLAPPING}[sys.argv[2]]
extract(Settings(home=Path(sys.argv[1])), "shop", table, connections=connections.resolver())
"""

NAIVE = """
import sys
from pathlib import Path
from pipelines.adapters.databases import connections
from pipelines.adapters.landing import extract_files
from pipelines.adapters.failpoints import failpoint
from pipelines.adapters.sources import query
from tests.integration.test_query_source import SALES
home = Path(sys.argv[1])
folder, state = home / "landing" / "shop" / "sales", home / "state"
folder.mkdir(parents=True, exist_ok=True)
low = state.read_text() if state.exists() else None
file = extract_files.Unfinished(folder)
high = query.extract(connections.resolver()("till"), SALES.source, where="", above=low, write=file.write)
file.finish()
if file.rows:
    extract_files.land(folder, file, {})
else:
    file.discard()
state.write_text(high)
"""
"""The control: keeps the highest watermark in a file of its own, written after the extract."""


def run(settings: Settings, script: str, table: str = "SALES", failpoint: str = "") -> int:
    reached = settings.root / "reached"
    arguments = (str(settings.root), table)
    status, _ = run_script(script, *arguments, reached=reached, failpoint=failpoint)
    if failpoint:
        assert reached.read_text().splitlines()[-1] == failpoint
    return status


@pytest.mark.parametrize(
    ("failpoint", "table"),
    [
        ("extract.before_sidecar", "SALES"),
        ("extract.before_rename", "SALES"),
        ("extract.before_rename", "OVERLAPPING"),
        ("extract.after_rename", "SALES"),
    ],
)
def test_a_kill_at_any_point_neither_loses_nor_doubles_a_row(
    settings: Settings, database: Server, failpoint: str, table: str
) -> None:
    assert run(settings, EXTRACT, table, failpoint) == -signal.SIGKILL
    database.run(insert(4, 4.5, 12, 30))
    assert run(settings, EXTRACT, table, failpoint) == -signal.SIGKILL
    for _ in range(2):
        ask(settings, OVERLAPPING if table == "OVERLAPPING" else SALES)
    assert all_ids(settings) == [1, 2, 3, 4]
    extracts_ = sorted(path.name for path in folder(settings).glob("[!.]*.parquet"))
    left = {path.name for path in folder(settings).iterdir()}
    sidecars = {f"{name}.delivered.json" for name in extracts_}
    assert left == {*extracts_, *sidecars, extract_files.ASKED}


def test_the_control_shows_the_fault_a_watermark_kept_elsewhere_doubles_rows(
    settings: Settings,
) -> None:
    assert run(settings, NAIVE, failpoint="extract.after_rename") == -signal.SIGKILL
    assert run(settings, NAIVE) == 0
    assert all_ids(settings) == [1, 2, 3, 1, 2, 3]


def test_more_rows_than_a_batch_land_in_order(settings: Settings, database: Server) -> None:
    database.run(
        "insert into sales select n, n, timestamptz '2026-03-02 00:00:00+00' + n * interval '1 s'"
        " from generate_series(4, 25003) n"
    )
    assert ask(settings).rows == 25_003
    assert all_ids(settings) == list(range(1, 25_004))
    database.run("update sales set amount = -1 where id in (24999, 25001)")
    assert ids(settings, ask(settings, OVERLAPPING)) == [24_999, 25_001]
    assert extracts.last_asked(settings, "shop", SALES) is not None


def test_in_an_object_store_extracts_follow_one_another_the_same_way(
    database: Server, store: StoreUrl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADFRAME_CONNECTION_TILL", database.url)
    monkeypatch.setenv("HEADFRAME_LANDING", str(store))
    settings = Settings(home=tmp_path)
    assert settings.landing == store
    assert run(settings, EXTRACT, failpoint="extract.before_rename") == -signal.SIGKILL
    below = store / "shop" / "sales"
    (orphan,) = [listed.name for listed in object_store.listing(below)]
    assert orphan.endswith(".parquet.delivered.json")
    found = ask(settings, OVERLAPPING)
    assert found.rows == 3
    database.run("update sales set amount = 9.5 where id = 3", insert(4, 4.5, 12))
    changed = ask(settings, OVERLAPPING)
    object_store.fetch(below / changed.name, tmp_path / "copy.parquet")
    amounts = pq.read_table(tmp_path / "copy.parquet").select(["id", "amount"]).to_pylist()
    assert sorted(tuple(row.values()) for row in amounts) == [(3, 9.5), (4, 4.5)]
    assert ask(settings, OVERLAPPING).name == ""
    files = {f"{name}{end}" for name in (found.name, changed.name) for end in ("", SIDECAR)}
    assert {listed.name for listed in object_store.listing(below)} == {*files, ".asked.json"}
    assert last_asked(settings, "shop", SALES) is not None
    assert not list((tmp_path / "extracts").rglob("*.parquet"))


def test_an_ingest_takes_extracts_in_like_any_landed_file(
    settings: Settings, database: Server, tmp_path: Path
) -> None:
    use_case = UseCase(name="shop", owner="till", tables=[SALES])
    settings = Settings(home=tmp_path, expectations=tmp_path / "expectations")
    counts = []
    for hour in (13, 14):
        (taken,) = ingest(use_case, settings, as_of=datetime(2999, 1, 1, tzinfo=UTC), run="test")
        assert not taken.refused
        counts.append(taken.law.accepted)
        database.run(insert(hour, hour, hour))
    assert counts == [3, 1]
    (silver,) = lake.versions(settings, "shop", [SALES]).values()
    rows = silver.select(["id", "amount"]).to_pylist()
    assert sorted(tuple(row.values()) for row in rows) == [(1, 1.5), (2, 2.5), (3, 3.5), (13, 13.0)]
