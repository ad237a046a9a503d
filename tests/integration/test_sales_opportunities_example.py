"""The sales example delivers the same files whatever asks for them, with known truth and faults."""

import hashlib
import json
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from examples import sales_opportunities as example
from examples.sales_world import ADDED, FIRST_DAY, NORTH_SLOWS, PARTNERS_GROW, RIVAL_ENTERS, UNTIL
from pipelines.adapters import example_files
from pipelines.errors import SettingsError

APRIL, MAY, JUNE = date(2024, 4, 22), date(2024, 5, 6), date(2024, 5, 20)


@pytest.fixture(scope="module")
def landing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a landing folder with all that the world ever delivers."""
    folder = tmp_path_factory.mktemp("landing")
    example.deliver(folder, first_day=FIRST_DAY, until=UNTIL)
    return folder / example.NAME


@pytest.fixture(scope="module")
def sales(landing: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Tables of all delivered rows as text, and truth."""
    truth = example.truth()
    with duckdb.connect() as connection:
        connection.execute("SET threads = 2; SET TimeZone = 'UTC'")
        connection.register("truth", truth)
        for table in ("accounts", "opportunities", "closings", "stage_changes"):
            connection.execute(
                # The dialect is told: to find it out for each file takes five times as long.
                f"CREATE TABLE {table} AS FROM read_csv('{landing}/{table}/*.csv', header = true,"
                " all_varchar = true, union_by_name = true, filename = true,"
                """ delim = ',', quote = '"', escape = '"')"""
            )
        yield connection


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def delivered_at(file: Path) -> datetime:
    sidecar = json.loads(file.with_name(f"{file.name}.delivered.json").read_text())
    return datetime.fromisoformat(sidecar["delivered_at"])


