"""Contract problems: what is wrong with a declared table, and with declared values in general."""

import dataclasses
import difflib
import re
from collections.abc import Iterator
from datetime import timedelta
from functools import cache
from typing import Any, Literal, get_args, get_origin, get_type_hints
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pipelines.domain.contract import COLUMN_TYPES, STAMPS, Table
from pipelines.domain.source_problems import source_problems
from pipelines.errors import Problem

NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
"""Names of use cases, tables and columns: they become DAG ids, folders and SQL names."""

RESERVED_TABLES = ("asked", "labels")
"""Views that features read beside the tables."""


def table_problems(table: Table, use_case: str) -> Iterator[Problem]:
    """Yield everything that is wrong with a table of ``use_case`` (as messages name it)."""
    where = f"{use_case}, table {table.name!r}"
    if not NAME.fullmatch(table.name) or table.name in RESERVED_TABLES:
        yield problem(
            where,
            "a lower-case name other than 'asked' and 'labels'",
            repr(table.name),
            "Rename the table: those two are views that features read.",
        )
    yield from choice_problems(table, where)
    yield from choice_problems(table.source, f"{where}, source")
    yield from _columns(table, where)
    yield from _keys(table, where)
    yield from _arrival(table, where)
    yield from timezone_problems(table.arrives_timezone, f"{where}, arrives_timezone")
    yield from source_problems(table, where)
    if not 0 <= table.maximum_quarantined <= 1:
        yield problem(
            f"{where}, maximum_quarantined",
            "a share between 0 and 1",
            str(table.maximum_quarantined),
            "0.2 means one row in five.",
        )


def choice_problems(declared: Any, where: str) -> Iterator[Problem]:  # noqa: ANN401 - any declared dataclass
    """Yield a problem for every field whose Literal type does not allow its value."""
    for field, allowed in _choices_of(type(declared)):  # type: ignore[arg-type]  # every class is hashable
        found = getattr(declared, field)
        if found not in allowed:
            names = tuple(choice for choice in allowed if choice is not None)
            hint = near(found, names) if isinstance(found, str) else ""
            yield problem(
                f"{where}, {field}",
                f"one of {', '.join(names)}{' or None' if None in allowed else ''}",
                f"{found!r}{hint}",
                f"Choose one: {field} has no other meaning.",
            )


@cache
def _choices_of(kind: type) -> tuple[tuple[str, tuple[str | None, ...]], ...]:
    """Return the fields of a dataclass that have a Literal type, each with what it allows."""
    hints: dict[str, Any] = {field.name: field.type for field in dataclasses.fields(kind)}
    if any(isinstance(hint, str) for hint in hints.values()):
        hints = get_type_hints(kind)  # ten times as slow, and needed for a type written as text
    found = ((field.name, _choices(hints[field.name])) for field in dataclasses.fields(kind))
    return tuple((name, allowed) for name, allowed in found if allowed)


def _choices(hint: Any) -> tuple[str | None, ...]:  # noqa: ANN401 - any type
    """Return what a Literal type, or one that may be None, allows; nothing for any other type."""
    if get_origin(hint) is Literal:
        return get_args(hint)
    kinds = get_args(hint)
    if len(kinds) == 2 and type(None) in kinds:
        (other,) = (kind for kind in kinds if kind is not type(None))
        return (*get_args(other), None) if get_origin(other) is Literal else ()
    return ()


def time_problems(where: str, **durations: timedelta | None) -> Iterator[Problem]:
    """Yield a problem for every duration that is not above zero; None is no duration."""
    for name, duration in durations.items():
        if duration is not None and duration <= timedelta(0):
            yield problem(f"{where}, {name}", "a time above zero", str(duration), "Correct it.")


