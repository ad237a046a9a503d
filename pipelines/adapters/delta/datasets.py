"""Datasets: a table's newest version for another engine, which reads what a query asks for."""

from functools import reduce
from operator import and_
from typing import TYPE_CHECKING, Any

from pipelines.adapters.delta import delta_handles
from pipelines.adapters.stores.object_store import Folder

if TYPE_CHECKING:
    from pyarrow.dataset import Dataset


def dataset(table: Folder) -> "Dataset":
    """Return the newest version as an Arrow dataset, which can be read again and again.

    A filter leaves out files by the values of their partition alone. delta-rs tells Arrow the bounds
    of every column too, and of one whose bounds a commit does not tell, that its values lie between
    null and null: each filter of such a column would leave out every file. A Parquet file's own
    statistics still spare its row groups.
    """
    from pyarrow.dataset import FileSystemDataset

    handle = delta_handles.opened(table)
    with delta_handles.answers(table):
        whole = handle.to_pyarrow_dataset()
        parts = [
            whole.format.make_fragment(
                part.path, whole.filesystem, partition_expression=_partition(part)
            )
            for part in whole.get_fragments()
        ]
        return FileSystemDataset(parts, whole.schema, whole.format, whole.filesystem)


def _partition(part: Any) -> Any:  # noqa: ANN401 - pyarrow has no types
    """Return what a file's partition says of its rows."""
    import pyarrow.compute as pc
    from pyarrow.dataset import get_partition_keys

    told = [
        pc.field(name).is_null() if value is None else pc.field(name) == value
        for name, value in get_partition_keys(part.partition_expression).items()
    ]
    return reduce(and_, told) if told else pc.scalar(value=True)
