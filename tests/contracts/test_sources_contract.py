"""What every reader of landed files promises, asked of each module of pipelines.adapters.sources."""

import importlib
import io
import json
import pkgutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.adapters import sources
from pipelines.domain.contract import Column, Files, Table, arrow_schema, arrow_type
from pipelines.domain.header import normal
from pipelines.errors import FileRefused
from tests.local_files import Found, Read, local_file

Row = Sequence[object]
Writer = Callable[[Sequence[str], Sequence[Row]], bytes]

TYPES = {
    "whole": "int64",
    "real": "double",
    "flag": "bool",
    "day": "date",
    "moment": "timestamp[UTC]",
    "words": "string",
}
NAMES = tuple(TYPES)
TABLE = Table(
    name="all_types",
    source=Files(pattern="*"),
    columns=[Column(name, column_type, nullable=True) for name, column_type in TYPES.items()],
    key=("whole",),
)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ROWS: list[Row] = [
    (1, 1.5, True, date(2026, 3, 1), NOON, "red"),
    (-2, -0.25, False, date(1969, 12, 31), NOON.replace(year=1900), "Zoë 😀"),
    (None, None, None, None, None, None),
    (2**63 - 1, 1.7976931348623157e308, None, date.max, datetime.max.replace(tzinfo=UTC), ""),
    (-(2**63), 5e-324, None, date.min, datetime.min.replace(tzinfo=UTC), " padded "),
    (2**53 + 1, 0.1, None, date(2024, 2, 29), NOON.replace(microsecond=1), "NULL"),
    (0, -1e-7, None, None, NOON.replace(microsecond=999_999), 'a "b", c\nd;e\t\\n: {}'),
    (7, 2.0**53, None, None, None, "nan"),
    (8, 3.0, None, None, None, "\u2028 \u00a0 =1+1"),
]
"""One row per trap; each format must read from its own writing exactly these values."""


def write_csv(names: Sequence[str], rows: Sequence[Row]) -> bytes:
    def text(value: object) -> str:
        if isinstance(value, str):
            return '"' + value.replace('"', '""') + '"'
        if isinstance(value, bool):
            return str(value).lower()
        return "" if value is None else _plain(value)

    lines = [names, *([text(value) for value in row] for row in rows)]
    return "".join(",".join(line) + "\n" for line in lines).encode()


def write_jsonl(names: Sequence[str], rows: Sequence[Row]) -> bytes:
    def text(value: object) -> str:
        timed = isinstance(value, date)
        return json.dumps(_plain(value) if timed else value, ensure_ascii=False)

    lines = (
        ", ".join(
            f"{json.dumps(name)}: {text(value)}" for name, value in zip(names, row, strict=True)
        )
        for row in rows
    )
    return "".join(f"{{{line}}}\n" for line in lines).encode() or b"\n"


def write_parquet(names: Sequence[str], rows: Sequence[Row]) -> bytes:
    arrays = []
    for place, name in enumerate(names):
        values = [row[place] for row in rows]
        column_type = TYPES.get(normal(name), "string")
        if column_type == "int64" and any(isinstance(value, float) for value in values):
            column_type = "double"
        arrays.append(pa.array(values, arrow_type(column_type)))
    content = io.BytesIO()
    pq.write_table(pa.Table.from_arrays(arrays, names=list(names)), content)
    return content.getvalue()


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return value.isoformat() if isinstance(value, date) else repr(value)


WRITERS: Mapping[str, Writer] = {
    "csv": write_csv,
    "jsonl": write_jsonl,
    "parquet": write_parquet,
}
"""How a test writes each format; a new source adds its own."""

SMALL = {"csv": {}, "jsonl": {"BLOCK_BYTES": 64, "PART_BYTES": 300}, "parquet": {"MOST_ROWS": 3}}
"""What makes each source's parts small; the reader of CSV files is told by an argument."""


def readers(package: ModuleType) -> dict[str, Read]:
    """Return ``read`` of every module of the package that has one."""
    names = [module.name for module in pkgutil.iter_modules(package.__path__)]
    modules = {name: importlib.import_module(f"{package.__name__}.{name}") for name in names}
    return {name: module.read for name, module in modules.items() if hasattr(module, "read")}


def without_a_writer(found: Collection[str]) -> set[str]:
    return set(found) - set(WRITERS)


READERS = readers(sources)
FORMATS = [pytest.param(name, id=name) for name in sorted(set(READERS) & set(WRITERS))]
every_format = pytest.mark.parametrize("form", FORMATS)


