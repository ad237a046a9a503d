"""Known tables of a use case: the lake's versions, laid out for features and labels."""

from datetime import datetime

from pipelines.adapters import lake
from pipelines.adapters.settings import Settings
from pipelines.domain.contract import Table
from pipelines.domain.features import FeatureView, KnownTables
from pipelines.domain.labels import Label


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
