"""Sample files: what a file of rows teaches about types, and why some files teach nothing."""

import gzip
from pathlib import Path

import pytest

from pipelines.adapters.samples import sample_files
from pipelines.adapters.samples.sample_files import read
from pipelines.domain.sample_table import SampleColumn
from pipelines.errors import FileRefused, HeadframeError, SettingsError
from tests.goldens import assert_golden


def write(folder: Path, text: str, name: str = "orders.csv") -> Path:
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["1", "-2", ""], "int64"),
        (["0", "1"], "int64"),
        (["1", "2.5"], "double"),
        (["1e3", ".5", "0.25"], "double"),
        (["0.5", "00.5"], "double"),
        (["true", "False", ""], "bool"),
        (["true", "0"], "string"),
        (["2026-01-31", "2024-02-29"], "date"),
        (["2026-02-30"], "string"),
        (["2026-01-31T08:00:00Z", "2026-01-31 08:00+02:00"], "timestamp[UTC]"),
        (["2026-01-31T08:00:00"], "string"),
        (["01234", "99999"], "string"),
        (["99999999999999999999", "1.5"], "double"),
        (["12345678901234567890123456", "7"], "string"),
        (["-9223372036854775808", " 7"], "int64"),
        (["-9223372036854775809"], "string"),
        (["+442071234567890123"], "string"),
        (["+5", "1"], "double"),
        (["0123456789012345"], "string"),
        (["nan", "1.5"], "string"),
        (["a", "1"], "string"),
        (["", ""], "string"),
    ],
)
def test_a_type_is_the_narrowest_that_ingest_accepts(
    tmp_path: Path, cells: list[str], kind: str
) -> None:
    text = "".join(f"{number},{cell}\n" for number, cell in enumerate(cells))
    found = read(write(tmp_path, f"id,found\n{text}"), "").column("found")
    assert (found.type, found.missing) == (kind, cells.count(""))


def test_what_kept_a_column_from_its_type_is_said(tmp_path: Path) -> None:
    text = (
        "at,amount,code,nothing,tracking\n"
        "2026-01-31 08:00,NA,00012345678901234567,,12345678901234567890123456\n"
        "2026-01-31 09:00,4,00012345678901234568,,12345678901234567890123457\n"
    )
    found = {column.name: column.hint for column in read(write(tmp_path, text), "").columns}
    assert found == {
        "at": "moments without an offset: deliver them in UTC, such as 2026-03-01T09:30:00Z",
        "amount": "int64 but for words such as NA: leave such cells empty at the source",
        "code": "",
        "nothing": "empty in every row: its type is a guess",
        "tracking": "whole numbers too long for int64: as texts they keep every digit",
    }


@pytest.mark.parametrize(
    ("name", "delimiter", "table", "pattern"),
    [
        ("orders.csv", ",", "orders", "orders/*.csv"),
        ("orders-2026-01-31.csv.gz", ";", "orders", "orders/*.csv.gz"),
        ("Orders 7.csv", "\t", "orders", "orders/*.csv"),
        ("q1_orders.csv", "|", "q1_orders", "q1_orders/*.csv"),
    ],
)
def test_the_file_names_its_table_and_its_header_the_delimiter(
    tmp_path: Path, name: str, delimiter: str, table: str, pattern: str
) -> None:
    lines = [delimiter.join(cells) for cells in (("Order-Id", "Paid At"), ("1", "2"), ("1", "2"))]
    found = read(write(tmp_path, "\n".join(lines) + "\n", name), "")
    assert (found.name, found.source.delimiter, found.source.pattern) == (table, delimiter, pattern)
    # A repeated row is one: ingest counts it as a repeat.
    assert found.columns == (
        SampleColumn(name="order_id", type="int64", rows=1, missing=0, distinct=1),
        SampleColumn(name="paid_at", type="int64", rows=1, missing=0, distinct=1),
    )


def test_of_a_long_file_the_first_rows_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample_files, "MOST_ROWS", 3)
    text = "id\n" + "".join(f"{number}\n" for number in range(5))
    found = read(write(tmp_path, text), "")
    assert (found.rows["id"].to_pylist(), found.cut) == ([0, 1, 2], True)


def refused(path: Path, name: str = "") -> str:
    with pytest.raises(HeadframeError) as caught:
        read(path, name)
    assert isinstance(caught.value, FileRefused | SettingsError)
    return f"{type(caught.value).__name__}\n{caught.value}"


def test_files_that_teach_nothing_are_refused_with_what_to_do(tmp_path: Path) -> None:
    texts = [
        refused(tmp_path / "missing.csv"),
        refused(write(tmp_path, "x", "rows.xlsx")),
        refused(write(tmp_path, "")),
        refused(write(tmp_path, "id,amount\n")),
        refused(write(tmp_path, "id,total (EUR),2nd,_file,id\n1,2,3,4,5\n")),
        refused(write(tmp_path, "id,amount\n1,2\n", "2026.csv"), ""),
        refused(write(tmp_path, "id,amount\n1,2\n"), "labels"),
        refused(write(tmp_path, 'id,amount\n1,"2\n')),
        refused(write(tmp_path, "id,amount\n1,2\n3\n4,5\n")),
    ]
    other = tmp_path / "latin.csv"
    other.write_bytes("id,name\n1,Müller\n".encode("latin-1"))
    texts.append(refused(other))
    assert_golden("new/files", "\n\n".join(texts))
