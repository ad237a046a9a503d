"""The strict reader guesses nothing; the rescue reader loses nothing; both mean the same."""

import gzip
import io
import re
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.adapters.parsing.utf8_text import Utf8Text
from pipelines.adapters.sources import csv as csv_source
from pipelines.adapters.sources.csv import read
from pipelines.domain.contract import Column, Files, Table, arrow_schema
from pipelines.errors import FileRefused
from tests.bad_inputs.reading import Found, local_file, read_whole, set_aside
from tests.goldens import assert_golden

READINGS = Table(
    name="readings",
    source=Files(pattern="*.csv*"),
    columns=[
        Column("number", "int64"),
        Column("value", "double", nullable=True),
        Column("note", "string", nullable=True),
    ],
    key=("number",),
)
ALL_TYPES = Table(
    name="all_types",
    source=Files(pattern="*.csv"),
    columns=[
        Column("whole", "int64"),
        Column("real", "double"),
        Column("flag", "bool"),
        Column("day", "date"),
        Column("moment", "timestamp[UTC]"),
        Column("words", "string"),
    ],
    key=("whole",),
)
IGNORING = replace(READINGS, on_new_column="ignore")


def parsed(
    folder: Path,
    content: str | bytes,
    table: Table = READINGS,
    name: str = "r.csv",
    chunk_bytes: int = csv_source.CHUNK_BYTES,
) -> Found:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_whole(path, table, chunk_bytes)


def rows(found: Found) -> list[tuple[Any, ...]]:
    return found.values()


def refusal(
    folder: Path,
    content: str | bytes,
    table: Table = READINGS,
    chunk_bytes: int = csv_source.CHUNK_BYTES,
) -> str:
    with pytest.raises(FileRefused) as caught:
        parsed(folder, content, table, chunk_bytes=chunk_bytes)
    return str(caught.value)


def test_a_sound_file_is_typed_and_numbered(tmp_path: Path) -> None:
    found = parsed(tmp_path, "number,value,note\n7,1.5,red\n-8,,\n")
    assert rows(found) == [(7, 1.5, "red", 1), (-8, None, None, 2)]
    assert found.rows.schema.remove(3).equals(arrow_schema(READINGS))
    assert (found.landed, found.rejected.num_rows, found.unparsed.num_rows) == (2, 0, 0)


def test_a_header_alone_is_a_file_without_rows(tmp_path: Path) -> None:
    found = parsed(tmp_path, "number,value,note\n")
    assert found.landed == 0
    assert found.rows.schema.remove(3).equals(arrow_schema(READINGS))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("note,number,value\nred,7,1.5\n", [(7, 1.5, "red", 1)]),
        ("\ufeffnumber,value,note\n7,1.5,red\n", [(7, 1.5, "red", 1)]),
        ('\ufeff"number",value,note\n7,1.5,red\n', [(7, 1.5, "red", 1)]),
        ("number,value,note\r\n7,1.5,red\r\n8,2,\r\n", [(7, 1.5, "red", 1), (8, 2.0, None, 2)]),
        ("number,value,note\r7,1.5,red\r\n", [(7, 1.5, "red", 1)]),
        ("\n\nnumber,value,note\n\n7,1.5,red\n\n8,2,\n", [(7, 1.5, "red", 1), (8, 2.0, None, 2)]),
        ('number,value,note\n7,1.5,"a\nb"\n', [(7, 1.5, "a\nb", 1)]),
        ('number,value,note\n7,1.5,"ends\n"\n', [(7, 1.5, "ends\n", 1)]),
        ('number,value,note\n7,1.5,"a ""b"", c"\n', [(7, 1.5, 'a "b", c', 1)]),
        ('number,value,note\n7,1.5,5" pipe\n', [(7, 1.5, '5" pipe', 1)]),
        ("number,value,note\n7,1.5,a\0b\n", [(7, 1.5, "a\0b", 1)]),
    ],
    ids=[
        "columns in another order", "byte order mark", "byte order mark before a quote", "crlf",
        "lone cr", "blank lines", "quoted newline", "newline before the closing quote",
        "doubled quotes", "quote inside a cell", "nul",
    ],
)  # fmt: skip
def test_what_is_legal_csv_is_read_as_meant(
    tmp_path: Path, content: str, expected: list[tuple[Any, ...]]
) -> None:
    found = parsed(tmp_path, content)
    assert rows(found) == expected
    # One bad row sends the file to the rescue reader, which must read the others as before.
    rescued = parsed(tmp_path, content + "bad,bad,bad\n")
    assert rows(rescued) == expected
    assert [number for number, *_ in set_aside(rescued.rejected)] == [len(expected) + 1]


