"""Output problems: what is wrong with declared rules, outputs and promises of a scoring."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from pipelines.domain import business_rules
from pipelines.domain.business_rules import BusinessRule
from pipelines.domain.contract_problems import (
    NAME,
    choice_problems,
    near,
    problem,
    timezone_problems,
)
from pipelines.domain.expected_value import Value
from pipelines.domain.feature_query import AS_OF, EVENT_TIME
from pipelines.domain.kind_problems import value_problem
from pipelines.domain.outputs import (
    VALUED,
    CsvFile,
    Output,
    ParquetFile,
    PostgresTable,
    TopN,
    kept_columns,
    prediction_column,
    shown_columns,
)
from pipelines.domain.prediction_kinds import BINARY, Kind
from pipelines.domain.promises import ArrivesBy, PredictionRange, Promise
from pipelines.domain.source_problems import CONNECTION
from pipelines.errors import Problem

if TYPE_CHECKING:
    import pyarrow as pa

IDENTIFIER = re.compile(r"[a-z_][a-z0-9_]{0,62}")
"""A part of a table's name that PostgreSQL takes as it is written: lower case, at most 63 bytes."""

KINDS = (TopN, CsvFile, ParquetFile, PostgresTable)
MOST_REASONS = 20
"""Reasons a person reads of one row; more is no explanation any more."""

LISTED = ("rank", "reasons")
"""Columns that a top list adds to its rows."""

NUMERIC = ("int64", "double")


def scoring_problems(
    rules: Sequence[BusinessRule],
    outputs: Sequence[Output],
    promises: Sequence[Promise],
    *,
    key: Sequence[str],
    label: str | None,
    kind: Kind = BINARY,
    where: str,
) -> Iterator[Problem]:
    """Yield everything that can be seen without running the feature query.

    ``key`` is the entity's, ``kind`` the label's. Whether an output names columns that exist, and
    whether a rule's SQL is sound, is known once the features are: see ``column_problems`` and
    ``business_rules.problems``.
    """
    yield from _kinds(rules, (BusinessRule,), f"{where}, rules")
    yield from _kinds(outputs, KINDS, f"{where}, outputs")
    yield from _kinds(promises, (PredictionRange, ArrivesBy), f"{where}, promises")
    declared = [output for output in outputs if isinstance(output, KINDS)]
    for rule in rules:
        if isinstance(rule, BusinessRule):
            yield from _rule(rule, f"{where}, rule {rule.name!r}")
    for output in declared:
        yield from _output(output, f"{where}, output {output.name!r}")
    yield from _twice(
        [rule.name for rule in rules if isinstance(rule, BusinessRule)], where, "rule"
    )
    yield from _twice([output.name for output in declared], where, "output")
    tables = [(o.connection, o.table) for o in declared if isinstance(o, PostgresTable)]
    for connection, table in sorted({pair for pair in tables if tables.count(pair) > 1}):
        yield problem(
            f"{where}, outputs",
            "each table of a database in one output",
            f"{table!r} of connection {connection!r} twice",
            "Give each output a table of its own.",
        )
    if label is not None and prediction_column(label, kind) in key:
        yield problem(
            f"{where}, outputs",
            f"no key column called {prediction_column(label, kind)!r}",
            "one",
            f"Rename the label: outputs show the prediction under {prediction_column('<label>', kind)}.",
        )
    for promise in promises:
        yield from _promise(promise, kind, f"{where}, promise {type(promise).__name__}")
    if any(isinstance(promise, ArrivesBy) for promise in promises) and not outputs:
        yield problem(
            f"{where}, promise ArrivesBy",
            "an output that can arrive",
            "outputs=[]",
            "Declare an output, or leave the promise out.",
        )


def column_problems(
    outputs: Sequence[Output],
    *,
    key: Mapping[str, str],
    features: Mapping[str, str],
    label: str,
    kind: Kind = BINARY,
    where: str,
) -> Iterator[Problem]:
    """Yield a problem for every column that an output names and its rows do not have.

    ``key`` and ``features`` map names to contract types, as the feature query gives them.
    """
    prediction, kept = prediction_column(label, kind), kept_columns(kind)
    known = tuple(dict.fromkeys((*key, prediction, *kept, *features)))
    if outputs and (taken := sorted({prediction, *kept, *LISTED} & {*features})):
        yield problem(
            f"{where}, outputs",
            f"no feature called {', '.join(map(repr, taken))}",
            "one",
            "Rename the feature: outputs show something else under this name.",
        )
        return
    numbers = {name for name, kind in {**key, **features}.items() if kind in NUMERIC}
    numbers |= {prediction, "raw_prediction", *VALUED}
    for output in outputs:
        place = f"{where}, output {output.name!r}"
        for name in shown_columns(output, key=tuple(key), label=label, kind=kind):
            if name not in known:
                yield problem(
                    place,
                    f"columns out of {', '.join(known)}",
                    f"{name!r}{near(name, known)}",
                    "Correct the name, or add the feature.",
                )
        if isinstance(output, TopN) and output.by in known and output.by not in numbers:
            yield problem(
                f"{place}, by",
                f"a number to order by, such as {prediction!r}",
                f"{output.by!r}, which is none",
                "Order by the prediction or by a numeric feature.",
            )


