"""Quality record: what one check of one table found, as it is kept and as rows of a ledger."""

import dataclasses
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pipelines.domain.digest import digest_of
from pipelines.domain.quality import CheckResult, ExpectationResult, Publication

if TYPE_CHECKING:
    import pyarrow as pa

CONTRACT = "contract:"
"""Prefix of the rules that count what the contract rejected before the suite saw a row."""

FORMAT = 1
"""Of a kept record; raised when its keys change their meaning."""

MOST_REASONS = 100
"""Reasons of the contract that a record tells apart: those against unknown keys quote the file."""

LONGEST_NAME = 120
"""Characters of a file name that are a run's; more are cut off, and a digest tells them apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityRecord:
    """What one check of the rows that a run took in found.

    ``content`` is the digest of the files whose rows were checked. ``table_version`` is the version
    that published them; None where nothing was published. ``landed`` counts the rows of the files,
    ``rows`` those that the suite judged: repeats and what the contract rejected are not among them.
    ``contract`` counts rejections by reason. ``kwargs`` holds each rule's keywords in the suite.
    """

    use_case: str
    table: str
    run: str
    as_of: datetime
    content: str
    table_version: int | None = None
    suite: str
    suite_digest: str
    verdict: Publication
    landed: int
    rows: int
    rows_set_aside: int
    results: tuple[ExpectationResult, ...]
    kwargs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    contract: Mapping[str, int] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Digest that names this check: a retry that checks the same rows alike has the same."""
        who = [self.use_case, self.table, self.run]
        return digest_of([*who, self.suite_digest, self.content])

    @property
    def failed(self) -> list[ExpectationResult]:
        """The rules that did not hold."""
        return [result for result in self.results if not result.success]


def record_of(
    checked: CheckResult,
    *,
    use_case: str,
    table: str,
    run: str,
    as_of: datetime,
    files: list[str],
    landed: int,
    kwargs: Mapping[str, Mapping[str, Any]],
    contract: Mapping[str, int],
) -> QualityRecord:
    """Return the record of a check of the files with these hashes."""
    return QualityRecord(
        use_case=use_case,
        table=table,
        run=run,
        as_of=as_of,
        content=content_of(files),
        suite=checked.suite,
        suite_digest=checked.suite_digest,
        verdict=checked.verdict,
        landed=landed,
        rows=checked.rows,
        rows_set_aside=int(checked.failed_rows.num_rows),
        results=checked.results,
        kwargs=dict(kwargs),
        contract=_bounded(contract),
    )


def content_of(files: list[str]) -> str:
    """Return the digest of the files with these hashes, in whatever order they came."""
    return digest_of(sorted(files))


def file_name(run: str) -> str:
    """Return a file name for a run, without its ending.

    >>> file_name("manual__2026-03-01T12:00:00+00:00")
    'manual__2026-03-01T12:00:00+00:00'
    >>> file_name("../x")
    '_._x__db8f7bad'
    """
    safe = re.sub(r"^\.|[^A-Za-z0-9_.:+=@-]", "_", run)[:LONGEST_NAME]
    return safe if safe == run else f"{safe}__{digest_of(run)[:8]}"


def record_as_json(record: QualityRecord) -> dict[str, Any]:
    """Return a record as JSON-ready data."""
    found = {item.name: getattr(record, item.name) for item in dataclasses.fields(record)}
    rules = [
        {**dataclasses.asdict(result), "kwargs": record.kwargs.get(result.rule, {})}
        for result in record.results
    ]
    for name in ("results", "kwargs"):
        found.pop(name)
    return {"format": FORMAT, **found, "as_of": record.as_of.isoformat(), "rules": rules}


def record_from_json(found: Mapping[str, Any]) -> QualityRecord:
    """Return the record that ``record_as_json`` gave. Raises KeyError, TypeError or ValueError."""
    if found["format"] != FORMAT:
        raise ValueError(f"format {found['format']}")
    kept = {name: value for name, value in found.items() if name not in ("format", "rules")}
    rules = [dict(rule) for rule in found["rules"]]
    kwargs = {rule["rule"]: rule.pop("kwargs") for rule in rules}
    return QualityRecord(
        **{**kept, "as_of": datetime.fromisoformat(found["as_of"])},
        results=tuple(
            ExpectationResult(**{**rule, "columns": tuple(rule["columns"])}) for rule in rules
        ),
        kwargs=kwargs,
    )


def ledger_schema() -> "pa.Schema":
    """Return the schema of ``ledger/quality``."""
    import pyarrow as pa

    return pa.schema(
        [
            ("use_case", pa.string()),
            ("table", pa.string()),
            ("run", pa.string()),
            ("as_of", pa.timestamp("us", tz="UTC")),
            ("table_version", pa.int64()),
            ("suite", pa.string()),
            ("suite_digest", pa.string()),
            ("rule", pa.string()),
            ("expectation_type", pa.string()),
            ("columns", pa.list_(pa.string())),
            ("severity", pa.string()),
            ("on_fail", pa.string()),
            ("success", pa.bool_()),
            ("rows_evaluated", pa.int64()),
            ("unexpected_count", pa.int64()),
            ("observed", pa.string()),
            ("verdict", pa.string()),
        ]
    )


def ledger_rows(record: QualityRecord) -> list[dict[str, Any]]:
    """Return one row per rule, then one per reason for which the contract rejected rows."""
    check = {
        "use_case": record.use_case,
        "table": record.table,
        "run": record.run,
        "as_of": record.as_of,
        "table_version": record.table_version,
        "suite": record.suite,
        "suite_digest": record.suite_digest,
        "verdict": record.verdict,
    }
    rules = [{**check, **dataclasses.asdict(result)} for result in record.results]
    return rules + [
        {
            **check,
            "rule": rule,
            "expectation_type": "contract",
            "columns": _contract_columns(rule),
            "severity": "critical",
            "on_fail": "quarantine",
            "success": False,
            "rows_evaluated": record.landed,
            "unexpected_count": count,
            "observed": f"{count:,} of {record.landed:,} rows set aside",
        }
        for rule, count in record.contract.items()
    ]


def _bounded(contract: Mapping[str, int]) -> dict[str, int]:
    """Return the most frequent reasons as rules, and all others as one."""
    found = Counter(contract).most_common()
    rules = {
        reason if reason.startswith(CONTRACT) else CONTRACT + reason: count
        for reason, count in found[:MOST_REASONS]
    }
    others = sum(count for _, count in found[MOST_REASONS:])
    return {**rules, f"{CONTRACT}other": others} if others else rules


def _contract_columns(rule: str) -> list[str]:
    """Return the column of ``contract:type:<column>:<type>`` and ``contract:not_null:<column>``."""
    parts = rule.split(":")
    return parts[2:3] if parts[1] in ("type", "not_null") else []