def test_an_empty_cell_is_missing_and_a_quoted_empty_one_is_a_text(tmp_path: Path) -> None:
    text = 'number,value,note\n1,,\n2,,""\n'
    expected = [(1, None, None, 1), (2, None, "", 2)]
    assert rows(parsed(tmp_path, text)) == expected
    assert rows(parsed(tmp_path, text + "bad,,\n")) == expected


def test_a_quoted_empty_number_is_no_number(tmp_path: Path) -> None:
    found = parsed(tmp_path, 'number,value,note\n1,"",x\n')
    assert set_aside(found.rejected) == [
        (1, ["contract:type:value:double"], {"number": "1", "value": "", "note": "x"})
    ]


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ("1,N/A,", "contract:type:value:double"),
        ("1,NULL,", "contract:type:value:double"),
        ("1,1_000,", "contract:type:value:double"),
        ("1.5,1,", "contract:type:number:int64"),
        ("1.0,1,", "contract:type:number:int64"),
        ("xx,1,", "contract:type:number:int64"),
        ("12345678901234567890,1,", "contract:type:number:int64"),
        ("\u00a01,1,", "contract:type:number:int64"),
    ],
)
def test_a_cell_that_does_not_fit_sets_its_row_aside_with_the_reason(
    tmp_path: Path, cells: str, reason: str
) -> None:
    found = parsed(tmp_path, f"number,value,note\n7,0.5,a\n{cells}\n8,1.5,b\n")
    assert rows(found) == [(7, 0.5, "a", 1), (8, 1.5, "b", 3)]
    number, value, _ = cells.split(",")
    payload = {"number": number, "value": value, "note": None}
    assert set_aside(found.rejected) == [(2, [reason], payload)]
    assert found.landed == 3


@pytest.mark.parametrize(
    "moment", ["2026-03-01T02:30:00", "2026-03-01", "1772332200", "2026-03-01T02:30:00.1234567Z"]
)
def test_a_time_without_offset_or_finer_than_a_microsecond_is_set_aside(
    tmp_path: Path, moment: str
) -> None:
    found = parsed(tmp_path, f"number,at\n1,{moment}\n", timed())
    assert [reasons for _, reasons, _ in set_aside(found.rejected)] == [
        ["contract:type:at:timestamp[us, tz=UTC]"]
    ]


def test_an_offset_is_turned_into_utc(tmp_path: Path) -> None:
    found = parsed(tmp_path, "number,at\n1,2026-03-01T02:30:00+02:00\n", timed())
    assert found.rows["at"].to_pylist() == [datetime(2026, 3, 1, 0, 30, tzinfo=UTC)]


def timed() -> Table:
    columns = [Column("number", "int64"), Column("at", "timestamp[UTC]")]
    return replace(READINGS, columns=columns)


def test_every_reason_of_a_row_is_given(tmp_path: Path) -> None:
    found = parsed(tmp_path, "number,value,note\nx,y,z\n")
    reasons = ["contract:type:number:int64", "contract:type:value:double"]
    assert set_aside(found.rejected) == [(1, reasons, {"number": "x", "value": "y", "note": "z"})]


