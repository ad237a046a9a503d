"""The champion: what ledger, alias and artifact agree on, or nothing."""

from dataclasses import dataclass
from typing import Any

from pipelines.adapters import decisions, mlflow_registry
from pipelines.adapters.decisions import Decision
from pipelines.adapters.mlflow_registry import ModelVersion
from pipelines.adapters.settings import Settings
from pipelines.errors import ChampionUnresolved, Problem


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
    entries = decisions.read_all(settings, use_case)
    last = [e.decision for e in entries if e.decision.kind in ("promoting", "promoted", "undone")]
    alias_run = mlflow_registry.champion_run_id(settings, use_case)
    if not last:
        if alias_run is not None:
            raise _unresolved(
                use_case, "no champion alias: none was promoted", "an alias set by hand"
            )
        return None
    if last[-1].kind == "promoting":
        raise _unresolved(
            use_case,
            f"the promotion of version {last[-1].version} to be finished",
            "one that was cut off",
        )
    promoted = [decision for decision in last if decision.kind == "promoted"]
    if not promoted:
        return None
    model = mlflow_registry.candidate(settings, use_case, promoted[-1].version)
    if model.run_id != alias_run:
        raise _unresolved(
            use_case,
            f"the champion alias on version {model.version}, as the ledger says",
            "an alias on another version, moved by hand" if alias_run else "no alias",
        )
    if model.artifact_sha256 != promoted[-1].artifact_sha256:
        raise _unresolved(use_case, "the artifact that was promoted", "another artifact digest")
    return Champion(model=model, promoted=promoted[-1])


def load(settings: Settings, use_case: str, champion: Champion) -> Any:  # noqa: ANN401 - any estimator
    """Return the champion's fitted model, its files verified."""
    return mlflow_registry.load(settings, use_case, champion.model)


def _unresolved(use_case: str, expected: str, found: str) -> ChampionUnresolved:
    return ChampionUnresolved(
        Problem(
            where=f"champion of {use_case}",
            expected=expected,
            found=found,
            fix=f"Nothing is scored until they agree: `headframe run promote {use_case}` finishes "
            "or repeats the ledger's last promotion.",
        )
    )
