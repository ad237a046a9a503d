"""Files: staged rows, of which a known share fails a known rule."""

import json
import sys
import tempfile
from pathlib import Path

from benchmarks import ingest_files
from benchmarks.ingest_peers.flights import arrow_schema

SHARES = {"0.01 %": 10_000, "4 %": 25}
"""Share of failing rows to the number of rows among which one fails."""

BYTES_A_ROW = 50
"""What a row takes while a case is made: 28 as it landed and 11 staged, measured, and some room."""

FAILS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("dep_delay", "9999", ("dep_delay is in bounds",)),
    ("distance", "-1", ("distance is in bounds",)),
    ("carrier", "'ZZZ'", ("carrier is in its set", "carrier has its length")),
    ("fare", "-0.5", ("fare is in bounds",)),
    ("origin", "'LAX'", ("origin is in its set",)),
    ("tailnum", "'n-1'", ("tailnum matches",)),
    ("sched_dep_time", "-1", ("sched_dep_time is at least hour",)),
    ("id", "-1", ("id is unique",)),
)
"""What failing rows hold in turn: a column, its value, and the checks that fail by it."""

ROWS_A_BATCH = 100_000


def main() -> None:
    """Make the staged files of one case; the arguments are folder, rows and share.

    What was made is told beside the folder, which holds nothing but Parquet.

    A process of its own, so that its memory is not taken for that of what is measured after it.
    """
    folder, rows, share = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    failing = make(folder, rows, one_in=SHARES[share])
    folder.with_suffix(".json").write_text(json.dumps({"rows": rows, "listed": failing}))


def make(folder: Path, rows: int, *, one_in: int) -> dict[str, list[int]]:
    """Write staged Parquet files into ``folder``, as an ingest writes them before it checks.

    Returns of each check that fails how many rows do, and the sum of their numbers.
    """
    import duckdb
    import pyarrow as pa

    from pipelines.adapters.delta.staged_files import Staging

    schema = arrow_schema().append(pa.field("_file", pa.string()))
    staging = Staging(folder, schema.append(pa.field("_row", pa.int64())))
    with tempfile.TemporaryDirectory(dir=folder) as work, duckdb.connect(":memory:") as connection:
        connection.execute("set TimeZone = 'UTC'")
        good = ingest_files.make(Path(work), "parquet", rows, bad=False).path
        landed = connection.read_parquet(str(good), file_row_number=True)
        with staging.delivery() as delivery:
            for batch in landed.query("landed", _broken(one_in)).to_arrow_reader(ROWS_A_BATCH):
                delivery.add(pa.Table.from_batches([batch]).cast(staging.schema))
    staging.files()
    return failing_rows(rows, one_in)


def failing_rows(rows: int, one_in: int) -> dict[str, list[int]]:
    """Return of each check that fails how many of so many rows do, and the sum of their numbers."""
    found: dict[str, list[int]] = {}
    for turn, (_, _, names) in enumerate(FAILS):
        numbers = range((turn + 1) * one_in, rows + 1, len(FAILS) * one_in)
        for name in names:
            # A single row does not repeat.
            if len(numbers) > (name == "id is unique"):
                found[name] = [len(numbers), sum(numbers)]
    return found


def _broken(one_in: int) -> str:
    number = "(file_row_number + 1)"
    turn = f"({number} // {one_in} - 1) % {len(FAILS)}"
    replaced = ", ".join(
        f"CASE WHEN {number} % {one_in} = 0 AND {turn} = {at} THEN {value} ELSE {column} END"
        f" AS {column}"
        for at, (column, value, _) in enumerate(FAILS)
    )
    return (
        f"SELECT * EXCLUDE (file_row_number) REPLACE ({replaced}),"  # noqa: S608 - constants
        f" 'flights.parquet' AS _file, {number} AS _row FROM landed"
    )


if __name__ == "__main__":
    main()
