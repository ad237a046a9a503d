"""Trace text: files, sources and models of a trace or an impact, in words for people."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from pipelines.domain.impact import AffectedModel
from pipelines.domain.trace import FileSeen, OtherGeneration, SourceSeen, TracedPrediction

SHORT = 12
"""Hex digits of a digest that people are shown."""

MOST_FEATURES_NAMED = 6

NOT_STORED = "computed again: it was described anew since, and the version that was scored removed"
"""Said of a feature row that the store has no more."""


def shown(moment: datetime | None) -> str:
    """Return a moment to the second, in UTC."""
    return f"{moment:%Y-%m-%d %H:%M:%S}Z" if moment else "not recorded"


def said(prediction: TracedPrediction | OtherGeneration) -> str:
    """Return a prediction as a number, or why there is none."""
    if prediction.prediction is None:
        return f"refused: {prediction.refused}"
    return f"{prediction.prediction:.6g}"


def file_lines(file: FileSeen) -> list[str]:
    """Return what is to be said of a landed file: delivery, rows, and the verdicts on the way."""
    law = file.law
    lines = [
        f"delivered {shown(file.delivered_at)}; sha256 {file.sha256[:SHORT]}; silver version "
        f"{file.version} (run {file.run})",
        f"{law['landed']:,} rows landed = {law['accepted']:,} accepted + {law['repeated']:,} repeated"
        f" + {law['quarantined']:,} quarantined + {law['unparsed']:,} unparsed",
    ]
    if file.reasons:
        lines.append(f"in quarantine now: {_counts(file.reasons)}")
    check = file.check
    if check is None:
        return [*lines, "no check of its ingest is recorded"]
    verdicts = f"its ingest was checked: {check.passed:,} rules held"
    verdicts += f"; warned: {_counts(check.warned)}" if check.warned else ""
    verdicts += f"; set aside: {_counts(check.set_aside)}" if check.set_aside else ""
    return [*lines, verdicts]


def source_line(source: SourceSeen) -> str:
    """Return what a source gives the feature row, in one line."""
    if source.own_row is not None:
        told = f"row {source.own_row} is the entity's own"
    elif source.rows:
        plural = "s" if len(source.rows) > 1 else ""
        told = f"row{plural} {', '.join(map(str, source.rows))}"
        if source.tried < source.known:
            told += f" ({source.tried:,} of its {source.known:,} rows were tried alone)"
    else:
        told = f"{source.known:,} rows together"
    if source.gone:
        return f"{told}; without the file there is no row"
    names = ", ".join(source.changed[:MOST_FEATURES_NAMED])
    more = len(source.changed) - MOST_FEATURES_NAMED
    names += f" and {more} more" if more > 0 else ""
    return f"{told}; without the file other: {names}" if names else told


def difference(changed: Sequence[str] | None, *, gone: bool | None) -> str:
    """Return how a prediction's feature row would differ; nothing where that was not asked."""
    return "would not have been made" if gone else ", ".join(changed or ())


def model_line(model: AffectedModel) -> str:
    """Return how a model's rows would differ, in one line."""
    if not model.exact:
        return (
            f"model {model.version}: perhaps; its recorded tables hold the rows, and its feature "
            "view is not declared any more"
        )
    return (
        f"model {model.version}: of {model.rows:,} training rows {model.features:,} with other "
        f"features, {model.labels:,} with another label, {model.lost:,} lost, {model.added:,} added;"
        f" {model.held_out:,} held-out rows"
    )


def _counts(found: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in found.items())
