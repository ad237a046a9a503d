"""Asked key: the key of one entity as somebody typed it, as values of its table's columns."""

import difflib
from collections.abc import Mapping

from pipelines.domain.contract import Table
from pipelines.domain.sql_text import typed
from pipelines.errors import Problem, SettingsError


def key_values(entity: Table, told: Mapping[str, str]) -> dict[str, object]:
    """Return the values of every key column, in the table's order and of its types.

    Raises SettingsError with every column that is unknown, missing, or given a text that is no value
    of its type; the text itself is not repeated.
    """
    where = f"key of {entity.name}"
    problems = [_unknown(where, name, entity) for name in told if name not in entity.key]
    problems += [
        Problem(
            where=where,
            expected=f"a value for each of {', '.join(entity.key)}",
            found=f"none for {name}",
            fix=f"Add {name}=... to --key.",
        )
        for name in entity.key
        if name not in told
    ]
    values: dict[str, object] = {}
    for name in entity.key:
        if name not in told:
            continue
        try:
            values[name] = _value(told[name], entity.types[name])
        except ValueError:
            kind = entity.types[name]
            found, fix = "a text that is none", f"Correct it; {kind} looks like {EXAMPLES[kind]}."
            problem = Problem(where=f"{where}, {name}", expected=kind, found=found, fix=fix)
            problems.append(problem)
    if problems:
        raise SettingsError(*problems)
    return values


EXAMPLES = {
    "string": "UA",
    "int64": "17",
    "double": "1.5",
    "bool": "true",
    "date": "2013-04-01",
    "timestamp[UTC]": "2013-04-01T09:00:00Z",
}
"""A value of each contract type, as it is typed."""


def _value(text: str, kind: str) -> object:
    if kind == "int64":
        return int(text)
    if kind == "double":
        return float(text)
    if kind == "bool":
        if text.lower() not in ("true", "false"):
            raise ValueError(kind)
        return text.lower() == "true"
    return typed(text, kind)


def _unknown(where: str, name: str, entity: Table) -> Problem:
    near = difflib.get_close_matches(name, entity.key, n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    return Problem(
        where=where,
        expected=f"its columns, {', '.join(entity.key)}",
        found=f"{name!r}{hint}",
        fix="Write --key as column=value, separated by commas.",
    )
