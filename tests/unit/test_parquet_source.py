"""The Parquet reader: a value is taken as the contract's type only where nothing is lost."""

import io
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.adapters.sources import parquet as parquet_source
from pipelines.adapters.sources.parquet import read
from pipelines.domain.contract import Column, Files, Table
from pipelines.errors import FileRefused
from tests.local_files import Found, local_file

MOMENT = datetime(2026, 3, 1, 2, 30, 0, 1000, tzinfo=UTC)


def one_column(column_type: str) -> Table:
    return Table(
        name="values",
        source=Files(pattern="*.parquet", format="parquet"),
        columns=[Column("value", column_type, nullable=True)],
        key=("value",),
    )


def written(rows: pa.Table, **options: Any) -> bytes:  # noqa: ANN401 - pyarrow's own options
    content = io.BytesIO()
    pq.write_table(rows, content, **options)
    return content.getvalue()


def found(folder: Path, array: pa.Array, column_type: str) -> Found:
    table = one_column(column_type)
    return Found(
        read(local_file(folder / "v.parquet", written(pa.table({"value": array}))), table), table
    )


@pytest.mark.parametrize(
    ("array", "column_type", "values"),
    [
        (pa.array([-128, 127, None], pa.int8()), "int64", [-128, 127, None]),
        (pa.array([0, 2**32 - 1], pa.uint32()), "int64", [0, 2**32 - 1]),
        (pa.array([0, 2**63 - 1], pa.uint64()), "int64", [0, 2**63 - 1]),
        (pa.array([1.0, -(2.0**53) + 1, None], pa.float64()), "int64", [1, -(2**53) + 1, None]),
        (pa.array([Decimal(5), None], pa.decimal128(38, 0)), "int64", [5, None]),
        (pa.array([0.1, None], pa.float32()), "double", [0.10000000149011612, None]),
        (pa.array([1.5], pa.float16()), "double", [1.5]),
        (pa.array([2**53, -(2**53), None], pa.int64()), "double", [2.0**53, -(2.0**53), None]),
        (pa.array(["a", "", None], pa.large_string()), "string", ["a", "", None]),
        (pa.array(["a", "", None], pa.string_view()), "string", ["a", "", None]),
        (pa.array(["é", "é", None]).dictionary_encode(), "string", ["é", "é", None]),
        (pa.array([True, None]), "bool", [True, None]),
        (pa.array([date(2026, 3, 1), None], pa.date64()), "date", [date(2026, 3, 1), None]),
        (pa.array([MOMENT, None], pa.timestamp("ms", "UTC")), "timestamp[UTC]", [MOMENT, None]),
        (pa.array([MOMENT], pa.timestamp("ns", "Europe/Berlin")), "timestamp[UTC]", [MOMENT]),
        (pa.array([None, None], pa.null()), "double", [None, None]),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else None,
)  # fmt: skip
def test_a_value_that_loses_nothing_is_taken(
    tmp_path: Path, array: pa.Array, column_type: str, values: list[object]
) -> None:
    result = found(tmp_path, array, column_type)
    assert [value for value, _ in result.rows] == values
    assert result.rejected == []


@pytest.mark.parametrize(
    ("array", "column_type", "payload"),
    [
        (pa.array([1.5], pa.float64()), "int64", "1.5"),
        (pa.array([2.0**53], pa.float64()), "int64", "9.007199254740992e+15"),
        (pa.array([1e300], pa.float64()), "int64", "1e+300"),
        (pa.array([float("nan")], pa.float64()), "int64", "nan"),
        (pa.array([0.5], pa.float16()), "int64", "0.5"),
        (pa.array([2**63], pa.uint64()), "int64", "9223372036854775808"),
        (pa.array([Decimal(10) ** 30], pa.decimal128(38, 0)), "int64", "1" + "0" * 30),
        (pa.array([2**53 + 1], pa.int64()), "double", "9007199254740993"),
        (pa.array([-(2**63)], pa.int64()), "double", "-9223372036854775808"),
        (pa.array([2**64 - 1], pa.uint64()), "double", "18446744073709551615"),
        (pa.array([float("inf")], pa.float32()), "double", "inf"),
        (pa.array([3_000_000], pa.date32()), "date", "10183-09-21"),
        (pa.array([1], pa.timestamp("ns", "UTC")), "timestamp[UTC]", "1970-01-01 00:00:00.000000001Z"),
        (pa.array([2**50], pa.timestamp("ms", "UTC")), "timestamp[UTC]", "<value out of range: 1125899906842624>Z"),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else None,
)  # fmt: skip
def test_a_value_that_would_lose_something_sets_its_row_aside(
    tmp_path: Path, array: pa.Array, column_type: str, payload: str
) -> None:
    nothing = pa.nulls(1, array.type)
    result = found(tmp_path, pa.concat_arrays([nothing, array, nothing]), column_type)
    assert result.rows == [(None, 1), (None, 3)]
    ((number, (reason,), cells),) = result.rejected
    assert (number, cells) == (2, {"value": payload})
    assert reason.startswith("contract:type:value:")


def test_a_day_with_hours_is_no_day(tmp_path: Path) -> None:
    # Parquet's own dates have no hours; a writer's Arrow schema may claim otherwise, and is not heard.
    array = pa.array([86_400_000, 86_400_000 + 1], pa.date64())
    assert found(tmp_path, array, "date").landed == 2
    values, misfits = parquet_source._cast(array, "date")
    assert values.to_pylist() == [date(1970, 1, 2), None]
    assert misfits is not None
    assert misfits.to_pylist() == [False, True]


def test_bytes_that_are_no_text_set_their_row_aside(tmp_path: Path) -> None:
    offsets = pa.array([0, 1, 2, 3], pa.int32()).buffers()[1]
    array = pa.StringArray.from_buffers(3, offsets, pa.py_buffer(b"a\xffb"))
    result = found(tmp_path, array, "string")
    assert result.rows == [("a", 1), ("b", 3)]
    assert result.rejected == [(2, ["contract:type:value:string"], {"value": "\\xff"})]


@pytest.mark.parametrize(
    ("kind", "column_type", "expected"),
    [
        (pa.string(), "int64", "whole numbers; found string"),
        (pa.int64(), "string", "text; found int64"),
        (pa.binary(), "string", "text; found binary"),
        (pa.int8(), "bool", "booleans; found int8"),
        (pa.bool_(), "int64", "whole numbers; found bool"),
        (pa.decimal128(10, 2), "int64", "whole numbers; found decimal128(10, 2)"),
        (pa.decimal128(10, 2), "double", "found decimal128(10, 2)"),
        (pa.timestamp("us"), "timestamp[UTC]", "timestamps with a time zone; found timestamp[us]"),
        (pa.timestamp("us", "UTC"), "date", "dates; found timestamp[us, tz=UTC]"),
        (pa.date32(), "timestamp[UTC]", "timestamps with a time zone; found date32[day]"),
        (pa.list_(pa.int64()), "int64", "whole numbers; found list<"),
        (pa.struct([("a", pa.int64())]), "int64", "whole numbers; found struct<"),
        (pa.float64(), "string", "text; found double"),
    ],
)  # fmt: skip
def test_a_column_whose_values_never_fit_refuses_the_file_even_without_rows(
    tmp_path: Path, kind: pa.DataType, column_type: str, expected: str
) -> None:
    with pytest.raises(FileRefused) as caught:
        found(tmp_path, pa.array([], kind), column_type)
    assert "v.parquet, column 'value': expected" in str(caught.value)
    assert expected in str(caught.value)


def test_every_wrong_column_is_named_at_once(tmp_path: Path) -> None:
    rows = pa.table({"a": ["1"], "b": ["2"]})
    table = replace(one_column("int64"), columns=[Column("a", "int64"), Column("b", "double")])
    with pytest.raises(FileRefused) as caught:
        read(local_file(tmp_path / "v.parquet", written(rows)), table)
    assert len(caught.value.problems) == 2


def test_columns_that_are_ignored_may_be_of_any_type_and_name(tmp_path: Path) -> None:
    nested = pa.array([{"value": "x"}], pa.struct([("value", pa.string())]))
    rows = pa.table({"value.value": ["y"], "Other": nested, "value": [7]})
    table = replace(one_column("int64"), on_new_column="ignore")
    result = Found(read(local_file(tmp_path / "v.parquet", written(rows)), table), table)
    assert result.rows == [(7, 1)]
    assert result.ignored == ("value.value", "Other")


def test_row_groups_and_their_sizes_do_not_matter(tmp_path: Path) -> None:
    rows = pa.table({"value": list(range(1000))})
    table = one_column("int64")
    for size in (1, 7, 1000):
        file = local_file(tmp_path / "v.parquet", written(rows, row_group_size=size))
        assert Found(read(file, table), table).rows == [(n, n + 1) for n in range(1000)]


def test_parts_are_small_where_rows_are_large(tmp_path: Path) -> None:
    texts = [f"{n:07}" * 40_000 for n in range(150)]
    rows = pa.table({"value": texts})
    table = one_column("string")
    file = local_file(tmp_path / "v.parquet", written(rows, use_dictionary=False))
    parts = Found(read(file, table), table).parts
    assert [part.landed for part in parts[:2]] == [59, 59]
    assert max(part.rows.nbytes for part in parts) < 17 << 20


def test_a_file_without_row_groups_has_no_rows(tmp_path: Path) -> None:
    content = io.BytesIO()
    pq.ParquetWriter(content, pa.schema([("value", pa.int64())])).close()
    table = one_column("int64")
    assert (
        Found(read(local_file(tmp_path / "v.parquet", content.getvalue()), table), table).landed
        == 0
    )