def timezone_problems(name: str, where: str) -> Iterator[Problem]:
    """Yield a problem unless ``name`` is an IANA time zone."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        yield problem(
            where,
            "an IANA time zone such as 'America/New_York'",
            f"{name!r}{near(name, tuple(available_timezones()))}",
            "Correct the name of the time zone.",
        )


def near(name: str, names: tuple[str, ...]) -> str:
    """Return a question for the nearest name, to append to what was found; "" without one."""
    found = difflib.get_close_matches(name, names, n=1)
    return f" (did you mean {found[0]!r}?)" if found else ""


def problem(where: str, expected: str, found: str, fix: str) -> Problem:
    """Return a Problem from its four parts, in the order a reader meets them."""
    return Problem(where=where, expected=expected, found=found, fix=fix)


def _columns(table: Table, where: str) -> Iterator[Problem]:
    names = table.column_names
    for column in table.columns:
        if column.type not in COLUMN_TYPES:
            yield problem(
                f"{where}, column {column.name!r}",
                f"a type out of {', '.join(COLUMN_TYPES)}",
                f"{column.type!r}{near(column.type, COLUMN_TYPES)}",
                "Correct the type.",
            )
        if column.name in STAMPS or not NAME.fullmatch(column.name):
            yield problem(
                f"{where}, column {column.name!r}",
                f"a lower-case name other than {', '.join(STAMPS)}",
                repr(column.name),
                "Rename the column: Headframe stamps those itself.",
            )
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield problem(where, "each column once", f"{name!r} twice", "Remove one of them.")


def _keys(table: Table, where: str) -> Iterator[Problem]:
    names = table.column_names
    if isinstance(table.key, str):
        fix = f"Write key=({table.key!r},): a text is not a list of names."
        yield problem(f"{where}, key", "a tuple of column names", repr(table.key), fix)
        return
    if not table.key:
        yield problem(f"{where}, key", "at least one column", "none", "Name what identifies a row.")
    nullable = {column.name for column in table.columns if column.nullable}
    for name in table.key:
        if name not in names:
            yield _unknown_column(f"{where}, key", name, names)
        elif name in nullable:
            yield problem(
                f"{where}, key",
                "columns that are never empty",
                f"{name!r}, which may be",
                "Drop nullable=True, or choose another key.",
            )
    if table.event_time is not None:
        if table.event_time in nullable:
            yield problem(
                f"{where}, event_time",
                "a column that is never empty",
                f"{table.event_time!r}, which may be",
                "Drop nullable=True: a row without a time would never be asked for.",
            )
        if table.event_time not in names:
            yield _unknown_column(f"{where}, event_time", table.event_time, names)
        elif table.types[table.event_time] != "timestamp[UTC]":
            yield problem(
                f"{where}, event_time",
                "a column of type timestamp[UTC]",
                f"{table.event_time!r} of type {table.types[table.event_time]}",
                "Deliver the moment in UTC, or choose another column.",
            )


def _arrival(table: Table, where: str) -> Iterator[Problem]:
    yield from time_problems(where, arrives_every=table.arrives_every)
    if table.grace < timedelta(0):
        yield problem(
            f"{where}, grace", "no negative time", str(table.grace), "Zero allows no delay."
        )
    if table.arrives_by is None:
        return
    if table.arrives_every is not None:
        yield problem(
            f"{where}, arrives_by",
            "arrives_by or arrives_every",
            "both",
            "Keep arrives_by for a delivery a day, arrives_every for any other rhythm.",
        )
    if table.arrives_by.tzinfo is not None:
        yield problem(
            f"{where}, arrives_by",
            "a local time of day, without a zone",
            repr(table.arrives_by),
            "Name the zone in arrives_timezone.",
        )
    if table.grace >= timedelta(days=1):
        yield problem(
            f"{where}, grace",
            "less than a day beside arrives_by",
            str(table.grace),
            "After a day it is the next delivery that is late: choose a later arrives_by.",
        )


def _unknown_column(where: str, name: str, names: tuple[str, ...]) -> Problem:
    return problem(
        where,
        f"a column out of {', '.join(names)}",
        f"{name!r}{near(name, names)}",
        "Correct the name, or add the column.",
    )
