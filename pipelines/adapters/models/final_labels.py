"""Final labels: how many of them came since a training."""

from datetime import datetime

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.models import mlflow_registry
from pipelines.adapters.settings import Settings
from pipelines.domain.sql_text import delta_moment


def number(settings: Settings, use_case: str, *, since: datetime, as_of: datetime) -> int:
    """Return how many settled labels became final after ``since`` and by ``as_of`` (both UTC)."""
    table = lake.labels(settings, use_case)
    if not delta_tables.exists(table):
        return 0
    where = f"state = 'final' and final_at > {delta_moment(since)} and final_at <= {delta_moment(as_of)}"
    rows: int = delta_tables.read(table, columns=["final_at"], where=where).num_rows
    return rows


def learned_at(settings: Settings, use_case: str, version: str) -> datetime:
    """Return the time (UTC) whose labels a version learned from.

    Raises ChampionUnresolved when the registry does not have it.
    """
    found = mlflow_registry.candidate(settings, use_case, version)
    return datetime.fromisoformat(found.tags["headframe.as_of"])
