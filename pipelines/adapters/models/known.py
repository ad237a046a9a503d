"""Known tables of a use case: the lake's versions, laid out for features and labels."""

from datetime import UTC, datetime

from pipelines.adapters import lake
from pipelines.adapters.settings import Settings
from pipelines.adapters.silver import stale_marks
from pipelines.domain.contract import Table, silver_schema
from pipelines.domain.features import FeatureView, KnownTables, compute_features
from pipelines.domain.feed_slots import expects, is_stale
from pipelines.domain.labels import Label
from pipelines.errors import DeclarationError, Problem


def load(settings: Settings, use_case: str, view: FeatureView, label: Label) -> KnownTables:
    """Read every accepted version of the view's tables and lay out the label's history."""
    # Marks before rows: what is changed in between is computed again, and never passed over.
    changed = [
        mark.since
        for table in view.tables
        for mark in stale_marks.marks(lake.silver(settings, use_case, table.name))
    ]
    versions = lake.versions(settings, use_case, view.tables)
    known = KnownTables(versions, view.tables, label, changed=changed)
    known.prepare_labels(view.entity)
    return known


def stale_tables(known: KnownTables, tables: tuple[Table, ...], as_of: datetime) -> list[str]:
    """Return, sorted, the tables whose newest delivery known at ``as_of`` is older than promised."""
    newest = known.newest_known(as_of)
    return sorted(
        table.name
        for table in tables
        if expects(table) and is_stale(table, newest[table.name], as_of)
    )


def rehearse(view: FeatureView, label: Label) -> list[Problem]:
    """Return what is wrong with the label's rule or the feature query, by trying them on no rows."""
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
    moment = datetime(2000, 1, 1, tzinfo=UTC)
    try:
        compute_features(known, view, as_of=moment, until=moment)
    except DeclarationError as error:
        return list(error.problems)
    return []
