"""Ingest: take landed files into silver exactly once, and set aside what breaks the contract."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial, reduce
from operator import add
from typing import TYPE_CHECKING, Any

from pipelines.adapters.databases.connections import resolver
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.delta.schema_gate import refuse_other_schema
from pipelines.adapters.failpoints import failpoint
from pipelines.adapters.landing import landing
from pipelines.adapters.landing.extracts import extract
from pipelines.adapters.landing.feed_watch import watch
from pipelines.adapters.settings import Settings
from pipelines.adapters.silver import stale_marks
from pipelines.adapters.silver.intake import Intake, Places, intake
from pipelines.adapters.silver.publishing import SEQUENCE, application, lost, refuse_lost, restarted
from pipelines.adapters.suites.quality_records import RunRecords
from pipelines.domain import signals
from pipelines.domain.contract import Files, Table, quarantine_schema, silver_schema
from pipelines.domain.feeds import FeedFinding
from pipelines.domain.lineage import NOTHING, Law
from pipelines.errors import FileRefused, HeadframeError
from pipelines.use_case import UseCase

if TYPE_CHECKING:
    import pyarrow as pa

    from pipelines.adapters.delta.staged_files import StagedFile
    from pipelines.adapters.stores.object_store import Folder
    from pipelines.domain.delivery import Delivery
    from pipelines.domain.quality import CheckResult


@dataclass(frozen=True, slots=True, kw_only=True)
class TableIngested:
    """What one table took in: files, the law's counts, the table version, and what was refused.

    ``waiting`` counts the files that are still being written; ``feed`` says what is wrong with the
    table's deliveries.
    """

    table: str
    files: int = 0
    already_taken: int
    law: Law = NOTHING
    reasons: Mapping[str, int] = field(default_factory=dict)
    version: int
    refused: tuple[FileRefused, ...] = ()
    flagged: tuple[str, ...] = ()
    waiting: int = 0
    feed: tuple[FeedFinding, ...] = ()


def ingest(
    use_case: UseCase,
    settings: Settings,
    *,
    as_of: datetime,
    run: str,
    connections: Callable[[str], str] | None = None,
) -> list[TableIngested]:
    """Take in every file delivered by ``as_of`` that silver does not hold yet, table by table.

    Running it again changes nothing. Files that cannot be read are named in the result and do not
    hold back others; ``refusals`` turns them into the error that ends the task. ``connections``
    returns the URL of a named connection; None asks the environment alone.

    Raises QualityRefused when a critical expectation fails: then nothing of that table is published,
    and the other tables are. Likewise what ``extract`` raises when a source cannot be asked, and
    CommitLost when other ingests of a table came first time and again.
    """
    results: list[TableIngested] = []
    failed: list[HeadframeError] = []
    records = RunRecords(settings=settings, use_case=use_case.name, run=run, as_of=as_of)
    for table in use_case.tables:
        try:
            extracted = _extract(use_case, table, settings, connections or resolver())
            places = Places.of(use_case.name, table, settings)
            taken = _ingest_table(places, extracted, records, as_of=as_of, run=run)
            results.append(replace(taken, feed=_feed(use_case, table, settings, as_of)))
        except HeadframeError as error:
            failed.append(error)  # of this table alone: the others are taken in before it is raised
    try:
        records.finish()
    except HeadframeError as error:
        failed.append(error)  # the next ingest puts these checks in the ledger
    if failed:
        # What waiting cannot mend comes first: a retry would hide it.
        failed.sort(key=lambda error: error.retryable)
        raise type(failed[0])(*(p for error in failed for p in error.problems)) from failed[0]
    return results


def refusals(results: Sequence[TableIngested]) -> FileRefused | None:
    """Return one error with every refused file, or None when all were taken."""
    problems = [
        replace(problem, about=signals.table(result.table))
        for result in results
        for error in result.refused
        for problem in error.problems
    ]
    return FileRefused(*problems) if problems else None


def describe(results: Sequence[TableIngested]) -> str:
    """Return a line per table, and one per finding of its feed, for the log and the terminal."""
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
        waiting = f"; {result.waiting} files still being written" if result.waiting else ""
        lines.append(line + (f" ({reasons})" if reasons else "") + flagged + refused + waiting)
        lines += [f"  {found.text}" for found in result.feed]
    return "\n".join(lines)


def _extract(
    use_case: UseCase, table: Table, settings: Settings, connections: Callable[[str], str]
) -> str:
    """Land what is new at the source of a table that is not delivered; return the file's name."""
    if isinstance(table.source, Files):
        return ""
    name = extract(settings, use_case.name, table, connections=connections).name
    return f"{table.name}/{name}" if name else ""


