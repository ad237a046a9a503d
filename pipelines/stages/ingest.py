"""Ingest: take landed files into silver exactly once, and set aside what breaks the contract."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.adapters import delta_tables, gx_suites, lake, landing
from pipelines.adapters.failpoints import failpoint
from pipelines.adapters.settings import Settings
from pipelines.adapters.sources import csv as csv_source
from pipelines.adapters.staged_files import StagedFile
from pipelines.domain.contract import (
    Conformed,
    Table,
    as_quarantine,
    conform,
    quarantine_schema,
    silver_schema,
)
from pipelines.domain.lineage import Law, stamp, unrepeated
from pipelines.domain.quality import CheckResult, ExpectationResult, no_failed_rows, split_rows
from pipelines.errors import FileRefused, Problem, QualityRefused
from pipelines.use_case import UseCase

if TYPE_CHECKING:
    import pyarrow as pa

    from pipelines.domain.delivery import Delivery, ParsedFile

SEQUENCE = "ingest"
"""Transaction that numbers a table's ingests, so that two at once cannot miss each other's rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableIngested:
    """What one table took in: files, the law's counts, the table version, and what was refused."""

    table: str
    files: int
    already_taken: int
    law: Law
    reasons: dict[str, int]
    version: int
    refused: tuple[FileRefused, ...] = ()
    flagged: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Places:
    """Where one table's landed files, rows and rules lie."""

    use_case: str
    table: Table
    landing: Path
    seen_index: Path
    silver: Path
    quarantine: Path
    suite: Path

    @classmethod
    def of(cls, use_case: UseCase, table: Table, settings: Settings) -> "_Places":
        suite = settings.expectations.absolute() / use_case.name / f"{table.name}.json"
        return cls(
            use_case=use_case.name,
            table=table,
            landing=settings.landing,
            seen_index=lake.ledger(settings, "landed_files"),
            silver=lake.silver(settings, use_case.name, table.name),
            quarantine=lake.quarantine(settings, use_case.name, table.name),
            suite=suite,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Batch:
    """New deliveries of a table, parsed: candidate rows and rows already set aside."""

    deliveries: Sequence["Delivery"]
    landed: int
    rows: "pa.Table"
    rejected: "pa.Table"
    unparsed: int
    ignored_columns: dict[str, list[str]]


def ingest(
    use_case: UseCase, settings: Settings, *, as_of: datetime, run: str
) -> list[TableIngested]:
    """Take in every file delivered by ``as_of`` that silver does not hold yet, table by table.

    Running it again changes nothing. Files that cannot be read are named in the result and do not
    hold back others; ``refusals`` turns them into the error that ends the task. Raises
    QualityRefused when a critical expectation fails: then nothing of that table is published, and
    the other tables are. Raises CommitLost when another ingest of a table came first.
    """
    results: list[TableIngested] = []
    refused: list[Problem] = []
    for table in use_case.tables:
        try:
            places = _Places.of(use_case, table, settings)
            results.append(_ingest_table(places, as_of=as_of, run=run))
        except QualityRefused as error:
            refused += error.problems
    if refused:
        raise QualityRefused(*refused)
    return results


def refusals(results: Sequence[TableIngested]) -> FileRefused | None:
    """Return one error with every refused file, or None when all were taken."""
    problems = [p for result in results for error in result.refused for p in error.problems]
    return FileRefused(*problems) if problems else None


def describe(results: Sequence[TableIngested]) -> str:
    """Return one line per table, for the log and the terminal."""
    lines = []
    for result in results:
        law = result.law
        line = (
            f"{result.table}: {result.files:,} new files, {law.landed:,} rows landed = "
            f"{law.accepted:,} accepted + {law.repeated:,} repeated + {law.quarantined:,} "
            f"quarantined + {law.unparsed:,} unparsed; version {result.version}"
        )
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in result.reasons.items())
        flagged = f"; flagged: {', '.join(result.flagged)}" if result.flagged else ""
        refused = f"; {len(result.refused)} files refused" if result.refused else ""
        lines.append(line + (f" ({reasons})" if reasons else "") + flagged + refused)
    return "\n".join(lines)


