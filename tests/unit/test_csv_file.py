"""CSV as RFC 4180 has it: everything reads back, and no cell is run by a spreadsheet."""

import csv
import io
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.adapters.outputs import csv_file
from pipelines.adapters.outputs.csv_file import defused

DANGEROUS = "=+-@\t\r\n\uff1d\uff0b\uff0d\uff20"
"""First characters of a cell that some spreadsheet takes for a formula."""

BLANKS = " \u00a0\u3000\ufeff\t"

texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=12)
sly_texts = st.builds(
    "".join,
    st.tuples(
        st.text("'", max_size=2), st.text(BLANKS, max_size=2), st.text(DANGEROUS, max_size=2), texts
    ),
)


def written(table: pa.Table, *, byte_order_mark: bool = False, batch: int = 16_384) -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "rows.csv"
        count = csv_file.write(
            table.to_reader(max_chunksize=batch), path, byte_order_mark=byte_order_mark
        )
        assert count == table.num_rows
        return path.read_bytes()


def cells(content: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(content.decode("utf-8"), newline="")))


def read_back(cell: str) -> str:
    """Take away one mark, where what follows begins like a formula."""
    is_marked = cell.startswith("'") and defused(pa.array([cell[1:]]))[0].as_py() == cell
    return cell[1:] if is_marked else cell


@given(st.lists(st.one_of(texts, sly_texts), min_size=1, max_size=8))
@settings(deadline=None)
def test_every_text_reads_back(values: list[str]) -> None:
    table = pa.table({"number": range(len(values)), "text": pa.array(values, pa.string())})
    header, *rows = cells(written(table))
    assert header == ["number", "text"]
    assert [read_back(text) for _, text in rows] == values


@given(st.one_of(texts, sly_texts))
@settings(deadline=None)
def test_no_cell_of_text_begins_like_a_formula(value: str) -> None:
    ((cell,),) = cells(written(pa.table({"text": [value]})))[1:] or (("",),)
    assert not cell.startswith(tuple(DANGEROUS))
    printed = tuple(DANGEROUS.replace("\t\r\n", ""))
    assert not cell.lstrip(BLANKS + "\r\n").startswith(printed)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=8))
@settings(deadline=None)
def test_every_number_stays_a_number_bit_for_bit(values: list[float]) -> None:
    rows = cells(written(pa.table({"number": values})))[1:]
    assert [float(cell).hex() for (cell,) in rows] == [value.hex() for value in values]


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
        ("+49 30 123", "'+49 30 123"),
        ("-", "'-"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("  =1", "'  =1"),
        ("'=1", "''=1"),
        ("'s-Hertogenbosch", "'s-Hertogenbosch"),
        ("1-2", "1-2"),
        ("a=b", "a=b"),
        ("", ""),
    ],
)
def test_a_text_like_a_formula_gets_one_mark_and_no_other_does(text: str, cell: str) -> None:
    assert defused(pa.array([text]))[0].as_py() == cell


def test_the_bytes_are_those_of_the_rfc() -> None:
    table = pa.table(
        {
            "text": pa.array(["a,b", 'say "no"', None]).dictionary_encode(),
            "number": [-1.5, float("nan"), None],
            "whole": pa.array([-1, None, 3]),
            "day": [date(2026, 3, 1), None, None],
            "at": pa.array([datetime(2026, 3, 1, 5, tzinfo=UTC), None, None]),
            "sure": [True, False, None],
        }
    )
    expected = (
        "text,number,whole,day,at,sure\r\n"
        '"a,b",-1.5,-1,2026-03-01,2026-03-01T05:00:00Z,true\r\n'
        '"say ""no""",,,,,false\r\n'
        ",,3,,,\r\n"
    )
    assert written(table) == expected.encode()
    assert written(table, byte_order_mark=True) == b"\xef\xbb\xbf" + expected.encode()
    assert written(table, batch=1) == expected.encode()


def test_fractions_of_a_second_are_kept() -> None:
    at = datetime(2026, 3, 1, 5, microsecond=7, tzinfo=UTC)
    assert written(pa.table({"at": [at]})) == b"at\r\n2026-03-01T05:00:00.000007Z\r\n"


def test_no_rows_are_a_header() -> None:
    assert written(pa.table({"a": pa.array([], pa.string())})) == b"a\r\n"
