"""Great Expectations suites: read, verified, and checked on staged rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.adapters.suites import check_plans, duckdb_checks
from pipelines.domain import quality
from pipelines.domain.digest import digest_of
from pipelines.domain.quality import CheckResult
from pipelines.errors import Problem, SuiteError

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

BOTH_LANES = """
SELECT _file, _row, list_sort(flatten(list(_failed))) AS _failed
FROM (FROM compiled UNION ALL FROM slow) GROUP BY _file, _row ORDER BY _file, _row"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """An expectation suite of sound structure against the contract's ``columns`` (name to type).

    ``expectations`` holds the file's entries as parsed; ``digest`` is of the file's whole content,
    however it is laid out.
    """

    name: str
    path: Path
    digest: str
    expectations: tuple[Mapping[str, Any], ...]
    columns: Mapping[str, str] = field(repr=False)

    @property
    def entries(self) -> dict[str, Mapping[str, Any]]:
        """Each rule's entry, in the suite's order."""
        return dict(zip(quality.rule_names(self.expectations), self.expectations, strict=True))


def load_suite(path: Path, columns: Mapping[str, str]) -> Suite:
    """Read a suite in GX's JSON format, without importing GX.

    Raises SuiteError with every problem of structure that ``quality.suite_problems`` names;
    ``verify`` asks GX about the rest.
    """
    try:
        document = quality.parse_suite(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        found = str(error.strerror if isinstance(error, OSError) else error)
        expected, fix = "a suite in GX's JSON format", "Correct the file, or restore it."
        problem = Problem(where=str(path), expected=expected, found=found, fix=fix)
        raise SuiteError(problem) from error
    if problems := quality.suite_problems(str(path), document, columns):
        raise SuiteError(*problems)
    return Suite(
        name=document["name"],
        path=path,
        digest=digest_of(document),
        expectations=tuple(document["expectations"]),
        columns=dict(columns),
    )


def verify(suite: Suite, *, cache: Path | None = None) -> None:
    """Raise SuiteError, with all problems, unless every expectation of ``suite`` can be evaluated.

    Compiles the suite and keeps its plan in ``cache`` (by default the home's), so the first check
    need not. Imports GX, which takes seconds.
    """
    check_plans.compile_again(suite, cache)


def check(
    suite: Suite, files: Sequence[Path], *, cache: Path | None = None, threads: int | None = None
) -> CheckResult:
    """Evaluate ``suite`` on every row of the staged Parquet ``files``, in DuckDB.

    The files hold the contract's columns, ``_file`` and ``_row``. No file and no row are evaluated
    like any other input. GX is imported only to compile a suite that ``cache`` (by default the
    home's) has no plan of, and for rules that do not compile. ``threads`` bounds DuckDB's, by
    default one a CPU. Raises SuiteError when GX refuses an expectation or it cannot be evaluated: a
    rule that did not run is never told as data that passed or failed.
    """
    plan = check_plans.plan_of(suite, cache)
    where = str(suite.path)
    with duckdb_checks.staged_rows(files, suite.columns, threads) as connection:
        found = duckdb_checks.run(connection, plan, where)
        results, failed_rows = dict(found.results), found.failed_rows
        if slow := plan.of("great_expectations"):
            from pipelines.adapters.suites import gx_on_duckdb

            told, rows = gx_on_duckdb.evaluate(connection, slow, suite.entries, where)
            results |= told
            failed_rows = _united(connection, failed_rows, rows)
    return CheckResult(
        suite=suite.name,
        suite_digest=suite.digest,
        rows=found.rows,
        results=tuple(results[rule.rule] for rule in plan.rules),
        failed_rows=failed_rows,
    )


def _united(
    connection: "duckdb.DuckDBPyConnection", compiled: "pa.Table", slow: "pa.Table"
) -> "pa.Table":
    """Return the rows that fail in either lane, each once, with all rules it fails."""
    if not slow.num_rows:
        return compiled
    connection.register("compiled", compiled)
    connection.register("slow", slow)
    return connection.sql(BOTH_LANES).to_arrow_table().cast(slow.schema)
