"""Evaluate: judge the challenger on held-out rows and freeze the evidence."""

import json
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pipelines.adapters import lake
from pipelines.adapters.models import champion as champions
from pipelines.adapters.models import code_archive, decisions, feature_store, known, mlflow_registry
from pipelines.adapters.models.decisions import Decision, Recorded
from pipelines.adapters.models.mlflow_registry import ModelVersion
from pipelines.adapters.settings import Settings
from pipelines.domain.evidence import Evidence, build_blocks, build_metrics
from pipelines.domain.features import AS_OF, KnownTables, feature_digest
from pipelines.domain.labels import labelled
from pipelines.domain.metrics import Interval
from pipelines.domain.training import FeatureColumns, PriorRate, positive_probability
from pipelines.domain.verdict import promotable
from pipelines.domain.windows import block_name, next_scoring_time
from pipelines.errors import CodeChanged, NotEnoughData, Problem
from pipelines.use_case import TrainedUseCase, UseCase

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated:
    """The verdict on a candidate: may it be promoted, why, and the evidence's digest."""

    version: str
    evidence: Evidence
    promotable: bool

    def describe(self) -> str:
        """Return the verdicts, a line each, for the log and the terminal."""
        may = "may" if self.promotable else "may not"
        verdicts = [f"  {v.outcome:>14}  {v.gate}: {v.reason}" for v in self.evidence.verdicts]
        return "\n".join([f"candidate {self.version}: {may} be promoted", *verdicts])


def evaluate(use_case: UseCase, settings: Settings, *, version: str) -> Evaluated:
    """Score challenger, baseline and champion on the challenger's held-out rows; judge the gates.

    Labels are those known when the challenger was trained. A challenger is judged once: asked
    again, the frozen evidence is returned. Raises CodeChanged when the code is not the
    challenger's any more, NotEnoughData when champion and challenger cannot be compared.
    """
    parts = TrainedUseCase.of(use_case)
    challenger = mlflow_registry.candidate(settings, use_case.name, version)
    if (frozen := _frozen(use_case, settings, challenger)) is not None:
        return frozen
    _refuse_other_code(use_case, settings, challenger)
    champion = champions.resolve(settings, use_case.name)
    held_out = _HeldOut.of(parts, settings, challenger)
    rows = held_out.rows(challenger)
    label = rows["label"].to_numpy(zero_copy_only=False).astype("int8")
    probabilities = {
        "challenger": _predict(settings, use_case.name, challenger, rows),
        "baseline": PriorRate(float(challenger.tags["headframe.training_rate"])).predict(
            len(label)
        ),
    }
    if champion is not None:
        seen = held_out.rows(champion.model)
        _refuse_other_rows(parts, rows, seen)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _HeldOut:
    """The challenger's held-out blocks, and the lake to describe them from."""

    parts: TrainedUseCase
    settings: Settings
    tables: KnownTables
    blocks: list[tuple[datetime, datetime]]
    as_of: datetime

    @classmethod
    def of(cls, parts: TrainedUseCase, settings: Settings, challenger: ModelVersion) -> "_HeldOut":
        at, zone = parts.scoring.at, parts.scoring.timezone
        times = map(datetime.fromisoformat, json.loads(challenger.tags["headframe.held_out"]))
        return cls(
            parts=parts,
            settings=settings,
            tables=known.load(settings, parts.name, parts.features, parts.label),
            blocks=[(start, next_scoring_time(start, at, zone)) for start in times],
            as_of=datetime.fromisoformat(challenger.tags["headframe.as_of"]),
        )

    def rows(self, model: ModelVersion) -> "pa.Table":
        """Return feature rows with labels final at ``as_of``, made by the model's own view."""
        view, digest = self.parts.features, model.tags["headframe.features"]
        folder = lake.features(self.settings, self.parts.name, digest)
        if digest == feature_digest(view, self.parts.label):
            rows = feature_store.rows_at(folder, view, self.tables, self.blocks)
        else:
            rows = feature_store.written_rows_at(folder, view, self.blocks)
        assert rows is not None  # noqa: S101 - training found rows at these times
        states = self.tables.label_states(view.entity, self.as_of)
        return labelled(rows, states, tuple(view.entity.key))


def _refuse_other_rows(parts: TrainedUseCase, rows: "pa.Table", seen: "pa.Table") -> None:
    """Raise NotEnoughData unless both models see the same entities at the same times, in order."""
    identity = [*parts.features.entity.key, AS_OF]
    if not rows.select(identity).equals(seen.select(identity)):
        raise NotEnoughData(
            Problem(
                where=f"evaluation of {parts.name}",
                expected=f"the champion's features for the same {rows.num_rows} held-out rows",
                found=f"{seen.num_rows} rows, not the same ones",
                fix="The two feature views were computed from different deliveries: ingest "
                "everything, then train again at a later time.",
            )
        )


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