@contextmanager
def in_small_parts(form: str) -> Iterator[Read]:
    module = importlib.import_module(f"{sources.__name__}.{form}")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SMALL[form].items():
            patch.setattr(module, name, value)
        yield partial(module.read, _chunk_bytes=64) if form == "csv" else module.read


def found(
    folder: Path,
    form: str,
    rows: Sequence[Row],
    names: Sequence[str] = NAMES,
    table: Table = TABLE,
    *,
    read: Read | None = None,
) -> Found:
    """Return what the reader finds in the rows, written in its format."""
    table = replace(table, source=Files(pattern="*", format=_format(form)))
    file = local_file(folder / f"rows.{form}", WRITERS[form](names, rows))
    return Found((read or READERS[form])(file, table), table)


def _format(form: str) -> Literal["csv", "jsonl", "parquet"]:
    for known in ("csv", "jsonl", "parquet"):
        if known == form:
            return known
    raise AssertionError(form)


def numbered(rows: Sequence[Row]) -> list[tuple[Any, ...]]:
    return [(*row, number) for number, row in enumerate(rows, 1)]


def refused_or_set_aside(make: Callable[[], Found]) -> str:
    """Return why a file was refused, or the one reason for which each of its records was set aside."""
    try:
        result = make()
    except FileRefused as error:
        return str(error)
    assert result.landed
    assert not result.rows
    (reason,) = {reason for _, reasons, _ in result.rejected for reason in reasons}
    return reason


def test_every_reader_has_a_writer_here() -> None:
    assert set(READERS) >= {"csv", "jsonl", "parquet"}
    assert without_a_writer(READERS) == set()
    assert without_a_writer({*READERS, "xml"}) == {"xml"}  # the control: a new source would be seen


@every_format
def test_its_module_and_its_reader_say_what_they_promise(form: str) -> None:
    module = importlib.import_module(f"{sources.__name__}.{form}")
    assert (module.__doc__ or "").split("\n")[0].endswith(".")
    assert "_row" in (READERS[form].__doc__ or "")


@every_format
def test_the_same_rows_come_out_equal_whatever_the_format(tmp_path: Path, form: str) -> None:
    assert found(tmp_path, form, ROWS).rows == numbered(ROWS)


@every_format
@pytest.mark.parametrize("name", NAMES)
def test_each_type_alone_is_read_as_written(tmp_path: Path, form: str, name: str) -> None:
    table = replace(TABLE, columns=[column for column in TABLE.columns if column.name == name])
    rows = [(row[NAMES.index(name)],) for row in ROWS]
    assert found(tmp_path, form, rows, [name], table).rows == numbered(rows)


@every_format
def test_parts_are_typed_as_the_contract_says(tmp_path: Path, form: str) -> None:
    (part,) = found(tmp_path, form, ROWS).parts
    assert part.rows.schema.remove(len(NAMES)).equals(arrow_schema(TABLE))


@every_format
def test_the_order_and_the_spelling_of_columns_are_free(tmp_path: Path, form: str) -> None:
    spelled = ["  Words", "MOMENT", "day ", "Flag", "real", "Whole"]
    backwards = [tuple(reversed(row)) for row in ROWS]
    assert found(tmp_path, form, backwards, spelled).rows == numbered(ROWS)


@every_format
def test_a_new_column_is_refused(tmp_path: Path, form: str) -> None:
    rows = [(*row, "x") for row in ROWS]
    reason = refused_or_set_aside(lambda: found(tmp_path, form, rows, [*NAMES, "colour"]))
    assert "colour" in reason


@every_format
def test_a_new_column_is_ignored_by_name_where_the_contract_allows(
    tmp_path: Path, form: str
) -> None:
    rows = [("x", *row, "y") for row in ROWS]
    table = replace(TABLE, on_new_column="ignore")
    result = found(tmp_path, form, rows, ["colour", *NAMES, "Size: L"], table)
    assert result.rows == numbered(ROWS)
    assert result.ignored == ("colour", "Size: L")


@every_format
@pytest.mark.parametrize("required", [(), ("whole",)])
def test_a_missing_column_is_refused(tmp_path: Path, form: str, required: tuple[str, ...]) -> None:
    rows = [row[1:] for row in ROWS]
    columns = [replace(c, nullable=c.name not in required) for c in TABLE.columns]
    table = replace(TABLE, columns=columns)
    with pytest.raises(FileRefused, match="expected column 'whole'; found columns 'real', 'flag'"):
        found(tmp_path, form, rows, NAMES[1:], table)


