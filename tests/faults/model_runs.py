"""Model runs: stages on the machines in processes of their own, to be killed and run again."""

import json
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from mlflow import MlflowClient

from pipelines.adapters import failpoints, lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.models import (
    champion_alias,
    code_archive,
    decisions,
    mlflow_registry,
    rollbacks,
)
from pipelines.adapters.settings import Settings
from pipelines.adapters.stores.object_store import Folder
from pipelines.domain.decision import Anchor
from pipelines.domain.features import feature_digest
from pipelines.stages.promote import promote
from pipelines.stages.reconcile import reconcile
from pipelines.stages.score import score
from pipelines.stages.train import train
from pipelines.use_case import TrainedUseCase, UseCase, load
from tests import machines
from tests.airflow_fake import airflow_of
from tests.faults.forked import end, processes

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

Work: TypeAlias = Callable[[UseCase, Settings], None]

LONGEST_SECONDS = 60
VOLATILE = {"artifact_sha256", "model_run", "digest", "previous"}
"""Columns that name a run, or follow from one: two clean runs differ in them, too."""


@dataclass(frozen=True)
class Ended:
    """How a process ended, and which failpoints it reached."""

    exit_code: int | None
    reached: tuple[str, ...]

    @property
    def killed(self) -> bool:
        return self.exit_code == -signal.SIGKILL


def run(folder: Path, stage: str, kill_at: str = "") -> Ended:
    """Run one stage in a process of its own, which the armed failpoint kills."""
    return run_work(folder, STAGES[stage], kill_at)


def run_work(
    folder: Path, work: Work, kill_at: str = "", *, seconds: float = LONGEST_SECONDS
) -> Ended:
    """Do work on a home in a process of its own, which the armed failpoint kills."""
    counter = folder / "reached.txt"
    counter.unlink(missing_ok=True)
    process = start_work(folder, work, kill_at)
    exit_code = end(process, seconds)
    reached = counter.read_text().split() if counter.exists() else []
    return Ended(exit_code, tuple(reached))


def start_work(folder: Path, work: Work, kill_at: str = "") -> "BaseProcess":
    """Start work on a home in a process of its own. ``work`` is a function of a module."""
    counter = folder / "reached.txt"
    process = processes().Process(target=_child, args=(folder, work, kill_at, counter))
    process.start()
    return process


def _child(folder: Path, work: Work, kill_at: str, counter: Path) -> None:
    log = os.open(folder / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ[failpoints.ARMED] = kill_at
    os.environ[failpoints.REACHED] = str(counter)
    settings = machines.settings_in(folder)
    with_stable_code(folder)
    work(load(settings.dags / f"{machines.NAME}.py"), settings)


def with_stable_code(folder: Path) -> None:
    """Make the code digest that of the DAG file alone, whoever edits the library meanwhile."""
    code_archive.PACKAGE = folder / "no_library"


def _train(use_case: UseCase, settings: Settings) -> None:
    train(use_case, settings, as_of=machines.at(50), run="test", requester="sam")


def _promote(use_case: UseCase, settings: Settings) -> None:
    judged = [e.decision for e in decisions.read_all(settings) if e.decision.kind == "evaluated"]
    with airflow_of(settings) as airflow:
        airflow.answered(judged[-1].evidence_digest, at=machines.at(50))
        promote(use_case, settings, version=judged[-1].version, as_of=machines.at(50))


def _roll_back(use_case: UseCase, settings: Settings) -> None:
    parts = TrainedUseCase.of(use_case)
    asked = rollbacks.Asked(
        use_case=use_case.name,
        actor="olga",
        reason="it harms",
        as_of=machines.at(55),
        features=feature_digest(parts.features, parts.label),
        away_from="2",
    )
    rollbacks.roll_back(settings, asked)


def _reconcile(use_case: UseCase, settings: Settings) -> None:
    as_of = machines.at(56)
    reconcile(use_case.name, settings, actor="olga", as_of=as_of, extent="repair")


def _move_naively(use_case: UseCase, settings: Settings) -> None:
    """Move the alias, then write the ledger, as a promotion without a first entry would."""
    model = mlflow_registry.candidate(settings, use_case.name, "2")
    last = decisions.read_all(settings)[-1]
    anchor = Anchor(last.sequence, last.digest)
    champion_alias.publish(settings, use_case.name, model, anchor, verb="naive")
    failpoints.failpoint("naive.between_alias_and_ledger")
    promoted = replace(last.decision, kind="promoted", version="2")
    decisions.append(settings, lambda _: promoted)


def _score(use_case: UseCase, settings: Settings) -> None:
    score(use_case, settings, since=machines.at(47, 0), until=machines.at(50, 0), run="test")


def _score_naively(use_case: UseCase, settings: Settings) -> None:
    """Append predictions, as a scorer without a run key or a sequence would: the control."""
    from deltalake import write_deltalake

    path = lake.predictions(settings, use_case.name)
    rows = delta_tables.read(path)
    write_deltalake(str(path), rows, mode="append")
    failpoints.failpoint("score.after_predictions")


STAGES: dict[str, Work] = {
    "train": _train,
    "promote": _promote,
    "rollback": _roll_back,
    "reconcile": _reconcile,
    "move_naively": _move_naively,
    "score": _score,
    "score_naively": _score_naively,
}


def state(settings: Settings) -> dict[str, Any]:
    """Return everything a stage may leave behind: lake, registry and ledger, without run ids."""
    client = MlflowClient(settings.mlflow_uri)
    tables = {
        name: {"rows": _rows(path), "version": delta_tables.version(path)}
        for name, path in lake.table_paths(settings).items()
    }
    models = {
        name: [
            {key: value for key, value in version.tags.items() if "artifact" not in key}
            for version in client.search_model_versions(
                f"name = '{name}'", order_by=["version_number"]
            )
        ]
        for name in (machines.NAME, f"{machines.NAME}-candidates")
    }
    aliases = {model.name: dict(model.aliases) for model in client.search_registered_models()}
    return {"tables": tables, "models": models, "aliases": aliases}


def _rows(path: Folder) -> list[str]:
    rows = delta_tables.read(path).to_pylist()
    plain = [{name: row[name] for name in row if name not in VOLATILE} for row in rows]
    return sorted(json.dumps(row, sort_keys=True, default=str) for row in plain)
