"""Feeds through the stages: what is missing is said by ingest and monitor, and is an incident."""

import csv
import gzip
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from examples import flight_delays as example
from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.landing.delivery_counts import arrived, counts
from pipelines.adapters.landing.extracts import last_asked
from pipelines.adapters.platform import incident_ledger, notifications
from pipelines.adapters.settings import Settings
from pipelines.adapters.stores.object_store import local
from pipelines.domain.contract import DeltaFolder
from pipelines.domain.feed_slots import Arrived, slots
from pipelines.domain.feeds import FeedFinding, findings
from pipelines.domain.signals import feed_area, of_feed
from pipelines.stages.ingest import describe, ingest
from pipelines.use_case import Column, Files, Table, UseCase, load

REPOSITORY = Path(__file__).parents[2]
SALES = Table(
    name="sales",
    source=Files(pattern="sales/*.csv"),
    columns=[Column("id", "int64"), Column("amount", "double")],
    key=("id",),
    arrives_by=time(20),
    grace=timedelta(hours=2),
)
RETURNS = replace(SALES, name="returns", source=Files(pattern="returns/*.csv"))
TILL = UseCase(name="till", owner="shop floor", tables=[SALES, RETURNS])


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", expectations=tmp_path / "expectations")


def at(day: int, hour: int = 23) -> datetime:
    """Return ``hour`` UTC of a day counted from 1 March 2026, which is a Sunday."""
    return datetime(2026, 3, 1, hour, tzinfo=UTC) + timedelta(days=day - 1)


def land(settings: Settings, table: str, day: int, rows: int = 3, hour: int = 20) -> Path:
    """Deliver the file of a day, with ids of its own."""
    path = local(settings.landing) / "till" / table / f"{day}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    told = json.dumps({"delivered_at": at(day, hour).isoformat()})
    path.with_name(f"{path.name}.delivered.json").write_text(told, "utf-8")
    lines = [f"{day * 10_000 + number},1.5\n" for number in range(rows)]
    path.write_text("id,amount\n" + "".join(lines), "utf-8")
    return path


def found(settings: Settings, day: int, use_case: UseCase = TILL) -> list[tuple[str, str, str]]:
    """Ingest at 23:00 of a day and return (table, kind, slot) of what is wrong with the feeds."""
    results = ingest(use_case, settings, as_of=at(day), run="test")
    return [(item.table, item.kind, item.slot[5:]) for r in results for item in r.feed]


def feed(settings: Settings, day: int) -> list[FeedFinding]:
    return [f for r in ingest(TILL, settings, as_of=at(day), run="test") for f in r.feed]


def told(settings: Settings) -> list[str]:
    return [message.title for message in notifications.recent(settings, 100)]


def test_ingest_names_the_day_that_is_missing_and_the_line_says_it(settings: Settings) -> None:
    for day in (1, 2, 3):
        land(settings, "sales", day)
        land(settings, "returns", day)
    assert found(settings, 3) == []
    land(settings, "returns", 4)
    assert found(settings, 4) == [("sales", "missing", "03-04")]
    said = describe(ingest(TILL, settings, as_of=at(4), run="test"))
    assert (
        "  MISSING 2026-03-04: expected by 20:00 UTC since 2026-03-04 20:00 UTC, with "
        "grace until 2026-03-04 22:00 UTC, in landing/till/sales/*.csv; the last delivery before "
        "came 2026-03-03 20:00 UTC; owner shop floor\n"
    ) in said


def test_a_file_that_comes_late_ends_the_finding(settings: Settings) -> None:
    for name in ("sales", "returns"):
        land(settings, name, 1)
    land(settings, "returns", 2)
    assert found(settings, 2) == [("sales", "missing", "03-02")]
    late = land(settings, "sales", 2)
    moment = json.dumps({"delivered_at": at(3, 1).isoformat()})
    late.with_name(f"{late.name}.delivered.json").write_text(moment, "utf-8")
    results = ingest(TILL, settings, as_of=at(3, 1), run="test")
    assert [result.feed for result in results] == [(), ()]
    assert results[0].files == 1


def test_files_without_rows_are_deliveries_though_their_bytes_are_the_same(
    settings: Settings,
) -> None:
    for day in range(1, 61):
        land(settings, "returns", day)
        land(settings, "sales", day, rows=500)
    assert found(settings, 60) == []
    for day in (61, 62):
        land(settings, "returns", day)
        land(settings, "sales", day, rows=0)
    assert found(settings, 62) == [("sales", "empty", "04-30"), ("sales", "empty", "05-01")]
    land(settings, "returns", 63)
    assert found(settings, 63)[-1] == ("sales", "missing", "05-02")