def _ingest_table(places: _Places, *, as_of: datetime, run: str) -> TableIngested:
    import pyarrow as pa

    table = places.table
    found, refused = landing.deliveries(
        places.landing, places.use_case, table.source, places.seen_index
    )
    due = [delivery for delivery in found if delivery.delivered_at <= as_of]
    ingests = delta_tables.transaction(places.silver, SEQUENCE) or 0  # before silver is looked at
    new = _not_taken(places.silver, due)
    batch, unreadable = _parse(table, new)
    with delta_tables.stage(places.silver, silver_schema(table)) as staging:
        rows, repeated = unrepeated(batch.rows, _possible_repeats(places.silver, batch.rows), table)
        staged = staging.write(rows) if rows.num_rows else None
        checked = _check(places, staged)
        split = split_rows(rows, checked.failed_rows)
        if split.quarantined.num_rows:
            staged = staging.write(split.accepted)
        failed = as_quarantine(split.quarantined, table)
        set_aside = pa.concat_tables([batch.rejected, failed]).combine_chunks()
        law = Law(
            landed=batch.landed,
            accepted=split.accepted.num_rows,
            repeated=repeated,
            quarantined=set_aside.num_rows - batch.unparsed,
            unparsed=batch.unparsed,
        )
        metadata = {
            "stage": "ingest",
            "run": run,
            "as_of": as_of.isoformat(),
            "law": law.as_json(),
            "files": len(batch.deliveries),
            "check": checked.as_json(),
            "ignored_columns": batch.ignored_columns,
        }
        transactions = {_application(delivery.sha256): 1 for delivery in batch.deliveries}
        if transactions:
            _set_aside(places, batch.deliveries, set_aside, metadata)
            failpoint("ingest.between_quarantine_and_silver")
            commit = delta_tables.commit_staged(
                places.silver,
                [staged] if staged else [],
                table_schema=silver_schema(table),
                transactions={**transactions, SEQUENCE: ingests + 1},
                metadata=metadata,
            )
            failpoint("ingest.after_silver")
            if not commit.written:  # another run took in the same files: look again
                return _ingest_table(places, as_of=as_of, run=run)
    return TableIngested(
        table=table.name,
        files=len(batch.deliveries),
        already_taken=len(due) - len(new),
        law=law,
        reasons=_reasons(set_aside),
        version=delta_tables.version(places.silver),
        refused=(*refused, *unreadable),
        flagged=tuple(r.rule for r in checked.results if not r.success and r.on_fail == "none"),
    )


def _not_taken(silver: Path, due: Sequence["Delivery"]) -> list["Delivery"]:
    """Return deliveries whose bytes silver has not taken, each content once, first name first."""
    by_content: dict[str, Delivery] = {}
    for delivery in sorted(due, key=lambda d: (d.delivered_at, d.name)):
        by_content.setdefault(delivery.sha256, delivery)
    taken = delta_tables.committed(silver, [_application(sha256) for sha256 in by_content])
    return [d for sha256, d in by_content.items() if _application(sha256) not in taken]


def _parse(table: Table, new: Sequence["Delivery"]) -> tuple[_Batch, list[FileRefused]]:
    import pyarrow as pa

    silver, quarantine = silver_schema(table), quarantine_schema()
    taken: list[Delivery] = []
    refused: list[FileRefused] = []
    landed = unparsed = 0
    ignored: dict[str, list[str]] = {}
    rows, rejected = [silver.empty_table()], [quarantine.empty_table()]
    for delivery in new:
        try:
            landing.preflight(delivery, table.source)
            parsed = csv_source.read(delivery, table)
            landing.refuse_changed(delivery)
            typed = conform(stamp(parsed.rows, delivery), table)
            _refuse_too_many(parsed, typed, delivery, table)
        except FileRefused as error:
            refused.append(error)
            continue
        rows.append(typed.accepted.select(silver.names))
        rejected += [
            as_quarantine(typed.rejected, table),
            stamp(parsed.rejected, delivery).select(quarantine.names),
            stamp(parsed.unparsed, delivery).select(quarantine.names),
        ]
        taken.append(delivery)
        landed += parsed.landed
        unparsed += parsed.unparsed.num_rows
        if parsed.ignored_columns:
            ignored[delivery.name] = list(parsed.ignored_columns)
    batch = _Batch(
        deliveries=taken,
        landed=landed,
        rows=pa.concat_tables(rows).combine_chunks(),
        rejected=pa.concat_tables(rejected).combine_chunks(),
        unparsed=unparsed,
        ignored_columns=ignored,
    )
    return batch, refused


