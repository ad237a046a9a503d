"""Search record: what a model's run and version keep of the search that chose its parameters."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.domain.search import Searched
from pipelines.domain.search_space import Parameter, Parameters

if TYPE_CHECKING:
    from pipelines.adapters.models.mlflow_registry import ModelVersion

STUDY = "headframe.study"
SEARCHED = "headframe.searched"
LEFT = "headframe.search_left"
"""How many trials a search had left when its CPU seconds were spent; no tag where it had none."""

CANDIDATE = "headframe.candidate"
PARAMETERS = "headframe.parameters"

FILE = "search/trials.json"


def tags(candidate: str, parameters: Parameters, searched: Searched | None) -> dict[str, str]:
    """Return what a model version says of how it was built: enough to build it again."""
    built = {CANDIDATE: candidate, PARAMETERS: json.dumps(dict(parameters), sort_keys=True)}
    if searched is None:
        return built
    left = searched.count("waiting")
    told = {LEFT: str(left)} if left else {}
    return {**built, STUDY: searched.plan.key, SEARCHED: searched.describe(), **told}


def metrics(searched: Searched | None) -> dict[str, float]:
    """Return the figures of a search that MLflow shows beside those of other runs."""
    if searched is None or searched.best is None or searched.best.loss is None:
        return {}
    return {
        f"validation_{searched.loss}": searched.best.loss,
        f"validation_{searched.loss}_of_baseline": searched.baseline,
        "search_trials": float(searched.count("finished", "pruned", "failed")),
        "search_cpu_seconds": searched.cpu_seconds,
    }


def write(searched: Searched | None, folder: Path) -> dict[str, Path]:
    """Write every trial into ``folder``; return what is logged beside a model, by its folder there."""
    if searched is None:
        return {}
    target = folder / Path(FILE).name
    told = {"study": searched.plan.key, "trials": [trial.to_plain() for trial in searched.trials]}
    target.write_text(json.dumps(told, indent=1), "utf-8")
    return {Path(FILE).parent.name: target}


def built_from(model: "ModelVersion") -> tuple[str, dict[str, Parameter]] | None:
    """Return a model version's candidate and parameters; None for one of an older release."""
    if CANDIDATE not in model.tags:
        return None
    return model.tags[CANDIDATE], json.loads(model.tags[PARAMETERS])