def query_problems(
    rules: Sequence[BusinessRule],
    outputs: Sequence[Output],
    *,
    key: Sequence[str],
    label: str,
    kind: Kind = BINARY,
    value: Value | None = None,
    described: "pa.Schema",
    where: str,
) -> list[Problem]:
    """Return what is wrong with rules, outputs and the value given what the feature query returns.

    ``kind`` and ``value`` are the label's. ``described`` is the schema of feature rows, with the
    entity's ``key`` among its columns.
    """
    import pyarrow as pa

    names = {"int64": "int64", "double": "double", "string": "string", "bool": "bool"}
    kinds = {
        field.name: names.get(str(field.type), str(field.type))
        for field in described
        if field.name not in (AS_OF, EVENT_TIME)
    }
    seen = pa.schema([field for field in described if field.name in kinds])
    features = {name: found for name, found in kinds.items() if name not in key}
    numbers = [name for name, found in features.items() if found in NUMERIC]
    unknown = value is not None and value.column not in numbers
    return [
        *business_rules.problems(rules, seen, where),
        *column_problems(
            outputs,
            key={name: kinds[name] for name in key},
            features=features,
            label=label,
            kind=kind,
            where=where,
        ),
        *([value_problem(where, value, numbers)] if value is not None and unknown else []),
    ]


def _kinds(values: Sequence[object], kinds: tuple[type, ...], where: str) -> Iterator[Problem]:
    names = tuple(kind.__name__ for kind in kinds)
    for value in values:
        if not isinstance(value, kinds):
            found = type(value).__name__
            yield problem(
                where,
                f"only {', '.join(names)}",
                f"a {found}{near(found, names)}",
                "Move it to the list it belongs in.",
            )


def _twice(names: Sequence[str], where: str, kind: str) -> Iterator[Problem]:
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield problem(
            f"{where}, {kind}s", "each name once", f"{name!r} twice", f"Rename one {kind}."
        )


def _rule(rule: BusinessRule, where: str) -> Iterator[Problem]:
    if not NAME.fullmatch(rule.name):
        fix = "Rename it: rows record the names of the rules that changed them."
        yield problem(where, "a lower-case name", repr(rule.name), fix)
    for field, expected, fix in (
        ("owner", "who answers for it", "Name the team that asked for the rule."),
        ("reason", "why the rule is there", "Say it in a sentence."),
        ("when", "an SQL condition", "Write one, such as 'distance < 200'; 'true' is every row."),
        ("then", "an SQL expression", "Write one, such as 'least(prediction, 0.5)'."),
    ):
        if not str(getattr(rule, field)).strip():
            yield problem(f"{where}, {field}", expected, "nothing", fix)


def _output(output: Output, where: str) -> Iterator[Problem]:
    yield from choice_problems(output, where)
    if not NAME.fullmatch(output.name):
        fix = "Rename it: folders and records have this name."
        yield problem(where, "a lower-case name", repr(output.name), fix)
    if not output.consumer.strip():
        fix = "Name the team: it is told when something is wrong with what it got."
        yield problem(f"{where}, consumer", "the team that uses it", "nothing", fix)
    yield from _names(output.columns, f"{where}, columns")
    if isinstance(output, TopN):
        yield from _top(output, where)
    if isinstance(output, PostgresTable):
        yield from _table(output, where)


def _names(columns: object, where: str) -> Iterator[Problem]:
    if isinstance(columns, str):
        fix = f"Write [{columns!r}]: a text is not a list of names."
        yield problem(where, "a list of column names", repr(columns), fix)
        return
    names = list(columns) if isinstance(columns, Sequence) else []
    for name in sorted({str(name) for name in names if names.count(name) > 1}):
        yield problem(where, "each column once", f"{name!r} twice", "Remove one of them.")


def _top(output: TopN, where: str) -> Iterator[Problem]:
    if output.count < 1:
        yield problem(f"{where}, count", "at least 1 row", str(output.count), "Ten is usual.")
    if not 0 <= output.reasons <= MOST_REASONS:
        yield problem(
            f"{where}, reasons",
            f"0 to {MOST_REASONS}",
            str(output.reasons),
            "Three are read, twenty are not; 0 leaves reasons out.",
        )
    if not output.by:
        yield problem(f"{where}, by", "a column", "nothing", "Usually the prediction, p_<label>.")


def _table(output: PostgresTable, where: str) -> Iterator[Problem]:
    if not CONNECTION.fullmatch(output.connection):
        yield problem(
            f"{where}, connection",
            "a lower-case name, such as 'warehouse'",
            "another text",  # it may be an address with a password in it
            "Name the connection; its address and credentials stay outside the declaration.",
        )
    parts = output.table.split(".")
    if len(parts) > 2 or not all(IDENTIFIER.fullmatch(part) for part in parts):
        yield problem(
            f"{where}, table",
            "table or schema.table, in lower case, at most 63 characters each",
            repr(output.table),
            "Rename it so that nobody needs quotes to read it.",
        )


def _promise(promise: Promise, kind: Kind, where: str) -> Iterator[Problem]:
    if isinstance(promise, PredictionRange):
        yield from _range(promise, kind, where)
    if not isinstance(promise, ArrivesBy):
        return
    if promise.at.tzinfo is not None:
        yield problem(
            f"{where}, at",
            "a local time of day, without a zone",
            repr(promise.at),
            "Name the zone in timezone.",
        )
    yield from timezone_problems(promise.timezone, f"{where}, timezone")


def _range(promise: PredictionRange, kind: Kind, where: str) -> Iterator[Problem]:
    found = f"low {promise.low:g}, high {promise.high:g}"
    if kind.answer == "probability" and not 0 <= promise.low < promise.high <= 1:
        fix = "A prediction is a probability: PredictionRange(0.01, 0.99)."
        yield problem(where, "0 <= low < high <= 1", found, fix)
    if kind.answer == "number" and not promise.low < promise.high:
        fix = "Give bounds in the label's unit; float('inf') leaves one open."
        yield problem(where, "low < high", found, fix)
