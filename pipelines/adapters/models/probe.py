"""The probe of a registered model: kept with its run, predicted again whenever it is loaded."""

import json
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.adapters.models import answer_tags, kept_tables, mlflow_registry
from pipelines.adapters.models.mlflow_registry import ModelVersion
from pipelines.adapters.settings import Settings
from pipelines.domain.fused_encoder import fuse
from pipelines.domain.prediction_kinds import Answer
from pipelines.domain.probe import (
    PREDICTION,
    Proof,
    Scorer,
    digest_of,
    prove,
    usual_values,
)
from pipelines.domain.training import FeatureColumns, answers
from pipelines.errors import ChampionUnresolved, Problem

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

FILE = "probe/probe.parquet"
REFERENCE = "reference/reference.json"

DIGEST = "headframe.probe_digest"
SCORER = "headframe.scorer"
REASON = "headframe.scorer_reason"

NUMERIC = "headframe.numeric"
CATEGORICAL = "headframe.categorical"


def tags(proof: Proof) -> dict[str, str]:
    """Return what a model version says about its probe set."""
    return {DIGEST: proof.digest, SCORER: proof.scorer, REASON: proof.reason}


def files(folder: Path) -> dict[str, Path]:
    """Return what is logged beside a model, by the folder of its run that it goes to."""
    return {"probe": folder / Path(FILE).name, "reference": folder / Path(REFERENCE).name}


def write(
    model: Any,  # noqa: ANN401 - any estimator
    rows: "pa.Table",
    columns: FeatureColumns,
    folder: Path,
    answer: Answer,
) -> Proof:
    """Write the probe set with what the pipeline says of it; return which scorer says the same."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    said = answers(model, rows, columns, answer)
    kept = rows.append_column(PREDICTION, pa.array(said, pa.float64()))
    pq.write_table(kept, files(folder)["probe"])
    return prove(model, rows, columns, said, answer)


def write_reference(rows: "pa.Table", columns: FeatureColumns, folder: Path) -> None:
    """Write the usual value of each feature in the training rows."""
    found = json.dumps(usual_values(rows, columns), sort_keys=True)
    files(folder)["reference"].write_text(found, "utf-8")


def feature_columns(model: ModelVersion) -> FeatureColumns:
    """Return the features a model version was trained on, in the order of its matrix."""
    return FeatureColumns(
        numeric=tuple(json.loads(model.tags[NUMERIC])),
        categorical=tuple(json.loads(model.tags[CATEGORICAL])),
    )


def reference(settings: Settings, model: ModelVersion) -> dict[str, Any]:
    """Return the usual value of each feature in training, by name; empty for an older model.

    The median of a numeric feature, the most frequent category of a text; None where all were
    missing.
    """
    if DIGEST not in model.tags:
        return {}
    found: dict[str, Any] = json.loads(
        mlflow_registry.artifact(settings, model.run_id, REFERENCE).decode()
    )
    return found


def kept(settings: Settings, model: ModelVersion) -> "tuple[pa.Table, np.ndarray] | None":
    """Return the probe set and what the pipeline said of it at registration; None for an older model.

    Raises LakeError where the file was damaged, ChampionUnresolved where it is gone.
    """
    if DIGEST not in model.tags:
        return None
    content = mlflow_registry.artifact(settings, model.run_id, FILE)
    where = f"{FILE} beside version {model.version}"
    rows = kept_tables.read(content, where=where, columns=[PREDICTION])
    return rows.drop_columns([PREDICTION]), rows[PREDICTION].to_numpy()


def scorer(settings: Settings, use_case: str, version: ModelVersion, model: Any) -> Scorer:  # noqa: ANN401 - any estimator
    """Return what predicts with a loaded model, fused where that was proven and still holds.

    Raises ChampionUnresolved when the pipeline no longer predicts its probe set as registered. A
    model of an older release has no probe set and is used as it is.
    """
    import pyarrow.parquet as pq

    columns, answer = feature_columns(version), answer_tags.answer(version)
    plain = Scorer(model=model, columns=columns, fused=None, answer=answer)
    digest = version.tags.get(DIGEST)
    if digest is None:
        return plain
    rows = pq.read_table(BytesIO(mlflow_registry.artifact(settings, version.run_id, FILE)))
    if version.tags[SCORER] == "fused":
        fused = fuse(model, columns, answer)
        if fused and digest_of(fused.answers(rows)) == digest:
            return Scorer(model=model, columns=columns, fused=fused, answer=answer)
    found = answers(model, rows, columns, answer)
    if digest_of(found) != digest:
        raise _other_predictions(use_case, version, rows, found)
    return plain


def refuse_other_answers(
    settings: Settings,
    use_case: str,
    version: ModelVersion,
    model: Any,  # noqa: ANN401 - any estimator
) -> None:
    """Raise ChampionUnresolved where a model that was read from its files predicts its probe set otherwise.

    Every bit counts, as when it is to score: of a few estimators a file gives other last bits back.
    """
    import pyarrow as pa

    found = kept(settings, version)
    if found is None:
        return
    rows, said = found
    says = answers(model, rows, feature_columns(version), answer_tags.answer(version))
    if digest_of(says) != digest_of(said):
        raise _other_predictions(
            use_case, version, rows.append_column(PREDICTION, pa.array(said)), says
        )


def _other_predictions(
    use_case: str, version: ModelVersion, rows: "pa.Table", found: "np.ndarray"
) -> ChampionUnresolved:
    import numpy as np

    expected = rows[PREDICTION].to_numpy()
    differing = int((found.view("i8") != expected.view("i8")).sum())
    most = float(np.nanmax(np.abs(found - expected), initial=0.0))
    return ChampionUnresolved(
        Problem(
            where=f"model of {use_case}, version {version.version}",
            expected=f"the predictions of its probe set that it was registered with "
            f"({version.tags[DIGEST][:12]})",
            found=f"{differing:,} of {len(found):,} that differ, by up to {most:.3g}",
            fix="Libraries or processor differ from those it was registered with: put them back as "
            "they were, or train and promote a model here. Where they do not, its estimator is one that "
            "a file gives back with other last bits (docs/training.md): use another.",
        )
    )
