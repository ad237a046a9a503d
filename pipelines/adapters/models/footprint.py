"""Footprint: what predictions of a model cost and how large it is, measured once per model."""

import json
import statistics
import time
from io import BytesIO
from typing import TYPE_CHECKING, Any

from pipelines.adapters.models import mlflow_registry, probe
from pipelines.adapters.models.mlflow_registry import ModelVersion
from pipelines.adapters.settings import Settings
from pipelines.domain.examination import Footprint
from pipelines.errors import ChampionUnresolved

if TYPE_CHECKING:
    import pyarrow as pa

FILE = "evidence/footprint.json"

PASSES = 9
"""Passes over the rows, of which the median counts: one that another process disturbs is no matter."""


def measured(
    settings: Settings,
    use_case: str,
    version: ModelVersion,
    model: Any,  # noqa: ANN401 - any estimator
) -> Footprint | None:
    """Return the footprint kept with the model's run, after measuring it where there is none yet.

    The probe rows are predicted on one thread the way that scoring predicts. None for a model of an
    older release, which has no probe rows. Raises ChampionUnresolved as ``probe.scorer`` does.
    """
    if probe.DIGEST not in version.tags:
        return None
    try:
        kept = mlflow_registry.artifact(settings, version.run_id, FILE)
    except ChampionUnresolved:
        found = _measure(settings, use_case, version, model)
        text = json.dumps(
            {
                "rows": found.rows,
                "milliseconds_per_1000": found.milliseconds_per_1000,
                "megabytes": found.megabytes,
            },
            sort_keys=True,
        )
        mlflow_registry.keep(settings, version.run_id, FILE, text)
        return found
    return Footprint(**json.loads(kept))


def _measure(settings: Settings, use_case: str, version: ModelVersion, model: Any) -> Footprint:  # noqa: ANN401 - as above
    import pyarrow.parquet as pq

    content = mlflow_registry.artifact(settings, version.run_id, probe.FILE)
    scorer = probe.scorer(settings, use_case, version, model)
    dictionaries = list(scorer.dictionaries)
    table: pa.Table = pq.read_table(BytesIO(content), read_dictionary=dictionaries)
    rows = table.select(scorer.columns.all).combine_chunks()
    spent = []
    for _ in range(PASSES):
        before = time.process_time()
        scorer.answers(rows)
        spent.append(time.process_time() - before)
    return Footprint(
        rows=rows.num_rows,
        milliseconds_per_1000=1e6 * statistics.median(spent) / rows.num_rows,
        megabytes=mlflow_registry.artifact_bytes(settings, use_case, version) / 1e6,
    )
