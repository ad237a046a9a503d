"""Evaluate: judge the challenger on held-out rows and freeze the evidence."""

import json
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pipelines.adapters import (
    champion as champions,
)
from pipelines.adapters import (
    code_archive,
    decisions,
    feature_store,
    known,
    mlflow_registry,
)
from pipelines.adapters.decisions import Decision, Recorded
from pipelines.adapters.mlflow_registry import ModelVersion
from pipelines.adapters.settings import Settings
from pipelines.domain.evidence import Evidence, build_blocks, build_metrics
from pipelines.domain.features import AS_OF, KnownTables, feature_digest
from pipelines.domain.labels import labelled
from pipelines.domain.metrics import Interval
from pipelines.domain.training import FeatureColumns, PriorRate, positive_probability
from pipelines.domain.verdict import promotable
from pipelines.domain.windows import block_name, next_scoring_time
from pipelines.errors import CodeChanged, Problem
from pipelines.use_case import TrainedUseCase, UseCase

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated:
    """The verdict on a candidate: may it be promoted, why, and the evidence's digest."""

    version: str
    evidence: Evidence
    promotable: bool

    def describe(self) -> str:
        """Return the verdicts, a line each, for the log and the terminal."""
        lines = [f"candidate {self.version}: {'may' if self.promotable else 'may not'} be promoted"]
        for verdict in self.evidence.verdicts:
            lines.append(f"  {verdict.outcome:>14}  {verdict.gate}: {verdict.reason}")
        return "\n".join(lines)


def evaluate(use_case: UseCase, settings: Settings, *, version: str) -> Evaluated:
    """Score challenger, baseline and champion on the challenger's held-out rows; judge the gates.

    Labels are those known when the challenger was trained. A challenger is judged once: asked
    again, the frozen evidence is returned. Raises CodeChanged when the code is not the challenger's any more.
    """
    parts = TrainedUseCase.of(use_case)
    challenger = mlflow_registry.candidate(settings, use_case.name, version)
    if (frozen := _frozen(use_case, settings, challenger)) is not None:
        return frozen
    _refuse_other_code(use_case, settings, challenger)
    champion = champions.resolve(settings, use_case.name)
    times = [datetime.fromisoformat(t) for t in json.loads(challenger.tags["headframe.held_out"])]
    as_of = datetime.fromisoformat(challenger.tags["headframe.as_of"])
    tables = known.load(settings, use_case.name, parts.features, parts.label)
    rows, label = _held_out(parts, settings, tables, challenger, times, as_of)
    probabilities = {
        "challenger": _predict(settings, use_case.name, challenger, rows),
        "baseline": PriorRate(float(challenger.tags["headframe.training_rate"])).predict(
            len(label)
        ),
    }
    if champion is not None:
        seen, _ = _held_out(parts, settings, tables, champion.model, times, as_of)
        probabilities["champion"] = _predict(settings, use_case.name, champion.model, seen)
    zone = parts.scoring.timezone
    blocks = [block_name(moment, zone) for moment in rows[AS_OF].to_pylist()]
    first, last = json.loads(challenger.tags["headframe.training_window"])
    evidence = Evidence(
        use_case=use_case.name,
        as_of=challenger.tags["headframe.as_of"],
        challenger=challenger.version,
        champion=champion.model.version if champion else None,
        training_window=(first, last),
        held_out_window=(min(blocks), max(blocks)),
        rows=len(label),
        positives=int(label.sum()),
        metrics=build_metrics(label, probabilities, blocks),
        blocks=build_blocks(label, probabilities, blocks),
        data_versions=json.loads(challenger.tags["headframe.data_versions"]),
        declaration_digest=challenger.tags["headframe.declaration"],
        code_digest=challenger.tags["headframe.code"],
    )
    verdicts = tuple(gate.judge(evidence) for gate in use_case.gates)
    evidence = replace(evidence, verdicts=verdicts)
    mlflow_registry.log_evidence(
        settings, challenger.run_id, evidence.to_json(), _estimates(evidence)
    )
    _record(use_case, settings, challenger, evidence)
    return Evaluated(version=version, evidence=evidence, promotable=promotable(verdicts))


def _held_out(
    parts: TrainedUseCase,
    settings: Settings,
    tables: KnownTables,
    model: ModelVersion,
    times: list[datetime],
    as_of: datetime,
) -> tuple["pa.Table", "np.ndarray"]:
    """Return feature rows with labels final at ``as_of``, made by the model's own feature view."""
    blocks = [
        (start, next_scoring_time(start, parts.scoring.at, parts.scoring.timezone))
        for start in times
    ]
    digest = model.tags["headframe.features"]
    if digest == feature_digest(parts.features, parts.label):
        rows = feature_store.rows_at(settings, parts.name, parts.features, digest, tables, blocks)
    else:
        rows = feature_store.written_rows_at(settings, parts.name, parts.features, digest, blocks)
    assert rows is not None  # noqa: S101 - training found rows at these times
    states = tables.label_states(parts.features.entity, as_of)
    final = labelled(rows, states, tuple(parts.features.entity.key))
    return final, final["label"].to_numpy(zero_copy_only=False).astype("int8")


def _predict(settings: Settings, use_case: str, model: ModelVersion, rows: "pa.Table") -> Any:  # noqa: ANN401 - an array
    columns = FeatureColumns(
        numeric=tuple(json.loads(model.tags["headframe.numeric"])),
        categorical=tuple(json.loads(model.tags["headframe.categorical"])),
    )
    return positive_probability(mlflow_registry.load(settings, use_case, model), rows, columns)


def _frozen(use_case: UseCase, settings: Settings, challenger: ModelVersion) -> Evaluated | None:
    """Return the evaluation already in the ledger: a challenger is judged once."""
    for entry in decisions.read_all(settings, use_case.name):
        decision = entry.decision
        if decision.kind == "evaluated" and decision.version == challenger.version:
            evidence = mlflow_registry.read_evidence(
                settings, challenger.run_id, decision.evidence_digest
            )
            return Evaluated(
                version=challenger.version,
                evidence=evidence,
                promotable=promotable(evidence.verdicts),
            )
    return None


def _estimates(evidence: Evidence) -> dict[str, float]:
    return {
        f"{role}_{name}": interval.estimate
        for role, metrics in evidence.metrics.items()
        for name, interval in metrics.items()
        if isinstance(interval, Interval)
    }


def _record(
    use_case: UseCase, settings: Settings, challenger: ModelVersion, evidence: Evidence
) -> None:
    decision = Decision(
        use_case=use_case.name,
        kind="evaluated",
        version=challenger.version,
        actor="gates",
        as_of=datetime.fromisoformat(evidence.as_of),
        reason="; ".join(f"{v.gate} {v.outcome}: {v.reason}" for v in evidence.verdicts),
        artifact_sha256=challenger.artifact_sha256,
        evidence_digest=evidence.digest,
    )

    def decide(so_far: list[Recorded]) -> Decision | None:
        return None if any(entry.decision == decision for entry in so_far) else decision

    decisions.append(settings, decide)


def _refuse_other_code(use_case: UseCase, settings: Settings, challenger: ModelVersion) -> None:
    found = code_archive.code_digest(settings, use_case.name)
    if found != challenger.tags["headframe.code"]:
        raise CodeChanged(
            Problem(
                where=f"evaluation of {use_case.name} candidate {challenger.version}",
                expected=f"the code it was trained with ({challenger.tags['headframe.code'][:12]})",
                found=f"code {found[:12]}",
                fix="The use case or the library changed in between: train again.",
            )
        )
