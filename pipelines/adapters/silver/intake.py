"""Intake: landed files parsed, conformed, checked and staged, with every row accounted for."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeAlias

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables, staged_rows
from pipelines.adapters.landing import landing
from pipelines.adapters.settings import Settings
from pipelines.adapters.silver.repeats import Repeats
from pipelines.adapters.sources import csv, jsonl, parquet
from pipelines.adapters.suites import gx_suites
from pipelines.domain import signals
from pipelines.domain.contract import (
    Table,
    as_quarantine,
    conform,
    quarantine_schema,
    silver_schema,
)
from pipelines.domain.delivery import ParsedPart
from pipelines.domain.lineage import Law, stamp
from pipelines.domain.quality import CheckResult, ExpectationResult, no_failed_rows, split_rows
from pipelines.errors import FileRefused, Problem, QualityRefused

if TYPE_CHECKING:
    import pyarrow as pa

    from pipelines.adapters.delta.staged_files import StagedFile, Staging
    from pipelines.adapters.stores.object_store import Folder
    from pipelines.domain.delivery import Delivery, LocalFile, ParsedFile

READERS: dict[str, Callable[["LocalFile", Table], "ParsedFile"]] = {
    "csv": csv.read,
    "jsonl": jsonl.read,
    "parquet": parquet.read,
}

Seen: TypeAlias = Callable[[CheckResult, Mapping[str, Mapping[str, Any]]], None]
"""Gets what a check found, and each rule's keywords."""

LARGE_BYTES = 32 << 20
"""Unpacked bytes above which a second thread pays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where one table's landed files, rows and rules lie."""

    use_case: str
    table: Table
    landing: "Folder"
    seen_index: "Folder"
    silver: "Folder"
    quarantine: "Folder"
    suite: Path
    plans: Path

    @classmethod
    def of(cls, use_case: str, table: Table, settings: Settings) -> "Places":
        """Return the places of a table of a use case."""
        return cls(
            use_case=use_case,
            table=table,
            landing=settings.landing,
            seen_index=lake.ledger(settings, "landed_files"),
            silver=lake.silver(settings, use_case, table.name),
            quarantine=lake.quarantine(settings, use_case, table.name),
            suite=settings.expectations.absolute() / use_case / f"{table.name}.json",
            plans=settings.root / "cache" / "suites",
        )


class Intake:
    """Deliveries of one table on their way into silver and quarantine.

    ``take`` each delivery, then ``leave_out_repeats``, then ``check``; after that ``law`` holds and
    the staged files may be committed.
    """

    def __init__(
        self, places: Places, silver: "Staging", quarantine: "Staging", repeats: Repeats
    ) -> None:
        self.places = places
        self.taken: list[Delivery] = []
        self.ignored_columns: dict[str, list[str]] = {}
        self.reasons: Counter[str] = Counter()
        self._silver = silver
        self._quarantine = quarantine
        self._counts: dict[str, Counter[str]] = {}
        self._repeats = repeats
        silver.see = repeats.see

    def take(
        self,
        delivery: "Delivery",
        landed: landing.Landed | None = None,
        *,
        only: "pa.Array | None" = None,
        records: int | None = None,
    ) -> None:
        """Stage the rows of one delivery; raises FileRefused, and then nothing of it is staged.

        With ``only`` those of these numbers; then it is refused as well when it holds other than
        ``records`` records, for the numbers would be of other rows.
        """
        table, counts = self.places.table, Counter[str]()
        reasons, found = Counter[str](), 0
        with (
            self._silver.delivery() as rows,
            self._quarantine.delivery() as set_aside,
            landing.local_file(delivery, table.files, known=landed) as file,
        ):
            parsed = READERS[table.files.format](file, table)
            for whole in _ahead(parsed.parts, file):
                part = whole if only is None else _numbered(whole, only)
                found += whole.landed
                accepted, aside = conformed(part, delivery, table)
                rows.add(accepted)
                set_aside.add(aside)
                counts["landed"] += part.landed
                counts["accepted"] += accepted.num_rows
                counts["unparsed"] += part.unparsed.num_rows
                counts["quarantined"] += aside.num_rows - part.unparsed.num_rows
                reasons += _reasons(aside)
            if only is None:
                _refuse_too_many(counts, delivery, table)
            elif (records or found) != found or len(only) != counts["landed"]:
                raise _other_records(delivery, table, found)
        self.taken.append(delivery)
        self._counts[delivery.name] = counts
        self.reasons += reasons
        if parsed.ignored_columns:
            self.ignored_columns[delivery.name] = list(parsed.ignored_columns)

    def keep(self, rows: "pa.Table", accounts: Mapping[str, Law]) -> None:
        """Stage rows that silver holds of other deliveries, whose laws are given by name."""
        self._silver.write(rows)
        for name, law in accounts.items():
            self._counts.setdefault(name, Counter(law.as_json()))

    def keep_aside(self, rows: "pa.Table") -> None:
        """Stage rows that quarantine holds and that stay there."""
        self._quarantine.write(rows)

    def leave_out_repeats(self, *, beside_silver: bool = True) -> None:
        """Remove the staged rows that say nothing new beside one another, and beside silver."""
        staged = [file.path for file in self._silver.files()]
        repeated = self._repeats.find(staged, self.places.silver if beside_silver else None)
        for rows in staged_rows.take_out(self._silver, repeated):
            self._move(rows, "repeated")

    def check(self, seen: Seen | None = None) -> CheckResult:
        """Run the suite on the staged rows and set aside those it says; raises QualityRefused.

        ``seen`` gets the result, with each rule's keywords in the suite, before it is acted upon.
        """
        checked = _check(self.places, self._silver.files(), seen)
        for rows in staged_rows.take_out(self._silver, checked.failed_rows):
            self._move(rows, "quarantined")
            failed = split_rows(rows, checked.failed_rows).quarantined
            failed = as_quarantine(failed, self.places.table)
            self.reasons += _reasons(failed)
            self._quarantine.write(failed)
        return checked

    def laws(self) -> dict[str, Law]:
        """Return the law of every delivery taken, by name."""
        parts = ("landed", "accepted", "repeated", "quarantined", "unparsed")
        return {
            name: Law(**{part: counts[part] for part in parts})
            for name, counts in self._counts.items()
        }

    def staged(self) -> tuple[list["StagedFile"], list["StagedFile"]]:
        """Return the files to commit to silver and to quarantine."""
        return self._silver.files(), self._quarantine.files()

    def _move(self, rows: "pa.Table", to: str) -> None:
        for found in rows["_file"].value_counts().to_pylist():
            counts = self._counts[found["values"]]
            counts["accepted"] -= found["counts"]
            counts[to] += found["counts"]