def test_a_record_with_other_columns_is_unparsed_and_keeps_its_number(tmp_path: Path) -> None:
    found = parsed(
        tmp_path, 'number,value,note\n1,1,"a\nb"\n2,2\n\n3,3,c\n4,4,d,more\nx,5,e\n6,6,f\n'
    )
    assert set_aside(found.unparsed) == [
        (2, ["contract:columns"], {"line": "2,2"}),
        (4, ["contract:columns"], {"line": "4,4,d,more"}),
    ]
    assert [number for number, *_ in set_aside(found.rejected)] == [5]
    assert rows(found) == [(1, 1.0, "a\nb", 1), (3, 3.0, "c", 3), (6, 6.0, "f", 6)]
    assert found.landed == 6


def test_an_empty_line_of_a_file_with_one_column_is_a_record(tmp_path: Path) -> None:
    table = replace(READINGS, columns=[Column("number", "int64")])
    assert rows(parsed(tmp_path, "number\n1\n\n2\n", table)) == [(1, 1), (None, 2), (2, 3)]
    assert rows(parsed(tmp_path, "number\n1\n\nx\n", table)) == [(1, 1), (None, 2)]


@pytest.mark.parametrize(
    "content",
    [
        'number,value,note\n1,1,a\n2,2,"open\n3,3,c\n',
        'number,value,note\n1,1,a\n2,"2,c\n3,3,c\n',
        'number,value,note\n1,1,a\n2,2,"open""\n3,3,c\n',
        'number,value,note\n1,1,a\n2,2,"open\n',
        'number,value,note\nx,1,a\n2,2,"open\n3,3,c\n',
    ],
)
def test_a_quote_that_never_closes_swallows_no_rows(tmp_path: Path, content: str) -> None:
    assert_golden("files/open_quote", refusal(tmp_path, content))
    # The swallowed rows may lie in a column that nobody reads.
    unread = replace(IGNORING, columns=READINGS.columns[:2])
    assert_golden("files/open_quote", refusal(tmp_path, content, unread))


def test_the_trap_is_real_pyarrow_takes_an_open_quote_for_one_long_cell() -> None:
    found = pa_csv.read_csv(
        io.BytesIO(b'a,b\n1,x\n2,"open\n3,y\n'),
        parse_options=pa_csv.ParseOptions(newlines_in_values=True),
    )
    assert found.to_pydict() == {"a": [1, 2], "b": ["x", "open\n3,y\n"]}


@pytest.mark.parametrize(
    ("golden", "header"),
    [
        ("missing_column", "number,value"),
        ("new_column", "number,value,note,colour"),
        ("duplicate_column", "number,value,note,value"),
        ("renamed_column", "number,values,note"),
        ("everything_wrong_with_a_header", "nmber,value,value,notes,x"),
        ("wrong_delimiter", "number;value;note"),
    ],
)
def test_a_header_that_breaks_the_contract_refuses_the_file_with_all_reasons(
    tmp_path: Path, golden: str, header: str
) -> None:
    assert_golden(f"files/{golden}", refusal(tmp_path, f"{header}\n"))


def test_new_columns_are_ignored_by_name_where_the_contract_allows(tmp_path: Path) -> None:
    text = "colour,number,value,note,size\nred,1,1.5,a,L\n"
    found = parsed(tmp_path, text, IGNORING)
    assert rows(found) == [(1, 1.5, "a", 1)]
    assert found.ignored_columns == ("colour", "size")
    rescued = parsed(tmp_path, text + "blue,x,2,b,S\n", IGNORING)
    assert rows(rescued) == [(1, 1.5, "a", 1)]
    assert set_aside(rescued.rejected)[0][2] == {
        "colour": "blue", "number": "x", "value": "2", "note": "b", "size": "S"
    }  # fmt: skip


@pytest.mark.parametrize("quote", ["", '"'])
def test_bytes_of_another_encoding_refuse_the_file(tmp_path: Path, quote: str) -> None:
    # Preflight names the line; the source does not rely on it.
    text = f"number,value,note\n1,1,a\n2,2,{quote}Zoë{quote}\n".encode("latin-1")
    assert_golden("files/other_encoding_in_source", refusal(tmp_path, text))
    assert_golden("files/other_encoding_in_source", refusal(tmp_path, text, chunk_bytes=40))
    utf_16 = refusal(tmp_path, "number,value,note\n1,1,a\n".encode("utf-16"))
    assert "expected a header line; found none that can be read" in utf_16
    ascii_only = replace(READINGS, source=Files(pattern="*.csv", encoding="ascii"))
    assert "expected text in ascii; found other bytes" in refusal(tmp_path, text, ascii_only)


