"""Challengers: the chosen candidate fitted on the whole window, proven, and registered once."""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.adapters.models import code_archive, mlflow_registry, probe, search_record
from pipelines.adapters.models.training_rows import TrainingRows
from pipelines.adapters.settings import Settings
from pipelines.domain.probe import probe_rows
from pipelines.domain.search import Searched
from pipelines.domain.search_space import Parameters
from pipelines.domain.training import Candidate, Training, feature_frame, fit

if TYPE_CHECKING:
    from pipelines.adapters.models.mlflow_registry import ModelVersion


@dataclass(frozen=True, slots=True)
class Choice:
    """The candidate and parameters that a model is built from, and the search that found them."""

    candidate: Candidate
    parameters: Parameters
    searched: Searched | None


def register(
    settings: Settings,
    use_case: str,
    *,
    chosen: TrainingRows,
    training: Training,
    choice: Choice,
    timezone: str,
    train_key: str,
    tags: Mapping[str, str],
) -> "ModelVersion":
    """Fit, and log the model with all that rebuilds and judges it, once per ``train_key``.

    Raises PromotionRefused when the model holds types that are not trusted.
    """
    columns = chosen.columns
    model = fit(
        choice.candidate,
        chosen.rows,
        chosen.label,
        columns,
        training.seed,
        parameters=choice.parameters,
        weights=training.weights,
    )
    rate = float(chosen.label.mean())
    probed = probe_rows(model, [chosen.rows, chosen.held_out], columns)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        archive = folder / "code.tar.gz"
        code_archive.archive(settings, use_case, archive)
        proof = probe.write(model, probed, columns, folder)
        probe.write_reference(chosen.rows, columns, folder)
        return mlflow_registry.log_candidate(
            settings,
            use_case,
            model,
            train_key=train_key,
            example=feature_frame(chosen.rows.slice(0, 20), columns),
            params={
                **choice.parameters,
                "candidate": choice.candidate.name,
                "seed": training.seed,
                "rows": chosen.rows.num_rows,
                "features": len(columns.all),
            },
            metrics={"training_rate": rate, **search_record.metrics(choice.searched)},
            tags={
                **tags,
                **search_record.tags(choice.candidate.name, choice.parameters, choice.searched),
                "headframe.use_case": use_case,
                "headframe.training_window": json.dumps(chosen.window(timezone)),
                "headframe.held_out": json.dumps([t.isoformat() for t in chosen.split.held_out]),
                "headframe.training_rate": repr(rate),
                "headframe.features": chosen.features,
                "headframe.numeric": json.dumps(columns.numeric),
                "headframe.categorical": json.dumps(columns.categorical),
                **probe.tags(proof),
            },
            files={
                "code": archive,
                **probe.files(folder),
                **search_record.write(choice.searched, folder),
            },
        )
