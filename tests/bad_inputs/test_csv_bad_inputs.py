"""Each CSV file that goes wrong in practice ends as said, wherever its chunks are cut."""

import csv
import io
from collections import Counter
from pathlib import Path

import pytest

from pipelines.adapters.sources.csv import CHUNK_BYTES
from pipelines.domain.contract import Column, Files, Table
from pipelines.errors import FileRefused
from tests.bad_inputs.csv_cases import CASES, COLUMNS, BadFile
from tests.bad_inputs.reading import read_whole, set_aside


def contract(case: BadFile) -> Table:
    columns = [
        Column(name, kind.rstrip("?"), nullable=kind.endswith("?"))
        for name, kind in case.columns.items()
    ]
    return Table(
        name="readings",
        source=Files(pattern="*.csv", **case.files),  # type: ignore[arg-type]  # all of them texts
        columns=columns,
        key=(columns[0].name,),
        **case.table,
    )


@pytest.mark.parametrize("chunk_bytes", [1, 24, CHUNK_BYTES])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_bad_file_ends_as_said(tmp_path: Path, case: BadFile, chunk_bytes: int) -> None:
    path = tmp_path / "r.csv"
    path.write_bytes(case.content if isinstance(case.content, bytes) else case.content.encode())
    if case.refused:
        with pytest.raises(FileRefused) as caught:
            read_whole(path, contract(case), chunk_bytes)
        assert [piece for piece in case.refused if piece not in str(caught.value)] == []
        return
    found = read_whole(path, contract(case), chunk_bytes)
    assert found.values() == case.rows or not case.rows
    # Also where equal values differ, as -0.0 and 0.0 do.
    assert [list(map(str, row)) for row in found.values()] == [list(map(str, r)) for r in case.rows]
    assert {number: reasons for number, reasons, _ in set_aside(found.rejected)} == case.rejected
    assert set_aside(found.unparsed) == [
        (number, [COLUMNS], {"line": line}) for number, line in case.unparsed.items()
    ]


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.rejected], ids=lambda case: case.name
)
def test_what_is_set_aside_is_kept_as_it_was_written(tmp_path: Path, case: BadFile) -> None:
    encoding = case.files.get("encoding", "utf-8")
    content = case.content if isinstance(case.content, bytes) else case.content.encode()
    path = tmp_path / "r.csv"
    path.write_bytes(content)
    text = io.StringIO(content.decode(encoding), newline="")
    header, *records = [record for record in csv.reader(text) if record or len(case.columns) == 1]
    for number, _, payload in set_aside(read_whole(path, contract(case)).rejected):
        cells = dict(zip(header, records[number - 1], strict=True))
        assert {name: cell or "" for name, cell in payload.items()} == cells


def test_every_bad_file_has_its_own_name() -> None:
    assert len(CASES) >= 40
    assert [name for name, count in Counter(case.name for case in CASES).items() if count > 1] == []
