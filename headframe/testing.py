"""Testing: what a team asks of its use case in its own tests, on files of a few sample rows.

``folder`` holds one file a table, named after it and its format: ``visits.csv``, ``visits.jsonl`` or
``visits.parquet``. Rows are known when the table's ``known_at`` says. Without one those of the label's
table are known ``expected_after`` the event of their entity (the last one where a row labels
several), and all others from the beginning.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.adapters.landing import unlanded
from pipelines.adapters.settings import Settings
from pipelines.cli.declared import declared_use_case
from pipelines.domain.contract import KNOWN_AT, Table, silver_schema
from pipelines.domain.feature_differences import alike
from pipelines.domain.features import KnownTables, compute_features
from pipelines.domain.labels import joined_by
from pipelines.use_case import TrainedUseCase, UseCase

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "asked_rows", "blocks_that_look_ahead", "feature_rows", "rows_set_aside", "rules_that_refuse",
    "use_case",
]  # fmt: skip

MOST_TOLD = 10
"""Rows that a failing test names."""

A_DAY = timedelta(days=1)


def use_case(name: str) -> UseCase:
    """Return the use case of ``dags/<name>.py``. Raises DeclarationError with all its problems."""
    return declared_use_case(Settings(), name)


def rows_set_aside(table: Table, file: Path) -> list[str]:
    """Return the first rows that break the contract, each as its number and the reasons; no values.

    Raises FileRefused where ingest would refuse the file.
    """
    with unlanded.staged(file, table) as staged:
        aside = staged.aside.slice(0, MOST_TOLD).to_pylist()
    return [f"row {row['_row']}: {', '.join(row['_failed'])}" for row in aside]


def rules_that_refuse(use_case: UseCase, table: Table, file: Path) -> list[str]:
    """Return the rules of the table's suite because of which ingest would publish nothing.

    A table without a suite has none.
    """
    from pipelines.adapters.suites import gx_suites, trials
    from pipelines.domain.trial import consequence

    path = Settings().expectations.absolute() / use_case.name / f"{table.name}.json"
    if not path.is_file():
        return []
    suite = gx_suites.load_suite(path, table.types)
    with unlanded.staged(file, table) as staged:
        found = trials.trial(suite, staged, table, rows_shown=0).result.results
    return [result.rule for result in found if consequence(result) == "refuse"]


def asked_rows(use_case: UseCase, folder: Path) -> int:
    """Return how many entities of the sample are known at a scoring time and happen in its block."""
    parts, rows = TrainedUseCase.of(use_case), _rows(use_case, folder)
    known = _known(parts, rows)
    count = 0
    for as_of, until in _blocks(use_case, rows):
        known.cut(as_of)
        count += known.ask(parts.features.entity, as_of, until)
    return count


def feature_rows(use_case: UseCase, folder: Path) -> "pa.Table":
    """Return the feature rows of every block of the sample, as scoring would have made them."""
    import pyarrow as pa

    parts, rows = TrainedUseCase.of(use_case), _rows(use_case, folder)
    known = _known(parts, rows)
    return pa.concat_tables(
        compute_features(known, parts.features, as_of=as_of, until=until)
        for as_of, until in _blocks(use_case, rows)
    )


def blocks_that_look_ahead(use_case: UseCase, folder: Path) -> list[str]:
    """Return the scoring times whose features come out otherwise without what was known later.

    A metamorphic test (Chen et al., 2018): rows of the future are taken away, and nothing changes
    but how sums are rounded.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    parts, rows = TrainedUseCase.of(use_case), _rows(use_case, folder)
    whole = _known(parts, rows)
    found = []
    for as_of, until in _blocks(use_case, rows):
        moment = pa.scalar(as_of, pa.timestamp("us", tz="UTC"))
        past = {
            name: table.filter(pc.less_equal(table[KNOWN_AT], moment))
            for name, table in rows.items()
        }
        first, second = (
            compute_features(known, parts.features, as_of=as_of, until=until)
            for known in (whole, _known(parts, past))
        )
        if not alike(first, second, parts.features.entity.key):
            found.append(as_of.isoformat())
    return found


def _known(parts: TrainedUseCase, rows: "dict[str, pa.Table]") -> KnownTables:
    known = KnownTables(rows, parts.features.tables, parts.label)
    known.prepare_labels(parts.features.entity)
    return known


def _blocks(use_case: UseCase, rows: "dict[str, pa.Table]") -> list[tuple[datetime, datetime]]:
    """Return the blocks that the sample's entities happen in."""
    import pyarrow.compute as pc

    parts = TrainedUseCase.of(use_case)
    entity = parts.features.entity
    ends = pc.min_max(rows[entity.name][entity.event_time])
    first, last = (ends[end].as_py().astimezone(UTC) for end in ("min", "max"))
    return parts.scoring.times.blocks(first - A_DAY, last + A_DAY)


def _rows(use_case: UseCase, folder: Path) -> "dict[str, pa.Table]":
    """Return the rows of every table that the features read, stamped as silver's are."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    parts = TrainedUseCase.of(use_case)
    found = {}
    for table in parts.features.tables:
        with unlanded.staged(folder / f"{table.name}.{table.files.format}", table) as staged:
            read = [pq.ParquetFile(file).read() for file in staged.files]
        schema = silver_schema(table)
        found[table.name] = pa.concat_tables(read).select(schema.names).cast(schema)
    label, entity = parts.label, parts.features.entity
    if label.table.known_at is None and label.table.name != entity.name:
        found[label.table.name] = _known_late(parts, found)
    return found


def _known_late(parts: TrainedUseCase, rows: "dict[str, pa.Table]") -> "pa.Table":
    """Return the outcomes, each known ``expected_after`` the last event that it labels."""
    import duckdb

    entity, label = parts.features.entity, parts.label
    key = ", ".join(f'"{name}"' for name in joined_by(label, entity))
    schema = silver_schema(label.table)
    names = ", ".join(f'o."{name}"' for name in label.table.column_names)
    seconds = label.expected_after.total_seconds()
    with duckdb.connect(":memory:", config={"threads": 1}) as connection:
        connection.execute("set TimeZone = 'UTC'")
        connection.register("outcomes", rows[label.table.name])
        connection.register("entities", rows[entity.name])
        late: pa.Table = connection.sql(f"""
            select {names}, _event + to_seconds({seconds}) as {KNOWN_AT},
                   o._file, o._row, o._sha256
            from outcomes o
            join (select {key}, max("{entity.event_time}") as _event from entities group by {key})
                using ({key})
            order by o._row
        """).to_arrow_table()  # noqa: S608 - names come from the declaration
    return late.select(schema.names).cast(schema)
