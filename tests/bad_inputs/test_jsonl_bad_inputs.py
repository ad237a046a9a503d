"""Each JSON line that goes wrong in practice is set aside alone, with its reason and its number."""

import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.json as pa_json
import pytest

from pipelines.adapters.sources.jsonl import read
from pipelines.domain.contract import Column, Files, Table, arrow_schema
from pipelines.errors import FileRefused
from tests.bad_inputs.jsonl_cases import BAD_LINES, NO_OBJECTS, BadLine
from tests.local_files import Found, local_file

ALL_TYPES = Table(
    name="all_types",
    source=Files(pattern="*.jsonl", format="jsonl"),
    columns=[
        Column("whole", "int64", nullable=True),
        Column("real", "double", nullable=True),
        Column("flag", "bool", nullable=True),
        Column("day", "date", nullable=True),
        Column("moment", "timestamp[UTC]", nullable=True),
        Column("words", "string", nullable=True),
    ],
    key=("whole",),
)
SOUND = (
    b'{"whole":1,"real":0.5,"flag":true,"day":"2013-01-02","moment":"2013-01-02T03:04:05Z",'
    b'"words":"a:b"}'
)
NOT_FOR_EVERY_READER = ("NaN", "Infinity", "five thousand digits")
CRASH = """
import io, pyarrow.json
pyarrow.json.read_json(io.BytesIO(b"null\\n"), pyarrow.json.ReadOptions(use_threads=False))
"""


def surrounded(case: BadLine) -> tuple[bytes, bytes]:
    line = case.line.encode() if isinstance(case.line, str) else case.line
    return line, b"\n".join([SOUND, line, SOUND, b""])


@pytest.mark.parametrize("case", BAD_LINES, ids=lambda case: case.name)
def test_an_object_that_breaks_the_contract_is_rejected_alone(
    tmp_path: Path, case: BadLine
) -> None:
    line, content = surrounded(case)
    found = Found(read(local_file(tmp_path / "r.jsonl", content), ALL_TYPES), ALL_TYPES)
    assert [row[-1] for row in found.rows] == [1, 3]
    assert found.unparsed == []
    ((number, reasons, payload),) = found.rejected
    assert (number, tuple(reasons)) == (2, case.reasons)
    if case.name in NOT_FOR_EVERY_READER:
        assert payload == {"line": line.decode()}
    else:
        assert payload == json.loads(line)


@pytest.mark.parametrize("case", NO_OBJECTS, ids=lambda case: case.name)
def test_a_line_that_is_no_object_is_unparsed_alone(tmp_path: Path, case: BadLine) -> None:
    line, content = surrounded(case)
    found = Found(read(local_file(tmp_path / "r.jsonl", content), ALL_TYPES), ALL_TYPES)
    assert [row[-1] for row in found.rows] == [1, 3]
    assert found.rejected == []
    payload = {"line": line.decode(errors="backslashreplace")}
    assert found.unparsed == [(2, list(case.reasons), payload)]


@pytest.mark.parametrize("case", BAD_LINES + NO_OBJECTS, ids=lambda case: case.name)
def test_the_traps_are_real_what_pyarrow_would_make_of_it(case: BadLine) -> None:
    if case.pyarrow == "ends the process":
        ended = subprocess.run([sys.executable, "-c", CRASH], check=False, capture_output=True)
        assert ended.returncode < 0
        return
    line, _ = surrounded(case)
    schema = arrow_schema(ALL_TYPES)
    try:
        pa_json.read_json(
            io.BytesIO(line + b"\n"),
            pa_json.ReadOptions(use_threads=False),
            pa_json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error"),
        )
    except pa.ArrowInvalid:
        assert case.pyarrow == "refuses"
    else:
        assert case.pyarrow == "takes"


def test_a_value_of_another_type_refuses_the_file_where_the_contract_says_so(
    tmp_path: Path,
) -> None:
    table = replace(ALL_TYPES, on_changed_column="refuse")
    content = b"\n".join([SOUND, b"null", b'{"flag":"secret"}', b'{"whole":"secret"}', b""])
    with pytest.raises(
        FileRefused, match=r"record 3, column 'flag': expected a value of type bool"
    ) as caught:
        Found(read(local_file(tmp_path / "r.jsonl", content), table), table)
    assert "secret" not in str(caught.value)
