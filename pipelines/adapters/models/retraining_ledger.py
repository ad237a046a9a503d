"""The retraining ledger: each training that was asked for, held back or begun, and its model."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.settings import Settings
from pipelines.domain.retrain_attempts import Entry
from pipelines.domain.training import Asked

if TYPE_CHECKING:
    import pyarrow as pa

SEQUENCE = "retraining"


def read(settings: Settings, use_case: str) -> list[Entry]:
    """Return all that happened to a use case, in order."""
    return [entry for entry in _all(settings) if entry.use_case == use_case]


def append(
    settings: Settings, use_case: str, decide: Callable[[Sequence[Entry]], Entry | None]
) -> Entry | None:
    """Append what ``decide`` answers to the use case's entries so far, and return it as written.

    None appends nothing. ``decide`` is asked again when another wrote first, so that what it saw
    still holds when its entry is written.
    """
    import pyarrow as pa

    written: list[Entry] = []

    def make(number: int) -> delta_tables.Change | None:
        written.clear()
        so_far = _all(settings) if number else []
        entry = decide([one for one in so_far if one.use_case == use_case])
        if entry is None:
            return None
        entry = replace(entry, sequence=number + 1, at=entry.at.astimezone(UTC))
        written.append(entry)
        return delta_tables.Change(
            rows=pa.Table.from_pylist([asdict(entry)], schema=_schema()),
            metadata={"use_case": use_case, "retraining": entry.kind},
        )

    delta_tables.commit_next(lake.ledger(settings, "retraining"), _schema(), SEQUENCE, make)
    return written[0] if written else None


def trained(
    settings: Settings, use_case: str, *, run: str, version: str, asked: Asked, as_of: datetime
) -> None:
    """Record which version came of a run; once, however often the run comes to it."""
    told = Entry(
        use_case=use_case,
        kind="trained",
        at=as_of,
        cause=asked.cause,
        reason=asked.reason,
        run=run,
        version=version,
    )

    def decide(so_far: Sequence[Entry]) -> Entry | None:
        known = {(one.kind, one.run, one.version) for one in so_far}
        return None if ("trained", run, version) in known else told

    append(settings, use_case, decide)


def failed(
    settings: Settings, use_case: str, *, run: str, reason: str, as_of: datetime, why: str = ""
) -> None:
    """Record that a begun run came to no model in this try; the same reason once, for any other nothing.

    ``why`` names what refused it before anything was learned, if that is why.
    """

    def decide(so_far: Sequence[Entry]) -> Entry | None:
        mine = [one for one in so_far if one.run == run]
        if "begun" not in {one.kind for one in mine}:
            return None
        if mine[-1].kind == "trained" or mine[-1].reason == reason:
            return None
        cause = mine[0].cause
        return Entry(
            use_case=use_case, kind="failed", at=as_of, cause=cause, why=why, reason=reason, run=run
        )

    append(settings, use_case, decide)


def has_trained(settings: Settings, use_case: str, run: str) -> bool:
    """Tell whether a model came of a run."""
    entries = read(settings, use_case)
    return any((one.kind, one.run) == ("trained", run) for one in entries)


def _all(settings: Settings) -> list[Entry]:
    table = lake.ledger(settings, "retraining")
    if not delta_tables.exists(table):
        return []
    rows = sorted(delta_tables.read(table).to_pylist(), key=lambda row: row["sequence"])
    return [_entry(row) for row in rows]


def _entry(row: dict[str, Any]) -> Entry:
    return Entry(**{**row, "at": row["at"].astimezone(UTC)})


def _schema() -> "pa.Schema":
    import pyarrow as pa

    return pa.schema(
        [
            ("sequence", pa.int64()),
            ("use_case", pa.string()),
            ("kind", pa.string()),
            ("at", pa.timestamp("us", tz="UTC")),
            ("cause", pa.string()),
            ("why", pa.string()),
            ("reason", pa.string()),
            ("champion", pa.string()),
            ("block", pa.string()),
            ("since", pa.string()),
            ("decision", pa.int64()),
            ("run", pa.string()),
            ("version", pa.string()),
        ]
    )
