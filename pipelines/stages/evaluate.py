"""Evaluate: judge the challenger on held-out rows and freeze the evidence."""

import json
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pipelines.adapters.models import (
    answer_tags,
    code_archive,
    decisions,
    footprint,
    mlflow_registry,
    model_rows,
    probe,
    recipes,
    search_record,
)
from pipelines.adapters.models import champion as champions
from pipelines.adapters.models.decisions import Decision, Recorded
from pipelines.adapters.models.mlflow_registry import ModelVersion
from pipelines.adapters.models.model_rows import ModelRows
from pipelines.adapters.settings import Settings
from pipelines.adapters.threads import one_thread
from pipelines.domain.evidence import Evidence
from pipelines.domain.evidence_figures import build_blocks, build_metrics
from pipelines.domain.examination import Examination
from pipelines.domain.examine import FOOTPRINT, LEAKAGE, REPRODUCTION, Subject, examine
from pipelines.domain.expected_value import Ranked
from pipelines.domain.features import AS_OF
from pipelines.domain.gates.no_worse_on_segment import NoWorseOnSegment
from pipelines.domain.metrics import Interval
from pipelines.domain.outputs import ranked_list
from pipelines.domain.probe import Scorer
from pipelines.domain.refits import Lesson
from pipelines.domain.training import answers, fit
from pipelines.domain.verdict import promotable, stopping
from pipelines.errors import CodeChanged, DeclarationError, NotEnoughData, Problem
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
        may = "may" if self.promotable else "may not"
        verdicts = [f"  {v.outcome:>14}  {v.gate}: {v.reason}" for v in self.evidence.verdicts]
        return "\n".join([f"candidate {self.version}: {may} be promoted", *verdicts])


def evaluate(
    use_case: UseCase, settings: Settings, *, version: str, spare: bool = False
) -> Evaluated:
    """Score challenger, baseline and champion on the challenger's held-out rows; judge the gates.

    Labels are those known when the challenger was trained. A challenger is judged once: asked
    again, the frozen evidence is returned. ``spare`` leaves out what changes no decision: what no
    gate asks for, and where another gate stops the challenger what only refits can tell. Raises
    CodeChanged when the code is not the challenger's any more, NotEnoughData when champion and
    challenger cannot be compared, ChampionUnresolved when it does not predict what it was registered with.
    """
    parts = TrainedUseCase.of(use_case)
    challenger = mlflow_registry.candidate(settings, use_case.name, version)
    if (frozen := _frozen(use_case, settings, challenger)) is not None:
        return frozen
    _refuse_other_code(use_case, settings, challenger)
    rows = ModelRows.of(
        settings,
        use_case.name,
        challenger,
        view=parts.features,
        label=parts.label,
        times=parts.scoring.times,
    )
    with one_thread():  # as in training, so that a model fitted again is the same one
        evidence = _Judged.of(use_case, parts, rows).judged(spare=spare)
    mlflow_registry.log_evidence(
        settings, challenger.run_id, evidence.to_json(), _estimates(evidence)
    )
    _record(use_case, settings, challenger, evidence)
    return Evaluated(version=version, evidence=evidence, promotable=promotable(evidence.verdicts))


