"""File forms: how the rows of a window become the file of each kind of output."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from pipelines.adapters.outputs import (
    csv_file,
    output_rows,
    parquet_file,
    row_reasons,
    top_list,
)
from pipelines.adapters.outputs.output_rows import FEATURE_DIGEST, Subject, Window
from pipelines.adapters.outputs.row_reasons import Models
from pipelines.adapters.settings import Settings
from pipelines.domain.outputs import (
    CsvFile,
    Output,
    ParquetFile,
    TopN,
    kept_columns,
    shown_columns,
)

if TYPE_CHECKING:
    import duckdb

FileOutput: TypeAlias = TopN | CsvFile | ParquetFile

ENDINGS: dict[type[FileOutput], str] = {
    TopN: top_list.ENDING,
    CsvFile: csv_file.ENDING,
    ParquetFile: parquet_file.ENDING,
}

EXPLAINED_BY = ("as_of", "model_version", "raw_prediction", FEATURE_DIGEST)
"""What a listed row is explained by, whether its output shows it or not."""


@contextmanager
def opened(
    settings: Settings, subject: Subject, output: Output, window: Window
) -> Iterator[tuple["duckdb.DuckDBPyConnection", Sequence[str]]]:
    """Lend the rows of a window as an output shows them, and the columns it shows, in order."""
    columns = shown_columns(output, key=subject.key, label=subject.label, kind=subject.kind)
    own = {*subject.key, subject.prediction, *kept_columns(subject.kind)}
    features = [name for name in columns if name not in own]
    with output_rows.opened(settings, subject, window, features) as connection:
        yield connection, columns


def write(models: Models, subject: Subject, output: FileOutput, window: Window, path: Path) -> int:
    """Write a window in an output's form to ``path``, and return how many rows it has."""
    with opened(models.settings, subject, output, window) as (connection, columns):
        if isinstance(output, TopN):
            listed = output_rows.top_rows(connection, subject, output, [*columns, *EXPLAINED_BY])
            explained = (
                row_reasons.explain(models, subject, listed, output.reasons)
                if output.reasons
                else None
            )
            return top_list.write(
                path,
                output,
                window,
                use_case=subject.use_case,
                prediction=subject.prediction,
                rows=listed,
                columns=columns,
                explained=explained,
            )
        rows = output_rows.sorted_rows(connection, subject, columns)
        if isinstance(output, CsvFile):
            return csv_file.write(rows, path, byte_order_mark=output.byte_order_mark)
        return parquet_file.write(rows, path)
