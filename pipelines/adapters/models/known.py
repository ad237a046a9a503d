"""Known tables of a use case: the lake's versions, laid out for features and labels."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.settings import Settings
from pipelines.adapters.silver import stale_marks
from pipelines.domain import label_join
from pipelines.domain.business_rules import BusinessRule
from pipelines.domain.contract import KNOWN_AT, Table, silver_schema
from pipelines.domain.digest import digest_of
from pipelines.domain.features import (
    FeatureView,
    KnownTables,
    compute_features,
    feature_digest,
)
from pipelines.domain.feed_slots import expects, is_stale
from pipelines.domain.kind_problems import label_problem
from pipelines.domain.label_rule import lay_out_labels
from pipelines.domain.labels import Label
from pipelines.domain.output_problems import query_problems
from pipelines.domain.outputs import Output
from pipelines.errors import DeclarationError, Problem

if TYPE_CHECKING:
    import pyarrow as pa

STAMPS = (KNOWN_AT, "_sha256", "_row")
"""Columns of a row's lineage that say which of two versions of a key stands."""

_kept: ContextVar[dict[str, KnownTables] | None] = ContextVar("kept", default=None)


@contextmanager
def kept() -> Iterator[None]:
    """Let ``load`` read each version of a use case's tables once, for all that is done inside.

    For one process whose homes all have the same silver, as those of a replay have.
    """
    token = _kept.set({})
    try:
        yield
    finally:
        _kept.reset(token)


def silver_versions(settings: Settings, use_case: str, view: FeatureView) -> dict[str, int]:
    """Return the newest version of each table of a view, by its dotted name; absent ones are left out."""
    found = {
        f"silver.{use_case}.{table.name}": delta_tables.version(
            lake.silver(settings, use_case, table.name)
        )
        for table in view.tables
    }
    return {name: version for name, version in found.items() if version >= 0}


def load(
    settings: Settings,
    use_case: str,
    view: FeatureView,
    label: Label,
    *,
    at: Mapping[str, int] | None = None,
) -> KnownTables:
    """Read every accepted version of the view's tables and lay out the label's history.

    ``at`` pins the tables to versions, as ``silver_versions`` returned them. Raises DeclarationError
    for a label's rule that fails on a row.
    """
    pinned = silver_versions(settings, use_case, view) if at is None else at
    there = _kept.get()
    if there is None:
        return _read(settings, use_case, view, label, pinned)
    which = digest_of([use_case, pinned, feature_digest(view, label)])
    if which not in there:
        there[which] = _read(settings, use_case, view, label, pinned)
    return there[which]


def _read(
    settings: Settings, use_case: str, view: FeatureView, label: Label, pinned: Mapping[str, int]
) -> KnownTables:
    # Marks and rows of the same versions: a block must not count as seen what its rows lack.
    marks = stale_marks.of_tables(settings, use_case, view.tables, at=pinned)
    versions = lake.versions(settings, use_case, view.tables, at=pinned)
    known = KnownTables(versions, view.tables, label, marks=marks)
    lay_out_labels(known, view.entity, label)
    return known


def labelled_once(
    settings: Settings,
    use_case: str,
    rows: "pa.Table",
    *,
    view: FeatureView,
    label: Label,
    at: Mapping[str, int],
    as_of: datetime,
) -> "pa.Table | None":
    """Return feature rows with their final labels at ``as_of``, read and told by one join.

    None where ``for_labels`` is needed: where a version was replaced, the label is the entity's own,
    its rule fails on a row, or the tables are kept in memory anyhow.
    """
    import duckdb

    entity = view.entity
    if label.table.name == entity.name or _kept.get() is not None:
        return None
    few = [column for column in entity.columns if column.name in _identity(entity)]
    tables = [replace(entity, columns=few), label.table]
    read = lake.versions(settings, use_case, tables, at=at, stamps=[KNOWN_AT])
    entities, outcomes = (read[table.name] for table in tables)
    try:
        return label_join.labelled_once(
            rows, entities, outcomes, label=label, entity=entity, as_of=as_of
        )
    except (duckdb.ProgrammingError, duckdb.DataError, duckdb.NotSupportedError):
        return None  # ``lay_out_labels`` says what is wrong


