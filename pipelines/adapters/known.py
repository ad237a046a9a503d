"""Known tables of a use case: the lake's versions, laid out for features and labels."""

from datetime import UTC, datetime

from pipelines.adapters import lake
from pipelines.adapters.settings import Settings
from pipelines.domain.contract import Table, silver_schema
from pipelines.domain.features import FeatureView, KnownTables, compute_features
from pipelines.domain.labels import Label
from pipelines.errors import DeclarationError, Problem


def load(settings: Settings, use_case: str, view: FeatureView, label: Label) -> KnownTables:
    """Read every accepted version of the view's tables and lay out the label's history."""
    known = KnownTables(lake.versions(settings, use_case, view.tables), view.tables, label)
    known.prepare_labels(view.entity)
    return known


def stale_tables(known: KnownTables, tables: tuple[Table, ...], as_of: datetime) -> list[str]:
    """Return, sorted, the tables whose newest delivery known at ``as_of`` is older than promised."""
    newest = known.newest_known(as_of)
    stale = []
    for table in tables:
        if table.arrives_every is None:
            continue
        last = newest[table.name]
        if last is None or as_of - last > table.arrives_every + table.grace:
            stale.append(table.name)
    return sorted(stale)


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
