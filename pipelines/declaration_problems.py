"""Declaration problems: everything that is wrong with a use case, found at once."""

import difflib
import re
from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pipelines.domain.contract import COLUMN_TYPES, STAMPS, Table
from pipelines.domain.metrics import MINIMUM_BLOCKS
from pipelines.errors import Problem

if TYPE_CHECKING:
    from pipelines.use_case import UseCase

NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
"""Names of use cases, tables and columns: they become DAG ids, folders and SQL names."""

TIERS = ("explore", "scheduled", "governed")
NEEDED_TO_TRAIN = ("features", "label", "training", "gates", "scoring")


def problems_of(use_case: "UseCase") -> list[Problem]:
    """Return every problem of the declaration, in the order of its fields."""
    where = f"use case {use_case.name!r}"
    return [
        *_naming(use_case, where),
        *_tiers(use_case, where),
        *(problem for table in use_case.tables for problem in _table(table, where)),
        *_features(use_case, where),
        *_label(use_case, where),
        *_training(use_case, where),
        *_scoring(use_case, where),
    ]


def _naming(use_case: "UseCase", where: str) -> Iterator[Problem]:
    if not NAME.fullmatch(use_case.name):
        yield _problem(
            f"{where}, name",
            "lower-case words joined by single underscores",
            repr(use_case.name),
            "Rename it: the name becomes DAG ids and folders.",
        )
    if not use_case.owner:
        yield _problem(
            f"{where}, owner", "the team that answers for it", "nothing", "Name the owning team."
        )
    if not use_case.tables:
        yield _problem(f"{where}, tables", "at least one table", "none", "Declare a Table.")
    names = [table.name for table in use_case.tables]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield _problem(
            f"{where}, tables", "each name once", f"{name!r} twice", "Rename one of the tables."
        )
    if use_case.ends_before is not None:
        try:
            date.fromisoformat(use_case.ends_before)
        except ValueError:
            yield _problem(
                f"{where}, ends_before",
                "an ISO date such as '2014-01-01'",
                repr(use_case.ends_before),
                "Write year-month-day.",
            )


def _tiers(use_case: "UseCase", where: str) -> Iterator[Problem]:
    if use_case.tier not in TIERS:
        yield _problem(
            f"{where}, tier",
            f"one of {', '.join(TIERS)}",
            f"{use_case.tier!r}{_near(use_case.tier, TIERS)}",
            "Choose a tier.",
        )
        return
    given = [name for name in NEEDED_TO_TRAIN if getattr(use_case, name)]
    if use_case.tier == "explore" and given:
        yield _problem(
            f"{where}, tier",
            "tables and quality only in tier 'explore'",
            f"also {', '.join(given)}",
            "Set tier='scheduled' or tier='governed', or remove them.",
        )
    missing = [name for name in NEEDED_TO_TRAIN if name not in given]
    if use_case.tier != "explore" and missing:
        yield _problem(
            f"{where}, tier",
            f"{', '.join(NEEDED_TO_TRAIN)} in tier {use_case.tier!r}",
            f"no {', '.join(missing)}",
            "Declare them, or set tier='explore'.",
        )
    if use_case.tier == "governed" and not use_case.roles.approver:
        yield _problem(
            f"{where}, roles",
            "an approver role in tier 'governed'",
            "none",
            "Name the role whose users may approve.",
        )


def _table(table: Table, use_case: str) -> Iterator[Problem]:
    where = f"{use_case}, table {table.name!r}"
    names = table.column_names
    if not NAME.fullmatch(table.name) or table.name in ("asked", "labels"):
        yield _problem(
            where,
            "a lower-case name other than 'asked' and 'labels'",
            repr(table.name),
            "Rename the table: those two are views that features read.",
        )
    for column in table.columns:
        if column.type not in COLUMN_TYPES:
            yield _problem(
                f"{where}, column {column.name!r}",
                f"a type out of {', '.join(COLUMN_TYPES)}",
                f"{column.type!r}{_near(column.type, COLUMN_TYPES)}",
                "Correct the type.",
            )
        if column.name in STAMPS or not NAME.fullmatch(column.name):
            yield _problem(
                f"{where}, column {column.name!r}",
                f"a lower-case name other than {', '.join(STAMPS)}",
                repr(column.name),
                "Rename the column: Headframe stamps those itself.",
            )
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield _problem(where, "each column once", f"{name!r} twice", "Remove one of them.")
    if not table.key:
        yield _problem(
            f"{where}, key", "at least one column", "none", "Name what identifies a row."
        )
    nullable = {column.name for column in table.columns if column.nullable}
    for name in table.key:
        if name not in names:
            yield _unknown_column(f"{where}, key", name, names)
        elif name in nullable:
            yield _problem(
                f"{where}, key",
                "columns that are never empty",
                f"{name!r}, which may be",
                "Drop nullable=True, or choose another key.",
            )
    if table.event_time is not None:
        if table.event_time not in names:
            yield _unknown_column(f"{where}, event_time", table.event_time, names)
        elif table.types[table.event_time] != "timestamp[UTC]":
            yield _problem(
                f"{where}, event_time",
                "a column of type timestamp[UTC]",
                f"{table.event_time!r} of type {table.types[table.event_time]}",
                "Deliver the moment in UTC, or choose another column.",
            )
    if table.source.pattern.startswith("/") or ".." in table.source.pattern.split("/"):
        yield _problem(
            f"{where}, source",
            "a path inside the landing folder",
            repr(table.source.pattern),
            "Write it relative to landing/<use case>/.",
        )
    if not 0 <= table.maximum_quarantined <= 1:
        yield _problem(
            f"{where}, maximum_quarantined",
            "a share between 0 and 1",
            str(table.maximum_quarantined),
            "0.2 means one row in five.",
        )


