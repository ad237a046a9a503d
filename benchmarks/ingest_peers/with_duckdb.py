"""DuckDB: its reader's Arrow stream into write_deltalake."""

from benchmarks.ingest_peers.delta import append
from benchmarks.ingest_peers.flights import COLUMNS
from benchmarks.ingest_peers.task import answer, asked

TYPES = {
    "int64": "BIGINT",
    "double": "DOUBLE",
    "string": "VARCHAR",
    "timestamp[UTC]": "TIMESTAMPTZ",
}


def main() -> None:
    """Copy the file."""
    import duckdb

    task = asked()
    columns = {name: TYPES[kind] for name, kind in COLUMNS.items()}
    with duckdb.connect(":memory:") as connection:
        connection.execute("set TimeZone = 'UTC'")
        if task.format == "parquet":
            rows = connection.read_parquet(task.source)
        elif task.format == "jsonl":
            rows = connection.read_json(task.source, format="newline_delimited", columns=columns)
        else:
            rows = connection.read_csv(task.source, header=True, columns=columns, sep=",")
        append(task.target, rows.to_arrow_reader(100_000))
    answer(task, table=task.target)


if __name__ == "__main__":
    main()
