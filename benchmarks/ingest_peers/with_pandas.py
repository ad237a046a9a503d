"""pandas: its C engine reads the whole file, then write_deltalake."""

from benchmarks.ingest_peers.delta import append
from benchmarks.ingest_peers.flights import COLUMNS, NULLABLE, arrow_schema
from benchmarks.ingest_peers.task import answer, asked


def main() -> None:
    """Copy the file."""
    import pandas as pd
    import pyarrow as pa

    task = asked()
    types = {"double": "float64", "string": "str", "int64": "int64"}
    frame = pd.read_csv(
        task.source,
        engine="c",
        dtype={
            name: "Int64" if kind == "int64" and name in NULLABLE else types[kind]
            for name, kind in COLUMNS.items()
            if kind in types
        },
        parse_dates=[name for name, kind in COLUMNS.items() if kind == "timestamp[UTC]"],
        na_values=[""],
        keep_default_na=False,
    )
    append(task.target, pa.Table.from_pandas(frame, schema=arrow_schema(), preserve_index=False))
    answer(task, table=task.target)


if __name__ == "__main__":
    main()
