"""Registered versions: the facts that MLflow and the decisions ledger hold of a model version."""

import json
from datetime import datetime

from pipelines.adapters.models import (
    answer_tags,
    decisions,
    mlflow_registry,
    probe,
    reproductions,
    search_record,
)
from pipelines.adapters.models.mlflow_registry import ModelVersion
from pipelines.adapters.settings import Settings
from pipelines.domain.evidence import Evidence
from pipelines.domain.registered import Answered, Registered
from pipelines.domain.scoring_times import ScoringTimes
from pipelines.domain.succession import STARTS
from pipelines.errors import NotEnoughData, Problem

REQUIREMENTS = "model/requirements.txt"

DIGESTS = {
    "declaration": "headframe.declaration",
    "code": "headframe.code",
    "feature view": "headframe.features",
    "artifact": "headframe.artifact_sha256",
    "probe": probe.DIGEST,
}
"""Digests that a version is tagged with; one of an older release may lack some."""


def read(settings: Settings, use_case: str, version: str, *, times: ScoringTimes) -> Registered:
    """Return a version's facts. Raises ChampionUnresolved when MLflow does not have it.

    PromotionRefused where its evidence is not the one in the ledger.
    """
    found = mlflow_registry.candidate(settings, use_case, version)
    tags, columns = found.tags, probe.feature_columns(found)
    candidate, parameters = search_record.built_from(found) or ("", {})
    first, last = json.loads(tags["headframe.training_window"])
    moments = [datetime.fromisoformat(text) for text in json.loads(tags["headframe.held_out"])]
    days = [times.block_name(moment) for moment in moments]
    made = [
        entry
        for entry in decisions.read_all(settings, use_case)
        if entry.decision.version == version and entry.decision.kind not in STARTS
    ]
    return Registered(
        use_case=use_case,
        version=version,
        run_id=found.run_id,
        as_of=tags["headframe.as_of"],
        requester=tags["headframe.requester"],
        reason=tags.get("headframe.reason", ""),
        candidate=candidate,
        parameters=parameters,
        searched=tags.get(search_record.SEARCHED, ""),
        training_window=(first, last),
        held_out_window=(min(days), max(days)),
        positive_share=answer_tags.rate(found),
        typical=answer_tags.typical(found),
        numeric=columns.numeric,
        categorical=columns.categorical,
        data_versions=json.loads(tags["headframe.data_versions"]),
        digests={name: tags[tag] for name, tag in DIGESTS.items() if tag in tags},
        requirements=_requirements(settings, found),
        evidence=_evidence(settings, use_case, found),
        decisions=tuple(
            Answered(
                sequence=entry.sequence,
                kind=entry.decision.kind,
                actor=entry.decision.actor,
                as_of=entry.decision.as_of.isoformat(),
                reason="" if entry.decision.kind == "evaluated" else entry.decision.reason,
            )
            for entry in made
        ),
        cause=tags.get("headframe.cause", ""),
        reproductions=tuple(reproductions.of_version(settings, use_case, version)),
    )


def judged(settings: Settings, use_case: str, version: str) -> tuple[ModelVersion, Evidence]:
    """Return a version and its frozen evidence; raises NotEnoughData when it has none."""
    found = mlflow_registry.candidate(settings, use_case, version)
    evidence = _evidence(settings, use_case, found)
    if evidence is None:
        raise NotEnoughData(
            Problem(
                where=f"{use_case} candidate {version}",
                expected="an evaluation in the decisions ledger",
                found="none",
                fix=f"headframe run evaluate {use_case} --version {version}",
            )
        )
    return found, evidence


def _evidence(settings: Settings, use_case: str, model: ModelVersion) -> Evidence | None:
    decision = decisions.evaluation(settings, use_case, model.version)
    if decision is None:
        return None
    return mlflow_registry.read_evidence(settings, model.run_id, decision.evidence_digest)


def _requirements(settings: Settings, model: ModelVersion) -> tuple[str, ...]:
    text = mlflow_registry.artifact(settings, model.run_id, REQUIREMENTS).decode("utf-8")
    return tuple(sorted(line for line in text.splitlines() if line.strip()))
