"""Business rules: what changes a prediction after the model, each with an owner, row by row."""

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from pipelines.domain.rule_problems import expression_problems, kind_of
from pipelines.domain.sql_text import literal
from pipelines.errors import DeclarationError, Problem

if TYPE_CHECKING:
    import duckdb
    import numpy as np
    import pyarrow as pa

RAW_PREDICTION = "raw_prediction"
"""Column a rule reads: what the model said, a probability."""

PREDICTION = "prediction"
"""Column a rule reads: the prediction as the rules before it left it."""

ADDED = (RAW_PREDICTION, PREDICTION)

ROWS = "rows"
"""Name of the relation that an expression is evaluated over."""

CHOSEN = "__chosen"
"""Column of this module's own; no column of a contract can be named so."""


@dataclass(frozen=True, slots=True)
class BusinessRule:
    """Where ``when`` is true, the prediction becomes ``then``.

    ``when`` is an SQL condition and ``then`` an SQL expression for a probability in [0, 1], or for a
    number in the unit of a label that has one. Both
    see one row: key columns, features, ``raw_prediction`` and ``prediction``. ``owner`` answers for
    the rule; ``reason`` says why it is there.
    """

    name: str
    owner: str
    when: str
    then: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruled:
    """Predictions after the rules, in the order of the rows.

    ``prediction`` is float64 and NaN where the row is refused. ``rule`` (string) holds the names of
    the rules that changed the row, in order, joined by commas; null where none did. ``refused``
    (string) holds the reason a row cannot be published; null where it can.
    """

    prediction: "np.ndarray"
    rule: "pa.Array"
    refused: "pa.Array"


def apply(
    rules: Sequence[BusinessRule], rows: "pa.Table", raw: "np.ndarray", *, bounded: bool = True
) -> Ruled:
    """Apply the rules in order to one batch; a row's answer does not depend on the other rows.

    ``rows`` holds key columns and features, ``raw`` the model's answers, as many; ``bounded`` says
    that these are probabilities. A rule changes the rows where its condition is true and its value
    differs from the prediction so far; all other predictions stay bit for bit. A row whose new
    value is missing, not finite or, of a probability, outside [0, 1] is refused, and no later rule
    sees it. Raises DeclarationError, without a value of a row, for a rule that is wrong or whose
    SQL fails on these rows.
    """
    import numpy as np
    import pyarrow as pa

    count = rows.num_rows
    prediction = np.array(raw, dtype=np.float64)
    refused = np.zeros(count, dtype=np.int64)
    changed_by = np.zeros(count, dtype=np.int64)
    names: list[str | None] = [None]
    reasons: list[str | None] = [None]
    for rule in rules if count else ():
        chosen, value, known = _answers(rule, rows, raw, prediction)
        chosen &= refused == 0
        for wrong, words in (
            (chosen & ~known, "no value"),
            (chosen & known & ~np.isfinite(value), "not a finite number"),
            (
                chosen & known & np.isfinite(value) & bounded & ~((value >= 0) & (value <= 1)),
                "outside [0, 1]",
            ),
        ):
            if wrong.any():
                reasons.append(f"business rule {rule.name!r}: {words}")
                refused[wrong] = len(reasons) - 1
                prediction[wrong] = np.nan
        changed = chosen & (refused == 0) & (value != prediction)
        prediction[changed] = value[changed]
        for before in np.unique(changed_by[changed]):
            earlier = names[int(before)]
            mine = changed & (changed_by == before) & (changed_by < len(names))
            names.append(rule.name if earlier is None else f"{earlier},{rule.name}")
            changed_by[mine] = -len(names)  # negative, so that no later turn of this loop sees it
        changed_by = np.where(changed_by < 0, -changed_by - 1, changed_by)
    return Ruled(
        prediction=prediction,
        rule=pa.array(names, pa.string()).take(pa.array(changed_by)),
        refused=pa.array(reasons, pa.string()).take(pa.array(refused)),
    )


def problems(rules: Sequence[BusinessRule], schema: "pa.Schema", where: str) -> list[Problem]:
    """Return what is wrong with the rules' SQL over rows of ``schema`` (key columns and features).

    Nothing is run: DuckDB parses and binds each expression over no rows.
    """
    import pyarrow as pa

    found = [
        Problem(
            where=f"{where}, rules",
            expected=f"no feature called {' or '.join(map(repr, ADDED))}",
            found=repr(name),
            fix="Rename the feature: rules read the prediction under this name.",
        )
        for name in ADDED
        if rules and name in schema.names
    ]
    if found:
        return found
    whole = schema
    for name in ADDED:
        whole = whole.append(pa.field(name, pa.float64()))
    connection = _connection(os.getpid(), threading.get_ident())
    connection.register(ROWS, whole.empty_table())
    try:
        for rule in rules:
            place = f"{where}, rule {rule.name!r}"
            for field in ("when", "then"):
                expression = getattr(rule, field)
                found += expression_problems(
                    connection, expression, whole.names, f"{place}, {field}", field == "when"
                )
    finally:
        connection.unregister(ROWS)
    return found


def _answers(
    rule: BusinessRule, rows: "pa.Table", raw: "np.ndarray", prediction: "np.ndarray"
) -> tuple["np.ndarray", "np.ndarray", "np.ndarray"]:
    """Return per row: whether the rule applies, its value (NaN where missing), whether there is one."""
    import duckdb
    import pyarrow as pa
    import pyarrow.compute as pc

    _refuse_wrong((rule,), rows.schema)
    seen = rows.append_column(RAW_PREDICTION, pa.array(raw, pa.float64()))
    seen = seen.append_column(PREDICTION, pa.array(prediction, pa.float64()))
    connection = _connection(os.getpid(), threading.get_ident())
    connection.register(ROWS, seen)
    try:
        answers = connection.sql(
            f"select coalesce({CHOSEN}, false) as chosen, "  # noqa: S608 - SQL of the declaration
            f"case when {CHOSEN} then cast(({rule.then}\n) as double) end as value "
            f"from (select ({rule.when}\n) as {CHOSEN}, * from {ROWS}) as {ROWS}"
        ).to_arrow_table()
    except (duckdb.ProgrammingError, duckdb.DataError, duckdb.NotSupportedError) as error:
        found = f"{kind_of(error)} in DuckDB, on at least one"
    else:
        value = answers["value"].combine_chunks()
        return (
            answers["chosen"].to_numpy(),
            pc.fill_null(value, float("nan")).to_numpy(zero_copy_only=False),
            pc.is_valid(value).to_numpy(zero_copy_only=False),
        )
    finally:
        connection.unregister(ROWS)
    raise DeclarationError(
        Problem(
            where=f"business rule {rule.name!r}",
            expected="SQL that can be evaluated on every row",
            found=found,
            fix=f"Correct its when or then, or ask its owner ({rule.owner}); nothing was published.",
        )
    )


@lru_cache(maxsize=64)
def _refuse_wrong(rules: tuple[BusinessRule, ...], schema: "pa.Schema") -> None:
    """Raise DeclarationError for rules that were deployed without being checked."""
    if found := problems(rules, schema, "scoring"):
        raise DeclarationError(*found)


@lru_cache(maxsize=8)
def _connection(process: int, thread: int) -> "duckdb.DuckDBPyConnection":
    """Return this thread's connection, which reaches no file; opening one takes longer than a batch."""
    del process, thread
    import duckdb

    connection = duckdb.connect(":memory:", config={"threads": 1})
    connection.execute(f"set TimeZone = {literal('UTC')}; set enable_external_access = false")
    return connection
