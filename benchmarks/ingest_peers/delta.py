"""Delta: the append that every plain copy through delta-rs makes, without any check."""

from typing import Any


def append(target: str, rows: Any) -> None:  # noqa: ANN401 - whatever speaks Arrow's C interface
    """Append a table or a stream of batches to the Delta table in the folder ``target``.

    With delta-rs' own options: its Snappy costs a little less CPU than the ZSTD-1 that Headframe
    writes, in files that are a fifth larger.
    """
    from deltalake import write_deltalake

    write_deltalake(target, rows, mode="append")