def _feed(
    use_case: UseCase, table: Table, settings: Settings, as_of: datetime
) -> tuple[FeedFinding, ...]:
    ends, owner = use_case.ends_before, use_case.owner
    return watch(settings, use_case.name, table, owner=owner, as_of=as_of, ends_before=ends)


def _ingest_table(
    places: Places, extracted: str, records: RunRecords, *, as_of: datetime, run: str
) -> TableIngested:
    """Take in one table's new files, and look again whenever another ingest was first."""
    return restarted(lambda: _take_in(places, extracted, records, as_of=as_of, run=run))


def _take_in(
    places: Places, extracted: str, records: RunRecords, *, as_of: datetime, run: str
) -> TableIngested:
    landed = landing.deliveries(
        places.landing, places.use_case, places.table.files, places.seen_index
    )
    # What this run extracted was delivered after it began, and need not wait for the next one.
    due = [d for d in landed.deliveries if d.delivered_at <= as_of or d.name == extracted]
    # Numbers before contents: whatever another ingest commits after this, it is noticed.
    set_aside = delta_tables.transaction(places.quarantine, SEQUENCE) or 0
    ingests, new = _not_taken(places.silver, due)
    seen = TableIngested(
        table=places.table.name,
        already_taken=len(due) - len(new),
        version=delta_tables.version(places.silver),
        refused=landed.refused,
        waiting=len(landed.waiting),
    )
    if not new:
        return seen
    if delta_tables.exists(places.silver):
        expected = silver_schema(places.table)
        refuse_other_schema(places.silver, expected, delta_tables.schema(places.silver))
    refused = list(landed.refused)
    with intake(places) as taking:
        for same_bytes in new:
            refused += _take_first(taking, same_bytes, landed)
        taking.leave_out_repeats()
        checked = taking.check(partial(records.keep, taking))
        laws = taking.laws()
        if taking.taken:
            _commit(taking, checked, (ingests, set_aside), as_of=as_of, run=run)
    version = delta_tables.version(places.silver)
    records.published(places.table.name, version)
    return replace(
        seen,
        files=len(taking.taken),
        law=reduce(add, laws.values(), NOTHING),
        reasons=dict(taking.reasons.most_common()),
        version=version,
        refused=tuple(refused),
        flagged=tuple(r.rule for r in checked.results if not r.success and r.on_fail == "none"),
    )


def _not_taken(silver: "Folder", due: Sequence["Delivery"]) -> tuple[int, list[list["Delivery"]]]:
    """Return silver's number, and the deliveries of each content it had not taken by then.

    Those of one content are sorted by when they were delivered, then by name.
    """
    by_content: dict[str, list[Delivery]] = {}
    for delivery in sorted(due, key=lambda d: (d.delivered_at, d.name)):
        by_content.setdefault(delivery.sha256, []).append(delivery)
    names = [SEQUENCE, *map(application, by_content)]
    found = delta_tables.transaction_versions(silver, names)
    new = [same for sha256, same in by_content.items() if application(sha256) not in found]
    return found.get(SEQUENCE, 0), new