def _features(use_case: "UseCase", where: str) -> Iterator[Problem]:
    view = use_case.features
    if view is None:
        return
    names = tuple(table.name for table in use_case.tables)
    for table in view.tables:
        if table.name not in names:
            yield _problem(
                f"{where}, features",
                f"tables of this use case ({', '.join(names)})",
                f"{table.name!r}{_near(table.name, names)}",
                "Add the table to tables=[...], or stop reading it.",
            )
    if view.entity.event_time is None:
        yield _problem(
            f"{where}, features",
            "an entity with an event_time",
            f"table {view.entity.name!r} without one",
            "Declare event_time on the table: it decides which rows a scoring time asks for.",
        )


def _label(use_case: "UseCase", where: str) -> Iterator[Problem]:
    label = use_case.label
    if label is None:
        return
    where = f"{where}, label {label.name!r}"
    if label.expected_after > label.final_after:
        yield _problem(
            where,
            "expected_after to come no later than final_after",
            f"{label.expected_after} after {label.final_after}",
            "A label is expected before it is final: swap or correct them.",
        )
    if use_case.features is not None:
        entity = use_case.features.entity
        missing = [name for name in entity.key if name not in label.table.column_names]
        if missing:
            yield _problem(
                where,
                f"table {label.table.name!r} to hold the key of {entity.name!r}",
                f"no {', '.join(missing)}",
                "A label is joined to its entity by key: deliver those columns.",
            )
        if label.table.name not in {table.name for table in use_case.features.tables}:
            yield _problem(
                where,
                f"table {label.table.name!r} among the tables the features read",
                f"{', '.join(table.name for table in use_case.features.tables)}",
                f"Add it to reads=[...] of {use_case.features.function.__name__}.",
            )


def _training(use_case: "UseCase", where: str) -> Iterator[Problem]:
    if use_case.training is None:
        return
    training = use_case.training
    if len(training.candidates) != 1:
        yield _problem(
            f"{where}, training",
            "one candidate",
            f"{len(training.candidates)}",
            "Searching over several candidates is not supported yet: name the one to train.",
        )
    if training.split.test_days < MINIMUM_BLOCKS:
        yield _problem(
            f"{where}, training, split",
            f"test_days of at least {MINIMUM_BLOCKS}",
            str(training.split.test_days),
            "A gate judges on daily blocks; on fewer it can only answer 'too few'.",
        )
    for gate in use_case.gates:
        for problem in gate.problems() if hasattr(gate, "problems") else ():
            yield _problem(
                f"{where}, gate {type(gate).__name__}",
                "arguments it can judge by",
                problem,
                "Correct the gate's arguments.",
            )


def _scoring(use_case: "UseCase", where: str) -> Iterator[Problem]:
    if use_case.scoring is None:
        return
    try:
        ZoneInfo(use_case.scoring.timezone)
    except (ZoneInfoNotFoundError, ValueError):
        yield _problem(
            f"{where}, scoring",
            "an IANA time zone such as 'America/New_York'",
            repr(use_case.scoring.timezone),
            "Correct the name of the time zone.",
        )


def _unknown_column(where: str, name: str, names: tuple[str, ...]) -> Problem:
    return _problem(
        where,
        f"a column out of {', '.join(names)}",
        f"{name!r}{_near(name, names)}",
        "Correct the name, or add the column.",
    )


def _near(name: str, names: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(name, names, n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def _problem(where: str, expected: str, found: str, fix: str) -> Problem:
    return Problem(where=where, expected=expected, found=found, fix=fix)
