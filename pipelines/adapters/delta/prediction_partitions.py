"""Prediction partitions: tables of predictions from format 1, without partitions, to format 2."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pipelines.adapters.delta import delta_handles, delta_tables, partitions, unseen_files
from pipelines.adapters.delta.partitions import Layout
from pipelines.adapters.failpoints import failpoint
from pipelines.adapters.stores.object_store import Folder
from pipelines.domain.scoring import PartFile

if TYPE_CHECKING:
    import pyarrow as pa

ZONE = "predictions."
"""Start of the dotted names of tables in this format."""

WINDOW = "prediction_window"
REASON = "replaced_because"

MADE_FROM = "headframe.made_from"
"""Metadata of the commit that emptied the table: the version whose rows are to be put back."""

DONE = "upgrade:partitions"
"""Transaction of the commit that put them back."""


def migrate(name: str, table: Folder) -> None:
    """Give each window of a table of predictions, current or replaced, a partition of its own.

    First the table is emptied and partitioned, then the rows of the version before come back. Run
    again after a kill, it goes on where it stopped: that version stays readable.
    """
    del name
    handle = delta_handles.opened(table)
    layout = _layout(delta_handles.arrow_schema(handle))
    if not handle.metadata().partition_columns:
        _empty(table, layout, made_from=int(handle.version()))
        failpoint("upgrade.between_partitions_and_rows")
    if delta_tables.transaction(table, DONE) is None:
        _put_back(table, layout)


def _layout(old: "pa.Schema") -> Layout:
    """Return the layout of format 2 for the columns of either format."""
    import pyarrow as pa

    fields = []
    for field in old:
        if field.name == "event_time" and "as_of" not in old.names:
            fields.append(pa.field("as_of", field.type))
        if field.name == "prediction" and "raw_prediction" not in old.names:
            fields.append(pa.field("raw_prediction", field.type))
        fields.append(field)
        if field.name == "prediction" and "rule" not in old.names:
            fields.append(pa.field("rule", pa.string()))
    partition_by = (WINDOW, "run_key", "generation", REASON)
    return Layout(
        schema=pa.schema(fields),
        partition_by=tuple(column for column in partition_by if column in old.names),
    )


def _empty(table: Folder, layout: Layout, *, made_from: int) -> None:
    from deltalake import write_deltalake

    write_deltalake(
        delta_handles.opened(table),
        layout.schema.empty_table(),
        mode="overwrite",
        schema_mode="overwrite",
        partition_by=list(layout.partition_by),
        commit_properties=delta_handles.properties(
            {}, {"stage": "upgrade", "made_from": made_from}
        ),
        post_commithook_properties=delta_handles.no_hooks(),
    )


def _put_back(table: Folder, layout: Layout) -> None:
    told = next(commit for commit in delta_tables.history(table) if MADE_FROM in commit)
    files = list(_files(table, layout, made_from=int(told[MADE_FROM])))
    partitions.append(table, layout, files, transactions={DONE: 1}, metadata={"stage": "upgrade"})


def _files(
    table: Folder, layout: Layout, *, made_from: int
) -> Iterator[tuple[PartFile, dict[str, str]]]:
    """Write the rows of each partition into a file of its own, and yield it with its values."""
    chosen = list(layout.partition_by)
    values = delta_tables.read(table, columns=chosen, at_version=made_from)
    for partition in values.group_by(chosen).aggregate([]).to_pylist():
        where = " and ".join(
            f"{name} = {value if isinstance(value, int) else delta_tables.quoted(value)}"
            for name, value in partition.items()
        )
        rows = delta_tables.read(table, where=where, at_version=made_from)
        moment = rows["scored_for"][0].as_py()
        with unseen_files.unseen(table, bounds={"scored_for": (moment, moment)}) as file:
            file.write(_now(rows, layout))
            made = file.finish()
        for part in made:
            yield part, {name: str(value) for name, value in partition.items()}


def _now(rows: "pa.Table", layout: Layout) -> "pa.Table":
    """Return rows of format 1 with the columns of format 2: what they were scored as of, and with."""
    import pyarrow as pa

    made = {
        "as_of": lambda: rows["scored_for"],
        "raw_prediction": lambda: rows["prediction"],
        "rule": lambda: pa.nulls(rows.num_rows, pa.string()),
    }
    columns = [
        rows[field.name] if field.name in rows.column_names else made[field.name]()
        for field in layout.in_files
    ]
    return pa.Table.from_arrays(columns, schema=layout.in_files)
