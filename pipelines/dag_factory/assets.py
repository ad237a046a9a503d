"""Assets: the tables whose changes start other DAGs."""

from typing import Any

from airflow.sdk import Asset, AssetAlias

from pipelines.adapters import lake
from pipelines.adapters.settings import Settings
from pipelines.dag_factory.retrain_events import PREFIX
from pipelines.domain.contract import Table
from pipelines.use_case import UseCase


def silver(settings: Settings, use_case: UseCase, table: Table) -> Any:  # noqa: ANN401 - untyped library
    """Return the asset of a silver table; its events carry table, version, rows and as_of."""
    return Asset(
        name=f"silver.{use_case.name}.{table.name}",
        uri=lake.silver(settings, use_case.name, table.name).as_uri(),
        group=use_case.name,
    )


def silver_news(use_case: UseCase) -> Any:  # noqa: ANN401 - untyped library
    """Return the outlet through which ingest announces those silver tables that changed.

    A task announces each asset among its outlets whenever it succeeds; under an alias, only those
    it names.
    """
    return AssetAlias(name=f"silver.{use_case.name}", group=use_case.name)


def predictions(settings: Settings, use_case: UseCase) -> Any:  # noqa: ANN401 - untyped library
    """Return the asset of the predictions; its events carry rows, version, scored_for and as_of."""
    return Asset(
        name=f"predictions.{use_case.name}",
        uri=lake.predictions(settings, use_case.name).as_uri(),
        group=use_case.name,
    )


def retrain(settings: Settings, use_case: UseCase) -> Any:  # noqa: ANN401 - untyped library
    """Return the asset that says: a training is asked for, why, and by which entry of the ledger."""
    return Asset(
        name=f"{PREFIX}{use_case.name}",
        # As late: an address of no table, under a scheme that lineage knows.
        uri=lake.ledger(settings, f"retraining__{use_case.name}").as_uri(),
        group=use_case.name,
    )


def retrain_news(use_case: UseCase) -> Any:  # noqa: ANN401 - untyped library
    """Return the outlet through which monitor asks for a training, in those runs that do."""
    return AssetAlias(name=f"retrain.{use_case.name}", group=use_case.name)


def late(settings: Settings, use_case: UseCase) -> Any:  # noqa: ANN401 - untyped library
    """Return the asset that says: data came late for windows that were scored without it."""
    return Asset(
        name=f"late.{use_case.name}",
        # Not a table: lineage drops an address whose scheme it does not know.
        uri=lake.predictions(settings, f"{use_case.name}__late").as_uri(),
        group=use_case.name,
    )