def test_other_bytes_in_a_column_that_nobody_reads_refuse_the_file_too(tmp_path: Path) -> None:
    unread = replace(IGNORING, columns=READINGS.columns[:2])
    text = "number,value,note\n1,1,Zoë\n".encode("latin-1")
    assert "found other bytes behind record 0" in refusal(tmp_path, text, unread)


@pytest.mark.parametrize("chunk_bytes", [16, 64, csv_source.CHUNK_BYTES])
@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16", "utf-16-le", "utf-8-sig"])
def test_a_declared_encoding_is_read(tmp_path: Path, encoding: str, chunk_bytes: int) -> None:
    table = replace(READINGS, source=Files(pattern="*.csv", encoding=encoding))
    text = 'number,value,note\n1,1,Zoë\n2,2,"ü"\n'
    found = parsed(tmp_path, text.encode(encoding), table, chunk_bytes=chunk_bytes)
    assert rows(found) == [(1, 1.0, "Zoë", 1), (2, 2.0, "ü", 2)]
    rescued = parsed(
        tmp_path, f"{text}é,3\né,3,x\n".encode(encoding), table, chunk_bytes=chunk_bytes
    )
    assert rows(rescued) == [(1, 1.0, "Zoë", 1), (2, 2.0, "ü", 2)]
    assert set_aside(rescued.unparsed) == [(3, ["contract:columns"], {"line": "é,3"})]
    assert set_aside(rescued.rejected)[0][2]["number"] == "é"


def test_a_declared_delimiter_is_read(tmp_path: Path) -> None:
    table = replace(READINGS, source=Files(pattern="*.csv", delimiter=";"))
    text = 'number;value;note\n1;1,5;a\n2;2;"b;c"\n'
    found = parsed(tmp_path, text, table)
    assert rows(found) == [(2, 2.0, "b;c", 2)]
    assert set_aside(found.rejected)[0][1] == ["contract:type:value:double"]


def test_a_packed_file_of_several_members_is_read_whole(tmp_path: Path) -> None:
    content = gzip.compress(b"number,value,note\n1,1,a\n") + gzip.compress(b"2,2,b\n")
    found = parsed(tmp_path, content, name="r.csv.gz")
    assert rows(found) == [(1, 1.0, "a", 1), (2, 2.0, "b", 2)]


def test_record_numbers_hold_across_chunks(tmp_path: Path) -> None:
    lines = [str(n) if n % 7 == 0 else f'{n},x,"a\nb"' if n % 5 == 0 else f"{n},1,c"
             for n in range(1, 200)]  # fmt: skip
    text = "\n".join(["number,value,note", *lines, ""])
    found = parsed(tmp_path, text, chunk_bytes=64)
    assert found.parts > 10
    assert found.unparsed["_row"].to_pylist() == list(range(7, 200, 7))
    assert found.rejected["_row"].to_pylist() == [n for n in range(5, 200, 5) if n % 7]
    assert found.rows["_row"].to_pylist() == found.rows["number"].to_pylist()


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ("1,1,secret" + "x" * 200, "records that can be told apart; found none that can"),
        ('1,1,"secret' + "x\n" * 200, "every quote to be closed; found one that is open for more"),
    ],
    ids=["a line", "an open quote"],
)
def test_a_record_longer_than_the_longest_is_refused_and_never_quoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record: str, expected: str
) -> None:
    monkeypatch.setattr(csv_source, "LONGEST_RECORD_BYTES", 64)
    with pytest.raises(FileRefused, match=expected) as caught:
        parsed(tmp_path, f"number,value,note\n{record}\n2,2,b\n", chunk_bytes=64)
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_record_longer_than_a_chunk_is_read(tmp_path: Path) -> None:
    long = "x" * 1000
    text = f'number,value,note\n1,1,{long}\n2,2,"{long}\n,""\n{long}"\n3,3,c\n'
    assert rows(parsed(tmp_path, text, chunk_bytes=16)) == [
        (1, 1.0, long, 1), (2, 2.0, f'{long}\n,"\n{long}', 2), (3, 3.0, "c", 3)
    ]  # fmt: skip


