"""The champion: what ledger, alias and artifact agree on, or nothing."""

from dataclasses import dataclass

from pipelines.adapters.models import decisions, mlflow_registry, probe
from pipelines.adapters.models.decisions import Decision
from pipelines.adapters.models.mlflow_registry import ModelVersion
from pipelines.adapters.settings import Settings
from pipelines.domain.probe import Scorer
from pipelines.errors import ChampionUnresolved, Problem

STEPS = ("promoting", "promoted", "undone")
"""Kinds of decision that move the champion."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Champion:
    """The model in production: its candidate version and the decision that put it there."""

    model: ModelVersion
    promoted: Decision


def resolve(settings: Settings, use_case: str) -> Champion | None:
    """Return the champion, or None when none was ever promoted.

    The ledger is the truth. Raises ChampionUnresolved when the alias or the artifact's recorded
    digest says otherwise, or when the last promotion did not finish.
    """
    moves = steps(settings, use_case)
    alias_run = mlflow_registry.champion_run_id(settings, use_case)
    if not moves:
        if alias_run is not None:
            raise _unresolved(
                use_case,
                expected="no champion alias: none was promoted",
                found="an alias set by hand",
                fix=f"Delete the alias {mlflow_registry.CHAMPION!r} of {use_case} in MLflow.",
            )
        return None
    repeat = (
        f"Nothing is scored until they agree: `headframe run promote {use_case} --version "
        f"{moves[-1].version}` finishes or repeats the ledger's last promotion."
    )
    if moves[-1].kind == "promoting":
        expected = f"the promotion of version {moves[-1].version} to be finished"
        raise _unresolved(use_case, expected=expected, found="one that was cut off", fix=repeat)
    promoted = [decision for decision in moves if decision.kind == "promoted"]
    if not promoted:
        return None
    champion = _verified(settings, promoted[-1])
    if champion.model.run_id != alias_run:
        raise _unresolved(
            use_case,
            expected=f"the champion alias on version {champion.model.version}, as the ledger says",
            found="an alias on another version, moved by hand" if alias_run else "no alias",
            fix=repeat,
        )
    return champion


def pinned(settings: Settings, use_case: str, version: str) -> Champion:
    """Return a version that was the champion when a run began, as the ledger knows it.

    Raises ChampionUnresolved for a version that was never promoted.
    """
    promoted = [
        decision
        for decision in steps(settings, use_case)
        if decision.kind == "promoted" and decision.version == version
    ]
    if not promoted:
        raise _unresolved(
            use_case,
            expected="a version that was promoted",
            found=f"version {version}, which never was",
            fix="Score with the champion, or promote that version first.",
        )
    return _verified(settings, promoted[-1])


def to_score_with(
    settings: Settings, use_case: str, *, features: str, version: str | None = None
) -> Champion:
    """Return the champion, or the version that a run pinned, for rows of a feature view.

    Raises ChampionUnresolved when there is none, or it was trained on another view.
    """
    champion = resolve(settings, use_case)
    where = f"scoring of {use_case}"
    if champion is None:
        raise ChampionUnresolved(
            Problem(
                where=where,
                expected="a champion",
                found="none: no candidate was promoted yet",
                fix=f"Train and promote one: trigger {use_case}__train.",
            )
        )
    if version is not None and champion.model.version != version:
        champion = pinned(settings, use_case, version)
    if champion.model.tags["headframe.features"] != features:
        raise ChampionUnresolved(
            Problem(
                where=where,
                expected="the feature view the champion was trained on",
                found="a feature function, contract or label rule that changed since",
                fix=f"Train and promote a model on the new view: trigger {use_case}__train.",
            )
        )
    return champion


def steps(settings: Settings, use_case: str) -> list[Decision]:
    """Return the decisions that moved the champion, in order."""
    entries = decisions.read_all(settings, use_case)
    return [entry.decision for entry in entries if entry.decision.kind in STEPS]


def scorer(settings: Settings, use_case: str, champion: Champion) -> Scorer:
    """Return what predicts with the champion: its files verified, and its probe set predicted again.

    Raises ChampionUnresolved when the model no longer says of its probe set what it said when it
    was registered.
    """
    model = mlflow_registry.load(settings, use_case, champion.model)
    return probe.scorer(settings, use_case, champion.model, model)


def _verified(settings: Settings, promoted: Decision) -> Champion:
    """Return the promoted version; its recorded digest must be the one that was promoted."""
    model = mlflow_registry.candidate(settings, promoted.use_case, promoted.version)
    if model.artifact_sha256 != promoted.artifact_sha256:
        raise _unresolved(
            promoted.use_case,
            expected=f"the artifact that was promoted, digest {promoted.artifact_sha256[:12]}",
            found=f"digest {model.artifact_sha256[:12]} on version {model.version} in MLflow",
            fix="Restore the version's tag, or train and promote another version.",
        )
    return Champion(model=model, promoted=promoted)


def _unresolved(use_case: str, *, expected: str, found: str, fix: str) -> ChampionUnresolved:
    return ChampionUnresolved(
        Problem(where=f"champion of {use_case}", expected=expected, found=found, fix=fix)
    )
