"""Great Expectations compiled: a suite's rules as DuckDB SQL, by GX's own conditions."""

import traceback
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pipelines.adapters.suites import duckdb_checks, gx_on_duckdb
from pipelines.adapters.suites.gx_aggregates import Aggregate, Asked, UnlikeColumnError, aggregate
from pipelines.domain import quality
from pipelines.domain.check_plan import CheckPlan, RulePlan
from pipelines.domain.sql_text import literal, quoted, typed
from pipelines.errors import Problem, SuiteError

if TYPE_CHECKING:
    from pipelines.adapters.suites.gx_on_duckdb import FromGx
    from pipelines.adapters.suites.gx_suites import Suite

ONE_COLUMN = frozenset(
    {
        "expect_column_value_lengths_to_be_between",
        "expect_column_value_lengths_to_equal",
        "expect_column_values_to_be_between",
        "expect_column_values_to_be_in_set",
        "expect_column_values_to_match_like_pattern",
        "expect_column_values_to_match_like_pattern_list",
        "expect_column_values_to_match_regex",
        "expect_column_values_to_match_regex_list",
        "expect_column_values_to_not_be_in_set",
        "expect_column_values_to_not_match_like_pattern",
        "expect_column_values_to_not_match_like_pattern_list",
        "expect_column_values_to_not_match_regex",
        "expect_column_values_to_not_match_regex_list",
    }
)
"""Expectations on one column whose condition depends on the row alone; they judge no missing value."""

MISSING = frozenset({"expect_column_values_to_be_null", "expect_column_values_to_not_be_null"})
"""Expectations on one column that judge every row."""

SEVERAL_COLUMNS = frozenset(
    {
        "expect_column_pair_values_a_to_be_greater_than_b",
        "expect_column_pair_values_to_be_equal",
        "expect_column_pair_values_to_be_in_set",
        "expect_multicolumn_sum_to_equal",
        "expect_multicolumn_values_to_be_equal",
        "expect_select_column_values_to_be_unique_within_record",
    }
)
"""Expectations on several columns of a row; ``ignore_row_if`` says which rows they judge."""

UNKNOWN_HOLDS = "expect_select_column_values_to_be_unique_within_record"
"""The one expectation on several columns that a comparison with a missing value does not break."""

UNIQUE = frozenset({"expect_column_values_to_be_unique", "expect_compound_columns_to_be_unique"})
"""Expectations on rows that repeat."""

NEEDS_ROWS = frozenset({"expect_column_kl_divergence_to_be_less_than"})
"""Expectations that GX cannot evaluate where there is no row, which proves nothing about other rows."""

IGNORED = {
    "both_values_are_missing": " AND ",
    "all_values_are_missing": " AND ",
    "either_value_is_missing": " OR ",
    "any_value_is_missing": " OR ",
}
"""How ``ignore_row_if`` joins its tests for a missing value; any other value ignores no row."""


def compile_suite(suite: "Suite") -> CheckPlan:
    """Return the suite as SQL, tried out on a table without rows. Imports GX.

    A rule that has no SQL here stays with GX ("great_expectations"). Raises SuiteError, with all
    problems, for what GX refuses, for values of another type than the column's, and for what
    neither SQL nor GX on DuckDB can evaluate.
    """
    where = str(suite.path)
    entries = {rule: _without_missing(entry) for rule, entry in suite.entries.items()}
    expectations = gx_on_duckdb.expectations_of(where, entries)
    rules: list[RulePlan] = []
    problems = [
        problem for rule, entry in entries.items() for problem in _mismatches(suite, rule, entry)
    ]
    if problems:
        raise SuiteError(*problems)
    with (
        duckdb_checks.staged_rows((), suite.columns, threads=1) as connection,
        gx_on_duckdb.batch_of(connection) as batch,
    ):
        for rule, entry in entries.items():
            try:
                rules.append(_rule_plan(suite, rule, entry, expectations[rule], batch))
            except UnlikeColumnError as error:
                problems.append(_refused(where, rule, error.expected, error.found))
            except Exception as error:  # noqa: BLE001 - GX raises anything; it is told, not swallowed
                cause = "".join(traceback.format_exception(error))
                problems.append(duckdb_checks.not_evaluated(where, rule, cause))
        for plan in rules:
            try:
                _try_out(suite, plan, connection)
            except SuiteError as error:
                problems += error.problems
    if problems:
        order = {f"{where}: {rule}": number for number, rule in enumerate(entries)}
        raise SuiteError(*sorted(problems, key=lambda problem: order.get(problem.where, 0)))
    return CheckPlan(suite=suite.name, rules=tuple(rules))


