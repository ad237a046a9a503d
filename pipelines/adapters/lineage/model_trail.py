"""Model trail: a model version's registry entry, its frozen evidence, and the decisions about it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from pipelines.adapters.models import decisions, mlflow_registry
from pipelines.adapters.models.mlflow_registry import ModelVersion
from pipelines.adapters.settings import Settings
from pipelines.domain.evidence import Evidence
from pipelines.domain.trace import DecisionSeen, GateSeen, TracedModel
from pipelines.errors import HeadframeError, Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelTrail:
    """What is behind a prediction's model; ``broken`` are links that do not hold."""

    model: TracedModel | None
    gates: tuple[GateSeen, ...]
    decisions: tuple[DecisionSeen, ...]
    broken: tuple[Problem, ...]


def model_trail(settings: Settings, use_case: str, prediction: Mapping[str, str]) -> ModelTrail:
    """Return the model of a prediction row: its version, run, artifact and evidence are compared.

    ``prediction`` has ``model_version``, ``model_run``, ``artifact_sha256``, ``evidence_digest`` and
    ``feature_digest``. Raises ServiceUnavailable when MLflow does not answer.
    """
    version = prediction["model_version"]
    about = [
        entry
        for entry in decisions.read_all(settings, use_case)
        if entry.decision.version == version
    ]
    where = f"model {version} of {use_case}"
    broken = [
        _broken(where, f"a {kind!r} entry with evidence {_short(prediction['evidence_digest'])} "
                f"and artifact {_short(prediction['artifact_sha256'])}", "none in the ledger")
        for kind in ("evaluated", "promoted")
        if not any(
            entry.decision.kind == kind
            and entry.decision.evidence_digest == prediction["evidence_digest"]
            and entry.decision.artifact_sha256 == prediction["artifact_sha256"]
            for entry in about
        )
    ]  # fmt: skip
    try:
        found = mlflow_registry.candidate(settings, use_case, version)
    except HeadframeError as error:
        if error.retryable:
            raise
        return ModelTrail(
            model=None, gates=(), decisions=_seen(about), broken=(*broken, *error.problems)
        )
    broken += _differences(where, prediction, found)
    traced = _traced(found)
    gates: tuple[GateSeen, ...] = ()
    try:
        evidence = mlflow_registry.read_evidence(
            settings, found.run_id, prediction["evidence_digest"]
        )
        gates = tuple(
            GateSeen(gate=verdict.gate, outcome=verdict.outcome, reason=verdict.reason)
            for verdict in evidence.verdicts
        )
        broken += _unlike_evidence(where, evidence, traced)
    except HeadframeError as error:
        if error.retryable:
            raise
        broken += error.problems
    return ModelTrail(model=traced, gates=gates, decisions=_seen(about), broken=tuple(broken))


def _differences(where: str, prediction: Mapping[str, str], found: ModelVersion) -> list[Problem]:
    """Return what the registry says otherwise than the prediction row."""
    pairs = {
        "run": (prediction["model_run"], found.run_id),
        "artifact": (prediction["artifact_sha256"], found.artifact_sha256),
        "feature view": (prediction["feature_digest"], found.tags.get("headframe.features", "")),
    }
    return [
        _broken(
            where, f"{name} {_short(said)}, as the prediction says", f"{_short(there) or 'none'}"
        )
        for name, (said, there) in pairs.items()
        if said != there
    ]


def _unlike_evidence(where: str, evidence: Evidence, told: TracedModel) -> list[Problem]:
    """Return what the version's tags say otherwise than the frozen evidence that the gates judged."""
    pairs = {
        "training data": (dict(evidence.data_versions), dict(told.data_versions)),
        "training window": (evidence.training_window, told.training_window),
        "code": (evidence.code_digest, told.code_digest),
        "declaration": (evidence.declaration_digest, told.declaration_digest),
    }
    return [
        _broken(where, f"the {name} of its frozen evidence", "another in its tags in MLflow")
        for name, (judged, there) in pairs.items()
        if judged != there
    ]


def _traced(found: ModelVersion) -> TracedModel:
    tags = found.tags
    return TracedModel(
        version=found.version,
        run_id=found.run_id,
        artifact_sha256=found.artifact_sha256,
        requester=tags.get("headframe.requester", ""),
        trained_as_of=tags.get("headframe.as_of", ""),
        training_window=tuple(json.loads(tags.get("headframe.training_window", "[]"))),
        code_digest=tags.get("headframe.code", ""),
        declaration_digest=tags.get("headframe.declaration", ""),
        feature_digest=tags.get("headframe.features", ""),
        data_versions=json.loads(tags.get("headframe.data_versions", "{}")),
    )


def _seen(entries: list[decisions.Recorded]) -> tuple[DecisionSeen, ...]:
    return tuple(
        DecisionSeen(
            sequence=entry.sequence,
            kind=entry.decision.kind,
            actor=entry.decision.actor,
            as_of=entry.decision.as_of,
            reason=entry.decision.reason,
        )
        for entry in entries
    )


def _short(digest: str) -> str:
    return digest[:12]


def _broken(where: str, expected: str, found: str) -> Problem:
    fix = (
        "Ledger, registry and predictions disagree: look at `headframe reconcile` and the backups."
    )
    return Problem(where=where, expected=expected, found=found, fix=fix)
