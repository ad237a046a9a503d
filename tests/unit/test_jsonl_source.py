"""The JSON lines reader: what is legal is read as meant, fast or with care, in parts of any size."""

import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.adapters.parsing import json_lines
from pipelines.adapters.sources import jsonl as jsonl_source
from pipelines.adapters.sources.jsonl import read
from pipelines.domain.contract import Column, Files, Table
from pipelines.errors import FileRefused
from tests.local_files import Found, local_file

READINGS = Table(
    name="readings",
    source=Files(pattern="*.jsonl*", format="jsonl"),
    columns=[
        Column("number", "int64"),
        Column("value", "double", nullable=True),
        Column("note", "string", nullable=True),
    ],
    key=("number",),
)
FILLING = replace(READINGS, on_missing_column="fill")
IGNORING = replace(READINGS, on_new_column="ignore")
FIRST = '{"number":0,"value":0,"note":"all keys"}\n'


def found(
    folder: Path, content: str | bytes, table: Table = READINGS, name: str = "r.jsonl"
) -> Found:
    return Found(read(local_file(folder / name, content), table), table)


def refusal(folder: Path, content: str | bytes, table: Table = READINGS) -> str:
    with pytest.raises(FileRefused) as caught:
        found(folder, content, table)
    return str(caught.value)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"note":"red","number":7,"value":1.5}', (7, 1.5, "red")),
        (' { "number" : 7 , "value" : 1.5 , "note" : "a : b" } ', (7, 1.5, "a : b")),
        ('{"number":7,"value":2,"note":"a\\n\\"b\\": \\u003c \\u00e9 é"}\r', (7, 2.0, 'a\n"b": < é é')),
        ('{"number":-0,"value":null,"note":""}', (0, None, "")),
        ('{"number":7,"value":1E-2,"note":null}', (7, 0.01, None)),
        ('{"number":7}', (7, None, None)),
        ('{"n\\u0075mber":7}', (7, None, None)),
        ('{"number":9223372036854775807,"value":9007199254740992}', (2**63 - 1, 2.0**53, None)),
        ('{"number":-9223372036854775808,"value":1.7976931348623157e308}', (-(2**63), 1.7976931348623157e308, None)),
        ('{"number":7,"note":"\\ud83d\\ude00 \\u0000"}', (7, None, "😀 \0")),
        ('{"number":7,"note":"12:30, \\u003a \\u003A"}', (7, None, "12:30, : :")),
    ],
)  # fmt: skip
def test_what_is_legal_json_is_read_as_meant(
    tmp_path: Path, line: str, expected: tuple[Any, ...]
) -> None:
    assert found(tmp_path, FIRST + line + "\n").rows[1:] == [(*expected, 2)]
    # One bad line sends its block to the careful reader, which must read the others as before.
    beside = found(tmp_path, FIRST + line + '\nnull\n{"number":"x"}\n')
    assert beside.rows[1:] == [(*expected, 2)]
    assert [row[0] for row in beside.unparsed + beside.rejected] == [3, 4]


def test_blank_lines_are_no_records_and_a_byte_order_mark_is_no_letter(tmp_path: Path) -> None:
    content = "\ufeff" + FIRST + "\n \t\r\n" + '{"number":1}\n\n'
    assert [row[0::3] for row in found(tmp_path, content).rows] == [(0, 1), (1, 2)]


def test_a_file_without_records_has_none(tmp_path: Path) -> None:
    assert found(tmp_path, "\n").landed == 0
    assert found(tmp_path, "").landed == 0


def test_a_last_line_without_newline_is_read(tmp_path: Path) -> None:
    assert found(tmp_path, FIRST.rstrip("\n")).landed == 1


def test_a_packed_file_is_read(tmp_path: Path) -> None:
    content = gzip.compress(FIRST.encode())
    assert found(tmp_path, content, name="r.jsonl.gz").rows == [(0, 0.0, "all keys", 1)]


def test_keys_are_spelled_as_headers_are_even_when_the_spelling_changes(tmp_path: Path) -> None:
    content = (
        '{"Number":1,"VALUE ":1,"note":"a"}\n'
        '{"Number":2,"VALUE ":2,"note":"a"}\n'
        '{"number":3,"value":3,"Note":"a"}\n'
        '{"number":"x","value":4,"Note":"a"}\n'
        '{"number":5,"value":5,"Note":"a"}\n'
    )
    result = found(tmp_path, content)
    assert [row[0::3] for row in result.rows] == [(1, 1), (2, 2), (3, 3), (5, 5)]
    assert [row[0] for row in result.rejected] == [4]


