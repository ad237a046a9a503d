"""The decisions ledger: who decided what about which model, in order, hash-chained."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.settings import Settings
from pipelines.domain.digest import digest_of
from pipelines.errors import LakeError, Problem

if TYPE_CHECKING:
    import pyarrow as pa

SEQUENCE = "decisions"

Kind = Literal["evaluated", "approved", "rejected", "promoting", "promoted", "undone"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One decision: about which candidate version, by whom, as of when (UTC), and why."""

    use_case: str
    kind: Kind
    version: str
    actor: str
    as_of: datetime
    reason: str
    artifact_sha256: str
    evidence_digest: str


@dataclass(frozen=True, slots=True)
class Recorded:
    """A decision in the ledger with its place in the chain."""

    sequence: int
    decision: Decision
    previous: str
    digest: str


def read_all(settings: Settings, use_case: str | None = None) -> list[Recorded]:
    """Return the decisions in order, of one use case or all.

    Raises LakeError when the chain does not hold: a row was changed, removed or added by hand.
    """
    path = lake.ledger(settings, "decisions")
    if not delta_tables.exists(path):
        return []
    # Asked before the rows are read, so that another's append in between cannot look like a loss.
    appended = delta_tables.transaction(path, SEQUENCE) or 0
    rows = sorted(delta_tables.read(path).to_pylist(), key=lambda row: row["sequence"])
    recorded, previous = [], ""
    for number, row in enumerate(rows, start=1):
        fields = {name: row[name] for name in Decision.__slots__}
        decision = Decision(**{**fields, "as_of": row["as_of"].astimezone(UTC)})
        entry = Recorded(row["sequence"], decision, row["previous"], row["digest"])
        chained = row["previous"] == previous and row["digest"] == _digest(entry)
        if row["sequence"] != number or not chained:
            raise _broken(number, "an entry that was changed, removed or added by hand")
        previous = row["digest"]
        recorded.append(entry)
    if len(rows) < appended:
        raise _broken(appended, f"{len(rows)} of the {appended} entries that were appended")
    return [entry for entry in recorded if use_case in (None, entry.decision.use_case)]


def append(
    settings: Settings, decide: Callable[[list[Recorded]], Decision | None]
) -> Decision | None:
    """Append what ``decide`` answers to the ledger so far; None appends nothing.

    ``decide`` is asked again when another decision came first, so a condition on the ledger
    (not promoted yet) holds at the moment of writing.
    """
    import pyarrow as pa

    written: list[Decision] = []

    def make(number: int) -> delta_tables.Change | None:
        written.clear()
        so_far = read_all(settings)
        decision = decide(so_far)
        if decision is None:
            return None
        # The table gives times back in UTC, and the digest must be the same then.
        decision = replace(decision, as_of=decision.as_of.astimezone(UTC))
        written.append(decision)
        previous = so_far[-1].digest if so_far else ""
        digest = _digest(Recorded(number + 1, decision, previous, ""))
        row = {**asdict(decision), "sequence": number + 1, "previous": previous, "digest": digest}
        rows = pa.Table.from_pylist([row], schema=_schema())
        metadata = {"use_case": decision.use_case, "decision": decision.kind}
        return delta_tables.Change(rows=rows, metadata=metadata)

    delta_tables.commit_next(lake.ledger(settings, "decisions"), _schema(), SEQUENCE, make)
    return written[0] if written else None


def evaluation(settings: Settings, use_case: str, version: str) -> Decision | None:
    """Return the last decision about what the gates said of a version; None when it was not judged."""
    found = [
        entry.decision
        for entry in read_all(settings, use_case)
        if entry.decision.kind == "evaluated" and entry.decision.version == version
    ]
    return found[-1] if found else None


def _digest(entry: Recorded) -> str:
    return digest_of([entry.sequence, entry.previous, entry.decision])


def _broken(entry: int, found: str) -> LakeError:
    return LakeError(
        Problem(
            where=f"decisions ledger, entry {entry}",
            expected="an unbroken chain of digests",
            found=found,
            fix="Restore the table from a backup; nothing is promoted or scored until then.",
        )
    )


def _schema() -> "pa.Schema":
    import pyarrow as pa

    return pa.schema(
        [
            ("sequence", pa.int64()),
            ("use_case", pa.string()),
            ("kind", pa.string()),
            ("version", pa.string()),
            ("actor", pa.string()),
            ("as_of", pa.timestamp("us", tz="UTC")),
            ("reason", pa.string()),
            ("artifact_sha256", pa.string()),
            ("evidence_digest", pa.string()),
            ("previous", pa.string()),
            ("digest", pa.string()),
        ]
    )