def test_a_refused_file_came_and_is_not_missing(settings: Settings) -> None:
    for name in ("sales", "returns"):
        land(settings, name, 1)
        land(settings, name, 2)
    broken = local(settings.landing) / "till" / "sales" / "2.csv"
    broken.write_text("nothing,like,it\n1,2,3\n", "utf-8")
    results = ingest(TILL, settings, as_of=at(2), run="test")
    assert [len(result.refused) for result in results] == [1, 0]
    assert results[0].feed == ()
    assert sorted(d.rows or -1 for d in arrived(settings, "till", SALES)) == [-1, 3]


def test_a_table_declared_yesterday_misses_only_what_was_due_since(settings: Settings) -> None:
    assert found(settings, 5) == []  # declared on the evening of the 5th
    assert found(settings, 6) == [("sales", "missing", "03-06"), ("returns", "missing", "03-06")]
    land(settings, "sales", 7)
    assert found(settings, 7) == [("returns", "missing", "03-06")]


def test_a_run_of_the_past_knows_nothing_of_later(settings: Settings) -> None:
    for name in ("sales", "returns"):
        for day in (1, 2, 4, 5):
            land(settings, name, day)
    assert [name for name, _, _ in found(settings, 5)] == ["sales", "returns"]
    assert found(settings, 2) == []
    assert found(settings, 3)[0] == ("sales", "missing", "03-03")


def test_nothing_is_missing_after_the_data_end(settings: Settings) -> None:
    ended = replace(TILL, ends_before="2026-03-03")
    for name in ("sales", "returns"):
        land(settings, name, 1)
        land(settings, name, 2)
    assert found(settings, 40, ended) == []
    assert found(settings, 40)[0] == ("sales", "missing", "03-03")


def report(settings: Settings, day: int) -> None:
    """Report what is found on a day, as the task of an ingest does."""
    found = of_feed("till", feed(settings, day), owner="shop", at=at(day), paging=False, runbook="")
    areas = [feed_area("till", name) for name in ("sales", "returns")]
    incident_ledger.report(settings, at=at(day), signals=found, looked_at=areas)


def test_a_missing_feed_is_one_incident_however_often_ingest_polls(settings: Settings) -> None:
    for name in ("sales", "returns"):
        land(settings, name, 1)
    for day in (2, 2, 3, 4):
        report(settings, day)
    assert [title[:40] for title in told(settings)] == [
        "WARN, incident 1: sales: MISSING 2026-03",
        "WARN, incident 2: returns: MISSING 2026-",
    ]
    for day in (2, 3, 4, 5):
        land(settings, "sales", day)
    report(settings, 5)
    states = {one.title[:7]: one.state for one in incident_ledger.incidents(settings).values()}
    assert states == {"sales: ": "resolved", "returns": "open"}
    land(settings, "sales", 7)
    report(settings, 7)
    assert [title[:41] for title in told(settings)[2:]] == [
        "WARN, incident 3: sales: MISSING 2026-03-"
    ]


def test_a_source_that_was_asked_and_had_nothing_new_is_not_missing(
    settings: Settings, tmp_path: Path
) -> None:
    theirs = tmp_path / "theirs"
    rows = pa.table({"id": pa.array([1], pa.int64()), "amount": pa.array([1.5])})
    write_deltalake(str(theirs), rows)
    stock = replace(
        SALES, name="stock", source=DeltaFolder(location=str(theirs)), arrives_by=None,
        arrives_every=timedelta(seconds=1), grace=timedelta(0),
    )  # fmt: skip
    use_case = replace(TILL, tables=[stock])
    ingest(use_case, settings, as_of=datetime.now(UTC), run="test")
    (first,) = arrived(settings, "till", stock)
    later = first.delivered_at + timedelta(days=1)
    (result,) = ingest(use_case, settings, as_of=first.delivered_at, run="test")
    assert result.feed == ()
    asked = last_asked(settings, "till", stock)
    assert asked is not None
    assert asked.rows == 0
    (result,) = ingest(use_case, settings, as_of=asked.at, run="test")
    assert result.feed == ()
    (result,) = ingest(use_case, settings, as_of=later, run="test")  # a day after it was asked
    assert [item.kind for item in result.feed] == ["missing"]


def summed(settings: Settings, table: str = "sales") -> dict[str, int]:
    rows = counts(settings, "till", table)
    return {row["name"]: row["landed"] for row in rows}


def take_days(settings: Settings, days: range, *tables: Table) -> None:
    for day in days:
        land(settings, "sales", day, rows=day)
        land(settings, "returns", day)
        ingest(replace(TILL, tables=tables or (SALES,)), settings, as_of=at(day), run="test")


