"""Refused rows: the feature rows of a key that got no prediction, told as its predictions are."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables, pinned_files
from pipelines.adapters.lineage.prediction_records import (
    REASON,
    WINDOW,
    Generation,
    MadeBy,
    condition,
    in_order,
    maker,
)
from pipelines.adapters.models import champion
from pipelines.adapters.settings import Settings
from pipelines.domain.features import AS_OF
from pipelines.domain.sql_text import literal
from pipelines.errors import ChampionUnresolved

if TYPE_CHECKING:
    import pyarrow as pa

REFUSED = "refused"
"""Column that says why a row got no prediction."""

UNKNOWN = {"model_run": "", "artifact_sha256": "", "evidence_digest": ""}
"""What is told of a model that the ledger does not know."""


def rows_of_key(
    settings: Settings,
    use_case: str,
    key: Mapping[str, object],
    made: Mapping[tuple[str, int], MadeBy],
) -> list[dict[str, Any]]:
    """Return every refusal of a key that was published, with the columns that its prediction had.

    Its numbers are None and ``refused`` is the reason. Oldest scoring time first, and its
    generations in order. ``made`` are the commits of the use case's predictions. Raises
    ServiceUnavailable when MLflow does not answer.
    """
    table = lake.refused_predictions(settings, use_case)
    if not delta_tables.exists(table):
        return []
    rows = delta_tables.read(table, where=condition(key)).to_pylist()
    found = [told for row in rows for told in _told(settings, use_case, row, made)]
    return sorted(found, key=in_order)


def places(settings: Settings, use_case: str) -> set[tuple[str, str]]:
    """Return window and run key of whatever has refused rows, from the table's log."""
    table = lake.refused_predictions(settings, use_case)
    if not delta_tables.exists(table):
        return set()
    found = (file.partition for file in pinned_files.pinned(table))
    return {(said[WINDOW], said["run_key"]) for said in found}


def rows_of(
    settings: Settings, use_case: str, generation: Generation, columns: Iterable[str]
) -> "pa.Table":
    """Return the rows that a generation refused, in the columns asked for."""
    where = f"{WINDOW} = {literal(generation.window)} and run_key = {literal(generation.run_key)}"
    table = lake.refused_predictions(settings, use_case)
    return delta_tables.read(table, columns=list(columns), where=where)


def _told(
    settings: Settings,
    use_case: str,
    row: Mapping[str, Any],
    made: Mapping[tuple[str, int], MadeBy],
) -> Iterator[dict[str, Any]]:
    """Yield the row for every generation that it belongs to: none where it was never published."""
    window = row[WINDOW]
    for (name, number), published in made.items():
        if name != window or published.run_key != row["run_key"]:
            continue
        by, next_one = maker(made, window, number, row[AS_OF]), made.get((window, number + 1))
        yield {
            **row,
            **_model(settings, use_case, row["model_version"]),
            "prediction": None,
            "raw_prediction": None,
            "rule": None,
            "generation": number,
            "current": next_one is None,
            REASON: next_one.reason if next_one else None,
            REFUSED: row["reason"],
            "feature_digest": by.features if by else "",
            "declaration_digest": by.declaration if by else "",
            "stale_tables": ",".join(by.stale) if by else "",
        }


def _model(settings: Settings, use_case: str, version: str) -> dict[str, str]:
    """Return what a prediction would have said of its model: what the ledger says of the version."""
    try:
        found = champion.once(settings, use_case, version)
    except ChampionUnresolved:
        return UNKNOWN  # which the model's trail then reports
    return {
        "model_run": found.model.run_id,
        "artifact_sha256": found.model.artifact_sha256,
        "evidence_digest": found.promoted.evidence_digest,
    }
