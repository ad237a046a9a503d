"""The monitoring ledger: what every test said of every block, one row per model, block and test."""

import json
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.settings import Settings
from pipelines.domain.drift.drift_result import ColumnShift, DriftResult
from pipelines.domain.drift.severity import Alarm
from pipelines.domain.monitored import Judged

if TYPE_CHECKING:
    import pyarrow as pa

SEQUENCE = "monitoring"

KEPT = 2048
"""Answers that a process keeps as they were read: a year of two models, some 30 MB of eleven features."""


def read(settings: Settings, use_case: str, *, model_version: str | None = None) -> list[Judged]:
    """Return all that was judged, of one model version or of all, by block and test."""
    only = None if model_version is None else _of_model(model_version)
    return [_judged(row) for row in _rows(settings, use_case, only)]


def by_model(settings: Settings, use_case: str) -> dict[str, list[Judged]]:
    """Return all that was judged, by model version, each by block and test: one read for all."""
    found: dict[str, list[Judged]] = {}
    for row in _rows(settings, use_case):
        found.setdefault(row["model_version"], []).append(_judged(row))
    return found


def keep(
    settings: Settings,
    use_case: str,
    model_version: str,
    judged: Sequence[Judged],
    *,
    as_of: datetime,
    run: str,
) -> None:
    """Record answers in place of those of the same block and test; what says the same stays.

    Of what is there only the rows of these blocks are read.
    """
    import pyarrow as pa

    asked = _of_blocks(model_version, {one.block for one in judged})

    fresh = [
        {"model_version": model_version, "as_of": as_of, "run": run, **_row(one)} for one in judged
    ]

    def make(number: int) -> delta_tables.Change | None:
        there = _rows(settings, use_case, asked) if number else []
        known = {(row["block"], row["test"]): row for row in there}
        changed = [
            row for row in fresh if _said(known.get((row["block"], row["test"]))) != _said(row)
        ]
        if not changed:
            return None
        blocks = {row["block"] for row in changed}
        told = {key: row for key, row in known.items() if key[0] in blocks}
        told |= {(row["block"], row["test"]): row for row in changed}
        where = _of_blocks(model_version, blocks)
        return delta_tables.Change(
            rows=pa.Table.from_pylist(list(told.values()), schema=_schema()),
            metadata={"stage": "monitor", "run": run, "as_of": as_of.isoformat()},
            replace=where if number else None,
        )

    if fresh:
        delta_tables.commit_next(lake.monitoring(settings, use_case), _schema(), SEQUENCE, make)


def _of_model(model_version: str) -> str:
    return f"model_version = {delta_tables.quoted(model_version)}"


def _of_blocks(model_version: str, blocks: Collection[str]) -> str:
    listed = ", ".join(map(delta_tables.quoted, sorted(blocks)))
    return f"{_of_model(model_version)} and block in ({listed})"


def _rows(settings: Settings, use_case: str, where: str | None = None) -> list[dict[str, Any]]:
    table = lake.monitoring(settings, use_case)
    if not delta_tables.exists(table):
        return []
    rows: list[dict[str, Any]] = delta_tables.read(table, where=where).to_pylist()
    return sorted(rows, key=lambda row: (row["block"], row["test"]))


def _said(row: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return what a row says, without who wrote it and when."""
    if row is None:
        return None
    return {name: value for name, value in row.items() if name not in {"as_of", "run"}}


def _row(judged: Judged) -> dict[str, Any]:
    result, alarm = judged.result, judged.alarm
    columns = list(dict.fromkeys(shift.column for shift in alarm.shifts)) if alarm else []
    plain = {
        "result": result.to_plain(),
        "blamed": [[s.column, s.family] for s in alarm.shifts] if alarm else [],
        "about": list(judged.about),
    }
    return {
        "block": judged.block,
        "test": judged.name,
        "outcome": result.outcome,
        "level": judged.level,
        "p_value": result.p_value,
        "alpha": result.alpha,
        "reason": result.reason,
        "columns": ",".join(columns),
        "since": judged.since,
        "source": judged.source,
        "result": json.dumps(plain, sort_keys=True),
    }


def _judged(row: dict[str, Any]) -> Judged:
    result, blamed, about = _result(row["result"])
    shifts: dict[tuple[str, str], ColumnShift] = {
        (shift.column, shift.family): shift for shift in result.per_column
    }
    alarm = None
    if row["level"] != "none":
        alarm = Alarm(
            level=row["level"],
            test=result.test,
            reason=result.reason,
            shifts=tuple(shifts[column, family] for column, family in blamed),
        )
    return Judged(
        name=row["test"],
        block=row["block"],
        result=result,
        alarm=alarm,
        since=row["since"] and row["since"].astimezone(UTC),
        about=about,
        source=row["source"],
    )


@lru_cache(KEPT)
def _result(text: str) -> tuple[DriftResult, tuple[tuple[str, str], ...], tuple[str, ...]]:
    """Return what a test said, the columns and families it blamed, and what else it is about."""
    plain = json.loads(text)
    blamed = tuple((column, family) for column, family in plain["blamed"])
    return DriftResult.from_plain(plain["result"]), blamed, tuple(plain["about"])


def _schema() -> "pa.Schema":
    import pyarrow as pa

    text, moment = pa.string(), pa.timestamp("us", tz="UTC")
    return pa.schema(
        [
            ("model_version", text),
            ("block", text),
            ("test", text),
            ("outcome", text),
            ("level", text),
            ("p_value", pa.float64()),
            ("alpha", pa.float64()),
            ("reason", text),
            ("columns", text),
            ("since", moment),
            ("source", text),
            ("result", text),
            ("as_of", moment),
            ("run", text),
        ]
    )
