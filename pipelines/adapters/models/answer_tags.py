"""Answer tags: what a model version says its answers are, and the baseline it had to beat."""

from typing import TYPE_CHECKING

from pipelines.domain.prediction_kinds import Answer
from pipelines.domain.training import Baseline

if TYPE_CHECKING:
    from pipelines.adapters.models.mlflow_registry import ModelVersion

ANSWER = "headframe.answer"
"""Only versions that tell numbers have it: those before it, and without it, tell probabilities."""

UNIT = "headframe.unit"

RATE, NUMBER = "training_rate", "training_number"
"""The baseline's answer: the share of positives among the training rows, or their typical number."""


def tags(answer: Answer, baseline: Baseline, unit: str | None) -> dict[str, str]:
    """Return what a model version says of its answers; ``unit`` is that of numbers."""
    if answer == "probability":
        return {f"headframe.{RATE}": repr(baseline.answer)}
    return {ANSWER: answer, UNIT: unit or "", f"headframe.{NUMBER}": repr(baseline.answer)}


def metrics(answer: Answer, baseline: Baseline) -> dict[str, float]:
    """Return the baseline's answer as the run shows it."""
    return {RATE if answer == "probability" else NUMBER: baseline.answer}


def answer(version: "ModelVersion") -> Answer:
    """Return what a version tells."""
    return "number" if version.tags.get(ANSWER) == "number" else "probability"


def baseline(version: "ModelVersion") -> Baseline:
    """Return the baseline of a version's training rows."""
    name = RATE if answer(version) == "probability" else NUMBER
    return Baseline(float(version.tags[f"headframe.{name}"]))


def rate(version: "ModelVersion") -> float | None:
    """Return the share of positives among a version's training rows; None where it tells numbers."""
    return baseline(version).answer if answer(version) == "probability" else None


def typical(version: "ModelVersion") -> str:
    """Return the baseline's number with its unit; empty where a version tells probabilities."""
    if answer(version) == "probability":
        return ""
    return f"{baseline(version).answer:.4g} {version.tags[UNIT]}"
