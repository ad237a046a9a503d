"""Sample files: a CSV file read whole as text, and typed by what ingest would accept."""

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.adapters.landing import unlanded
from pipelines.adapters.parsing import csv_header
from pipelines.adapters.parsing.set_aside import cast_texts
from pipelines.domain.contract import STAMPS, Column, Files, Table
from pipelines.domain.contract_problems import NAME, RESERVED_TABLES
from pipelines.domain.header import normal
from pipelines.domain.sample_table import MOMENT, SampleColumn, SampleTable
from pipelines.errors import FileRefused, Problem, SettingsError

if TYPE_CHECKING:
    import pyarrow as pa

DELIMITERS = (",", ";", "\t", "|")
"""Tried in this order; the one that cuts the header into most columns wins."""

SUFFIXES = (".csv", ".csv.gz", ".csv.zst", ".csv.zip")

MOST_ROWS = 200_000
"""Rows that types and keys are learned from: more teach nothing new and a key costs a sort each."""

TRUTHS = ("false", "False", "FALSE", "true", "True", "TRUE")
"""Words of a bool. 0 and 1 are numbers until somebody says otherwise."""

WORDS_FOR_NOTHING = ("NA", "N/A", "n/a", "null", "NULL", "None", "none", "nan", "NaN", "-", "")
"""What files write where a cell should be empty; ingest takes them for what they are."""

LEADING_ZERO = "^-?0[0-9]"
"""A code such as 01234: as a number it would lose its zero."""

WHOLE = r"^[ \t]*[+-]?[0-9]+[ \t]*$"
TOO_LONG = "[0-9]{16}"
"""Digits that a double may lose: it holds 15 for sure (IEEE 754)."""

NAIVE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?$"
"""A moment without an offset, which is no moment until its zone is known."""

MEND = "Give a CSV file in UTF-8, with a header, whole records and the rows of some weeks."


def read(path: Path, name: str) -> SampleTable:
    """Return the rows of a CSV file as table ``name``, or the file's own stem where that is "".

    Raises SettingsError where the file or a name cannot be used, and FileRefused where ingest would
    refuse the file however it is declared: no header, no row, other bytes than UTF-8, broken rows.
    """
    suffix = next((end for end in SUFFIXES if path.name.endswith(end)), None)
    if suffix is None or not path.is_file():
        raise SettingsError(
            _problem(
                path.name,
                f"a file that ends in {', '.join(SUFFIXES)}",
                "no such file" if suffix else "another name",
                "Correct the path, or save the rows as CSV.",
            )
        )
    table = name or _table_name(path.name.removesuffix(suffix))
    if not NAME.fullmatch(table) or table in RESERVED_TABLES:
        raise SettingsError(
            _problem(
                path.name,
                "a table name of lower-case words, other than 'asked' and 'labels'",
                repr(table),
                "Name the table yourself: NAME=FILE.",
            )
        )
    try:
        source = Files(pattern=f"{table}/*{suffix}", delimiter=_delimiter(path))
        names = _column_names(path, source)
        texts, cut = _texts(path, table, source, names)
    except FileRefused as error:
        raise FileRefused(*(replace(problem, fix=MEND) for problem in error.problems)) from None
    arrays = [_typed(texts[column]) for column in names]
    rows = _table(names, [values for values, _, _ in arrays])
    columns = tuple(
        SampleColumn(
            name=column,
            type=kind,
            rows=rows.num_rows,
            missing=rows[column].null_count,
            distinct=len(rows[column].drop_null().unique()),
            hint=hint,
        )
        for column, (_, kind, hint) in zip(names, arrays, strict=True)
    )
    return SampleTable(
        name=table, file=path.name, source=source, columns=columns, rows=rows, cut=cut
    )


def _table_name(stem: str) -> str:
    """Return the stem as a table's name, without the date or number of one delivery."""
    words = re.sub(r"[^a-z0-9]+", "_", stem.lower())
    return re.sub(r"(_?[0-9]+)+$", "", words).strip("_") or words.strip("_")


def _delimiter(path: Path) -> str:
    """Return the delimiter that cuts the header into most columns. Raises FileRefused without one."""
    found: dict[str, int] = {}
    refused: FileRefused | None = None
    for delimiter in DELIMITERS:
        try:
            names, _ = csv_header.read(path, Files(pattern="*", delimiter=delimiter), path.name)
        except FileRefused as error:
            refused = refused or error
            continue
        found[delimiter] = len(names)
    if not found:
        assert refused is not None  # noqa: S101 - narrows the type: every delimiter was refused
        raise refused
    return max(found, key=lambda delimiter: found[delimiter])


