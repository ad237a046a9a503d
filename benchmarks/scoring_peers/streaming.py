"""Streaming: batches through the whole pipeline by way of pandas, into a Delta table."""

from collections.abc import Iterator

from benchmarks.ingest_peers.task import answer
from benchmarks.scoring_peers.task import asked, batches, pipeline
from benchmarks.scoring_rows import BATCH_ROWS, KEY


def main() -> None:
    """Predict batch by batch, in bounded memory."""
    import pyarrow as pa
    from deltalake import write_deltalake

    from pipelines.domain.training import FeatureColumns, positive_probability

    task = asked()
    scored, model = task.scored, pipeline(task)
    columns = FeatureColumns(numeric=scored.numeric, categorical=scored.categorical)
    schema = pa.schema([(KEY, pa.int64()), ("prediction", pa.float64())])

    def predicted() -> Iterator["pa.RecordBatch"]:
        for batch in batches(scored, BATCH_ROWS, [KEY, *columns.all]):
            found = positive_probability(model, batch, columns)
            yield pa.record_batch([batch[KEY], pa.array(found)], schema=schema)

    write_deltalake(task.target, pa.RecordBatchReader.from_batches(schema, predicted()))
    answer(task, table=task.target)


if __name__ == "__main__":
    main()
