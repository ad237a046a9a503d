"""Training requests: who asked for the training that a version came of, in the decisions ledger."""

from datetime import datetime
from typing import TYPE_CHECKING

from pipelines.adapters.models import decisions, retraining_ledger
from pipelines.adapters.models.decisions import Decision, Recorded
from pipelines.adapters.settings import Settings
from pipelines.domain.training import Asked

if TYPE_CHECKING:
    from pipelines.adapters.models.mlflow_registry import ModelVersion


def record(
    settings: Settings, version: "ModelVersion", *, by: str, run: str, asked: Asked, as_of: datetime
) -> None:
    """Write down that a person, or a run for them, asked for a version; once for each of them.

    A second person whose training came to the same version asked for it, too. The retraining ledger
    learns which version came of the run.
    """
    called = asked.cause if asked.cause != "by hand" else ""
    reason = ": ".join(filter(None, (called, asked.reason)))
    request = Decision(
        use_case=version.tags["headframe.use_case"],
        kind="requested",
        version=version.version,
        actor=by,
        as_of=as_of,
        reason=f"{reason} (run {run})" if reason else f"run {run}",
        artifact_sha256=version.artifact_sha256,
        evidence_digest="",
    )

    def decide(so_far: list[Recorded]) -> Decision | None:
        asked = {
            (entry.decision.use_case, entry.decision.version, entry.decision.actor)
            for entry in so_far
            if entry.decision.kind == "requested"
        }
        return None if (request.use_case, request.version, by) in asked else request

    decisions.append(settings, decide)
    retraining_ledger.trained(
        settings, request.use_case, run=run, version=version.version, asked=asked, as_of=as_of
    )