def test_a_column_that_no_record_has_is_missing_and_one_that_some_lack_is_not(
    tmp_path: Path,
) -> None:
    content = '{"number":1,"note":"a"}\n{"number":2}\n'
    message = refusal(tmp_path, content)
    assert "expected column 'value'; found columns 'number', 'note'" in message
    assert found(tmp_path, content, FILLING).rows == [(1, None, "a", 1), (2, None, None, 2)]
    assert found(tmp_path, content + '{"number":3,"value":null}\n').landed == 3


def test_a_required_column_that_no_record_has_is_never_filled(tmp_path: Path) -> None:
    assert "column 'number'" in refusal(tmp_path, '{"value":1}\n{"note":"x"}\n', FILLING)
    assert "column 'number'" in refusal(tmp_path, "{}\n", FILLING)


def test_unknown_keys_are_ignored_by_name_wherever_they_first_appear(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jsonl_source, "BLOCK_BYTES", 64)
    content = FIRST + "".join(
        f'{{"number":{n},"size: L":"a:b","nested":{{"a":[{{"number":{n}}}]}},"z{n // 50}":null}}\n'
        for n in range(1, 200)
    )
    result = found(tmp_path, content, IGNORING)
    assert [row[0] for row in result.rows] == list(range(200))
    assert result.ignored == ("size: L", "nested", "z0", "z1", "z2", "z3")


def test_an_ignored_key_hides_no_key_that_is_there_twice(tmp_path: Path) -> None:
    content = FIRST + '{"number":1,"z":{"number":":"}}\n{"number":2,"z":":","number":3}\n'
    result = found(tmp_path, content, IGNORING)
    assert [row[0] for row in result.rows] == [0, 1]
    assert [row[:2] for row in result.rejected] == [(3, ["contract:duplicate:number"])]


@pytest.mark.parametrize("value", ["NaN", '"\\x"', "[1,]", "nul"])
def test_an_ignored_value_that_is_no_json_is_not_ignored(tmp_path: Path, value: str) -> None:
    result = found(tmp_path, f'{FIRST}{{"number":1,"z":{value}}}\n', IGNORING)
    assert [row[0] for row in result.rows] == [0]
    assert [row[1] for row in result.rejected + result.unparsed] == [["contract:json"]]


def test_ignored_bytes_of_another_encoding_are_not_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jsonl_source, "BLOCK_BYTES", 64)  # the key is known when the bytes come
    content = FIRST.encode() + b'{"number":1,"z":"a"}\n' + b'{"number":2,"z":"\xff"}\n'
    result = found(tmp_path, content, IGNORING)
    assert [row[0] for row in result.rows] == [0, 1]
    assert [row[:2] for row in result.unparsed] == [(3, ["contract:json"])]


def test_keys_that_are_data_refuse_the_file_and_are_not_shown(tmp_path: Path) -> None:
    content = FIRST + "".join(f'{{"number":{n},"secret {n}":1}}\n' for n in range(1100))
    message = refusal(tmp_path, content, IGNORING)
    assert "at most 1,000 keys beside the contract's; found more" in message
    assert "secret" not in message


def test_a_line_too_long_refuses_the_file_and_is_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jsonl_source, "BLOCK_BYTES", 64)
    monkeypatch.setattr(jsonl_source, "LONGEST_LINE", 1000)
    message = refusal(tmp_path, FIRST + '{"number":1,"note":"' + "secret" * 200 + '"}\n')
    assert "lines of at most 1,000 bytes; found a longer one" in message
    assert "secret" not in message
    assert found(tmp_path, FIRST + '{"number":1,"note":"' + "x" * 900 + '"}\n').landed == 2


LETTERS = st.sampled_from(
    ['"', "\\", ":", ",", "{", "}", "a", "é", "\n", "\u2028", "😀", " ", "\0"]
)
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(LETTERS, max_size=6),
    st.sampled_from([0, 1.5, "a", {"number": 1}, ["a:b"], "2013-01-02"]),
)  # fmt: skip
KEYS = st.sampled_from(["number", "value", "note", "number", "Number", "z", "no te", "z:"])
SOUND = st.fixed_dictionaries(
    {"number": st.integers(-(2**63), 2**63 - 1)},
    optional={"value": st.floats(allow_nan=False, allow_infinity=False), "note": st.text(LETTERS)},
).map(lambda row: list(row.items()))
OBJECTS = st.one_of(SOUND, SOUND, st.lists(st.tuples(KEYS, VALUES), max_size=5))
NOISE = st.sampled_from(["", " ", "null", "{", "[]", "{}{}", '{"number":1}x', "\x0c"])