def _without_missing(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an entry whose forbidden values are none but real ones: SQL's NOT IN (NULL) is unknown."""
    if entry["type"] != "expect_column_values_to_not_be_in_set":
        return entry
    kwargs = dict(entry.get("kwargs", {}))
    if isinstance(kwargs.get("value_set"), list):
        kwargs["value_set"] = [value for value in kwargs["value_set"] if value is not None]
    return {**entry, "kwargs": kwargs}


def _try_out(suite: "Suite", plan: RulePlan, connection: Any) -> None:  # noqa: ANN401 - DuckDB's
    """Evaluate one rule on no row. Raises SuiteError if it cannot be evaluated whatever the rows."""
    where = str(suite.path)
    if plan.lane != "great_expectations":
        duckdb_checks.run(connection, CheckPlan(suite=suite.name, rules=(plan,)), where)
        return
    if plan.expectation_type not in NEEDS_ROWS:
        gx_on_duckdb.evaluate(connection, [plan], suite.entries, where)


def _rule_plan(
    suite: "Suite", rule: str, entry: Mapping[str, Any], expectation: "FromGx", batch: "FromGx"
) -> RulePlan:
    kind, kwargs = entry["type"], entry.get("kwargs", {})
    columns = quality.columns_of(kwargs)
    condition = kwargs.get("row_condition")
    stated: dict[str, Any] = {
        "rule": rule,
        "expectation_type": kind,
        "columns": columns,
        "severity": entry.get("severity", "critical"),
        "on_fail": (entry.get("meta") or {}).get("on_fail", "none"),
        "reads": tuple(dict.fromkeys((*columns, *_condition_columns(condition)))),
        "mostly": float(getattr(expectation, "mostly", 1.0)),
    }
    domain = _domain(expectation, columns, condition, batch)
    only = f" FILTER (WHERE {domain})" if domain else ""
    names = tuple(quoted(column) for column in columns)
    if kind in UNIQUE:
        single = [f"{names[0]} IS NOT NULL"] if len(names) == 1 else []
        judged = " AND ".join([part for part in (domain, *single) if part]) or "TRUE"
        counted = f"count({names[0]}){only}" if single else f"count(*){only}"
        return RulePlan(lane="groups", evaluated=counted, domain=judged, keys=names, **stated)
    if kind in ONE_COLUMN | MISSING | SEVERAL_COLUMNS:
        failing = _condition(expectation, batch)
        if kind in SEVERAL_COLUMNS and kind != UNKNOWN_HOLDS:
            failing = f"coalesce({failing}, TRUE)"
        return RulePlan(
            lane="rows",
            evaluated=f"count({names[0]}){only}" if kind in ONE_COLUMN else f"count(*){only}",
            failing=f"({domain}) AND {failing}" if domain else failing,
            **stated,
        )
    column_type = suite.columns[columns[0]] if columns else ""
    keywords = {name: getattr(expectation, name) for name in expectation.__fields__}
    found = aggregate(kind, Asked(kwargs=keywords, column_type=column_type, domain=domain))
    if found is None:
        return RulePlan(lane="great_expectations", **stated)
    return _whole(found, f"count(*){only}", stated)


def _whole(found: Aggregate, evaluated: str, stated: Mapping[str, Any]) -> RulePlan:
    return RulePlan(
        lane="whole",
        evaluated=evaluated,
        values=found.values,
        bounds=found.bounds,
        source=found.source,
        shown=found.shown,
        **stated,
    )


def _domain(
    expectation: "FromGx",
    columns: tuple[str, ...],
    condition: object,
    batch: "FromGx",
) -> str:
    """Return the predicate of the rows a rule judges, "" for all: its own condition, and no other.

    ``ignore_row_if`` is GX's keyword for rows in which some of several columns are missing.
    """
    parts = []
    if condition is not None:
        from great_expectations.expectations.row_conditions import deserialize_row_condition

        engine = batch.data.execution_engine
        clause = engine.condition_to_filter_clause(deserialize_row_condition(condition))
        parts.append(f"({_sql(clause)})")
    if joined := IGNORED.get(getattr(expectation, "ignore_row_if", "")):
        missing = joined.join(f"{quoted(column)} IS NULL" for column in columns)
        parts.append(f"NOT ({missing})")
    return " AND ".join(parts)


def _condition(expectation: "FromGx", batch: "FromGx") -> str:
    """Return GX's own predicate of a row that fails, as SQL, without the rule's row condition."""
    metric, configuration = f"{expectation.map_metric}.condition", expectation.configuration
    configuration.kwargs.pop("row_condition", None)
    condition, _, _ = gx_on_duckdb.metric_of(metric, configuration, batch)
    return f"({_sql(condition)})"


def _sql(clause: "FromGx") -> str:
    """Return a clause of SQLAlchemy as DuckDB's SQL, its values written out with their types."""
    from duckdb_engine import Dialect, DuckDBIdentifierPreparer

    class Quoting(DuckDBIdentifierPreparer):  # type: ignore[misc] # duckdb_engine is untyped
        def _requires_quotes(self, value: str) -> bool:
            return True

    class WrittenOut(Dialect.statement_compiler):  # type: ignore[misc] # duckdb_engine is untyped
        def render_literal_value(self, value: object, type_: object) -> str:
            return literal(value)

    dialect = Dialect()
    dialect.identifier_preparer = Quoting(dialect)
    dialect.statement_compiler = WrittenOut
    return str(clause.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))


