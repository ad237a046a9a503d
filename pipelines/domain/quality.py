"""Quality: what a suite may ask, what its check found, and which rows are set aside."""

import difflib
import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from pipelines.errors import Problem

if TYPE_CHECKING:
    import pyarrow as pa

Publication = Literal["publish", "publish_and_flag", "refuse"]
"""The verdict of a whole check on the rows it saw."""

Severity = Literal["critical", "warning"]
OnFail = Literal["none", "quarantine"]

ROW_KEY = ("_file", "_row")
"""Columns that name one row: the landed file's name and the row's number in it."""

SUITE_KEYS = ("name", "expectations", "meta", "notes", "id")
EXPECTATION_KEYS = ("type", "kwargs", "severity", "meta", "notes", "description", "id")
SEVERITIES = ("critical", "warning")
ON_FAIL = ("none", "quarantine")
CONDITION_TYPES = ("comparison", "nullity", "and", "or")
"""Forms of a row condition that GX turns into SQL; its text forms it does not."""

OURS = ("result_format", "catch_exceptions", "condition_parser", "windows")
"""Keywords of an expectation that Headframe sets itself, or that mean nothing in a check."""

SHAPE = (
    'A suite is {"name": ..., "expectations": [{"type": ..., "kwargs": {...}, "severity": ...,'
    ' "meta": {"on_fail": ...}}]}.'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectationResult:
    """What one expectation found.

    ``rule`` names the expectation inside its suite. ``rows_evaluated`` counts the rows it judged:
    for a row-level expectation those of its row condition that hold a value, else all of them.
    ``unexpected_count`` counts the rows that failed; an expectation about a whole table leaves it
    at 0 and says in ``observed`` what it saw. ``observed`` never holds a row's content.
    """

    rule: str
    expectation_type: str
    columns: tuple[str, ...]
    severity: Severity
    on_fail: OnFail
    success: bool
    rows_evaluated: int
    unexpected_count: int
    observed: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """What a suite found in ``rows`` rows, one result per expectation, in the suite's order.

    ``failed_rows`` has a row per row to set aside: ``_file``, ``_row``, and ``_failed``, the rules
    with ``on_fail`` "quarantine" that it failed. A rule sets its failing rows aside even when it
    succeeds because ``mostly`` allows for some.
    """

    suite: str
    suite_digest: str
    rows: int
    results: tuple[ExpectationResult, ...]
    failed_rows: "pa.Table"

    @property
    def verdict(self) -> Publication:
        """Whether the rows may be published.

        "refuse" when a critical expectation failed that sets no rows aside; "publish_and_flag" when
        any other failed or any row is set aside; else "publish".
        """
        failed = [result for result in self.results if not result.success]
        if any(r.severity == "critical" and r.on_fail != "quarantine" for r in failed):
            return "refuse"
        return "publish_and_flag" if failed or self.failed_rows.num_rows else "publish"

    def as_json(self) -> dict[str, str | int]:
        """Return the outcome as a small flat dict of names and counts, ready for commit metadata."""
        failed = [result for result in self.results if not result.success]
        return {
            "suite": self.suite,
            "suite_digest": self.suite_digest,
            "verdict": self.verdict,
            "rows": self.rows,
            "rows_quarantined": int(self.failed_rows.num_rows),
            "expectations": len(self.results),
            "failed_critical": sum(result.severity == "critical" for result in failed),
            "failed_warning": sum(result.severity == "warning" for result in failed),
            "without_rows": sum(result.rows_evaluated == 0 for result in self.results),
        }


@dataclass(frozen=True, slots=True)
class SplitRows:
    """Rows to publish, and rows set aside with the ``_failed`` list of rules; together all rows."""

    accepted: "pa.Table"
    quarantined: "pa.Table"


def parse_suite(text: str) -> Any:  # noqa: ANN401 - any JSON
    """Parse a suite's JSON. Raises ValueError also for a key given twice, which would drop a rule."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) < len(pairs):
            raise ValueError("a key is given twice in one object")
        return dict(pairs)

    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is not a JSON number")

    return json.loads(text, object_pairs_hook=once, parse_constant=refuse)


def suite_problems(where: str, suite: object, columns: Collection[str]) -> list[Problem]:
    """Return what is wrong with the structure of a suite in GX's JSON form, judged without GX.

    Looks at keys, severities, ``meta.on_fail``, columns that ``columns`` lacks, ``mostly`` outside
    (0, 1], ``min_value`` above ``max_value``, bounds left out, and row conditions that are not SQL.
    Whether GX knows an expectation and its other keywords is for GX to say.
    """
    if not isinstance(suite, dict):
        return [Problem(where=where, expected="a JSON object", found=_kind(suite), fix=SHAPE)]
    problems = list(_unknown_keys(where, suite, SUITE_KEYS))
    if not isinstance(suite.get("name"), str) or not suite["name"]:
        problems.append(Problem(where=where, expected="a name", found="none", fix=SHAPE))
    expectations = suite.get("expectations")
    if not isinstance(expectations, list) or not expectations:
        found = "an empty list" if expectations == [] else _kind(expectations)
        fix = "Write one, or delete the file: a suite without any would pass every row."
        expected = "a list of expectations"
        return [*problems, Problem(where=where, expected=expected, found=found, fix=fix)]
    for number, expectation in enumerate(expectations, start=1):
        problems += _expectation_problems(f"{where}: expectation {number}", expectation, columns)
    return problems


def columns_of(kwargs: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the columns an expectation judges, in the order its keywords name them."""
    single = [kwargs[key] for key in ("column", "column_A", "column_B") if key in kwargs]
    listed = kwargs.get("column_list")
    return (*map(str, single), *map(str, listed if isinstance(listed, list) else []))


def rule_names(expectations: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return one name per expectation: its type and columns, numbered from the second alike.

    >>> between = {"type": "expect_column_values_to_be_between", "kwargs": {"column": "temp"}}
    >>> rule_names([between, between])[1]
    'expect_column_values_to_be_between:temp#2'
    """
    seen: Counter[str] = Counter()
    rules = []
    for expectation in expectations:
        columns = ",".join(columns_of(expectation.get("kwargs", {})))
        rule = f"{expectation['type']}:{columns}" if columns else str(expectation["type"])
        seen[rule] += 1
        rules.append(rule if seen[rule] == 1 else f"{rule}#{seen[rule]}")
    return rules


def nearest(name: str, known: Collection[str]) -> str:
    """Return a sentence that offers the closest of ``known``, or lists up to ten of them."""
    close = difflib.get_close_matches(name, known, n=1)
    if close:
        return f"Did you mean '{close[0]}'?"
    return f"Known: {', '.join(sorted(known)[:10])}{', ...' if len(known) > 10 else ''}."


def no_failed_rows() -> "pa.Table":
    """Return the empty table of failed rows: ``_file``, ``_row``, ``_failed``."""
    import pyarrow as pa

    # schema.empty_table() would import pandas.
    return pa.Table.from_batches([], schema=failed_rows_schema())


def failed_rows_schema() -> "pa.Schema":
    """Return the schema of the table of failed rows."""
    import pyarrow as pa

    return pa.schema(
        [("_file", pa.string()), ("_row", pa.int64()), ("_failed", pa.list_(pa.string()))]
    )


def split_rows(rows: "pa.Table", failed_rows: "pa.Table") -> SplitRows:
    """Split rows by the check's failed rows, matched on ``_file`` and ``_row``.

    The two parts partition ``rows`` and keep its columns and order; ``quarantined`` adds
    ``_failed``. A failed row that is not among ``rows`` has no effect. Rows that share a name share
    its fate.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    schema = failed_rows_schema()
    failed = failed_rows.select(schema.names).cast(schema)
    everywhere = pa.arange(0, rows.num_rows)
    # A join carries no lists, so it finds places in both tables and the lists are taken after it.
    here = rows.select(list(ROW_KEY)).cast(pa.schema([schema.field(name) for name in ROW_KEY]))
    there = failed.select(list(ROW_KEY)).append_column("_there", pa.arange(0, failed.num_rows))
    matched = here.append_column("_here", everywhere).join(there, list(ROW_KEY), join_type="inner")
    places = matched.group_by("_here").aggregate([("_there", "min")]).sort_by("_here")
    quarantined = places["_here"].combine_chunks()
    return SplitRows(
        rows.filter(pc.invert(pc.is_in(everywhere, value_set=quarantined))),
        rows.take(quarantined).append_column(
            "_failed", failed["_failed"].take(places["_there_min"])
        ),
    )


def _expectation_problems(
    where: str, expectation: object, columns: Collection[str]
) -> Iterator[Problem]:
    if not isinstance(expectation, dict) or not isinstance(expectation.get("type"), str):
        yield Problem(where=where, expected="an object with a type", found="none", fix=SHAPE)
        return
    where = f"{where} ({expectation['type']})"
    yield from _unknown_keys(where, expectation, EXPECTATION_KEYS)
    kwargs, meta = expectation.get("kwargs", {}), expectation.get("meta") or {}
    if not isinstance(kwargs, dict) or not isinstance(meta, dict):
        yield Problem(where=where, expected="kwargs and meta as objects", found="others", fix=SHAPE)
        return
    severity, on_fail = expectation.get("severity", "critical"), meta.get("on_fail", "none")
    yield from _not_one_of(where, "severity", [severity], SEVERITIES)
    yield from _not_one_of(where, "meta.on_fail", [on_fail], ON_FAIL)
    yield from _not_one_of(where, "column", columns_of(kwargs), columns)
    yield from _condition_problems(where, kwargs.get("row_condition"), columns)
    yield from _number_problems(where, expectation["type"], kwargs)
    for key in OURS:
        if key in kwargs:
            yield Problem(
                where=where, expected="no such keyword", found=f"'{key}'", fix="Remove it."
            )
    if any(isinstance(value, dict) and "$PARAMETER" in value for value in kwargs.values()):
        fix = "Write the value itself; a check gets no parameters."
        yield Problem(where=where, expected="values", found="a $PARAMETER", fix=fix)
    if expectation["type"].startswith("expect_table_column"):
        fix = "Remove it: the contract states the columns, and staged files hold more than them."
        yield Problem(where=where, expected="rules about rows", found="one on columns", fix=fix)


def _number_problems(where: str, name: str, kwargs: Mapping[str, Any]) -> Iterator[Problem]:
    mostly = kwargs.get("mostly", 1)
    if isinstance(mostly, bool) or not isinstance(mostly, int | float) or not 0 < mostly <= 1:
        fix = "Write the share of rows that must hold as a number, such as 0.99."
        yield Problem(where=where, expected="mostly in (0, 1]", found=repr(mostly), fix=fix)
    low, high = kwargs.get("min_value"), kwargs.get("max_value")
    both_numbers = isinstance(low, int | float) and isinstance(high, int | float)
    both_texts = isinstance(low, str) and isinstance(high, str)
    if (both_numbers or both_texts) and low > high:  # type: ignore[operator] # both of a kind
        expected, found = "min_value at most max_value", f"{low!r} above {high!r}"
        yield Problem(where=where, expected=expected, found=found, fix="Swap them.")
    if name.endswith("_to_be_between") and "quantile" not in name and low is None and high is None:
        fix = "Add a bound: without one the expectation holds for any rows."
        yield Problem(where=where, expected="min_value or max_value", found="neither", fix=fix)


def _condition_problems(
    where: str, condition: object, columns: Collection[str]
) -> Iterator[Problem]:
    if condition is None:
        return
    if not isinstance(condition, dict) or condition.get("type") not in CONDITION_TYPES:
        fix = (
            'Write {"type": "comparison", "column": {"name": ...}, "operator": "==", "parameter":'
            ' ...}, {"type": "nullity", ...}, or "and" / "or" over a list of "conditions".'
        )
        found = _kind(condition)
        yield Problem(where=where, expected="row_condition as an object", found=found, fix=fix)
        return
    column = condition.get("column")
    if isinstance(column, dict):
        yield from _not_one_of(where, "column", [column.get("name")], columns)
    conditions = condition.get("conditions")
    for part in conditions if isinstance(conditions, list) else []:
        yield from _condition_problems(where, part, columns)


def _unknown_keys(
    where: str, found: Mapping[str, object], known: Collection[str]
) -> Iterator[Problem]:
    return _not_one_of(where, "key", found, known)


def _not_one_of(
    where: str, what: str, names: Collection[object], known: Collection[str]
) -> Iterator[Problem]:
    for name in names:
        if not isinstance(name, str) or name not in known:
            expected, fix = f"a known {what}", nearest(str(name), known)
            yield Problem(where=where, expected=expected, found=f"{what} {name!r}", fix=fix)


def _kind(value: object) -> str:
    return "nothing" if value is None else f"a JSON {type(value).__name__}"
