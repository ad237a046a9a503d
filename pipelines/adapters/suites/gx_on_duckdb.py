"""Great Expectations on DuckDB: its expectations, and the slow lane of those that do not compile."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeAlias

from pipelines.adapters.suites.duckdb_checks import not_evaluated
from pipelines.domain import quality
from pipelines.domain.check_plan import STAGED, RulePlan, judged, observed_rows, observed_whole
from pipelines.domain.quality import ExpectationResult
from pipelines.errors import Problem, SuiteError

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa
    from duckdb_engine import CursorWrapper

FromGx: TypeAlias = Any
"""A value of Great Expectations, which is untyped here."""

RULE = "headframe_rule"
"""Key in an expectation's meta that carries its rule through GX, which reorders its results."""

RESULT_FORMAT = {"result_format": "BASIC", "partial_unexpected_count": 0}
"""Counts without samples: GX brings no row's value into Python."""

FAILED = "failed"
"""Table of the rows that fail a rule, in the slow lane's own connection."""

FAILED_ROWS = f"""
SELECT _file, _row, list_sort(list(rule)) AS _failed
FROM {FAILED} GROUP BY _file, _row ORDER BY _file, _row"""  # noqa: S608 - a constant


def expectations_of(where: str, entries: Mapping[str, Mapping[str, Any]]) -> dict[str, FromGx]:
    """Return each rule's GX expectation, or raise SuiteError with everything GX refuses.

    ``entries`` maps a rule to its entry in the suite at ``where``. Built one by one: a GX suite
    silently drops the entries it cannot build.
    """
    from great_expectations.exceptions import ExpectationNotFoundError, GreatExpectationsError
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
    from great_expectations.expectations.registry import list_registered_expectation_implementations

    expectations: dict[str, FromGx] = {}
    problems = []
    for rule, entry in entries.items():
        kind, meta = entry["type"], entry.get("meta") or {}
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
        problems.append(Problem(where=f"{where}: {rule}", expected=expected, found=found, fix=fix))
    if problems:
        raise SuiteError(*problems)
    return expectations


@contextmanager
def batch_of(connection: "duckdb.DuckDBPyConnection") -> Iterator[FromGx]:
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
            STAGED,
            connection_string="duckdb:///:memory:",
            create_temp_table=False,
            kwargs={"creator": lambda: _Connection(connection), "poolclass": StaticPool},
        )
        asset = source.add_table_asset(STAGED, table_name=STAGED)
        batch = asset.add_batch_definition_whole_table(STAGED).get_batch()
        # GX knows no DuckDB; of the dialects it knows, Trino's LIKE and regexp_like are DuckDB's.
        engine = batch.data.execution_engine
        engine.dialect_module = SimpleNamespace(TrinoDialect=None)
        engine.batch_manager.load_batch_list([batch])
        yield batch
    finally:
        project_manager.set_project(None)


def metric_of(name: str, configuration: FromGx, batch: FromGx) -> FromGx:
    """Return the value of GX's metric ``name`` for one expectation's configuration."""
    from great_expectations.expectations.registry import get_metric_kwargs
    from great_expectations.validator.metric_configuration import MetricConfiguration
    from great_expectations.validator.metrics_calculator import MetricsCalculator

    keys = get_metric_kwargs(name, configuration=configuration)
    metric = MetricConfiguration(name, keys["metric_domain_kwargs"], keys["metric_value_kwargs"])
    return MetricsCalculator(execution_engine=batch.data.execution_engine).get_metric(metric)


def evaluate(
    connection: "duckdb.DuckDBPyConnection",
    rules: Sequence[RulePlan],
    entries: Mapping[str, Mapping[str, Any]],
    where: str,
) -> tuple[dict[str, ExpectationResult], "pa.Table"]:
    """Evaluate rules by GX itself on the staged rows; return results, and the rows to set aside.

    Raises SuiteError when GX refuses an expectation or cannot evaluate it.
    """
    expectations = expectations_of(where, {rule.rule: entries[rule.rule] for rule in rules})
    connection.execute(
        f"CREATE OR REPLACE TABLE {FAILED} (rule VARCHAR, _file VARCHAR, _row BIGINT)"
    )
    with batch_of(connection) as batch:
        found = _validate(expectations, batch, where)
        results = {rule.rule: _result(rule, found[rule.rule], batch) for rule in rules}
        for result in results.values():
            if result.on_fail == "quarantine" and result.unexpected_count:
                _set_aside(result, expectations[result.rule], batch, where)
    rows = connection.sql(FAILED_ROWS).to_arrow_table()
    return results, rows.cast(quality.failed_rows_schema())


