"""Great Expectations: the only module that reads its suites and runs them."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeAlias

from pipelines.domain import quality
from pipelines.domain.contract import arrow_type
from pipelines.domain.digest import digest_of
from pipelines.domain.quality import CheckResult, ExpectationResult
from pipelines.errors import Problem, SuiteError

if TYPE_CHECKING:
    import duckdb
    from duckdb_engine import CursorWrapper

FromGx: TypeAlias = Any
"""A value of Great Expectations, which is untyped here."""

RULE = "headframe_rule"
"""Key in an expectation's meta that carries its rule through GX, which reorders its results."""

RESULT_FORMAT = {"result_format": "BASIC", "partial_unexpected_count": 0}
"""Counts without samples: GX brings no row's value into Python."""

FAILED_ROWS = """
SELECT _file, _row, list_sort(list(rule)) AS _failed
FROM failed GROUP BY _file, _row ORDER BY _file, _row"""

SAFE_CAUSES = (
    r"(?:Binder|Catalog|Parser) Error: [^\n]*",
    r"No provider found for [\w.]+",
    r"The column \"?\w+\"? in BatchData does not exist",
    r"\w[\w ]* is not implemented for SQL dialect '\w+'",
)
"""Texts of a failed evaluation that stem from the suite alone; any other may quote a row."""


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


def verify(suite: Suite) -> None:
    """Raise SuiteError, with all problems, unless GX accepts every expectation of ``suite``.

    Finds unknown types, keywords unknown, missing or of the wrong kind, and ``on_fail``
    "quarantine" on an expectation that judges no single rows. Imports GX, which takes seconds.
    """
    _gx_expectations(suite)


def check(suite: Suite, files: Sequence[Path]) -> CheckResult:
    """Evaluate ``suite`` on every row of the staged Parquet ``files``, by GX on DuckDB.

    The files hold the contract's columns, ``_file`` and ``_row``. No file and no row are evaluated
    like any other input. Raises SuiteError when GX refuses an expectation or cannot evaluate it: a
    rule that did not run is never told as data that passed or failed.
    """
    import duckdb

    expectations = _gx_expectations(suite)
    connection = duckdb.connect()
    try:
        _stage(connection, suite, files)
        with _gx_batch(connection) as batch:
            found = _evaluate(suite, expectations, batch)
            results = tuple(
                _result(rule, found[rule], entry, batch) for rule, entry in _by_rule(suite).items()
            )
            for result in results:
                if result.on_fail == "quarantine" and result.unexpected_count:
                    _set_aside(suite, result, expectations[result.rule], batch)
        rows = connection.execute("SELECT count(*) FROM staged").fetchall()[0][0]
        failed_rows = connection.sql(FAILED_ROWS).to_arrow_table()
    finally:
        connection.close()
    return CheckResult(
        suite=suite.name,
        suite_digest=suite.digest,
        rows=rows,
        results=results,
        failed_rows=failed_rows.cast(quality.no_failed_rows().schema),
    )


def _gx_expectations(suite: Suite) -> dict[str, FromGx]:
    """Return each rule's GX expectation, or raise SuiteError with everything GX refuses.

    Built one by one: a GX suite silently drops the entries it cannot build.
    """
    from great_expectations.exceptions import ExpectationNotFoundError, GreatExpectationsError
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
    from great_expectations.expectations.registry import list_registered_expectation_implementations

    expectations: dict[str, FromGx] = {}
    problems = []
    for rule, entry in _by_rule(suite).items():
        kind, meta, where = entry["type"], entry.get("meta") or {}, f"{suite.path}: {rule}"
        try:
            expectations[rule] = ExpectationConfiguration(
                type=kind,
                kwargs=entry.get("kwargs", {}),
                severity=entry.get("severity", "critical"),
                meta={**meta, RULE: rule},
            ).to_domain_obj()
        except ExpectationNotFoundError:
            expected, found = "an expectation GX knows", f"type '{kind}'"
            fix = quality.nearest(kind, list_registered_expectation_implementations())
        except (GreatExpectationsError, TypeError, ValueError) as error:
            expected, found = "keywords as GX defines them", _refusal(error)
            fix = f"See GX's page on {kind}."
        else:
            judges_rows = getattr(expectations[rule], "map_metric", None)
            if judges_rows or meta.get("on_fail") != "quarantine":
                continue
            expected, found = "an expectation that judges rows", "on_fail 'quarantine' on a whole"
            fix = "Remove meta.on_fail, or judge rows as expect_column_values_to_be_between does."
        problems.append(Problem(where=where, expected=expected, found=found, fix=fix))
    if problems:
        raise SuiteError(*problems)
    return expectations


