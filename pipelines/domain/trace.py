"""Trace: everything that one prediction rests on, from the model down to landed rows."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import date, datetime
from math import isfinite
from typing import Any

from pipelines.errors import Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class TracedPrediction:
    """One prediction row: what it says, in which generation of its window, and who wrote it.

    ``raw_prediction`` is the model's own, before business rules ``rule`` (comma-joined, or None).
    ``refused`` says why there is no prediction, and then both numbers are None. ``current`` says
    whether it stands; otherwise ``replaced_because`` tells why it does not.
    """

    window: str
    scored_for: datetime
    as_of: datetime
    event_time: datetime
    prediction: float | None
    raw_prediction: float | None
    rule: str | None
    refused: str | None
    generation: int
    current: bool
    replaced_because: str | None
    run: str
    run_key: str
    model_version: str
    declaration_digest: str
    stale_tables: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherGeneration:
    """The same key and window in another generation."""

    generation: int
    current: bool
    prediction: float | None
    refused: str | None
    model_version: str
    replaced_because: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TracedModel:
    """The model version as its registry and its evidence tell of it.

    ``data_versions`` are the table versions it was trained on, by dotted name; windows are first and
    last local day.
    """

    version: str
    run_id: str
    artifact_sha256: str
    requester: str
    trained_as_of: str
    training_window: tuple[str, ...]
    code_digest: str
    declaration_digest: str
    feature_digest: str
    data_versions: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class GateSeen:
    """One gate's verdict in the frozen evidence."""

    gate: str
    outcome: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionSeen:
    """One entry of the decisions ledger about the model: who did what, as of when, and why."""

    sequence: int
    kind: str
    actor: str
    as_of: datetime
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckSeen:
    """The check of the run that took a file: how many rules held, and which did not.

    ``warned`` are rules that failed and changed nothing, ``set_aside`` those whose rows went to
    quarantine, each with the count of such rows in the whole run.
    """

    run: str
    suite: str
    verdict: str
    passed: int
    warned: Mapping[str, int]
    set_aside: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSeen:
    """A landed file: where and when it was delivered, by which version of silver it was taken.

    ``law`` counts its rows: landed = accepted + repeated + quarantined + unparsed. ``reasons`` tell
    why rows of it lie in quarantine now. ``check`` is None where none is recorded.
    """

    table: str
    name: str
    sha256: str
    delivered_at: datetime | None
    version: int
    run: str
    law: Mapping[str, int]
    reasons: Mapping[str, int]
    check: CheckSeen | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSeen:
    """A landed file that the feature row comes from, and what it gives it.

    Without the file ``changed`` features would be other, or with ``gone`` there would be no row.
    ``rows`` change it each alone; ``tried`` of its ``known`` rows were taken away alone. ``own_row``
    is the number of the entity's own row, in whose file alone it is told.
    """

    file: FileSeen
    changed: tuple[str, ...]
    gone: bool
    rows: tuple[int, ...]
    tried: int
    known: int
    own_row: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureRow:
    """The feature row, and the features in which computing it again says something else.

    One that is not ``stored`` any more, since the block was described anew and the version removed,
    has the features that computing it again gives.
    """

    table: str
    version: int | None
    view: str
    features: Mapping[str, Any]
    differs_in: tuple[str, ...]
    stored: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputSeen:
    """An output that carried predictions of one generation to a consumer.

    ``rows`` of those asked about are in it. Not ``certain`` is a top list whose file is no longer
    there to look at: then ``rows`` may have been on it.
    """

    output: str
    kind: str
    consumer: str
    window: str
    generation: int
    place: str
    delivered_at: datetime | None
    rows: int
    certain: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """One prediction and what it rests on; ``broken`` are links that do not hold.

    ``recorded`` are the versions of silver it was scored from, by table. ``files_tried`` counts the
    landed files that were taken away one by one; None where sources were not asked for.
    """

    use_case: str
    key: Mapping[str, Any]
    prediction: TracedPrediction
    others: tuple[OtherGeneration, ...]
    model: TracedModel | None
    evidence_digest: str
    gates: tuple[GateSeen, ...]
    decisions: tuple[DecisionSeen, ...]
    recorded: Mapping[str, int]
    feature_row: FeatureRow | None
    sources: tuple[SourceSeen, ...]
    files_tried: int | None
    outputs: tuple[OutputSeen, ...]
    broken: tuple[Problem, ...]

    @property
    def approvals(self) -> tuple[DecisionSeen, ...]:
        """The approvals by a person; empty where the gates alone decide."""
        return tuple(decision for decision in self.decisions if decision.kind == "approved")


def as_json(value: object) -> Any:  # noqa: ANN401 - JSON has no narrower type
    """Return a value as JSON-ready data: dates as ISO texts, Arrow tables as lists of rows.

    JSON knows no infinite number and no NaN: they become the texts "inf", "-inf" and "nan".
    """
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name: as_json(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [as_json(item) for item in value]
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, float) and not isfinite(value):
        return str(value)
    return as_json(value.to_pylist()) if hasattr(value, "to_pylist") else value


def key_text(key: Mapping[str, Any]) -> str:
    """Return a key as it is written on the command line.

    >>> key_text({"day": date(2026, 2, 1), "machine": "A00"})
    'day=2026-02-01,machine=A00'
    """
    return ",".join(f"{name}={as_json(value)}" for name, value in key.items())