@dataclass(frozen=True, kw_only=True)  # no slots: what is read once is kept beside them
class _Judged:
    """A challenger, its rival, and what each says of the held-out rows."""

    use_case: UseCase
    parts: TrainedUseCase
    rows: ModelRows
    champion: ModelVersion | None
    held_out: Lesson
    model: Any
    predictions: "Mapping[str, np.ndarray]"

    @classmethod
    def of(cls, use_case: UseCase, parts: TrainedUseCase, rows: ModelRows) -> "_Judged":
        settings, challenger = rows.settings, rows.challenger
        standing = champions.resolve(settings, use_case.name)
        held_out = rows.lesson(rows.held_out(challenger))
        _refuse_unknown_segments(use_case, held_out.rows)
        model = mlflow_registry.load(settings, use_case.name, challenger)
        probe.refuse_other_answers(settings, use_case.name, challenger, model)
        predictions = {
            "challenger": _predict(model, challenger, held_out.rows),
            "baseline": answer_tags.baseline(challenger).predict(len(held_out.label)),
        }
        if standing is not None:
            seen = held_out.rows
            if _view(standing.model) != _view(challenger):
                seen = rows.held_out(standing.model)
            _refuse_other_rows(parts, held_out.rows, seen)
            before = mlflow_registry.load(settings, use_case.name, standing.model)
            predictions["champion"] = _predict(before, standing.model, seen)
        return cls(
            use_case=use_case,
            parts=parts,
            rows=rows,
            champion=standing.model if standing else None,
            held_out=held_out,
            model=model,
            predictions=predictions,
        )

    def judged(self, *, spare: bool) -> Evidence:
        """Return the evidence with the gates' verdicts; spared gates give none."""
        gates = self.use_case.gates
        plain = [gate for gate in gates if not _needs([gate])]
        if spare and plain:
            evidence = self.evidence(frozenset(), spare=True)
            verdicts = tuple(gate.judge(evidence) for gate in plain)
            if stopping(verdicts):
                return replace(evidence, verdicts=verdicts)
        evidence = self.evidence(_needs(gates), spare=spare)
        return replace(evidence, verdicts=tuple(gate.judge(evidence) for gate in gates))

    def evidence(self, needs: Set[str], *, spare: bool) -> Evidence:
        """Return the evidence, without verdicts."""
        challenger, held_out = self.rows.challenger, self.held_out
        first, last = json.loads(challenger.tags["headframe.training_window"])
        label = self.parts.label
        kind, ranked = label.kind, self.ranked
        return Evidence(
            use_case=self.use_case.name,
            as_of=challenger.tags["headframe.as_of"],
            challenger=challenger.version,
            champion=self.champion.version if self.champion else None,
            training_window=(first, last),
            held_out_window=(min(held_out.blocks), max(held_out.blocks)),
            rows=len(held_out.label),
            positives=int(held_out.label.sum()) if kind.answer == "probability" else 0,
            metrics=build_metrics(
                held_out.label, self.predictions, held_out.blocks, kind=kind, ranked=ranked
            ),
            blocks=build_blocks(
                held_out.label, self.predictions, held_out.blocks, kind=kind, ranked=ranked
            ),
            data_versions=json.loads(challenger.tags["headframe.data_versions"]),
            # The code is the challenger's, so its declaration is; a tag can be changed.
            declaration_digest=self.use_case.digest(),
            code_digest=challenger.tags["headframe.code"],
            examination=self.examination(needs, spare=spare),
            kind=kind.name,
            unit=label.unit or (label.value.unit if label.value else ""),
            listed=ranked.listed if ranked else None,
            recipe_digest=challenger.tags.get(recipes.DIGEST, ""),
            probe_digest=challenger.tags.get(probe.DIGEST, ""),
        )

    @property
    def ranked(self) -> Ranked | None:
        """What the lists of a ranking are judged with; None where none is declared."""
        label, listed = self.parts.label, ranked_list(self.parts.scoring.outputs)
        if label.value is None or listed is None:
            return None
        return model_rows.ranked(self.held_out.rows, label.value, listed)

    def examination(self, needs: Set[str], *, spare: bool) -> Examination:
        """Look at what gates and approvers want to know."""
        rows, settings = self.rows, self.rows.settings
        columns = probe.feature_columns(rows.challenger)
        subject = Subject(
            model=Scorer(
                model=self.model,
                columns=columns,
                fused=None,
                answer=answer_tags.answer(rows.challenger),
            ),
            columns=columns,
            champion_columns=probe.feature_columns(self.champion) if self.champion else None,
            taught=lambda: self.taught,
            held_out=self.held_out,
            predictions=self.predictions,
            teach=self._teach,
            seed=self.parts.training.seed,
            kind=self.parts.label.kind,
        )
        return examine(
            subject,
            segments=_segment_names(self.use_case),
            needs=needs,
            described=rows.described_again() if LEAKAGE in needs else (0, 0),
            footprint=(
                footprint.measured(settings, self.use_case.name, rows.challenger, self.model)
                if FOOTPRINT in needs
                else None
            ),
            probed=probe.kept(settings, rows.challenger) if REPRODUCTION in needs else None,
            spare=spare,
        )

    @cached_property
    def taught(self) -> Lesson:
        """What the challenger was taught, read once and only if something asks for it."""
        return self.rows.lesson(self.rows.training())

    def _teach(self, rows: "pa.Table", label: "np.ndarray", seed: int) -> Any:  # noqa: ANN401 - any estimator
        """Fit the candidate as training did, on these rows and labels."""
        training, challenger = self.parts.training, self.rows.challenger
        name, parameters = search_record.built_from(challenger) or (None, {})
        candidate = training.candidate(name) if name else training.candidates[0]
        columns = probe.feature_columns(challenger)
        return fit(
            candidate,
            rows,
            label,
            columns,
            seed,
            parameters=parameters,
            weights=training.weights,
        )


def _view(version: ModelVersion) -> str:
    """Return the digest of the feature view that a model was trained with."""
    return version.tags["headframe.features"]


def _needs(gates: Iterable[object]) -> Set[str]:
    return {need for gate in gates for need in getattr(gate, "needs", ())}


def _segment_names(use_case: UseCase) -> list[str]:
    asked = [gate.segment for gate in use_case.gates if isinstance(gate, NoWorseOnSegment)]
    return list(dict.fromkeys([*asked, *use_case.monitoring.segments]))


def _refuse_unknown_segments(use_case: UseCase, rows: "pa.Table") -> None:
    """Raise DeclarationError unless every segment is a text that each row has."""
    import pyarrow as pa

    texts = [field.name for field in rows.schema if pa.types.is_string(field.type)]
    if unknown := [name for name in _segment_names(use_case) if name not in texts]:
        raise DeclarationError(
            *(
                Problem(
                    where=f"use case {use_case.name!r}, segment {name!r}",
                    expected=f"a text among key and features: {', '.join(texts)}",
                    found="no such column",
                    fix="Correct the name in gates or monitoring, or add the feature.",
                )
                for name in unknown
            )
        )


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


def _predict(model: Any, version: ModelVersion, rows: "pa.Table") -> "np.ndarray":  # noqa: ANN401 - any estimator
    return answers(model, rows, probe.feature_columns(version), answer_tags.answer(version))


def _frozen(use_case: UseCase, settings: Settings, challenger: ModelVersion) -> Evaluated | None:
    """Return the evaluation already in the ledger: a challenger is judged once."""
    decision = decisions.evaluation(settings, use_case.name, challenger.version)
    if decision is None:
        return None
    evidence = mlflow_registry.read_evidence(settings, challenger.run_id, decision.evidence_digest)
    return Evaluated(
        version=challenger.version, evidence=evidence, promotable=promotable(evidence.verdicts)
    )


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
