"""Trials: a suite against a file that was not landed, with the rows that fail its rules."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from pipelines.adapters.landing.unlanded import Staged
from pipelines.adapters.suites import gx_suites
from pipelines.adapters.suites.gx_suites import Suite
from pipelines.domain.contract import Table
from pipelines.domain.digest import digest_of
from pipelines.domain.quality import CheckResult
from pipelines.domain.sql_text import literal, quoted, read_parquet
from pipelines.errors import SuiteError


@dataclass(frozen=True, slots=True, kw_only=True)
class FailingRow:
    """A row that fails a rule: its number in the file, and its key and the columns judged."""

    row: int
    cells: Mapping[str, object] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A check's result, and of each rule that rows failed the first of these rows.

    ``not_told`` names rules whose failing rows the engine counts but cannot tell.
    """

    result: CheckResult
    failing: Mapping[str, Sequence[FailingRow]]
    not_told: tuple[str, ...]


def trial(suite: Suite, staged: Staged, table: Table, *, rows_shown: int) -> Trial:
    """Check the staged rows as ingest would, and find the rows that fail, whatever is done to them.

    Raises SuiteError as ``gx_suites.check`` does.
    """
    result = gx_suites.check(suite, staged.files)
    failed = {found.rule: found for found in result.results if found.unexpected_count}
    if not failed:
        return Trial(result=result, failing={}, not_told=())
    try:
        numbers = _failing_rows(suite, failed, staged)
    except SuiteError:  # what failed is counted above; only the rows are not told
        return Trial(result=result, failing={}, not_told=tuple(failed))
    failing = {}
    for rule, found in failed.items():
        columns = dict.fromkeys([*table.key, *found.columns])
        known = [name for name in columns if name in table.types]
        failing[rule] = _rows(staged, numbers[rule][:rows_shown], known)
    return Trial(result=result, failing=failing, not_told=())


def _failing_rows(suite: Suite, rules: Collection[str], staged: Staged) -> dict[str, list[int]]:
    """Return the numbers of the rows that fail each rule: the suite is asked to set them aside."""
    asked = []
    for rule, entry in suite.entries.items():
        on_fail = "quarantine" if rule in rules else "none"
        asked.append({**entry, "meta": {**(entry.get("meta") or {}), "on_fail": on_fail}})
    telling = replace(suite, expectations=tuple(asked), digest=digest_of(asked))
    with TemporaryDirectory(prefix="headframe-") as cache:
        found = gx_suites.check(telling, staged.files, cache=Path(cache))
    numbers: dict[str, list[int]] = {rule: [] for rule in rules}
    for row in found.failed_rows.sort_by("_row").to_pylist():
        for rule in row["_failed"]:
            numbers[rule].append(row["_row"])
    return numbers


def _rows(staged: Staged, numbers: Sequence[int], columns: Sequence[str]) -> list[FailingRow]:
    import duckdb

    names = ", ".join(quoted(name) for name in columns)
    wanted = ", ".join(literal(number) for number in numbers)
    with duckdb.connect(":memory:") as connection:
        connection.execute("SET TimeZone = 'UTC'")
        found = connection.sql(
            f"SELECT _row, {names} FROM {read_parquet(staged.files)} WHERE _row IN ({wanted}) ORDER BY 1"  # noqa: S608 - quoted above
        ).to_arrow_table()
    return [FailingRow(row=row.pop("_row"), cells=row) for row in found.to_pylist()]