def _by_rule(suite: Suite) -> dict[str, Mapping[str, Any]]:
    return dict(zip(quality.rule_names(suite.expectations), suite.expectations, strict=True))


def _refusal(error: Exception) -> str:
    """Return GX's reasons in one line; pydantic tells a field once per type it tried."""
    if not hasattr(error, "errors"):
        return str(error).splitlines()[0]
    reasons: dict[str, str] = {}
    for reason in error.errors():
        name = ".".join(str(part) for part in reason["loc"] if part != "__root__")
        reasons.setdefault(name, f"{name}: {reason['msg']}" if name else str(reason["msg"]))
    return "; ".join(reasons.values())


def _stage(connection: "duckdb.DuckDBPyConnection", suite: Suite, files: Sequence[Path]) -> None:
    connection.execute("SET GLOBAL TimeZone = 'UTC'")  # bounds of a timestamp are written in UTC
    connection.execute("CREATE TABLE failed (rule VARCHAR, _file VARCHAR, _row BIGINT)")
    # The name GX writes for a regular expression; RE2 searches, as Python's re.search does.
    connection.execute("CREATE MACRO regexp_like(text, pattern) AS regexp_matches(text, pattern)")
    if files:
        names = ", ".join("'" + str(file).replace("'", "''") + "'" for file in files)
        connection.execute(f"CREATE VIEW staged AS FROM read_parquet([{names}])")
    else:
        import pyarrow as pa

        typed = [(name, arrow_type(column_type)) for name, column_type in suite.columns.items()]
        schema = pa.schema([*typed, ("_file", pa.string()), ("_row", pa.int64())])
        connection.register("no_rows", schema.empty_table())
        connection.execute("CREATE TABLE staged AS FROM no_rows")


@contextmanager
def _gx_batch(connection: "duckdb.DuckDBPyConnection") -> Iterator[FromGx]:
    """Lend the staged rows as a GX batch, in a context of its own that is forgotten afterwards."""
    import great_expectations as gx
    from great_expectations.data_context.data_context.context_factory import project_manager
    from great_expectations.data_context.types import base as gx_types
    from sqlalchemy.pool import StaticPool

    configuration = gx_types.DataContextConfig(
        store_backend_defaults=gx_types.InMemoryStoreBackendDefaults(),
        progress_bars=gx_types.ProgressBarsConfig(globally=False),
        analytics_enabled=False,
    )
    try:
        context = gx.get_context(mode="ephemeral", project_config=configuration)
        source = context.data_sources.add_sql(
            "staged",
            connection_string="duckdb:///:memory:",
            create_temp_table=False,
            kwargs={"creator": lambda: _Connection(connection), "poolclass": StaticPool},
        )
        asset = source.add_table_asset("staged", table_name="staged")
        batch = asset.add_batch_definition_whole_table("staged").get_batch()
        # GX knows no DuckDB; of the dialects it knows, Trino's LIKE and regexp_like are DuckDB's.
        batch.data.execution_engine.dialect_module = SimpleNamespace(TrinoDialect=None)
        yield batch
    finally:
        project_manager.set_project(None)


def _evaluate(suite: Suite, expectations: Mapping[str, FromGx], batch: FromGx) -> dict[str, FromGx]:
    """Return GX's result of each rule, or raise SuiteError unless every rule was evaluated."""
    from great_expectations import ExpectationSuite

    gx_suite = ExpectationSuite(name=suite.name, expectations=list(expectations.values()))
    validation = batch.validate(gx_suite, result_format=RESULT_FORMAT)
    results = {result.expectation_config.meta[RULE]: result for result in validation.results}
    problems = []
    for rule in expectations:
        # GX tells an exception flat when the expectation raised, by metric when a metric did.
        told = (results[rule].exception_info or {}) if rule in results else {"raised_exception": 1}
        raised = [told, *(part for part in told.values() if isinstance(part, dict))]
        if any(part.get("raised_exception") for part in raised):
            found = _cause("\n".join(str(part.get("exception_traceback")) for part in raised))
            expected, where = "an evaluation on DuckDB", f"{suite.path}: {rule}"
            fix = "Correct the expectation, or replace it by one that GX evaluates in SQL."
            problems.append(Problem(where=where, expected=expected, found=found, fix=fix))
    if problems:
        raise SuiteError(*problems)
    return results


def _cause(traceback: str) -> str:
    """Return why an evaluation raised, without any text that may quote a row."""
    for pattern in SAFE_CAUSES:
        if match := re.search(pattern, traceback):
            return match.group(0)
    kinds = re.findall(r"^([\w.]*(?:Error|Exception))\b", traceback, re.MULTILINE)
    return f"{kinds[0] if kinds else 'an exception'} (its text may quote rows and is left out)"


