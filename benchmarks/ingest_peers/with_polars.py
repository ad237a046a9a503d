"""polars: a lazy scan into sink_delta, in its streaming engine."""

from benchmarks.ingest_peers.flights import COLUMNS
from benchmarks.ingest_peers.task import answer, asked


def main() -> None:
    """Copy the file."""
    import polars as pl  # type: ignore[import-not-found] # lives in an environment of its own

    task = asked()
    types = {
        "int64": pl.Int64,
        "double": pl.Float64,
        "string": pl.String,
        "timestamp[UTC]": pl.String,  # neither text scan reads an offset; the cast below does
    }
    as_text = {name: types[kind] for name, kind in COLUMNS.items()}
    if task.format == "parquet":
        rows = pl.scan_parquet(task.source)
    else:
        if task.format == "jsonl":
            texts = pl.scan_ndjson(task.source, schema=as_text)
        else:
            texts = pl.scan_csv(task.source, schema=as_text)
        moment = pl.col("time_hour").str.to_datetime(
            "%Y-%m-%dT%H:%M:%SZ", time_unit="us", time_zone="UTC"
        )
        rows = texts.with_columns(moment)
    rows.sink_delta(task.target, mode="append")
    answer(task, table=task.target)


if __name__ == "__main__":
    main()
