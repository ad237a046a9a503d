"""DuckDB runs a check plan: one pass for all counts, one more only when rows are set aside."""

import re
import traceback
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.domain.check_plan import STAGED, CheckPlan, Numbers, RulePlan, judge
from pipelines.domain.quality import (
    ROW_KEY,
    ExpectationResult,
    failed_rows_schema,
    no_failed_rows,
)
from pipelines.domain.sql_text import literal, quoted, read_parquet
from pipelines.errors import Problem, SuiteError

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

ROWS = "count(*)"
"""The aggregate that every pass over all rows starts with."""

DUCKDB_TYPES = {
    "string": "VARCHAR",
    "int64": "BIGINT",
    "double": "DOUBLE",
    "bool": "BOOLEAN",
    "date": "DATE",
    "timestamp[UTC]": "TIMESTAMP WITH TIME ZONE",
}
"""DuckDB's type of each contract type."""

FLOATS = ("DOUBLE", "FLOAT")
"""DuckDB's types that know NaN."""

SAFE_CAUSES = (
    r"(?:Binder|Catalog|Parser) Error: [^\n]*",
    r"Out of Range Error: [A-Z_]+ is out of range",
    # RE2's own words about a pattern.
    r"Invalid Input Error: (?:invalid (?:perl operator|escape sequence|character class|repetition size"
    r"|named capture group)|missing|unexpected \)|trailing|no argument for repetition|bad repetition)"
    r"[^\n]*",
    r"No provider found for [\w.]+",
    r"\w[\w ]* is not implemented for SQL dialect '\w+'",
)
"""Texts of a failed evaluation that stem from the suite alone; any other may quote a row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a plan's compiled rules found: rows seen, results by rule, and rows to set aside."""

    rows: int
    results: Mapping[str, ExpectationResult]
    failed_rows: "pa.Table" = field(repr=False)


@contextmanager
def staged_rows(
    files: Sequence[Path], columns: Mapping[str, str], threads: int | None
) -> Iterator["duckdb.DuckDBPyConnection"]:
    """Lend a connection that shows the rows of Parquet ``files`` as the relation ``staged``.

    NaN is shown as a missing value. Without files it has the contract's ``columns`` and no row.
    """
    import duckdb

    connection = duckdb.connect(":memory:", config={"threads": threads} if threads else {})
    try:
        # By a Parquet file's bounds, which leave NaN out, DuckDB 2.0 decides that there is none.
        connection.execute("SET disabled_optimizers = 'statistics_propagation'")
        # Bounds of a timestamp are written in UTC.
        connection.execute("SET GLOBAL TimeZone = 'UTC'")
        # The name GX writes for a regular expression; RE2 searches, as Python's re.search does.
        connection.execute(
            "CREATE MACRO regexp_like(text, pattern) AS regexp_matches(text, pattern)"
        )
        if files:
            _create_view(connection, read_parquet(files))
        else:
            types = [f"{quoted(name)} {DUCKDB_TYPES[columns[name]]}" for name in columns]
            types += [f"{ROW_KEY[0]} VARCHAR", f"{ROW_KEY[1]} BIGINT"]
            connection.execute(f"CREATE TABLE {STAGED} ({', '.join(types)})")
        yield connection
    finally:
        connection.close()


def run(connection: "duckdb.DuckDBPyConnection", plan: CheckPlan, where: str) -> Found:
    """Evaluate the plan's compiled rules on the staged rows.

    Rules of the lane "great_expectations" are left to their own module. Raises SuiteError naming
    ``where`` and each rule that could not be evaluated, whose column the files lack, say.
    """
    import duckdb

    rules = plan.of("rows", "groups", "whole")
    _refuse_missing_columns(connection, plan.rules, where)
    try:
        rows, numbers = _numbers(connection, rules)
    except duckdb.Error as error:
        raise SuiteError(*_culprits(connection, rules, where, error)) from error
    failing = {
        rule.rule: rule
        for rule in rules
        if rule.on_fail == "quarantine" and numbers[rule.rule].failed
    }
    return Found(
        rows=rows,
        results={rule.rule: judge(rule, numbers[rule.rule]) for rule in rules},
        failed_rows=_failed_rows(connection, rules, failing) if failing else no_failed_rows(),
    )


def not_evaluated(where: str, rule: str, cause: str) -> Problem:
    """Return the problem of a rule that raised, told without any text that may quote a row."""
    found = None
    for pattern in SAFE_CAUSES:
        if match := re.search(pattern, cause):
            found = match.group(0)
            break
    if found is None:
        kinds = re.findall(r"^([\w.]*(?:Error|Exception))\b", cause, re.MULTILINE)
        kind = kinds[0] if kinds else "an exception"
        found = f"{kind} (its text may quote rows and is left out)"
    return Problem(
        where=f"{where}: {rule}",
        expected="an evaluation on DuckDB",
        found=found,
        fix="Correct the expectation, or replace it by one that GX evaluates in SQL.",
    )


def _create_view(connection: "duckdb.DuckDBPyConnection", source: str) -> None:
    described = connection.execute(f"DESCRIBE FROM {source}").fetchall()
    names = [quoted(name) for name, kind, *_ in described if kind in FLOATS]
    shown = [f"CASE WHEN isnan({name}) THEN NULL ELSE {name} END AS {name}" for name in names]
    replaced = f"SELECT * REPLACE ({', '.join(shown)}) " if shown else ""
    connection.execute(f"CREATE VIEW {STAGED} AS {replaced}FROM {source}")


