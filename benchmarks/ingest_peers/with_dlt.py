"""dlt: Arrow batches from pyarrow's reader into its Delta destination."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.ingest_peers.batches import batches
from benchmarks.ingest_peers.task import answer, asked

if TYPE_CHECKING:
    import pyarrow as pa


def main() -> None:
    """Copy the file; dlt's working folder lies beside the table and goes with it."""
    import dlt  # type: ignore[import-not-found] # lives in an environment of its own

    task = asked()

    @dlt.resource(name="flights", table_format="delta", write_disposition="append")  # type: ignore[untyped-decorator] # see above
    def flights() -> Iterator["pa.RecordBatch"]:
        yield from batches(task)

    target = Path(task.target).absolute()
    pipeline = dlt.pipeline(
        pipeline_name="flights",
        pipelines_dir=str(target / "work"),
        destination=dlt.destinations.filesystem(bucket_url=(target / "lake").as_uri()),
        dataset_name="silver",
    )
    pipeline.run(flights()).raise_on_failed_jobs()
    answer(task, table=str(target / "lake" / "silver" / "flights"))


if __name__ == "__main__":
    main()