def test_parts_of_a_time_deliver_what_the_whole_does_and_nothing_twice(tmp_path: Path) -> None:
    example.deliver(tmp_path / "whole", first_day=APRIL, until=JUNE)
    example.deliver(tmp_path / "parts", first_day=MAY, until=JUNE)
    example.deliver(tmp_path / "parts", first_day=APRIL, until=MAY)
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")
    again = example.deliver(tmp_path / "whole", first_day=APRIL, until=JUNE)
    assert (again.files_written, again.files_present) == (0, len(contents(tmp_path / "whole")) // 2)


def test_weeks_that_were_added_to_the_world_changed_nothing_before_them(landing: Path) -> None:
    """The digest is of what the world delivered when it ended where they were added."""
    told, files = hashlib.sha256(), 0
    for sidecar in sorted(landing.rglob("*.delivered.json")):
        file = sidecar.with_name(sidecar.name.removesuffix(".delivered.json"))
        at = delivered_at(file)
        if at.date() < ADDED:
            told.update(f"{file.relative_to(landing)} {at.isoformat()} ".encode())
            told.update(file.read_bytes())
            files += 1
    assert files == 1793
    assert told.hexdigest() == "f6e071a77d4c2b00978df1b4ba3e39f4c9269bf6b89493f4fb4603be95f67adc"


def test_what_is_delivered_tells_nothing_of_the_truth(landing: Path) -> None:
    opportunities = sorted((landing / "opportunities").glob("*.csv"))
    header = {line for path in opportunities for line in path.read_text().splitlines()[:1]}
    assert header == {
        ",".join(example.REVIEW_COLUMNS),
        ",".join((*example.REVIEW_COLUMNS, "campaign")),
    }
    assert {path.name for path in landing.iterdir()} == {
        *("accounts", "activities", "closings", "opportunities", "stage_changes")
    }


def test_true_probabilities_are_those_with_which_opportunities_are_won(
    sales: duckdb.DuckDBPyConnection,
) -> None:
    """Of each opportunity its first review counts: later ones are there for those still open."""
    tenths = sales.sql("""
        select floor(win_probability * 10) as tenth, count(*), avg(win_probability),
               avg(won::int), sqrt(avg(win_probability * (1 - win_probability)) / count(*))
        from (from truth qualify row_number() over (
                  partition by opportunity_id order by review_date) = 1)
        group by tenth
    """).fetchall()
    assert len(tenths) == 10
    assert all(count > 100 for _, count, *_ in tenths)
    for tenth, _, expected, found, deviation in tenths:
        assert abs(found - expected) < 3.5 * deviation, tenth


def test_the_world_changes_when_and_as_it_says(sales: duckdb.DuckDBPyConnection) -> None:
    created = "o.created_at::timestamptz::date"
    won = sales.sql(f"""
        select product = 'sensors', {created} >= '{RIVAL_ENTERS}', avg(won::int)
        from truth t join opportunities o
            on o.opportunity_id = t.opportunity_id and o.review_date::date = t.review_date
        where {created} >= '{RIVAL_ENTERS}' or {created} < '{RIVAL_ENTERS - timedelta(weeks=20)}'
        group by all
    """).fetchall()
    share = {(sensors, after): rate for sensors, after, rate in won}
    assert share[True, False] - share[True, True] > 0.3
    assert abs(share[False, False] - share[False, True]) < 0.1
    sources = sales.sql(f"""
        select {created} >= '{PARTNERS_GROW}', avg((source = 'partner')::int)
        from (from opportunities o qualify row_number() over (
                  partition by opportunity_id order by review_date) = 1) o group by all
    """).fetchall()
    partners = dict(sources)
    assert partners[False] == pytest.approx(0.10, abs=0.03)
    assert partners[True] == pytest.approx(0.35, abs=0.03)
    days = sales.sql(f"""
        with owned as (select distinct opportunity_id, account_id from opportunities),
        entered as (
            select opportunity_id, closed_at::timestamptz::date as closed,
                   regexp_extract(min(filename), '[0-9-]{{10}}')::date as entered
            from closings group by all)
        select region = 'north', closed >= '{NORTH_SLOWS}', median(entered - closed)
        from entered join owned using (opportunity_id)
            join (select distinct account_id, region from accounts) using (account_id)
        group by all
    """).fetchall()
    delays = {(north, after): median for north, after, median in days}
    assert delays[True, True] > 25
    assert max(delays[False, True], delays[True, False], delays[False, False]) < 5


def test_each_fault_that_is_told_is_there(sales: duckdb.DuckDBPyConnection, landing: Path) -> None:
    def count(condition: str, table: str = "opportunities") -> int:
        ((found,),) = sales.sql(f"select count(*) from {table} where {condition}").fetchall()
        return int(found)

    rows = count("true")
    assert 0.001 * rows < count("amount like '%,%'") < 0.004 * rows
    assert 0.0004 * rows < count("amount like '-%'") < 0.002 * rows
    assert 0.005 * rows < count("owner is null") < 0.015 * rows
    both = "select opportunity_id from closings group by all having count(distinct outcome) = 2"
    closed = count("true", "(select distinct opportunity_id from closings)")
    assert 0.015 * closed < count("true", f"({both})") < 0.035 * closed
    again = sorted((landing / "closings").glob("*-again.csv"))
    assert again
    for file in again:
        first = file.with_name(file.name.replace("-again", ""))
        assert file.read_bytes() == first.read_bytes()
        assert delivered_at(file) > delivered_at(first)
    late = landing / "activities" / "2024-04-29.jsonl"
    usual = landing / "activities" / "2024-05-06.jsonl"
    assert delivered_at(late).date() == date(2024, 5, 9)
    assert delivered_at(usual).date() == date(2024, 5, 13)


def test_days_outside_the_world_and_unknown_examples_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=f"expected days with {FIRST_DAY} <= first_day"):
        example.deliver(tmp_path, first_day=FIRST_DAY - timedelta(days=1), until=APRIL)
    folder = Path(example.__file__).parent
    assert example_files.example(folder, example.NAME).FIRST_DAY == FIRST_DAY
    with pytest.raises(SettingsError, match=r"Did you mean 'sales_opportunities'\?"):
        example_files.example(folder, "sales_oportunities")
    with pytest.raises(SettingsError, match="expected one of flight_delays, sales_opportunities"):
        example_files.example(folder, "churn")