def _refuse_missing_columns(
    connection: "duckdb.DuckDBPyConnection", rules: Sequence[RulePlan], where: str
) -> None:
    there = {name for name, *_ in connection.execute(f"DESCRIBE {STAGED}").fetchall()}
    problems = [
        Problem(
            where=f"{where}: {rule.rule}",
            expected="files with every column the rule reads",
            found=f"no column {', '.join(sorted(lacking))}",
            fix="Correct the expectation, or ingest the table again.",
        )
        for rule in rules
        if (lacking := set(rule.reads) - there)
    ]
    if problems:
        raise SuiteError(*problems)


def _numbers(
    connection: "duckdb.DuckDBPyConnection", rules: Sequence[RulePlan]
) -> tuple[int, dict[str, Numbers]]:
    """Return the number of rows, and each rule's numbers: one pass, and one for each grouping."""
    asked: dict[str, dict[str, None]] = {STAGED: {ROWS: None}}
    for rule in rules:
        asked[STAGED].update(dict.fromkeys((rule.evaluated, *_failed_count(rule))))
        asked.setdefault(rule.source or STAGED, {}).update(dict.fromkeys(rule.values))
    told = {source: _aggregates(connection, source, list(texts)) for source, texts in asked.items()}
    seen = told[STAGED]
    numbers = {}
    for number, rule in enumerate(rules):
        if rule.lane == "groups":
            failed = _repeated(connection, rule, number)
        else:
            failed = sum(int(seen[text]) for text in _failed_count(rule))
        values = tuple(told[rule.source or STAGED][text] for text in rule.values)
        numbers[rule.rule] = Numbers(
            evaluated=int(seen[rule.evaluated]), failed=failed, values=values
        )
    return int(seen[ROWS]), numbers


def _failed_count(rule: RulePlan) -> list[str]:
    return [f"count(*) FILTER (WHERE {rule.failing})"] if rule.failing else []


def _aggregates(
    connection: "duckdb.DuckDBPyConnection", source: str, texts: Sequence[str]
) -> dict[str, int | float]:
    found = connection.execute(f"SELECT {', '.join(texts)} FROM {source}").fetchall()  # noqa: S608 - the plan's SQL
    return dict(zip(texts, found[0], strict=True))


def _repeated(connection: "duckdb.DuckDBPyConnection", rule: RulePlan, number: int) -> int:
    """Keep the keys that repeat as a table, and return how many rows have one."""
    keys = ", ".join(f"{key} AS _key_{at}" for at, key in enumerate(rule.keys))
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE repeated_{number} AS SELECT {keys}, count(*) AS _repeats"  # noqa: S608 - the plan's SQL
        f" FROM {STAGED} WHERE {rule.domain} GROUP BY {', '.join(rule.keys)} HAVING count(*) > 1"
    )
    total = f"SELECT coalesce(sum(_repeats), 0) FROM repeated_{number}"  # noqa: S608 - a number
    return int(connection.execute(total).fetchall()[0][0])


def _failed_rows(
    connection: "duckdb.DuckDBPyConnection", rules: Sequence[RulePlan], failing: Collection[str]
) -> "pa.Table":
    """Return the name of each row that fails one of ``failing``, with the rules it fails."""
    joins, predicates = "", {}
    for number, rule in enumerate(rules):
        if rule.rule not in failing:
            continue
        predicates[rule.rule] = rule.failing
        if rule.lane == "groups":
            table = f"repeated_{number}"
            same = [
                f"{table}._key_{at} IS NOT DISTINCT FROM {key}" for at, key in enumerate(rule.keys)
            ]
            joins += f" LEFT JOIN {table} ON {' AND '.join(same)} AND ({rule.domain})"
            predicates[rule.rule] = f"{table}._repeats IS NOT NULL"
    named = [
        f"CASE WHEN {predicates[name]} THEN {literal(name)} END" for name in sorted(predicates)
    ]
    file, row = ROW_KEY
    rows = connection.sql(
        f"SELECT {file}, {row}, list_filter([{', '.join(named)}], lambda name: name IS NOT NULL)"  # noqa: S608 - the plan's SQL
        f" AS _failed FROM {STAGED}{joins}"
        f" WHERE {' OR '.join(f'({predicate})' for predicate in predicates.values())}"
        f" ORDER BY {file}, {row}"
    ).to_arrow_table()
    return rows.cast(failed_rows_schema())


def _culprits(
    connection: "duckdb.DuckDBPyConnection",
    rules: Sequence[RulePlan],
    where: str,
    error: "duckdb.Error",
) -> list[Problem]:
    """Return the problem of each rule that raises when it is evaluated alone."""
    import duckdb

    problems = []
    for rule in rules:
        try:
            _numbers(connection, [rule])
        except duckdb.Error as alone:
            problems.append(not_evaluated(where, rule.rule, _told(alone)))
    return problems or [not_evaluated(where, "all rules together", _told(error))]


def _told(error: Exception) -> str:
    return "".join(traceback.format_exception_only(error))