@pytest.mark.parametrize("chunk_bytes", [1, 30, 31, 32, 33, 34, 35, 36])
def test_a_cut_within_quotes_is_noticed_and_moved(tmp_path: Path, chunk_bytes: int) -> None:
    # The stray quote makes the count of quotes misleading; only pyarrow itself knows where it is.
    text = 'number,value,note\n1,1,5" pipe\n2,2,"a\n3,3,b\n4,4,c"\n5,5,"d\n"\n6,6,7"\n'
    found = parsed(tmp_path, text, chunk_bytes=chunk_bytes)
    assert rows(found) == [
        (1, 1.0, '5" pipe', 1), (2, 2.0, "a\n3,3,b\n4,4,c", 2), (5, 5.0, "d\n", 3), (6, 6.0, '7"', 4)
    ]  # fmt: skip


def test_a_record_that_looks_like_the_end_of_a_chunk_does_not_hide_an_open_quote(
    tmp_path: Path,
) -> None:
    text = 'number,value,note\n1,1,a\nend,end,end,end\n2,2,"open\n'
    assert_golden("files/open_quote", refusal(tmp_path, text))


def test_a_mark_of_byte_order_within_the_file_is_a_letter_wherever_a_chunk_begins(
    tmp_path: Path,
) -> None:
    table = replace(READINGS, columns=[Column("note", "string"), Column("number", "int64")])
    text = "note,number\n" + "".join(f"\ufeff{n},{n}\n" for n in range(20))
    for chunk_bytes in (12, 40, 1000):
        found = parsed(tmp_path, text, table, chunk_bytes=chunk_bytes)
        assert found.rows["note"].to_pylist() == [f"\ufeff{n}" for n in range(20)]


def test_the_trap_is_real_pyarrow_strips_a_mark_of_byte_order_from_whatever_it_parses() -> None:
    found = pa_csv.read_csv(
        io.BytesIO("\ufeffx\n".encode()), read_options=pa_csv.ReadOptions(column_names=["a"])
    )
    assert found.to_pydict() == {"a": ["x"]}