def _condition_columns(condition: object) -> Iterator[str]:
    """Yield the columns a row condition reads."""
    if isinstance(condition, dict):
        if isinstance(condition.get("column"), dict):
            yield condition["column"]["name"]
        for part in condition.get("conditions") or []:
            yield from _condition_columns(part)


def _compared(condition: object) -> Iterator[tuple[str, object]]:
    """Yield each column that a row condition compares, and each value it is compared with."""
    if isinstance(condition, dict):
        if condition.get("type") == "comparison":
            parameter = condition.get("parameter")
            for value in parameter if isinstance(parameter, list) else [parameter]:
                yield condition["column"]["name"], value
        for part in condition.get("conditions") or []:
            yield from _compared(part)


def _mismatches(suite: "Suite", rule: str, entry: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield a problem for each value that can never equal one of its column.

    DuckDB would read the text "1" as the number 1, and cut a time down to its date.
    """
    kwargs = entry.get("kwargs", {})
    columns = quality.columns_of(kwargs)
    values = kwargs.get("value_set") or []
    pairs = kwargs.get("value_pairs_set") or []
    asked = [
        *((columns[0], value) for value in values if columns),
        *_compared(kwargs.get("row_condition")),
    ]
    for pair in pairs:
        asked += zip(columns, pair, strict=False)
    for column, value in asked:
        try:
            typed(value, suite.columns[column])
        except ValueError:
            found = f"{value!r} for '{column}', which is {suite.columns[column]}"
            yield _refused(str(suite.path), rule, "values of the column's type", found)


def _refused(where: str, rule: str, expected: str, found: str) -> Problem:
    fix = "Correct the expectation."
    return Problem(where=f"{where}: {rule}", expected=expected, found=found, fix=fix)
