"""File trail: a landed file with the quality verdicts on its way into silver."""

from collections import Counter
from typing import TYPE_CHECKING, Any

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.lineage.taken_files import TakenFile
from pipelines.adapters.settings import Settings
from pipelines.domain.sql_text import literal, quoted
from pipelines.domain.trace import CheckSeen, FileSeen

if TYPE_CHECKING:
    from collections.abc import Iterable

COLUMNS = ["run", "suite", "rule", "on_fail", "success", "unexpected_count", "verdict"]


class FileTrails:
    """Quality verdicts of a use case's files; the checks of one commit are read once."""

    def __init__(self, settings: Settings, use_case: str) -> None:
        self._settings, self._use_case = settings, use_case
        self._checks: dict[tuple[str, int], CheckSeen | None] = {}

    def seen(self, file: TakenFile) -> FileSeen:
        """Return a taken file with its law, its quarantine reasons and the check of its commit."""
        place = (file.table, file.version)
        if place not in self._checks:
            self._checks[place] = self._check(*place)
        return FileSeen(
            table=file.table,
            name=file.name,
            sha256=file.sha256,
            delivered_at=file.delivered_at,
            version=file.version,
            run=file.run,
            law=file.law.as_json(),
            reasons=self._reasons(file),
            check=self._checks[place],
        )

    def _check(self, table: str, version: int) -> CheckSeen | None:
        """Return what the ledger holds of the check that published a version."""
        ledger = lake.ledger(self._settings, "quality")
        if not delta_tables.exists(ledger):
            return None
        where = (
            f"use_case = {literal(self._use_case)} and {quoted('table')} = {literal(table)} "
            f"and table_version = {version}"
        )
        rules: list[dict[str, Any]] = delta_tables.read(
            ledger, columns=COLUMNS, where=where
        ).to_pylist()
        if not rules:
            return None
        failed = [rule for rule in rules if not rule["success"]]
        return CheckSeen(
            run=rules[0]["run"],
            suite=rules[0]["suite"],
            verdict=rules[0]["verdict"],
            passed=len(rules) - len(failed),
            warned=_counts(rule for rule in failed if rule["on_fail"] != "quarantine"),
            # A rule sets its failing rows aside also where few enough fail for it to hold.
            set_aside=_counts(
                rule
                for rule in rules
                if rule["on_fail"] == "quarantine" and rule["unexpected_count"]
            ),
        )

    def _reasons(self, file: TakenFile) -> dict[str, int]:
        """Return why rows of the file lie in quarantine now, with how many for each reason."""
        quarantine = lake.quarantine(self._settings, self._use_case, file.table)
        if not (file.law.quarantined or file.law.unparsed) or not delta_tables.exists(quarantine):
            return {}
        where = f"_sha256 = {literal(file.sha256)}"
        rows = delta_tables.read(quarantine, columns=["_failed"], where=where)
        reasons = Counter(reason for row in rows["_failed"].to_pylist() for reason in row)
        return dict(reasons.most_common())


def _counts(rules: "Iterable[dict[str, Any]]") -> dict[str, int]:
    return {rule["rule"]: int(rule["unexpected_count"] or 0) for rule in rules}