def test_what_was_read_does_not_change_while_the_file_is_read_on(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    lines = [f"{n},{n}.5,note {n}" for n in range(500)]
    path.write_text("\n".join(["number,value,note", *lines, ""]))
    parts = [part.rows for part in read(local_file(path), READINGS, _chunk_bytes=128).parts]
    assert len(parts) > 50
    notes = [note for part in parts for note in part["note"].to_pylist()]
    assert notes == [f"note {n}" for n in range(500)]


@pytest.mark.parametrize("chunk_bytes", [16, csv_source.CHUNK_BYTES])
def test_a_file_is_refused_at_its_first_misfit_where_the_contract_says_so(
    tmp_path: Path, chunk_bytes: int
) -> None:
    table = replace(READINGS, on_changed_column="refuse")
    sound = "number,value,note\n1,1,a\n2\n"
    assert len(rows(parsed(tmp_path, sound, table, chunk_bytes=chunk_bytes))) == 1
    message = refusal(tmp_path, f"{sound}3,secret,b\nsecret,4,c\n", table, chunk_bytes)
    assert_golden("files/changed_column", message)


def test_missing_columns_are_filled_with_nulls_where_the_contract_allows(tmp_path: Path) -> None:
    table = replace(READINGS, on_missing_column="fill")
    assert rows(parsed(tmp_path, "note,number\na,1\nb,2\n", table)) == [
        (1, None, "a", 1), (2, None, "b", 2)
    ]  # fmt: skip
    rescued = parsed(tmp_path, "number\n1\nx\n", table)
    assert rows(rescued) == [(1, None, None, 1)]
    assert set_aside(rescued.rejected) == [(2, ["contract:type:number:int64"], {"number": "x"})]


def test_case_spaces_and_hyphens_of_a_header_do_not_count(tmp_path: Path) -> None:
    found = parsed(tmp_path, ' NUMBER ,"Value",note\nx,1,a\n2,2,b\n')
    assert rows(found) == [(2, 2.0, "b", 2)]
    assert set_aside(found.rejected)[0][2] == {"number": "x", "value": "1", "note": "a"}


def test_without_quotes_a_quotation_mark_is_a_letter(tmp_path: Path) -> None:
    table = replace(READINGS, source=Files(pattern="*.csv", quote=""))
    text = '"number",value,note\n'
    assert "expected column 'number'" in refusal(tmp_path, text, table)
    found = parsed(tmp_path, 'number,value,note\n1,1,"open\n2,2,"b"\n"3",3,c\n4,4,"a,b"\n', table)
    assert rows(found) == [(1, 1.0, '"open', 1), (2, 2.0, '"b"', 2)]
    assert set_aside(found.rejected)[0][2]["number"] == '"3"'
    assert set_aside(found.unparsed) == [(4, ["contract:columns"], {"line": '4,4,"a,b"'})]


def test_another_quote_encloses_cells(tmp_path: Path) -> None:
    table = replace(READINGS, source=Files(pattern="*.csv", quote="'"))
    text = "number,value,note\n1,1,'a\n''b'\n2,2,\"c\n"
    assert rows(parsed(tmp_path, text, table)) == [(1, 1.0, "a\n'b", 1), (2, 2.0, '"c', 2)]
    assert_golden("files/open_quote", refusal(tmp_path, f"{text}3,3,'d\n", table))


def test_a_message_shows_the_beginning_of_a_wrong_header_only(tmp_path: Path) -> None:
    message = refusal(tmp_path, ",".join(f"Jane Doe, Long Street 4, {n}" for n in range(99)) + "\n")
    assert len(message) < 2000


@pytest.mark.parametrize("value", ["nan", "-NaN", "inf", "-inf", "Infinity", "1e400", "-1e400"])
def test_a_number_that_is_not_finite_is_set_aside(tmp_path: Path, value: str) -> None:
    found = parsed(tmp_path, f"number,value,note\n1,{value},a\n2,,\n")
    assert rows(found) == [(2, None, None, 2)]
    payload = {"number": "1", "value": value, "note": "a"}
    assert set_aside(found.rejected) == [(1, ["contract:type:value:double"], payload)]
    rescued = parsed(tmp_path, f"number,value,note\n1,{value},a\n2,,\n3,x,\n")
    assert rescued.rejected["_row"].to_pylist() == [1, 3]


@pytest.mark.parametrize("number", ["0x10", "0X1f", "0xFFFFFFFFFFFFFFFF", "0x8000000000000000"])
def test_a_hexadecimal_number_is_set_aside(tmp_path: Path, number: str) -> None:
    found = parsed(tmp_path, f"number,value,note\n1,1,0x\n{number},1,a\n")
    assert rows(found) == [(1, 1.0, "0x", 1)]
    assert found.rejected["_failed"].to_pylist() == [["contract:type:number:int64"]]


def test_the_trap_is_real_pyarrow_takes_a_large_hexadecimal_number_for_a_negative_one() -> None:
    assert pa.array(["0xFFFFFFFFFFFFFFFF"]).cast(pa.int64()).to_pylist() == [-1]


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        (b"0x1", True), (b"a,0X1\n", True), (b'a,"0x1"\n', True), (b"a, -0x1\n", True),
        (b"N10XA\n", False), (b"a,10x5\n", False), (b"x0 X\n", False), (b"", False),
    ],
)  # fmt: skip
def test_a_hexadecimal_number_is_told_from_a_word_that_holds_its_letters(
    text: bytes,
    holds: bool,  # noqa: FBT001 - a literal of the table above
) -> None:
    read = Utf8Text(io.BytesIO(text), "utf-8", 100)
    read.fill()
    assert read.holds_hexadecimal(read.end) is holds