def _result(rule: str, found: FromGx, entry: Mapping[str, Any], batch: FromGx) -> ExpectationResult:
    configuration, counts = found.expectation_config, found.result
    if "element_count" in counts:
        evaluated = counts["element_count"] - counts.get("missing_count", 0)
        unexpected = counts["unexpected_count"] or 0  # GX has no count where there is no row
        observed = f"{unexpected:,} of {evaluated:,} rows failed"
        if (mostly := configuration.kwargs.get("mostly", 1)) < 1:
            observed += f"; a share of {mostly:g} must hold"
    else:
        evaluated, unexpected = _metric("table.row_count", configuration, batch), 0
        value = counts.get("observed_value")
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        observed = f"observed {value:,.10g}" if is_number else "judged as a whole"
    return ExpectationResult(
        rule=rule,
        expectation_type=entry["type"],
        columns=quality.columns_of(entry.get("kwargs", {})),
        severity=entry.get("severity", "critical"),
        on_fail=(entry.get("meta") or {}).get("on_fail", "none"),
        success=bool(found.success),
        rows_evaluated=evaluated,
        unexpected_count=unexpected,
        observed=observed if evaluated else f"no row to judge; {observed}",
    )


def _metric(name: str, configuration: FromGx, batch: FromGx) -> FromGx:
    from great_expectations.expectations.registry import get_metric_kwargs
    from great_expectations.validator.metric_configuration import MetricConfiguration
    from great_expectations.validator.metrics_calculator import MetricsCalculator

    keys = get_metric_kwargs(name, configuration=configuration)
    metric = MetricConfiguration(name, keys["metric_domain_kwargs"], keys["metric_value_kwargs"])
    return MetricsCalculator(execution_engine=batch.data.execution_engine).get_metric(metric)


def _set_aside(suite: Suite, result: ExpectationResult, expectation: FromGx, batch: FromGx) -> None:
    """Insert the rule and the name of each row that fails it into the table of failed rows.

    Takes the predicate of failing rows out of GX, so GX never lists them in Python. Its own query
    of failing rows is no use: it leaves out ``row_condition`` and ``ignore_row_if``. Raises
    SuiteError unless it finds as many rows as GX counted.
    """
    import sqlalchemy as sa

    rule = result.rule
    metric = f"{expectation.map_metric}.condition"
    condition, domain, accessor = _metric(metric, expectation.configuration, batch)
    engine = batch.data.execution_engine
    rows = engine.get_domain_records({**domain, **accessor})
    rows = rows.subquery() if isinstance(rows, sa.Select) else rows
    counted = sa.select(condition).get_final_froms()
    if counted and "_row" in counted[0].c:  # rows, with how often their columns occur together
        rows = counted[0]
    elif counted:  # the values of one column, with how often each occurs
        column: sa.ColumnClause[Any] = sa.column(accessor["column"])
        condition = column.in_(sa.select(column).select_from(counted[0]).where(condition))
    found: Any = sa.select(sa.literal(rule), sa.column("_file"), sa.column("_row"))
    into = sa.table("failed", sa.column("rule"), sa.column("_file"), sa.column("_row"))
    insert = sa.insert(into).from_select(list(into.c), found.select_from(rows).where(condition))
    with engine.engine.begin() as connection:
        connection.execute(insert)
        count = sa.select(sa.func.count()).select_from(into).where(into.c.rule == rule)
        collected = connection.execute(count).scalar_one()
    if collected != result.unexpected_count:
        where, told = f"{suite.path}: {rule}", f"{collected:,} of them one by one"
        expected = f"{result.unexpected_count:,} failing rows, as GX counts them"
        fix = "Remove meta.on_fail: the rows that fail this expectation cannot be told."
        raise SuiteError(Problem(where=where, expected=expected, found=told, fix=fix))


class _Connection:
    """A DuckDB connection as SQLAlchemy drives one; its owner closes it.

    GX reads a statement's rows after its connection has ended, so each cursor is one of DuckDB's
    own, which keeps its rows whatever runs next to it.
    """

    notices = ()

    def __init__(self, connection: "duckdb.DuckDBPyConnection") -> None:
        self._connection = connection

    def cursor(self) -> "CursorWrapper":
        from duckdb_engine import CursorWrapper

        return CursorWrapper(self._connection.cursor(), self)

    def begin(self) -> None:
        """Do nothing: each statement commits itself."""

    commit = rollback = close = begin