def _refuse_too_many(
    parsed: "ParsedFile", typed: Conformed, delivery: "Delivery", table: Table
) -> None:
    bad = parsed.landed - typed.accepted.num_rows
    if bad > table.maximum_quarantined * parsed.landed:
        share = f"{table.maximum_quarantined:.0%}"
        raise FileRefused(
            Problem(
                where=f"landing/{delivery.name}",
                expected=f"at most {share} of its rows to break the contract",
                found=f"{bad} of {parsed.landed}",
                fix="It is the file that is wrong: mend the source and deliver it under a new name.",
            )
        )


def _possible_repeats(silver: Path, rows: "pa.Table") -> "pa.Table":
    """Return the silver rows known at any of the moments of ``rows``: only they can be repeats."""
    import pyarrow.compute as pc

    if not delta_tables.exists(silver) or not rows.num_rows:
        return rows.slice(0, 0)
    span = pc.min_max(rows["known_at"]).as_py()
    low, high = (f"timestamp '{span[side].isoformat()}'" for side in ("min", "max"))
    return delta_tables.read(silver, where=f"known_at >= {low} and known_at <= {high}")


def _check(places: _Places, staged: StagedFile | None) -> CheckResult:
    if staged is None or not places.suite.exists():
        return CheckResult(
            suite="",
            suite_digest="",
            rows=staged.rows if staged else 0,
            results=(),
            failed_rows=no_failed_rows(),
        )
    suite = gx_suites.load_suite(places.suite, places.table.types)
    result = gx_suites.check(suite, [staged.path])
    if result.verdict != "refuse":
        return result
    raise QualityRefused(
        *(
            Problem(
                where=f"{places.use_case} {places.table.name}, rule {failed.rule}",
                expected="the critical expectation to hold",
                found=f"{failed.unexpected_count} of {failed.rows_evaluated} rows against it"
                f" ({failed.observed})",
                fix=f"Nothing was published. Mend the source, or change {places.suite.name} if the "
                "rule is wrong, and run ingest again.",
            )
            for failed in _refusing(result)
        )
    )


def _refusing(result: CheckResult) -> list[ExpectationResult]:
    return [
        found
        for found in result.results
        if not found.success and found.severity == "critical" and found.on_fail != "quarantine"
    ]


def _set_aside(
    places: _Places,
    deliveries: Sequence["Delivery"],
    rows: "pa.Table",
    metadata: dict[str, object],
) -> None:
    """Put ``rows`` in quarantine in place of what an unfinished run set aside for the same files.

    Written before silver; until silver holds the files, the next run does it again.
    """
    listed = ", ".join(delta_tables.quoted(delivery.sha256) for delivery in deliveries)
    same_files = f"_sha256 in ({listed})"
    if rows.num_rows or _left_behind(places.quarantine, same_files):
        delta_tables.commit_rows(
            places.quarantine, rows, transactions={}, metadata=metadata, replace=same_files
        )


def _left_behind(quarantine: Path, same_files: str) -> bool:
    if not delta_tables.exists(quarantine):
        return False
    return bool(delta_tables.read(quarantine, columns=["_row"], where=same_files).num_rows)


def _reasons(set_aside: "pa.Table") -> dict[str, int]:
    return Counter(reason for row in set_aside["_failed"].to_pylist() for reason in row)


def _application(sha256: str) -> str:
    return f"ingest:{sha256}"