def test_hexadecimal_texts_do_not_disturb_a_file_full_of_the_letter_x(tmp_path: Path) -> None:
    lines = [f"{n},{n},xXx 10x" for n in range(2000)]
    found = parsed(tmp_path, "\n".join(["number,value,note", *lines, "0x1,1,a", ""]))
    assert found.rows["number"].to_pylist() == list(range(2000))
    assert found.rejected["_row"].to_pylist() == [2001]


@pytest.mark.parametrize(
    ("kind", "cell"),
    [
        ("date", "0000-01-01"),
        ("timestamp[UTC]", "0000-12-31T00:00:00Z"),
        ("timestamp[UTC]", "0001-01-01T00:00:00+02:00"),
        ("timestamp[UTC]", "9999-12-31T23:00:00-02:00"),
    ],
)
def test_a_moment_outside_the_years_that_python_has_is_set_aside(
    tmp_path: Path, kind: str, cell: str
) -> None:
    table = replace(READINGS, columns=[Column("number", "int64"), Column("at", kind)])
    edges = "number,at\n1,0001-01-01{}\n2,9999-12-31{}\n".format(
        *(("", "") if kind == "date" else ("T00:00:00Z", "T23:59:59.999999Z"))
    )
    found = parsed(tmp_path, f"{edges}3,{cell}\n", table)
    assert found.rows["number"].to_pylist() == [1, 2]
    assert found.rejected["_row"].to_pylist() == [3]
    assert rows(parsed(tmp_path, f"{edges}3,{cell}\n4,x\n", table)) == rows(found)


PADDED = ["{}", " {}", "{} ", "\t{}", "{}\u00a0", "{}\v", "+{}", "-{}", "{}\n"]
GOOD_OR_NOT = {
    "whole": ["0", "7", "007", "0x1F", "1.0", "1e3", "9223372036854775807", "9223372036854775808"],
    "real": ["0", "1.5", "1e400", ".5", "5.", "nan", "Infinity", "1,5", "N/A", "1_0", "0x1F"],
    "flag": ["0", "1", "true", "True", "TRUE", "tRuE", "t", "yes", "false", "FALSE", "on", "2"],
    "day": ["2026-03-01", "2026-3-1", "2026-02-30", "20260301", "0001-01-01", "2026-03-01T00:00Z"],
    "moment": [
        "2026-03-01T00:00:00Z", "2026-03-01 00:00:00+02:00", "2026-03-01T00:00:00",
        "2026-03-01T00:00:00.123456Z", "2026-03-01T00:00:00.1234567Z", "2026-03-01T24:00:00Z",
        "2026-03-01T00Z", "2026-03-01", "9999-12-31T23:59:59Z", "1969-12-31T23:59:59.9Z",
    ],
    "words": ["", " ", "NA", "null", "a,b", '"', '""', "a\nb", "\r\n", "Zoë", "\ufeff"],
}  # fmt: skip


def cells_of(name: str) -> st.SearchStrategy[str]:
    usual = st.builds(str.format, st.sampled_from(PADDED), st.sampled_from(GOOD_OR_NOT[name]))
    plain = st.sampled_from(GOOD_OR_NOT[name])
    anything = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
    digits = st.text("0123456789-+.:eEZT xXaNif ", max_size=12)
    return st.one_of(plain, plain, usual, digits, anything, st.just(""))


def written(cell: str, *, quoted: bool) -> str:
    if quoted or any(mark in cell for mark in ',"\r\n'):
        return '"' + cell.replace('"', '""') + '"'
    return cell


LINES = st.tuples(*(st.builds(written, cells_of(name), quoted=st.booleans())
                    for name in ALL_TYPES.column_names)).map(",".join)  # fmt: skip


