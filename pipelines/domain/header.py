"""Header: which column of a file holds which column of the contract."""

import difflib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.domain.contract import Table
from pipelines.errors import FileRefused, Problem

MOST_NAMES_SHOWN = 20
"""Columns of a wrong header shown in a message, and letters of each: it may be a row of data."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The contract column of each column of a file, in the file's order; None where it is ignored.

    ``ignored`` names those as the file spells them. ``missing`` names the contract's columns that
    the file lacks and that are to be filled with nulls.
    """

    columns: tuple[str | None, ...]
    ignored: tuple[str, ...]
    missing: tuple[str, ...]


def normal(name: str) -> str:
    """Return a column's name as contracts write it: lower case, spaces and hyphens as underscores.

    >>> normal(" Arr-Delay ")
    'arr_delay'
    """
    return re.sub(r"[\s\-]+", "_", name.strip().lower())


def match_header(found: Sequence[str], table: Table, where: str) -> Header:
    """Match a file's columns to the contract's: order is free, case and spaces do not count.

    Raises FileRefused, with everything that is wrong with it, unless each contract column is there
    once (or may be filled), and no other column is (or they are ignored).
    """
    names = [normal(name) for name in found]
    counts = Counter(names)
    problems = [
        (f"column {_cut(name)!r} once", f"it {count} times")
        for name, count in sorted(counts.items())
        if count > 1
    ]
    nullable = {column.name for column in table.columns if column.nullable}
    missing = tuple(name for name in table.column_names if name not in counts)
    unknown = [name for name in names if name not in table.types]
    for name in missing:
        if table.on_missing_column == "fill" and name in nullable:
            continue
        near = difflib.get_close_matches(name, unknown, n=1)
        hint = f" (did the source rename it to {_cut(near[0])!r}?)" if near else ""
        problems.append((f"column {name!r}", f"columns {_shown(found)}{hint}"))
    new = tuple(name for name, known in zip(found, names, strict=True) if known not in table.types)
    if new and table.on_new_column == "refuse":
        problems.append(("no other columns than the contract's", f"also {_shown(new)}"))
    if problems:
        fix = f"Rename at the source, or change the contract of table {table.name!r}."
        raise FileRefused(
            *(Problem(where=where, expected=e, found=f, fix=fix) for e, f in problems)
        )
    columns = tuple(name if name in table.types else None for name in names)
    return Header(columns=columns, ignored=new, missing=missing)


def _shown(names: Sequence[str]) -> str:
    more = ", ..." if len(names) > MOST_NAMES_SHOWN else ""
    return ", ".join(repr(_cut(name)) for name in names[:MOST_NAMES_SHOWN]) + more


def _cut(name: str) -> str:
    return name[:MOST_NAMES_SHOWN]
