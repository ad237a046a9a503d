"""History: what was decided about a use case, and what was in production at a moment."""

from dataclasses import replace
from datetime import datetime

from pipelines.adapters.models import decisions, mlflow_registry
from pipelines.adapters.settings import Settings
from pipelines.domain.history import Production, Told, production, timeline
from pipelines.errors import HeadframeError

__all__ = ["Production", "Told", "history", "in_production"]


def history(settings: Settings, use_case: str) -> list[Told]:
    """Return the decisions about a use case in order; raises LakeError for a broken ledger."""
    return timeline(decisions.read_all(settings, use_case))


def in_production(settings: Settings, use_case: str, *, at: datetime) -> Production:
    """Return what was in production at a moment (UTC), with the data that it was trained on.

    The data versions are those of the evidence whose digest the ledger holds. Raises LakeError for
    a broken ledger, ServiceUnavailable when MLflow does not answer.
    """
    found = production(use_case, decisions.read_all(settings, use_case), at)
    if not found.version:
        return found
    try:
        model = mlflow_registry.candidate(settings, use_case, found.version)
        evidence = mlflow_registry.read_evidence(settings, model.run_id, found.evidence_digest)
    except HeadframeError as error:
        if error.retryable:
            raise
        return replace(found, lost=f"{error.problems[0].where}: {error.problems[0].found}")
    return replace(found, data_versions=dict(evidence.data_versions))