def for_labels(
    settings: Settings, use_case: str, view: FeatureView, label: Label, *, at: Mapping[str, int]
) -> KnownTables:
    """Read what labels need of the tables, pinned as in ``load``: they describe no entity.

    For a training whose features are all described. Of the entity that is the key and the event
    time, unless two of its versions became known at one moment: which of them stands depends on the
    rest of their content. Lineage is read of a table alone that holds a key twice.
    """
    if label.table.name == view.entity.name or _kept.get() is not None:
        return load(settings, use_case, view, label, at=at)
    few = [column for column in view.entity.columns if column.name in _identity(view.entity)]
    entity, versions, once = replace(view.entity, columns=few), {}, set()
    for table in (entity, label.table):
        rows = lake.versions(settings, use_case, [table], at=at, stamps=[KNOWN_AT])[table.name]
        if _differ(rows, table.key):
            once.add(table.name)
            versions[table.name] = rows
            continue
        if table is entity and not _differ(rows, [*table.key, KNOWN_AT]):
            entity = view.entity
        whole = entity if table.name == entity.name else table
        versions |= lake.versions(settings, use_case, [whole], at=at, stamps=STAMPS)
    marks = stale_marks.of_tables(settings, use_case, view.tables, at=at)
    known = KnownTables(versions, [entity, label.table], label, marks=marks, once=once)
    lay_out_labels(known, entity, label)
    return known


def _differ(rows: "pa.Table", columns: Sequence[str]) -> bool:
    """Tell whether no two rows are the same in these columns."""
    return bool(rows.group_by(list(columns)).aggregate([]).num_rows == rows.num_rows)


def unread(
    settings: Settings, use_case: str, view: FeatureView, *, at: Mapping[str, int]
) -> KnownTables:
    """Return what tells the ``edition`` of the view's tables, pinned as in ``load``, and holds none."""
    marks = stale_marks.of_tables(settings, use_case, view.tables, at=at)
    return KnownTables({}, [], None, marks=marks)


def _identity(entity: Table) -> set[str | None]:
    return {*entity.key, entity.event_time}


def stale_tables(known: KnownTables, tables: tuple[Table, ...], as_of: datetime) -> list[str]:
    """Return, sorted, the tables whose newest delivery known at ``as_of`` is older than promised."""
    newest = known.newest_known(as_of)
    return sorted(
        table.name
        for table in tables
        if expects(table) and is_stale(table, newest[table.name], as_of)
    )


def rehearse(
    view: FeatureView,
    label: Label,
    *,
    rules: Sequence[BusinessRule] = (),
    outputs: Sequence[Output] = (),
) -> list[Problem]:
    """Return what is wrong with the label's rule or the feature query, by trying them on no rows.

    Where they are sound, what is wrong with rules and outputs over the rows that they describe.
    """
    import duckdb

    empty = {table.name: silver_schema(table).empty_table() for table in view.tables}
    known = KnownTables(empty, view.tables, label)
    try:
        known.prepare_labels(view.entity)
    except (duckdb.ProgrammingError, duckdb.DataError) as error:
        return [
            Problem(
                where=f"label {label.name!r}, rule",
                expected=f"an SQL condition over the columns of {label.table.name}",
                found=str(error).split("\n", 1)[0],
                fix="Correct the rule, or add the column to the contract.",
            )
        ]
    if (wrong := label_problem(label, known.label_type, f"label {label.name!r}")) is not None:
        return [wrong]
    moment = datetime(2000, 1, 1, tzinfo=UTC)
    try:
        described = compute_features(known, view, as_of=moment, until=moment)
    except DeclarationError as error:
        return list(error.problems)
    return query_problems(
        rules,
        outputs,
        key=view.entity.key,
        label=label.name,
        kind=label.kind,
        value=label.value,
        described=described.schema,
        where="scoring",
    )
