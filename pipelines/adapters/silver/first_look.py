"""First look: landed files that nobody saw before are given the moment at which they were seen."""

from collections.abc import Iterable

from pipelines.adapters.landing import landing
from pipelines.adapters.settings import Settings
from pipelines.adapters.silver.intake import Places
from pipelines.domain.contract import Table


def look(settings: Settings, use_case: str, tables: Iterable[Table]) -> None:
    """Record when each landed file was delivered; one without a sidecar is delivered now.

    For whoever takes the present for ``as_of``: what lies in landing then is known by it. Files that
    cannot be taken are left to the ingest, which names them.
    """
    for table in tables:
        places = Places.of(use_case, table, settings)
        landing.deliveries(places.landing, use_case, table.files, places.seen_index)
