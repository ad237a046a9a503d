"""Challengers: the chosen candidate fitted on the whole window, proven, and registered once."""

import json
import logging
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.adapters.models import (
    answer_tags,
    code_archive,
    mlflow_registry,
    probe,
    recipes,
    search_record,
)
from pipelines.adapters.models.training_rows import TrainingRows
from pipelines.adapters.models.trusted_types import refuse_untrusted
from pipelines.adapters.settings import Settings
from pipelines.adapters.threads import one_thread
from pipelines.domain.labels import Label
from pipelines.domain.probe import probe_rows
from pipelines.domain.scoring_times import ScoringTimes
from pipelines.domain.search import Searched
from pipelines.domain.search_space import Parameters
from pipelines.domain.training import Baseline, Candidate, Training, feature_frame, fit
from pipelines.errors import CodeChanged, Problem

if TYPE_CHECKING:
    from pipelines.adapters.models.mlflow_registry import ModelVersion

logger = logging.getLogger(__name__)

REHEARSED_ROWS = 500
"""Rows that a candidate is fitted to at most before its trials: what it is made of does not depend on them."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The candidate and parameters that a model is built from, and the search that found them."""

    candidate: Candidate
    parameters: Parameters
    searched: Searched | None


def refuse_unregistrable(use_case: str, chosen: TrainingRows, training: Training) -> None:
    """Raise PromotionRefused where a candidate's model could not be registered, before trials are paid for.

    Each is fitted to a few rows with its own parameters. One that cannot be fitted so is left to its
    trials: that they fail is an answer.
    """
    import numpy as np
    import pyarrow as pa

    places = np.arange(0, len(chosen.label), -(-len(chosen.label) // REHEARSED_ROWS))
    rows, label = chosen.rows.take(pa.array(places)), chosen.label[places]
    for candidate in training.candidates:
        try:
            with one_thread():
                model = fit(
                    candidate, rows, label, chosen.columns, training.seed, weights=training.weights
                )
        except Exception:
            logger.debug("%s was not fitted to a few rows", candidate.name, exc_info=True)
            continue
        refuse_untrusted(model, use_case, candidate.name)


def register(
    settings: Settings,
    use_case: str,
    *,
    chosen: TrainingRows,
    training: Training,
    label: Label,
    choice: Choice,
    times: ScoringTimes,
    digests: Mapping[str, str],
    train_key: str,
    tags: Mapping[str, str],
) -> "ModelVersion":
    """Fit, and log the model with all that rebuilds and judges it, once per ``train_key``.

    ``digests`` are those of the columns of the rows (``row_marks.column_digests``).
    Raises PromotionRefused when the model holds types that are not trusted, CodeChanged when the
    code is no more the one that ``tags`` name.
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
    baseline = Baseline.of(training.baseline, chosen.label)
    probed = probe_rows(model, [chosen.rows, chosen.held_out], columns, label.kind.answer)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        archive = folder / "code.tar.gz"
        files = code_archive.archive(settings, use_case, archive)
        _refuse_other_code(use_case, files, tags["headframe.code"])
        recipe = recipes.made(chosen.rows.num_rows, digests, files=files, seed=training.seed)
        proof = probe.write(model, probed, columns, folder, label.kind.answer)
        probe.write_reference(chosen.rows, columns, folder)
        return mlflow_registry.log_candidate(
            settings,
            use_case,
            model,
            train_key=train_key,
            example=feature_frame(chosen.rows.slice(0, 20), columns),
            answer=label.kind.answer,
            params={
                **choice.parameters,
                "candidate": choice.candidate.name,
                "seed": training.seed,
                "rows": chosen.rows.num_rows,
                "features": len(columns.all),
            },
            metrics={
                **answer_tags.metrics(label.kind.answer, baseline),
                **search_record.metrics(choice.searched),
            },
            tags={
                **tags,
                **search_record.tags(choice.candidate.name, choice.parameters, choice.searched),
                "headframe.use_case": use_case,
                "headframe.training_window": json.dumps(chosen.window(times)),
                "headframe.held_out": json.dumps([t.isoformat() for t in chosen.split.held_out]),
                **answer_tags.tags(label.kind.answer, baseline, label.unit),
                "headframe.features": chosen.features,
                "headframe.numeric": json.dumps(columns.numeric),
                "headframe.categorical": json.dumps(columns.categorical),
                **probe.tags(proof),
                **recipes.tags(recipe),
            },
            files={
                "code": archive,
                **probe.files(folder),
                **recipes.write(recipe, chosen.rows, folder),
                **search_record.write(choice.searched, folder),
            },
        )


def _refuse_other_code(use_case: str, files: Mapping[str, str], began_with: str) -> None:
    """Raise CodeChanged unless what was archived is the code that the training began with."""
    found = code_archive.digest_of_files(files)
    if found != began_with:
        raise CodeChanged(
            Problem(
                where=f"training of {use_case}",
                expected=f"the code it began with ({began_with[:12]})",
                found=f"code {found[:12]}",
                fix="The use case or the library changed in between: train again.",
            )
        )
