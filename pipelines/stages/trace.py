"""Trace: what one prediction rests on, from the model and its approval down to landed rows."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pipelines.adapters.lineage import delivered_outputs, prediction_records, refused_rows
from pipelines.adapters.lineage.feature_ground import Described, ground
from pipelines.adapters.lineage.model_trail import model_trail
from pipelines.adapters.lineage.prediction_records import REASON, WINDOW, MadeBy
from pipelines.adapters.lineage.recorded_tables import by_table
from pipelines.adapters.lineage.refused_rows import REFUSED
from pipelines.adapters.settings import Settings
from pipelines.domain.asked_key import key_values
from pipelines.domain.features import AS_OF, EVENT_TIME
from pipelines.domain.provenance import Progress
from pipelines.domain.trace import OtherGeneration, Trace, TracedPrediction
from pipelines.errors import NotEnoughData, Problem
from pipelines.use_case import TrainedUseCase, UseCase

if TYPE_CHECKING:
    import pyarrow as pa

MOST_WINDOWS_NAMED = 5
"""Windows that an error names; the rest is counted."""


def trace(
    use_case: UseCase,
    settings: Settings,
    *,
    key: Mapping[str, str] | None,
    scored_for: tuple[datetime, datetime] | None = None,
    generation: int | None = None,
    brief: bool = False,
    progress: Progress = lambda _done, _all: None,
) -> Trace:
    """Return one prediction, or the refusal of one, and what it rests on; nothing is written.

    ``key`` is as it was typed; None takes any one of the newest window. ``scored_for`` limits the
    scoring times to [first, second), the newest of which counts; ``generation`` asks for one that
    may have been replaced. ``brief`` leaves out which landed files the feature row comes from, which
    takes one computation of the whole block per file.

    Raises SettingsError for a key that does not fit the entity's table, NotEnoughData when no such
    prediction was ever made, and LakeError when the decisions ledger does not hold.
    """
    parts = TrainedUseCase.of(use_case)
    values = _any_key(parts, settings) if key is None else key_values(parts.features.entity, key)
    commits = prediction_records.made_by(settings, parts.name)
    rows = [
        *prediction_records.rows_of_key(settings, parts.name, values, commits),
        *refused_rows.rows_of_key(settings, parts.name, values, commits),
    ]
    rows.sort(key=prediction_records.in_order)
    row, others = _chosen(parts, settings, rows, scored_for, generation)
    made = prediction_records.maker(commits, row[WINDOW], row["generation"], row[AS_OF])
    trail = model_trail(settings, parts.name, row)
    described = Described(
        use_case=parts.name,
        view=parts.features,
        label=parts.label,
        digest=row["feature_digest"],
        since=row["scored_for"],
        as_of=row[AS_OF],
        until=parts.scoring.times.after(row["scored_for"]),
        made=made,
    )
    below = ground(settings, described, values, brief=brief, progress=progress)
    return Trace(
        use_case=parts.name,
        key=values,
        prediction=_prediction(row, made),
        others=tuple(_other(other) for other in others),
        model=trail.model,
        evidence_digest=row["evidence_digest"],
        gates=trail.gates,
        decisions=trail.decisions,
        recorded=by_table(parts.name, parts.features.tables, made.tables) if made else {},
        feature_row=below.feature_row,
        sources=below.sources,
        files_tried=below.files_tried,
        outputs=delivered_outputs.carrying(settings, parts.name, _carried(row, values)),
        broken=(*trail.broken, *below.broken),
    )


def _carried(
    row: Mapping[str, Any], key: Mapping[str, object]
) -> "dict[tuple[str, int], pa.Table]":
    """Return what outputs may have carried of a row: nothing of a refused one."""
    import pyarrow as pa

    if row.get(REFUSED):
        return {}
    return {(row[WINDOW], row["generation"]): pa.Table.from_pylist([key])}


def _any_key(parts: TrainedUseCase, settings: Settings) -> dict[str, object]:
    """Return the first key of the newest window. Raises NotEnoughData when nothing was scored."""
    standing = [
        generation
        for generation in prediction_records.generations(settings, parts.name)
        if generation.current
    ]
    if not standing:
        raise _none(parts, "none was ever made", "Score first.")
    key = parts.features.entity.key
    keys = prediction_records.rows_of(settings, parts.name, standing[-1], key)
    found: dict[str, object] = keys.sort_by([(name, "ascending") for name in key]).to_pylist()[0]
    return found


def _chosen(
    parts: TrainedUseCase,
    settings: Settings,
    rows: Sequence[dict[str, Any]],
    scored_for: tuple[datetime, datetime] | None,
    generation: int | None,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the row asked for, and the key's other generations of its window."""
    if not rows:
        windows = prediction_records.generations(settings, parts.name)
        times = list(dict.fromkeys(window.scored_for for window in windows))
        raise _none(
            parts, f"none; {_named(times)}", "Correct the key, or score the window it belongs to."
        )
    times = list(dict.fromkeys(row["scored_for"] for row in rows))
    within = [
        row
        for row in rows
        if scored_for is None or scored_for[0] <= row["scored_for"] < scored_for[1]
    ]
    if not within:
        raise _none(
            parts, f"none for this time; of this key {_named(times)}", "Correct --scored-for."
        )
    window = [row for row in within if row[WINDOW] == within[-1][WINDOW]]
    wanted = [row for row in window if generation in (None, row["generation"])]
    if not wanted:
        numbers = ", ".join(str(row["generation"]) for row in window)
        raise _none(parts, f"generations {numbers} of it", "Correct --generation.")
    row = next((row for row in wanted if row["current"]), wanted[-1])
    return row, [other for other in window if other is not row]


def _prediction(row: Mapping[str, Any], made: MadeBy | None) -> TracedPrediction:
    return TracedPrediction(
        window=row[WINDOW],
        scored_for=row["scored_for"],
        as_of=row[AS_OF],
        event_time=row[EVENT_TIME],
        prediction=row["prediction"],
        raw_prediction=row["raw_prediction"],
        rule=row["rule"],
        refused=row.get(REFUSED),
        generation=row["generation"],
        current=row["current"],
        replaced_because=row[REASON],
        run=made.run if made else "",
        run_key=row["run_key"],
        model_version=row["model_version"],
        declaration_digest=row["declaration_digest"],
        stale_tables=tuple(name for name in row["stale_tables"].split(",") if name),
    )


def _other(row: Mapping[str, Any]) -> OtherGeneration:
    return OtherGeneration(
        generation=row["generation"],
        current=row["current"],
        prediction=row["prediction"],
        refused=row.get(REFUSED),
        model_version=row["model_version"],
        replaced_because=row[REASON],
    )


def _named(times: Sequence[datetime]) -> str:
    if not times:
        return "nothing was scored yet"
    shown = ", ".join(moment.isoformat() for moment in times[-MOST_WINDOWS_NAMED:])
    more = len(times) - MOST_WINDOWS_NAMED
    before = f"{more} earlier ones and " if more > 0 else ""
    return f"there are predictions for {before}{shown}"


def _none(parts: TrainedUseCase, found: str, fix: str) -> NotEnoughData:
    where = f"trace of {parts.name}"
    expected = "a prediction of this key"
    return NotEnoughData(Problem(where=where, expected=expected, found=found, fix=fix))
