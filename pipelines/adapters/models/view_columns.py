"""View columns: what a feature view says, found by trying it on tables without rows."""

from collections.abc import Mapping
from datetime import UTC, datetime

from pipelines.domain.contract import silver_schema
from pipelines.domain.feature_view import FeatureView
from pipelines.domain.features import KnownTables, compute_features, feature_names
from pipelines.domain.labels import Label
from pipelines.errors import DeclarationError

MOMENT = datetime(2000, 1, 1, tzinfo=UTC)
"""Any time will do: nothing was known at it."""


def view_columns(
    views: Mapping[str, FeatureView], label: Label | None
) -> dict[str, dict[str, str] | None]:
    """Return feature -> type of each of a use case's views by name; None where its query is wrong.

    ``label`` is the use case's, which its views may read.
    """
    import duckdb

    tables = {table.name: table for view in views.values() for table in view.tables}
    empty = {name: silver_schema(table).empty_table() for name, table in tables.items()}
    known = KnownTables(empty, list(tables.values()), label)
    found: dict[str, dict[str, str] | None] = {}
    for name, view in views.items():
        try:
            known.prepare_labels(view.entity)
            rows = compute_features(known, view, as_of=MOMENT, until=MOMENT)
        except (DeclarationError, duckdb.ProgrammingError, duckdb.DataError):
            found[name] = None  # `headframe check` says what is wrong
            continue
        found[name] = {
            column: str(rows.schema.field(column).type)
            for column in feature_names(rows, view.entity)
        }
    return found