def _refusal(error: Exception) -> str:
    """Return GX's reasons in one line; pydantic tells a field once per type it tried."""
    if not hasattr(error, "errors"):
        return str(error).splitlines()[0]
    reasons: dict[str, str] = {}
    for reason in error.errors():
        name = ".".join(str(part) for part in reason["loc"] if part != "__root__")
        reasons.setdefault(name, f"{name}: {reason['msg']}" if name else str(reason["msg"]))
    return "; ".join(reasons.values())


def _validate(expectations: Mapping[str, FromGx], batch: FromGx, where: str) -> dict[str, FromGx]:
    """Return GX's result of each rule, or raise SuiteError unless every rule was evaluated."""
    from great_expectations import ExpectationSuite

    gx_suite = ExpectationSuite(name=STAGED, expectations=list(expectations.values()))
    validation = batch.validate(gx_suite, result_format=RESULT_FORMAT)
    results = {result.expectation_config.meta[RULE]: result for result in validation.results}
    problems = []
    for rule in expectations:
        # GX tells an exception flat when the expectation raised, by metric when a metric did.
        told = (results[rule].exception_info or {}) if rule in results else {"raised_exception": 1}
        raised = [told, *(part for part in told.values() if isinstance(part, dict))]
        if any(part.get("raised_exception") for part in raised):
            cause = "\n".join(str(part.get("exception_traceback")) for part in raised)
            problems.append(not_evaluated(where, rule, cause))
    if problems:
        raise SuiteError(*problems)
    return results


def _result(rule: RulePlan, found: FromGx, batch: FromGx) -> ExpectationResult:
    configuration, counts = found.expectation_config, found.result
    if "element_count" in counts:
        evaluated = counts["element_count"] - counts.get("missing_count", 0)
        unexpected = counts["unexpected_count"] or 0  # GX has no count where there is no row
        observed = observed_rows(unexpected, evaluated, configuration.kwargs.get("mostly", 1))
    else:
        evaluated, unexpected = metric_of("table.row_count", configuration, batch), 0
        observed = observed_whole(counts.get("observed_value"))
    return judged(
        rule,
        success=bool(found.success),
        evaluated=evaluated,
        failed=unexpected,
        observed=observed,
    )


def _set_aside(result: ExpectationResult, expectation: FromGx, batch: FromGx, where: str) -> None:
    """Insert the rule and the name of each row that fails it into the table of failed rows.

    Takes the predicate of failing rows out of GX, so GX never lists them in Python. Its own query
    of failing rows is no use: it leaves out ``row_condition``. Raises SuiteError unless it finds as
    many rows as GX counted.
    """
    import sqlalchemy as sa

    metric = f"{expectation.map_metric}.condition"
    condition, domain, accessor = metric_of(metric, expectation.configuration, batch)
    engine = batch.data.execution_engine
    rows = engine.get_domain_records({**domain, **accessor})
    rows = rows.subquery() if isinstance(rows, sa.Select) else rows
    found: Any = sa.select(sa.literal(result.rule), sa.column("_file"), sa.column("_row"))
    into = sa.table(FAILED, sa.column("rule"), sa.column("_file"), sa.column("_row"))
    insert = sa.insert(into).from_select(list(into.c), found.select_from(rows).where(condition))
    with engine.engine.begin() as connection:
        connection.execute(insert)
        count = sa.select(sa.func.count()).select_from(into).where(into.c.rule == result.rule)
        collected = connection.execute(count).scalar_one()
    if collected != result.unexpected_count:
        expected = f"{result.unexpected_count:,} failing rows, as GX counts them"
        told = f"{collected:,} of them one by one"
        fix = "Remove meta.on_fail: the rows that fail this expectation cannot be told."
        raise SuiteError(
            Problem(where=f"{where}: {result.rule}", expected=expected, found=told, fix=fix)
        )


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
