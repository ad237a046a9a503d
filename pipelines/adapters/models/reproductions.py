"""The reproductions ledger: which registered model was made again, when, and what came of it."""

import json
from dataclasses import asdict
from datetime import UTC
from typing import TYPE_CHECKING, Any

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.settings import Settings
from pipelines.domain.reproduction import Compared, Finding, Reproduced

if TYPE_CHECKING:
    import pyarrow as pa

SEQUENCE = "reproductions"

SAME = ("use_case", "version", "as_of", "threads", "environment")
"""What tells two reproductions apart: one that is repeated takes the place of the first."""


def keep(settings: Settings, found: Reproduced, *, run: str) -> None:
    """Record a reproduction; the same again changes nothing, another answer takes its place."""
    import pyarrow as pa

    row = _row(found)

    def make(number: int) -> delta_tables.Change | None:
        others = _rows(settings) if number else []
        same = [other for other in others if all(other[name] == row[name] for name in SAME)]
        if any({**other, "run": ""} == {**row, "run": ""} for other in same):
            return None
        of_version = [
            other
            for other in others
            if (other["use_case"], other["version"]) == (row["use_case"], row["version"])
            and other not in same
        ]
        told = pa.Table.from_pylist([*of_version, {**row, "run": run}], schema=_schema())
        where = (
            f"use_case = {delta_tables.quoted(found.use_case)} "
            f"and version = {delta_tables.quoted(found.version)}"
        )
        return delta_tables.Change(
            rows=told,
            metadata={"stage": "reproduce", "run": run, "as_of": found.as_of.isoformat()},
            replace=where if number else None,
        )

    delta_tables.commit_next(lake.ledger(settings, "reproductions"), _schema(), SEQUENCE, make)


def of_version(settings: Settings, use_case: str, version: str) -> list[Reproduced]:
    """Return every reproduction of a version that was recorded, oldest first."""
    return [
        _reproduced(row)
        for row in _rows(settings)
        if (row["use_case"], row["version"]) == (use_case, version)
    ]


def _rows(settings: Settings) -> list[dict[str, Any]]:
    table = lake.ledger(settings, "reproductions")
    if not delta_tables.exists(table):
        return []
    rows: list[dict[str, Any]] = delta_tables.read(table).to_pylist()
    return sorted(rows, key=lambda row: (row["as_of"], row["threads"], row["environment"]))


def _row(found: Reproduced) -> dict[str, Any]:
    return {
        "use_case": found.use_case,
        "version": found.version,
        "as_of": found.as_of.astimezone(UTC),
        "outcome": found.outcome,
        "layer": found.layer,
        "reason": found.reason,
        "rows": found.compared.rows,
        "differing": found.compared.differing,
        "largest": found.compared.largest,
        "threads": found.threads,
        "environment": found.environment,
        "findings": json.dumps([asdict(one) for one in found.findings], sort_keys=True),
        "notes": json.dumps(found.notes),
        "run": "",
    }


def _reproduced(row: dict[str, Any]) -> Reproduced:
    return Reproduced(
        use_case=row["use_case"],
        version=row["version"],
        as_of=row["as_of"].astimezone(UTC),
        outcome=row["outcome"],
        layer=row["layer"],
        findings=tuple(Finding(**one) for one in json.loads(row["findings"])),
        compared=Compared(rows=row["rows"], differing=row["differing"], largest=row["largest"]),
        threads=row["threads"],
        environment=row["environment"],
        notes=tuple(json.loads(row["notes"])),
    )


def _schema() -> "pa.Schema":
    import pyarrow as pa

    text, whole = pa.string(), pa.int64()
    return pa.schema(
        [
            ("use_case", text),
            ("version", text),
            ("as_of", pa.timestamp("us", tz="UTC")),
            ("outcome", text),
            ("layer", text),
            ("reason", text),
            ("rows", whole),
            ("differing", whole),
            ("largest", pa.float64()),
            ("threads", whole),
            ("environment", text),
            ("findings", text),
            ("notes", text),
            ("run", text),
        ]
    )