@st.composite
def written(draw: st.DrawFn) -> str:
    """Lines as writers of every habit put them, sound or not, keys twice or not."""
    lines = []
    for pairs in draw(st.lists(OBJECTS, max_size=12)):
        space, plain = draw(st.sampled_from(["", " ", "\t"])), draw(st.booleans())
        members = (
            f"{json.dumps(key)}{space}:{json.dumps(value, ensure_ascii=plain)}"
            for key, value in pairs
        )
        line = f"{space}{{{','.join(members)}}}"
        lines.append(line.replace(":", "\\u003a", 1) if draw(st.integers(0, 20)) == 0 else line)
        if draw(st.integers(0, 5)) == 0:
            lines.append(draw(NOISE))
    return "\n".join([*lines, ""])


@settings(max_examples=120, deadline=None)
@given(written(), st.sampled_from(["ignore", "refuse"]), st.integers(1, 400))
def test_the_fast_reader_and_the_careful_one_agree_whatever_the_block(
    tmp_path_factory: pytest.TempPathFactory,
    text: str,
    policy: Literal["ignore", "refuse"],
    block: int,
) -> None:
    folder = tmp_path_factory.mktemp("jsonl")
    table = replace(
        READINGS,
        on_new_column=policy,
        columns=[replace(column, nullable=True) for column in READINGS.columns],
        on_missing_column="fill",
    )
    fast = found(folder, text, table)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jsonl_source, "BLOCK_BYTES", block)
        patch.setattr(jsonl_source, "PART_BYTES", block)
        in_pieces = found(folder, text, table)
    records = [line for line in text.split("\n") if line.strip(" \t\r")]
    judged = [json_lines.judged(line.encode(), table) for line in records]
    expected = [
        (*(line.values.get(name) for name in table.column_names), number)
        for number, line in enumerate(judged, 1)
        if not line.reasons
    ]
    assert fast.rows == in_pieces.rows == expected
    assert fast.rejected == in_pieces.rejected
    assert fast.unparsed == in_pieces.unparsed
    reasons = {number: list(line.reasons) for number, line in enumerate(judged, 1) if line.reasons}
    assert {row[0]: row[1] for row in fast.rejected + fast.unparsed} == reasons
    assert set(fast.ignored) == set(in_pieces.ignored)


DATED = Table(
    name="dated",
    source=Files(pattern="*.jsonl", format="jsonl"),
    columns=[
        Column("day", "date", nullable=True),
        Column("at", "timestamp[UTC]", nullable=True),
    ],
    key=("day",),
)
DAYS = st.builds(
    "{}-{}-{}".format,
    st.sampled_from(["2026", "2024", "0000", "0001", "1900", "9999", "26"]),
    st.sampled_from(["01", "02", "12", "13", "1"]),
    st.sampled_from(["01", "28", "29", "30", "31", "00"]),
)
TIMES = st.builds(
    "{}{}{}".format,
    st.sampled_from(["", "T00", "T23:59", " 03:04:05", "T03:04:05.123456", "T24:00", "T1:2:3.1234567"]),
    st.sampled_from(["", "Z", "z", "+00", "-0230", "+14:00", "+25:00", " Z"]),
    st.sampled_from(["", "", " ", "\n", "\t"]),
)  # fmt: skip
TEXTS = st.one_of(DAYS, st.builds("{}{}".format, DAYS, TIMES), st.sampled_from(["", " ", "\ud800"]))


@settings(max_examples=120, deadline=None)
@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=8))
def test_the_fast_reader_and_the_careful_one_agree_on_dates(
    tmp_path_factory: pytest.TempPathFactory, pairs: list[tuple[str, str]]
) -> None:
    lines = [json.dumps({"day": day, "at": at}) for day, at in pairs]
    careful = [json_lines.judged(line.encode(), DATED) for line in lines]
    content = "\n".join(['{"day":null,"at":null}', *lines, ""])
    result = found(tmp_path_factory.mktemp("dates"), content, DATED)
    reasons = {number: list(line.reasons) for number, line in enumerate(careful, 2) if line.reasons}
    assert {row[0]: row[1] for row in result.rejected} == reasons
    assert all(None not in row for row in result.rows[1:])
