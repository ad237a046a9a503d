"""Replayed ledger: the digests of what a throw-away home's ledgers say, whatever its runs were called."""

from typing import TYPE_CHECKING

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.models import decisions, retraining_ledger
from pipelines.adapters.settings import Settings
from pipelines.domain.digest import digest_of
from pipelines.domain.features import rows_digest

if TYPE_CHECKING:
    from pipelines.adapters.stores.object_store import Folder

NOT_CANONICAL = frozenset(
    {"run", "model_run", "artifact_sha256", "evidence_digest", "source", "run_key"}
)
"""Columns that name a run, or hold a digest of files that name one or of measured seconds."""


def ledger_digests(settings: Settings, use_case: str) -> dict[str, str]:
    """Return the digest of each ledger by its name; equal content gives equal digests, in any order.

    Predictions, their performance, final labels, what the drift tests said, decisions and retraining.
    Decisions tell an evaluation without its text, in which a gate may tell the seconds it measured.
    """
    tables = {
        "predictions": lake.predictions(settings, use_case),
        "performance": lake.performance(settings, use_case),
        "monitoring": lake.monitoring(settings, use_case),
        "labels": lake.labels(settings, use_case),
    }
    decided = [entry.decision for entry in decisions.read_all(settings, use_case)]
    return {
        **{name: _digest(folder) for name, folder in tables.items()},
        "decisions": digest_of(
            [
                [one.kind, one.version, one.actor, one.as_of]
                + ([] if one.kind == "evaluated" else [one.reason])
                for one in decided
            ]
        ),
        "retraining": digest_of(
            [
                [one.kind, one.at, one.cause, one.why, one.reason, one.champion, one.block, one.version]
                for one in retraining_ledger.read(settings, use_case)
            ]
        ),
    }  # fmt: skip


def _digest(folder: "Folder") -> str:
    """Return the digest of a table's rows, sorted by all columns that count; "" for no table."""
    if not delta_tables.exists(folder):
        return ""
    columns = [name for name in delta_tables.schema(folder).names if name not in NOT_CANONICAL]
    rows = delta_tables.read(folder, columns=columns)
    return rows_digest(rows.sort_by([(name, "ascending") for name in columns]))
