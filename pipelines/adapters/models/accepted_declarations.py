"""Accepted declarations: the text of every declaration that a person stood for, by its digest."""

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.models import decisions
from pipelines.adapters.models.decisions import Decision
from pipelines.adapters.settings import Settings
from pipelines.domain.consent import Consent, consents
from pipelines.domain.decision import Recorded
from pipelines.domain.declaration_changes import Change, declaration_changes
from pipelines.domain.digest import digest_of
from pipelines.errors import LakeError, Problem

if TYPE_CHECKING:
    import pyarrow as pa

SEQUENCE = "declarations"


def keep(settings: Settings, use_case: str, declared: Mapping[str, Any]) -> None:
    """Keep a declaration's canonical form, once."""
    import pyarrow as pa

    digest = digest_of(declared)

    def make(number: int) -> delta_tables.Change | None:
        if number and digest in _kept(settings):
            return None
        text = json.dumps(declared, sort_keys=True, separators=(",", ":"))
        row = {"use_case": use_case, "digest": digest, "declared": text}
        return delta_tables.Change(
            rows=pa.Table.from_pylist([row], schema=_schema()), metadata={"use_case": use_case}
        )

    delta_tables.commit_next(lake.ledger(settings, "declarations"), _schema(), SEQUENCE, make)


def _last_accepted(
    settings: Settings, use_case: str, entries: Iterable[Recorded]
) -> Mapping[str, Any] | None:
    """Return the declaration that was accepted last; None when none was.

    None too where it was accepted before such texts were kept. Raises LakeError when the text is
    not the one that was accepted.
    """
    accepted = _last(entries)
    text = _kept(settings).get(accepted.evidence_digest) if accepted is not None else None
    if accepted is None or text is None:
        return None
    declared: Mapping[str, Any] = json.loads(text)
    if digest_of(declared) != accepted.evidence_digest:
        raise LakeError(
            Problem(
                where=f"declaration of {use_case} that {accepted.actor} accepted",
                expected=f"one with digest {accepted.evidence_digest[:12]}",
                found=f"one with digest {digest_of(declared)[:12]}: it was changed by hand",
                fix="Restore the table ledger.declarations from a backup.",
            )
        )
    return declared


def compared(
    settings: Settings, use_case: str, declared: Mapping[str, Any]
) -> tuple[tuple[Change, ...], tuple[Consent, ...]]:
    """Return how a declaration differs from the one accepted last, and the consents that needs.

    Nothing differs where none was accepted, or its text was not kept. Raises LakeError when the
    text is not the one that was accepted.
    """
    entries = decisions.read_all(settings, use_case)
    before = _last_accepted(settings, use_case, entries)
    if before is None:
        return (), ()
    changes = declaration_changes(before, declared)
    given = {
        entry.decision.evidence_digest for entry in entries if entry.decision.kind == "consented"
    }
    needed = consents(
        changes, declaration=digest_of(declared), owner=str(before["owner"]), given=given
    )
    return changes, needed


def _last(entries: Iterable[Recorded]) -> Decision | None:
    found = [entry.decision for entry in entries if entry.decision.kind == "accepted"]
    return found[-1] if found else None


def _kept(settings: Settings) -> dict[str, str]:
    table = lake.ledger(settings, "declarations")
    if not delta_tables.exists(table):
        return {}
    return {row["digest"]: row["declared"] for row in delta_tables.read(table).to_pylist()}


def _schema() -> "pa.Schema":
    import pyarrow as pa

    return pa.schema([(name, pa.string()) for name in ("use_case", "digest", "declared")])