def strictly(line: str) -> list[str] | None:
    """Read one line as the strict reader's rules say; None when it refuses."""
    schema = arrow_schema(ALL_TYPES)
    if re.match(r'"?[ \t]*0[xX]', line):  # pyarrow reads hexadecimal numbers, and we do not
        return None
    try:
        found = pa_csv.read_csv(
            io.BytesIO(f"{','.join(schema.names)}\n{line}\n".encode()),
            parse_options=pa_csv.ParseOptions(newlines_in_values=True),
            convert_options=pa_csv.ConvertOptions(
                column_types=schema,
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
    except pa.ArrowInvalid:
        return None
    if not pc.is_finite(found["real"])[0].as_py() and found["real"][0].is_valid:
        return None
    try:
        return [repr(value) for value in found.to_pylist()[0].values()]
    except (OverflowError, ValueError):  # a year that Python does not have
        return None


SOUND = {
    "whole": "7", "real": "1.5", "flag": "true", "day": "2026-03-01",
    "moment": "2026-03-01T00:00:00Z", "words": "a",
}  # fmt: skip


@pytest.mark.parametrize("name", ALL_TYPES.column_names)
def test_every_spelling_of_a_cell_means_the_same_to_both_readers(tmp_path: Path, name: str) -> None:
    lines = [
        ",".join({**SOUND, name: written(pad.format(value), quoted=quoted)}.values())
        for value in GOOD_OR_NOT[name]
        for pad in PADDED
        for quoted in (False, True)
    ]
    agree(tmp_path, lines)


@settings(deadline=None)
@given(st.lists(LINES, max_size=12))
def test_the_rescue_keeps_exactly_the_rows_that_the_strict_reader_accepts(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str]
) -> None:
    agree(tmp_path_factory.getbasetemp(), lines)


def agree(folder: Path, lines: list[str]) -> None:
    """Require that a file of these lines keeps what the strict reader takes line by line."""
    expected = {number: strictly(line) for number, line in enumerate(lines, start=1)}
    header = ",".join(ALL_TYPES.column_names)
    found = parsed(folder, "".join(f"{line}\n" for line in (header, *lines)), ALL_TYPES)
    assert {row[-1]: [repr(value) for value in row[:-1]] for row in rows(found)} == {
        number: values for number, values in expected.items() if values is not None
    }
    refused = [number for number, values in expected.items() if values is None]
    assert [number for number, *_ in set_aside(found.rejected)] == refused
    assert (found.landed, found.unparsed.num_rows) == (len(lines), 0)


@settings(deadline=None)
@given(
    st.lists(
        st.sampled_from(
            ["1,1,a", "2,,", 'x,1,"a\nb"', "3", "1,2,3,4", '5,"5","say ""5"""', "", "é"]
        ),
        max_size=30,
    )
)
def test_every_record_is_in_exactly_one_part(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str]
) -> None:
    content = "".join(f"{line}\n" for line in ("number,value,note", *lines))
    found = parsed(tmp_path_factory.getbasetemp(), content)
    numbers = [
        *found.rows["_row"].to_pylist(),
        *found.rejected["_row"].to_pylist(),
        *found.unparsed["_row"].to_pylist(),
    ]
    records = [line for line in lines if line]
    assert sorted(numbers) == list(range(1, len(records) + 1))
    assert found.landed == len(records)
    broken = [n for n, line in enumerate(records, start=1) if line in ("3", "1,2,3,4", "é")]
    assert found.unparsed["_row"].to_pylist() == broken


def test_dates_and_bools_have_one_spelling_each(tmp_path: Path) -> None:
    columns = [Column("day", "date"), Column("flag", "bool")]
    table = replace(READINGS, columns=columns)
    found = parsed(tmp_path, "day,flag\n2026-03-01,TRUE\n1.3.2026,true\n2026-03-02,yes\n", table)
    assert rows(found) == [(date(2026, 3, 1), True, 1)]
    assert [reasons for _, reasons, _ in set_aside(found.rejected)] == [
        ["contract:type:day:date32[day]"], ["contract:type:flag:bool"]
    ]  # fmt: skip
