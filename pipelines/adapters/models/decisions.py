"""The decisions ledger: who decided what about which model, in order, hash-chained."""

from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.settings import Settings
from pipelines.domain.decision import Anchor, Break, Decision, Kind, Recorded, chained, first_break
from pipelines.errors import LakeError, Problem

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "Decision",
    "Kind",
    "Recorded",
    "append",
    "artifact",
    "broken",
    "evaluation",
    "newest",
    "read_all",
]

SEQUENCE = "decisions"


def read_all(
    settings: Settings, use_case: str | None = None, *, until: datetime | None = None
) -> list[Recorded]:
    """Return the decisions in order, of one use case or all; those of ``until`` (UTC) and before.

    Raises LakeError when the chain does not hold: a row was changed, removed or added by hand, the
    last also where its digest is right.
    """
    entries, appended = _as_it_is(settings)
    if (found := first_break(entries, appended=appended)) is not None:
        raise broken(found)
    if len(entries) > appended:
        _refuse_others(settings, len(entries))
    return [
        entry
        for entry in entries
        if use_case in (None, entry.decision.use_case)
        and (until is None or entry.decision.as_of <= until)
    ]


def newest(entries: list[Recorded]) -> Anchor:
    """Return the place and digest of the last of all entries; raises IndexError for none."""
    return Anchor(entries[-1].sequence, entries[-1].digest)


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
        entry = chained(number + 1, decision, previous)
        row = {
            **asdict(decision),
            "sequence": entry.sequence,
            "previous": previous,
            "digest": entry.digest,
        }
        rows = pa.Table.from_pylist([row], schema=_schema())
        metadata = {"use_case": decision.use_case, "decision": decision.kind}
        return delta_tables.Change(rows=rows, metadata=metadata)

    delta_tables.commit_next(lake.ledger(settings, "decisions"), _schema(), SEQUENCE, make)
    return written[0] if written else None


def artifact(settings: Settings, use_case: str, version: str) -> str:
    """Return the digest of a version's files as it was first written down; empty before that."""
    found = (
        entry.decision.artifact_sha256
        for entry in read_all(settings, use_case)
        if entry.decision.version == version and entry.decision.artifact_sha256
    )
    return next(found, "")


def evaluation(settings: Settings, use_case: str, version: str) -> Decision | None:
    """Return the last decision about what the gates said of a version; None when it was not judged."""
    found = [
        entry.decision
        for entry in read_all(settings, use_case)
        if entry.decision.kind == "evaluated" and entry.decision.version == version
    ]
    return found[-1] if found else None


def broken(found: Break) -> LakeError:
    """Return the error of a chain that does not hold."""
    return LakeError(
        Problem(
            where=f"decisions ledger, entry {found.sequence}",
            expected="an unbroken chain of digests",
            found=found.found,
            fix="Restore the table from a backup; nothing is promoted or scored until then.",
        )
    )


def _as_it_is(settings: Settings) -> tuple[list[Recorded], int]:
    """Return the entries in order, unverified, and how many the table says were appended."""
    path = lake.ledger(settings, "decisions")
    if not delta_tables.exists(path):
        return [], 0
    # Asked before the rows are read, so that another's append in between cannot look like a loss.
    appended = delta_tables.transaction(path, SEQUENCE) or 0
    rows = sorted(delta_tables.read(path).to_pylist(), key=lambda row: row["sequence"])
    return [_entry(row) for row in rows], appended


def _refuse_others(settings: Settings, entries: int) -> None:
    """Raise LakeError where the table counts fewer appends than there are entries.

    Asked after they were read: what another appended in between is counted by now.
    """
    appended = delta_tables.transaction(lake.ledger(settings, "decisions"), SEQUENCE) or 0
    if entries > appended:
        found = f"{entries} entries, of which {appended} were appended by the platform"
        raise broken(Break(appended + 1, found))


def _entry(row: dict[str, Any]) -> Recorded:
    fields = {name: row[name] for name in Decision.__slots__}
    decision = Decision(**{**fields, "as_of": row["as_of"].astimezone(UTC)})
    return Recorded(row["sequence"], decision, row["previous"], row["digest"])


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