@every_format
def test_a_missing_column_is_filled_where_the_contract_allows(tmp_path: Path, form: str) -> None:
    table = replace(TABLE, on_missing_column="fill")
    rows = [row[1:] for row in ROWS]
    expected = numbered([(None, *row) for row in rows])
    assert found(tmp_path, form, rows, NAMES[1:], table).rows == expected
    required = replace(TABLE.columns[0], nullable=False)
    table = replace(table, columns=[required, *TABLE.columns[1:]])
    with pytest.raises(FileRefused, match="expected column 'whole'"):
        found(tmp_path, form, rows, NAMES[1:], table)


@every_format
@pytest.mark.parametrize("again", ["whole", " Whole"])
def test_a_column_that_is_there_twice_is_refused(tmp_path: Path, form: str, again: str) -> None:
    rows = [(*row, 1) for row in ROWS]
    reason = refused_or_set_aside(lambda: found(tmp_path, form, rows, [*NAMES, again]))
    assert "whole" in reason
    # Not even where other columns are ignored.
    ignoring = replace(TABLE, on_new_column="ignore")
    refused_or_set_aside(lambda: found(tmp_path, form, rows, [*NAMES, again], ignoring))


@every_format
@pytest.mark.parametrize(
    ("place", "value", "reason"),
    [
        (0, 1.5, "contract:type:whole:int64"),
        (0, 2.0**53 + 2, "contract:type:whole:int64"),
        (1, float("nan"), "contract:type:real:double"),
        (1, float("-inf"), "contract:type:real:double"),
    ],
)
def test_a_row_with_a_bad_cell_is_set_aside_alone_with_the_reason(
    tmp_path: Path, form: str, place: int, value: float, reason: str
) -> None:
    small = (1, 1.5, True, date(2026, 3, 1), NOON, "red")
    bad = (*small[:place], value, *small[place + 1 :])
    result = found(tmp_path, form, [small, bad, small])
    assert result.rows == [(*small, 1), (*small, 3)]
    assert result.unparsed == []
    ((number, reasons, payload),) = result.rejected
    assert (number, reasons) == (2, [reason])
    assert "red" in json.dumps(payload)


@every_format
def test_a_bad_cell_refuses_the_file_where_the_contract_says_so(tmp_path: Path, form: str) -> None:
    table = replace(TABLE, on_changed_column="refuse")
    sound = [(number, 0.5, True, None, None, "secret") for number in range(40)]
    assert found(tmp_path, form, sound, table=table).landed == 40
    rows = [*sound, (1.25, 0.5, None, None, None, "secret"), (2.25, float("nan"), *[None] * 4)]
    with in_small_parts(form) as small:
        for read in (READERS[form], small):
            with pytest.raises(FileRefused, match="record 41, column 'whole'") as caught:
                found(tmp_path, form, rows, table=table, read=read)
            assert "secret" not in str(caught.value)
            assert "1.25" not in str(caught.value)


@every_format
def test_a_file_without_rows_has_none(tmp_path: Path, form: str) -> None:
    result = found(tmp_path, form, [])
    assert (result.landed, result.rows, result.rejected, result.unparsed) == (0, [], [], [])


@every_format
def test_parts_of_any_size_hold_the_same_records_in_order(tmp_path: Path, form: str) -> None:
    rows: list[Row] = []
    for number in range(1, 301):
        whole: float = number + 0.5 if number % 7 == 0 else number
        real = float("nan") if number % 11 == 0 else number / 8
        later = NOON + timedelta(microseconds=number)
        rows.append((whole, real, number % 2 == 0, date(2026, 3, 1), later, f"{number}, é\n"))
    whole_file = found(tmp_path, form, rows)
    with in_small_parts(form) as small:
        in_parts = found(tmp_path, form, rows, read=small)
    assert len(in_parts.parts) > 10 * len(whole_file.parts)
    assert in_parts.landed == whole_file.landed == 300
    assert in_parts.rows == whole_file.rows
    assert in_parts.rejected == whole_file.rejected
    bad = [n for n in range(1, 301) if n % 7 == 0 or n % 11 == 0]
    assert [row[0] for row in whole_file.rejected] == bad
    assert [row[-1] for row in whole_file.rows] == [n for n in range(1, 301) if n not in bad]
    numbers = [n for part in in_parts.parts for n in _numbers(part.rows, part.rejected)]
    assert numbers == list(range(1, 301))


def _numbers(*tables: pa.Table) -> list[int]:
    """Return the numbers of a part's records; parts follow one another."""
    return sorted(number for rows in tables for number in rows["_row"].to_pylist())