def ledger_of(settings: Settings) -> Path:
    return local(lake.ledger(settings, "deliveries"))


def test_counts_are_kept_up_to_date_and_made_anew_where_they_are_missing(
    settings: Settings,
) -> None:
    take_days(settings, range(1, 6), SALES, RETURNS)
    expected = {f"sales/{day}.csv": day for day in range(1, 6)}
    assert summed(settings) == expected
    ledger = ledger_of(settings)
    version = delta_tables.version(ledger)
    assert (summed(settings), delta_tables.version(ledger)) == (expected, version)
    shutil.rmtree(ledger)
    assert summed(settings) == expected
    assert summed(settings, "returns") == dict.fromkeys(
        (f"returns/{day}.csv" for day in range(1, 6)), 3
    )


def test_counts_that_are_ahead_of_a_silver_that_was_made_anew_are_made_anew(
    settings: Settings,
) -> None:
    take_days(settings, range(1, 6))
    assert len(summed(settings)) == 5
    shutil.rmtree(local(lake.silver(settings, "till", "sales")))
    ingest(replace(TILL, tables=[SALES]), settings, as_of=at(2), run="test")
    assert summed(settings) == {"sales/1.csv": 1, "sales/2.csv": 2}


def test_earlier_commits_are_not_read_again(settings: Settings) -> None:
    take_days(settings, range(1, 6))
    assert len(summed(settings)) == 5
    silver = local(lake.silver(settings, "till", "sales"))
    oldest = silver / "_delta_log" / "00000000000000000001.json"
    entry = json.dumps({"commitInfo": {"headframe.stage": "ingest", "headframe.deliveries": "no"}})
    kept = oldest.read_text("utf-8").splitlines()
    wrong = [entry if '"commitInfo"' in line else line for line in kept]
    oldest.write_text("\n".join(wrong) + "\n", "utf-8")
    take_days(settings, range(6, 8))
    assert len(summed(settings)) == 7
    shutil.rmtree(ledger_of(settings))
    with pytest.raises(json.JSONDecodeError):  # the control: it is read where all are
        summed(settings)


@pytest.mark.prove
def test_many_deliveries_become_few_files(settings: Settings) -> None:
    take_days(settings, range(1, 36))
    assert len(summed(settings)) == 35
    assert delta_tables.read(ledger_of(settings)).num_rows == 35
    assert len(delta_tables.files(ledger_of(settings))) == 1 + 3  # 32 in one, and those since


BRING_UP_TO_DATE = """
import sys
from pathlib import Path
from pipelines.adapters.landing.delivery_counts import counts
from pipelines.adapters.settings import Settings
print(len(counts(Settings(home=Path(sys.argv[1])), "till", "sales")))
"""


def test_several_at_once_hold_each_delivery_once(settings: Settings) -> None:
    take_days(settings, range(1, 9))
    shutil.rmtree(ledger_of(settings))
    command = [sys.executable, "-c", BRING_UP_TO_DATE, str(settings.home)]
    running = [
        subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    assert [process.communicate()[0].strip() for process in running] == ["8"] * 4
    rows = delta_tables.read(lake.ledger(settings, "deliveries")).to_pylist()
    assert sorted(row["landed"] for row in rows) == list(range(1, 9))


@pytest.fixture(scope="module")
def year(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Arrived]]:
    """Return the deliveries of 2013 by table, with the rows that the files hold."""
    return deliveries_of(tmp_path_factory.mktemp("year"), example.UNTIL)


@pytest.fixture(scope="module")
def spring(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Arrived]]:
    """Return the deliveries of 2013 up to the spring."""
    return deliveries_of(tmp_path_factory.mktemp("spring"), SPRING)


SPRING = date(2013, 3, 17)


def deliveries_of(landing: Path, until: date) -> dict[str, list[Arrived]]:
    example.deliver(landing, first_day=example.FIRST_DAY, until=until)
    return {
        table: list(delivered(landing / "flight_delays" / table))
        for table in ("schedule", "arrivals", "weather")
    }


def delivered(folder: Path) -> Iterator[Arrived]:
    for sidecar in folder.glob("*.delivered.json"):
        moment = json.loads(sidecar.read_text("utf-8"))["delivered_at"]
        data = sidecar.with_name(sidecar.name.removesuffix(".delivered.json"))
        raw = data.read_bytes()
        lines = (gzip.decompress(raw) if data.suffix == ".gz" else raw).decode().splitlines()
        yield Arrived(datetime.fromisoformat(moment), sum(1 for _ in csv.reader(lines)) - 1)