@contextmanager
def intake(places: Places) -> Iterator[Intake]:
    """Lend an intake; what it staged and was not committed when the block ends is removed."""
    table = places.table
    with ExitStack() as stack:
        silver = stack.enter_context(delta_tables.stage(places.silver, silver_schema(table)))
        quarantine = stack.enter_context(delta_tables.stage(places.quarantine, quarantine_schema()))
        scratch = stack.enter_context(TemporaryDirectory(prefix="headframe-"))
        repeats = stack.enter_context(closing(Repeats(table, Path(scratch))))
        yield Intake(places, silver, quarantine, repeats)


def conformed(
    part: "ParsedPart", delivery: "Delivery", table: Table
) -> tuple["pa.Table", "pa.Table"]:
    """Return a part's rows for silver, and those for quarantine, as their tables hold them."""
    import pyarrow as pa

    typed, names = conform(part.rows, table), quarantine_schema().names
    accepted = stamp(typed.accepted, delivery, table).select(silver_schema(table).names)
    aside = [
        stamp(rows, delivery).select(names).cast(quarantine_schema())
        for rows in (part.rejected, part.unparsed)
    ]
    if typed.rejected.num_rows:
        aside.append(as_quarantine(stamp(typed.rejected, delivery), table))
    return accepted, pa.concat_tables(aside)


def _ahead(parts: Iterator["ParsedPart"], file: "LocalFile") -> Iterator["ParsedPart"]:
    """Yield the parts; those of a large file are parsed while the one before is written."""
    if file.inspected.unpacked_bytes < LARGE_BYTES:
        yield from parts
        return
    with ThreadPoolExecutor(1) as parser:
        waiting = parser.submit(next, parts, None)
        while (part := waiting.result()) is not None:
            waiting = parser.submit(next, parts, None)
            yield part


def _numbered(part: "ParsedPart", only: "pa.Array") -> "ParsedPart":
    """Return the records of a part whose number is among ``only``."""
    import pyarrow.compute as pc

    rows, rejected, unparsed = (
        found.filter(pc.is_in(found["_row"], value_set=only))
        for found in (part.rows, part.rejected, part.unparsed)
    )
    landed = rows.num_rows + rejected.num_rows + unparsed.num_rows
    return ParsedPart(landed=landed, rows=rows, rejected=rejected, unparsed=unparsed)


def _refuse_too_many(counts: Mapping[str, int], delivery: "Delivery", table: Table) -> None:
    bad, landed = counts["landed"] - counts["accepted"], counts["landed"]
    if bad > table.maximum_quarantined * landed:
        raise FileRefused(
            Problem(
                where=f"landing/{delivery.name}",
                expected=f"at most {table.maximum_quarantined:.0%} of its rows to break the contract",
                found=f"{bad} of {landed}",
                fix="It is the file that is wrong: mend the source and deliver it under a new name.",
            )
        )


def _other_records(delivery: "Delivery", table: Table, found: int) -> FileRefused:
    return FileRefused(
        Problem(
            where=f"landing/{delivery.name}",
            expected="the records that ingest counted",
            found=f"{found} records, as the source is declared now",
            fix="Its format, delimiter, quote or encoding changed: run "
            f"`headframe reingest {table.name}`.",
        )
    )


def _check(places: Places, staged: Sequence["StagedFile"], seen: Seen | None) -> CheckResult:
    if not staged or not places.suite.exists():
        rows = sum(file.rows for file in staged)
        unchecked = CheckResult(
            suite="", suite_digest="", rows=rows, results=(), failed_rows=no_failed_rows()
        )
        if seen:
            seen(unchecked, {})
        return unchecked
    suite = gx_suites.load_suite(places.suite, places.table.types)
    result = gx_suites.check(suite, [file.path for file in staged], cache=places.plans)
    if seen:
        seen(result, {rule: entry.get("kwargs", {}) for rule, entry in suite.entries.items()})
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
                about=signals.table(places.table.name),
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


def _reasons(set_aside: "pa.Table") -> Counter[str]:
    import pyarrow.compute as pc

    if not set_aside.num_rows:
        return Counter()
    found = pc.list_flatten(set_aside["_failed"]).value_counts().to_pylist()
    return Counter({entry["values"]: entry["counts"] for entry in found})
