"""The lake's layout: where each kind of table lies, and the versions a use case may read."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from pipelines.adapters.delta import delta_tables
from pipelines.adapters.settings import Settings
from pipelines.adapters.stores import object_store
from pipelines.adapters.stores.object_store import Folder, StoreUrl
from pipelines.domain.contract import Table, silver_schema
from pipelines.domain.slots import SLOT

if TYPE_CHECKING:
    import pyarrow as pa

ZONES = ("silver", "quarantine", "gold", "predictions", "ledger")
"""Top-level folders of the lake, in the order rows pass through them."""


def silver(settings: Settings, use_case: str, table: str) -> Folder:
    """Folder of the accepted versions of a table."""
    return settings.lake / "silver" / use_case / table


def quarantine(settings: Settings, use_case: str, table: str) -> Folder:
    """Folder of the rows of a table that were set aside."""
    return settings.lake / "quarantine" / use_case / table


def features(settings: Settings, use_case: str, digest: str) -> Folder:
    """Folder of the feature rows made by one version of a feature view."""
    return settings.lake / "gold" / "features" / f"{use_case}__{digest[:12]}"


def labels(settings: Settings, use_case: str) -> Folder:
    """Folder of the label ledger: one row per label that became final or unlabelled."""
    return settings.lake / "gold" / "labels" / use_case


def performance(settings: Settings, use_case: str) -> Folder:
    """Folder of the performance of current predictions, one row per block."""
    return settings.lake / "gold" / "performance" / use_case


def losses(settings: Settings, use_case: str) -> Folder:
    """Folder of the losses of closed blocks, one row per model version and block."""
    return settings.lake / "gold" / "performance" / f"{use_case}__losses"


def profiles(settings: Settings, use_case: str) -> Folder:
    """Folder of the profiles of blocks, one row per model version and block."""
    return settings.lake / "gold" / "profiles" / use_case


def references(settings: Settings, use_case: str) -> Folder:
    """Folder of what each champion's blocks are held against, one row per model version."""
    return settings.lake / "gold" / "profiles" / f"{use_case}__references"


def monitoring(settings: Settings, use_case: str) -> Folder:
    """Folder of what the drift tests said, one row per model version, block and test."""
    return settings.lake / "gold" / "monitoring" / use_case


def predictions(settings: Settings, use_case: str, slot: str = SLOT) -> Folder:
    """Folder of the current predictions of a slot; those of the champion's are what is delivered."""
    return settings.lake / "predictions" / _of_slot(use_case, slot)


def prediction_history(settings: Settings, use_case: str, slot: str = SLOT) -> Folder:
    """Folder of the replaced generations of predictions."""
    return settings.lake / "predictions" / f"{_of_slot(use_case, slot)}__history"


def refused_predictions(settings: Settings, use_case: str, slot: str = SLOT) -> Folder:
    """Folder of the rows that scoring refused, with the reason."""
    return settings.lake / "predictions" / f"{_of_slot(use_case, slot)}__refused"


def ledger(settings: Settings, name: str) -> Folder:
    """Folder of a platform ledger."""
    return settings.lake / "ledger" / name


def _of_slot(use_case: str, slot: str) -> str:
    """Return the name of a slot's table: nobody who reads the champion's meets another's rows."""
    return use_case if slot == SLOT else f"{use_case}__{slot}"


def versions(
    settings: Settings,
    use_case: str,
    tables: Iterable[Table],
    *,
    at: Mapping[str, int] | None = None,
    stamps: Sequence[str] | None = None,
) -> dict[str, "pa.Table"]:
    """Return every accepted version of the named tables; empty where nothing has landed yet.

    ``at`` pins tables to versions by their dotted names; one that it does not name had none. With
    ``stamps`` only these columns of a row's lineage are read beside those that a table declares.
    """
    found = {}
    for table in tables:
        path = silver(settings, use_case, table.name)
        pinned = None if at is None else at.get(f"silver.{use_case}.{table.name}", -1)
        columns = None if stamps is None else [*table.column_names, *stamps]
        found[table.name] = (
            delta_tables.read(path, columns=columns, at_version=pinned)
            if pinned != -1 and delta_tables.exists(path)
            else silver_schema(table).empty_table()
        )
    return found


def table_paths(settings: Settings) -> dict[str, Folder]:
    """Return every Delta table of the lake as dotted name -> folder, sorted.

    In a store each folder of the lake down to the tables costs a request, and each thousand files
    of a table one more: some 30 ms apiece from afar, so a second for a lake of thirty tables.
    """
    root = settings.lake
    found: list[Folder] = []
    if isinstance(root, StoreUrl):
        found += _tables_below(root)
    elif root.exists():
        found += (log.parent for log in root.glob("**/_delta_log"))
    depth = len(root.parts)
    return {".".join(folder.parts[depth:]): folder for folder in sorted(found, key=str)}


def _tables_below(folder: StoreUrl) -> list[StoreUrl]:
    names = object_store.folders(folder)
    if "_delta_log" in names:
        return [folder]
    return [table for name in names for table in _tables_below(folder / name)]