def of_the_year(
    table: str, deliveries: list[Arrived], ends: datetime = datetime(2014, 1, 1, tzinfo=UTC)
) -> dict[str, FeedFinding]:
    """Return every finding of 2013, looked for every six hours, by its kind and first slot."""
    use_case = load(REPOSITORY / "dags" / "flight_delays.py")
    declared, begins = use_case.table(table), datetime(2013, 1, 1, tzinfo=UTC)
    seen: dict[str, FeedFinding] = {}
    for step in range(4 * ((ends - begins).days + 2)):
        as_of = begins + timedelta(hours=6 * step)
        expected = slots(declared, deliveries, as_of=as_of, until=ends)
        for item in findings(
            declared, expected, use_case="flight_delays", owner="aviation", as_of=as_of
        ):
            seen.setdefault(f"{item.kind} {item.slot}", item)
    return seen


HOLIDAYS = {
    *("05-26", "07-04", "07-05"),  # the Sunday of Memorial Day, Independence Day and its eve
    *("08-31", "09-01", "09-07"),  # Labor Day, and the first Saturday of the autumn schedule
    *("11-28", "11-29", "11-30"),  # Thanksgiving
    *("12-24", "12-25", "12-31"),
}
"""Days of flights whose schedule is not that of their weekday."""


@pytest.mark.prove
def test_the_real_year_of_flights_has_findings_on_its_holidays_alone(
    year: dict[str, list[Arrived]],
) -> None:
    for table, days_before in (("schedule", -1), ("arrivals", 1)):
        seen = of_the_year(table, year[table])
        flown = {
            f"{date.fromisoformat(item.slot) - timedelta(days=days_before):%m-%d}"
            for item in seen.values()
        }
        assert {item.kind for item in seen.values()} == {"volume"}
        assert flown == HOLIDAYS
        assert len(seen) == 12


@pytest.mark.prove
def test_the_real_year_of_weather_has_findings_where_hours_lack(
    year: dict[str, list[Arrived]],
) -> None:
    """Three origins and six hours make 18 rows; a slot of at most 16 lacks two hours or more."""
    seen = of_the_year("weather", year["weather"])
    unusual = sorted(item.slot for item in seen.values() if item.kind == "volume")
    rows: dict[datetime, int] = {}
    for delivery in year["weather"]:
        rows[delivery.delivered_at] = rows.get(delivery.delivered_at, 0) + (delivery.rows or 0)
    zone = example.TIMEZONE
    few = {
        f"{moment.astimezone(zone):%Y-%m-%d %H:%M}"
        for moment, count in rows.items()
        if count <= 16 and moment > datetime(2013, 1, 10, tzinfo=UTC)
    }
    short_night, after_a_gap = "2013-03-10 06:30", "2013-10-27 00:30"
    # 16 rows the day after 6 at the same hour: the band is wider after such a gap.
    assert set(unusual) == few - {short_night, after_a_gap}
    assert len(unusual) == 15
    missing = [item.slot for item in seen.values() if item.kind == "missing"]
    assert missing == ["2013-12-31 06:30"]  # the package has no weather from 01:00 of that day on


def test_a_file_taken_out_of_the_real_spring_is_the_one_that_is_missing(
    spring: dict[str, list[Arrived]],
) -> None:
    ends = datetime.combine(SPRING, time(), tzinfo=UTC)
    whole = sorted(spring["schedule"], key=lambda delivery: delivery.delivered_at)
    assert of_the_year("schedule", whole, ends) == {}
    lost = whole.pop(68)
    (missing,) = of_the_year("schedule", whole, ends).values()
    assert (missing.kind, missing.slot, missing.since) == (
        "missing",
        "2013-03-09",
        lost.delivered_at,
    )


@pytest.mark.prove
def test_a_file_taken_out_of_the_real_year_is_the_one_that_is_missing(
    year: dict[str, list[Arrived]],
) -> None:
    whole = sorted(year["schedule"], key=lambda delivery: delivery.delivered_at)
    lost = whole.pop(68)
    seen = of_the_year("schedule", whole)
    missing = [item for item in seen.values() if item.kind == "missing"]
    assert [item.since for item in missing] == [lost.delivered_at]
    assert missing[0].slot == "2013-03-09"
    weather = sorted(year["weather"], key=lambda delivery: delivery.delivered_at)
    gone = weather[1200]
    rest = [d for d in weather if d.delivered_at != gone.delivered_at]
    local_slot = f"{gone.delivered_at.astimezone(example.TIMEZONE):%Y-%m-%d %H:%M}"
    found_missing = [i.slot for i in of_the_year("weather", rest).values() if i.kind == "missing"]
    assert found_missing == [local_slot, "2013-12-31 06:30"]