def _take_first(
    taking: Intake, same_bytes: Sequence["Delivery"], landed: landing.Landed
) -> list[FileRefused]:
    """Take in one of the deliveries of the same bytes, and return why those before it were refused.

    A name matters: its suffix says how the bytes are packed.
    """
    refused: list[FileRefused] = []
    for delivery in same_bytes:
        try:
            taking.take(delivery, landed)
        except FileRefused as error:
            # Without its frames, which would keep all that was read of the file in memory.
            refused.append(FileRefused(*error.problems))
        else:
            break
    return refused


def _commit(
    taking: Intake, checked: "CheckResult", numbers: tuple[int, int], *, as_of: datetime, run: str
) -> None:
    """Publish what was staged, quarantine first; raises CommitLost when another ingest was first.

    ``numbers`` are those of silver and of quarantine from before anything was read.
    """
    places, laws = taking.places, taking.laws()
    silver, quarantine = taking.staged()
    known_from = stale_marks.oldest(silver)
    metadata: dict[str, object] = {
        "stage": "ingest",
        "run": run,
        "as_of": as_of.isoformat(),
        "known_from": known_from.isoformat() if known_from else "",
        "law": reduce(add, laws.values(), NOTHING).as_json(),
        "deliveries": [_noted(delivery, laws[delivery.name]) for delivery in taking.taken],
        "check": checked.as_json(),
        "ignored_columns": taking.ignored_columns,
    }
    _set_aside(taking, quarantine, numbers[1], metadata)
    failpoint("ingest.between_quarantine_and_silver")
    transactions = {application(delivery.sha256): 1 for delivery in taking.taken}
    # What was made as of a time at or after the oldest row before this commit lacks that row.
    transactions |= stale_marks.transactions(numbers[0] + 1, "ingest", known_from, taken_in=as_of)
    commit = delta_tables.commit_staged(
        places.silver,
        silver,
        table_schema=silver_schema(places.table),
        transactions={**transactions, SEQUENCE: numbers[0] + 1},
        metadata=metadata,
    )
    failpoint("ingest.after_silver")
    refuse_lost(commit, places)


def _set_aside(
    taking: Intake, staged: Sequence["StagedFile"], number: int, metadata: Mapping[str, object]
) -> None:
    """Put staged rows in quarantine in place of what an unfinished run set aside for the same files.

    Written before silver, in one commit; until silver holds the files, the next run does it again.
    ``number`` is quarantine's from before anything was read: an ingest that came between has taken
    the next one, and then CommitLost is raised. Likewise where silver took the files meanwhile.
    """
    quarantine, silver = taking.places.quarantine, taking.places.silver
    digests = [delivery.sha256 for delivery in taking.taken]
    if delta_tables.committed(silver, map(application, digests)):
        raise lost(taking.places)
    same_files = f"_sha256 in ({', '.join(map(delta_tables.quoted, digests))})"
    transactions = {SEQUENCE: number + 1}
    if _left_behind(quarantine, same_files):
        commit = delta_tables.commit_rows(
            quarantine,
            _rows_of(staged),
            transactions=transactions,
            metadata=metadata,
            replace=same_files,
        )
    elif staged:
        commit = delta_tables.commit_staged(
            quarantine,
            staged,
            table_schema=quarantine_schema(),
            transactions=transactions,
            metadata=metadata,
        )
    else:
        return
    refuse_lost(commit, taking.places)


def _rows_of(staged: Sequence["StagedFile"]) -> "pa.Table":
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = quarantine_schema()
    return pa.concat_tables(
        [schema.empty_table(), *(pq.read_table(file.path).cast(schema) for file in staged)]
    )


def _left_behind(quarantine: "Folder", same_files: str) -> bool:
    if not delta_tables.exists(quarantine):
        return False
    return bool(delta_tables.read(quarantine, columns=["_row"], where=same_files).num_rows)


def _noted(delivery: "Delivery", law: Law) -> dict[str, Any]:
    """Return a delivery and its law as a commit's metadata notes it."""
    return {
        "name": delivery.name,
        "sha256": delivery.sha256,
        "delivered_at": delivery.delivered_at.isoformat(),
        **law.as_json(),
    }