def _column_names(path: Path, source: Files) -> list[str]:
    """Return the header as contracts write it. Raises SettingsError with every name that is none."""
    found, _ = csv_header.read(path, source, path.name)
    names = [normal(name) for name in found]
    bad = [
        (raw, name)
        for raw, name in zip(found, names, strict=True)
        if not NAME.fullmatch(name) or name in STAMPS
    ]
    problems = [
        _problem(
            f"{path.name}, column {raw[:20]!r}",
            "lower-case words joined by single underscores",
            repr(raw[:20]),
            f"Rename it at the source, such as {_suggested(name)!r}: it becomes an SQL name.",
        )
        for raw, name in bad
    ]
    problems += [
        _problem(path.name, f"column {name!r} once", f"it {names.count(name)} times", "Rename one.")
        for name in sorted({name for name in names if names.count(name) > 1})
    ]
    if problems:
        raise SettingsError(*problems)
    return names


def _suggested(name: str) -> str:
    plain = re.sub(r"[^a-z0-9]+", "_", name).strip("_")
    return plain if NAME.fullmatch(plain) else f"column_{plain}".rstrip("_")


def _texts(path: Path, table: str, source: Files, names: list[str]) -> tuple["pa.Table", bool]:
    """Return every cell as text, each row once, and whether there were more rows than MOST_ROWS."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    text = Table(
        name=table,
        source=source,
        columns=[Column(name, "string", nullable=True) for name in names],
        key=(names[0],),
        maximum_quarantined=0.0,
    )
    with unlanded.staged(path, text) as staged:
        parts, count = [], 0
        for file in staged.files:
            for batch in pq.ParquetFile(file).iter_batches(columns=names):
                parts.append(pa.Table.from_batches([batch]))
                count += batch.num_rows
                if count > MOST_ROWS:
                    break
            if count > MOST_ROWS:
                break
    if not count:
        raise FileRefused(_problem(path.name, "at least one row", "a header alone", MEND))
    rows = pa.concat_tables(parts).slice(0, MOST_ROWS)
    return rows.select(names).cast(
        _table(names, [pa.array([], pa.string())] * len(names)).schema
    ), (count > MOST_ROWS)


def _typed(texts: "pa.ChunkedArray") -> tuple["pa.Array", str, str]:
    """Return the values, their contract type, and what kept them from a narrower one."""
    import pyarrow as pa

    whole = pa.concat_arrays(texts.chunks)
    kind = _kind(whole)
    if kind == "string":
        return whole, kind, _hint(whole)
    return cast_texts(whole, kind).values, kind, ""


def _kind(texts: "pa.Array") -> str:
    """Return the narrowest contract type that every text has; "string" where all are missing."""
    import pyarrow as pa
    import pyarrow.compute as pc

    present = texts.drop_null()
    if not len(present):
        return "string"
    if pc.all(pc.is_in(present, value_set=pa.array(TRUTHS))).as_py():
        return "bool"
    if pc.any(pc.match_substring_regex(present, LEADING_ZERO)).as_py():
        kinds: tuple[str, ...] = ("date", MOMENT)
        if not pc.any(pc.match_substring_regex(present, r"^-?0[0-9]+$")).as_py():
            kinds = ("double", *kinds)
    else:
        kinds = ("int64",) if _is_long(present) else ("int64", "double", "date", MOMENT)
    for kind in kinds:
        misfits = cast_texts(present, kind).misfits
        if misfits is None or not pc.any(misfits).as_py():
            return kind
    return "string"


def _is_long(present: "pa.Array") -> bool:
    """Tell whether the texts are whole numbers, some of which a double would round."""
    import pyarrow.compute as pc

    whole = pc.all(pc.match_substring_regex(present, WHOLE)).as_py()
    return bool(whole and pc.any(pc.match_substring_regex(present, TOO_LONG)).as_py())


def _hint(texts: "pa.Array") -> str:
    """Say why a column of texts is not what its author may think it is."""
    import pyarrow as pa
    import pyarrow.compute as pc

    present = texts.drop_null()
    if not len(present):
        return "empty in every row: its type is a guess"
    if pc.all(pc.match_substring_regex(present, NAIVE)).as_py():
        return "moments without an offset: deliver them in UTC, such as 2026-03-01T09:30:00Z"
    codes = pc.any(pc.match_substring_regex(present, LEADING_ZERO)).as_py()
    if _is_long(present) and not codes:
        return "whole numbers too long for int64: as texts they keep every digit"
    nothing = pc.is_in(present, value_set=pa.array(WORDS_FOR_NOTHING))
    if pc.any(nothing).as_py():
        rest = present.filter(pc.invert(nothing))
        kind = _kind(rest)
        if len(rest) and kind != "string":
            return f"{kind} but for words such as NA: leave such cells empty at the source"
    return ""


def _table(names: list[str], arrays: list["pa.Array"]) -> "pa.Table":
    import pyarrow as pa

    return pa.Table.from_arrays(arrays, names=names)


def _problem(where: str, expected: str, found: str, fix: str) -> Problem:
    return Problem(where=where, expected=expected, found=found, fix=fix)
