"""Ingest: take landed files into silver exactly once, and set aside what breaks the contract."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from pipelines.adapters import delta_tables, gx_suites, lake, landing
from pipelines.adapters.failpoints import failpoint
from pipelines.adapters.settings import Settings
from pipelines.adapters.sources import csv as csv_source
from pipelines.domain.contract import STAMPS, Table, conform, quarantine_schema, silver_schema
from pipelines.domain.lineage import Law, stamp, unrepeated
from pipelines.domain.quality import CheckResult, ExpectationResult, no_failed_rows, split_rows
from pipelines.errors import FileRefused, Problem, QualityRefused
from pipelines.use_case import UseCase

if TYPE_CHECKING:
    import pyarrow as pa

    from pipelines.domain.delivery import Delivery


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
class _Batch:
    """New deliveries of a table, parsed: candidate rows and rows already set aside."""

    deliveries: Sequence["Delivery"]
    landed: int
    rows: "pa.Table"
    rejected: "pa.Table"
    unparsed: int
    ignored_columns: dict[str, list[str]] = field(default_factory=dict)


def ingest(
    use_case: UseCase, settings: Settings, *, as_of: datetime, run: str
) -> list[TableIngested]:
    """Take in every file delivered by ``as_of`` that silver does not hold yet, table by table.

    Running it again changes nothing. Files that cannot be read are named in the result and do not
    hold back others; ``refusals`` turns them into the error that ends the task. Raises
    QualityRefused when a critical expectation fails: then nothing of that table is published.
    """
    return [
        _ingest_table(use_case, table, settings, as_of=as_of, run=run) for table in use_case.tables
    ]


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


def _ingest_table(
    use_case: UseCase, table: Table, settings: Settings, *, as_of: datetime, run: str
) -> TableIngested:
    silver = lake.silver(settings, use_case.name, table.name)
    found, refused = landing.deliveries(
        settings.landing, use_case.name, table.source, lake.ledger(settings, "landed_files")
    )
    due = [delivery for delivery in found if delivery.delivered_at <= as_of]
    new = _not_taken(silver, due)
    batch, unreadable = _parse(table, new)
    with delta_tables.stage(silver, silver_schema(table)) as staging:
        rows, repeated = unrepeated(batch.rows, _possible_repeats(silver, batch.rows), table)
        staged = staging.write(rows)
        checked = _check(use_case, table, settings, staged)
        split = split_rows(rows, checked.failed_rows)
        if split.quarantined.num_rows:
            staged = staging.write(split.accepted)
        set_aside = _quarantined(batch.rejected, split.quarantined, table)
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
        version = _publish(use_case, table, settings, batch, [staged], set_aside, metadata)
    flagged = tuple(r.rule for r in checked.results if not r.success and r.on_fail == "none")
    return TableIngested(
        table=table.name,
        files=len(batch.deliveries),
        already_taken=len(due) - len(new),
        law=law,
        reasons=_reasons(set_aside),
        version=version,
        refused=(*refused, *unreadable),
        flagged=flagged,
    )


def _not_taken(silver: "delta_tables.Path", due: Sequence["Delivery"]) -> list["Delivery"]:
    """Return deliveries whose bytes silver has not taken, each content once, first name first."""
    by_content: dict[str, Delivery] = {}
    for delivery in sorted(due, key=lambda d: (d.delivered_at, d.name)):
        by_content.setdefault(delivery.sha256, delivery)
    taken = delta_tables.committed(silver, [_application(sha256) for sha256 in by_content])
    return [d for sha256, d in by_content.items() if _application(sha256) not in taken]


def _parse(table: Table, new: Sequence["Delivery"]) -> tuple[_Batch, list[FileRefused]]:
    import pyarrow as pa

    taken, refused, landed, unparsed = [], [], 0, 0
    ignored: dict[str, list[str]] = {}
    rows = [silver_schema(table).empty_table()]
    rejected = [quarantine_schema().empty_table()]
    for delivery in new:
        try:
            landing.preflight(delivery, table.source)
            parsed = csv_source.read(delivery, table)
        except FileRefused as error:
            refused.append(error)
            continue
        typed = conform(stamp(parsed.rows, delivery), table)
        rows.append(typed.accepted.select(silver_schema(table).names))
        rejected += [
            _as_quarantine(typed.rejected, table),
            stamp(parsed.rejected, delivery).select(quarantine_schema().names),
            stamp(parsed.unparsed, delivery).select(quarantine_schema().names),
        ]
        taken.append(delivery)
        landed, unparsed = landed + parsed.landed, unparsed + parsed.unparsed.num_rows
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


def _possible_repeats(silver: "delta_tables.Path", rows: "pa.Table") -> "pa.Table":
    """Return the silver rows known at any of the moments of ``rows``: only they can be repeats."""
    import pyarrow.compute as pc

    if not delta_tables.exists(silver) or not rows.num_rows:
        return rows.slice(0, 0)
    span = pc.min_max(rows["known_at"]).as_py()
    low, high = (f"timestamp '{span[side].isoformat()}'" for side in ("min", "max"))
    return delta_tables.read(silver, where=f"known_at >= {low} and known_at <= {high}")


def _check(
    use_case: UseCase, table: Table, settings: Settings, staged: delta_tables.StagedFile
) -> CheckResult:
    path = settings.expectations.absolute() / use_case.name / f"{table.name}.json"
    if not path.exists() or not staged.rows:
        return CheckResult(
            suite="", suite_digest="", rows=staged.rows, results=(), failed_rows=no_failed_rows()
        )
    suite = gx_suites.load_suite(path, table.types)
    result = gx_suites.check(suite, [staged.path])
    if result.verdict == "refuse":
        raise QualityRefused(
            *(
                Problem(
                    where=f"{use_case.name} {table.name}, rule {failed.rule}",
                    expected="the critical expectation to hold",
                    found=f"{failed.unexpected_count} of {failed.rows_evaluated} rows against it"
                    f" ({failed.observed})",
                    fix=f"Nothing was published. Mend the source, or change {path.name} if the "
                    "rule is wrong, and run ingest again.",
                )
                for failed in _refusing(result)
            )
        )
    return result


def _refusing(result: CheckResult) -> list[ExpectationResult]:
    return [
        found
        for found in result.results
        if not found.success and found.severity == "critical" and found.on_fail != "quarantine"
    ]


def _publish(
    use_case: UseCase,
    table: Table,
    settings: Settings,
    batch: _Batch,
    staged: Sequence[delta_tables.StagedFile],
    set_aside: "pa.Table",
    metadata: dict[str, object],
) -> int:
    """Commit quarantine, then silver; a crash between the two is made good by the next run."""
    silver = lake.silver(settings, use_case.name, table.name)
    if not batch.deliveries:
        return delta_tables.version(silver)
    shas = [delivery.sha256 for delivery in batch.deliveries]
    if set_aside.num_rows:
        # Replaces what an unfinished run set aside for the same files; its count came to nothing.
        quarantine = lake.quarantine(settings, use_case.name, table.name)
        listed = ", ".join(delta_tables.quoted(sha) for sha in shas)
        delta_tables.commit_rows(
            quarantine, set_aside, transactions={}, metadata=metadata,
            replace=f"_sha256 in ({listed})",
        )  # fmt: skip
    failpoint("ingest.between_quarantine_and_silver")
    commit = delta_tables.commit_staged(
        silver,
        staged,
        table_schema=silver_schema(table),
        transactions={_application(sha): 1 for sha in shas},
        metadata=metadata,
    )
    failpoint("ingest.after_silver")
    return commit.version


def _quarantined(rejected: "pa.Table", failed: "pa.Table", table: Table) -> "pa.Table":
    import pyarrow as pa

    return pa.concat_tables([rejected, _as_quarantine(failed, table)]).combine_chunks()


def _as_quarantine(rows: "pa.Table", table: Table) -> "pa.Table":
    """Turn typed rows with ``_failed`` into quarantine rows; the payload is the typed row."""
    import json

    import pyarrow as pa

    contract = rows.select(list(table.column_names)).to_pylist()
    payload = pa.array([json.dumps(row, default=str) for row in contract], pa.string())
    kept = rows.select([*STAMPS, "_failed"]).append_column("_payload", payload)
    return kept.select(quarantine_schema().names).cast(quarantine_schema())


def _reasons(set_aside: "pa.Table") -> dict[str, int]:
    reasons: dict[str, int] = {}
    for row in set_aside["_failed"].to_pylist():
        for reason in row:
            reasons[reason] = reasons.get(reason, 0) + 1
    return reasons


def _application(sha256: str) -> str:
    return f"ingest:{sha256}"
