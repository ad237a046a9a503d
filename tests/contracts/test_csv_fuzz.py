"""Whatever bytes a CSV file holds: no crash, no lost record, no wrong value, wherever it is cut."""

import csv
import io
import math
import os
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pipelines.adapters.sources.csv import CHUNK_BYTES
from pipelines.domain.contract import Column, Files, Table
from pipelines.errors import FileRefused
from tests.bad_inputs.reading import Found, read_whole, set_aside

EXAMPLES = int(os.environ.get("HEADFRAME_FUZZ_EXAMPLES", "150"))
"""Examples of each property: a few seconds; 20,000 take about ten minutes."""

FUZZED = settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TABLE = Table(
    name="fuzzed",
    source=Files(pattern="*.csv"),
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
HEADER = ",".join(TABLE.column_names).encode() + b"\n"
SOUND = [
    b'7,1.5,true,2026-03-01,2026-03-01T00:00:00Z,"a ""b"", c"',
    b"-8,1e3,0,2024-02-29,2026-03-01 02:30:00.5+02:00,d",
    b'9223372036854775807,.5,FALSE,0001-01-01,1969-12-31T23:59Z,"e\nf"',
    b',,,,,""',
    b'" 7 ","-0",1,"2026-12-31","2026-12-31T23-0530",5" pipe',
    "1,2,1,2026-03-01,2026-03-01T00Z,\ufeffZoë 漢".encode(),
    b"",
]
LETTERS = [bytes([code]) for code in b'",\n\r\0 \t0179.-+:eExXTZnaif\\;'] + [
    b'""', b"\r\n", b'"\n', b'\n"', b'","', b"\xff", b"\xc3\xa9", b"\xef\xbb\xbf", b"0x", b"1e400",
]  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Return sound records with bytes inserted, deleted, replaced or repeated."""
    body = b"".join(line + b"\n" for line in draw(st.lists(st.sampled_from(SOUND), max_size=8)))
    for _ in range(draw(st.integers(0, 6))):
        start = draw(st.integers(0, len(body)))
        end = min(len(body), start + draw(st.sampled_from([0, 0, 1, 1, 2, 30])))
        new = draw(st.one_of(st.sampled_from(LETTERS), st.just(b""), st.just(body[start:end] * 2)))
        body = body[:start] + new + body[end:]
    return body + b"\n"


def found_in(folder: Path, content: bytes, chunk_bytes: int = CHUNK_BYTES) -> Found | None:
    path = folder / "fuzzed.csv"
    path.write_bytes(content)
    try:
        return read_whole(path, TABLE, chunk_bytes)
    except FileRefused:
        return None


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzzed")


@FUZZED
@given(st.binary(max_size=200), st.integers(1, 64), st.booleans())
def test_any_bytes_are_read_or_refused(
    folder: Path,
    content: bytes,
    chunk_bytes: int,
    with_header: bool,  # noqa: FBT001 - hypothesis gives it
) -> None:
    found_in(folder, HEADER + content if with_header else content, chunk_bytes)


@FUZZED
@given(mutated(), st.integers(1, 200))
@example(b'1,,,,,"\n' * 3, 1)
def test_a_chunk_may_end_anywhere(folder: Path, body: bytes, chunk_bytes: int) -> None:
    whole = found_in(folder, HEADER + body)
    cut = found_in(folder, HEADER + body, chunk_bytes)
    assert (whole is None) == (cut is None)
    if whole and cut:
        assert whole.landed == cut.landed
        assert whole.rows.to_pylist() == cut.rows.to_pylist()
        assert set_aside(whole.rejected) == set_aside(cut.rejected)
        assert set_aside(whole.unparsed) == set_aside(cut.unparsed)


@FUZZED
@given(mutated())
def test_each_record_means_what_pythons_own_reader_says(folder: Path, body: bytes) -> None:
    found, records = found_in(folder, HEADER + body), slow(body)
    assert (found is None) == (records is None)
    if found is None or records is None:
        return
    assert found.landed == len(records)
    accepted = {row[-1]: row[:-1] for row in found.values()}
    rejected = {number: payload for number, _, payload in set_aside(found.rejected)}
    for number, cells in enumerate(records, start=1):
        if len(cells) != len(TABLE.columns):
            assert number not in accepted
            assert number not in rejected
            continue
        values = [read(cell) for read, cell in zip(READ, cells, strict=True)]
        if number in accepted:
            # A quoted empty cell and an empty one look the same to Python's reader.
            assert "misfit" not in values[:-1]
            told = [*accepted[number][:-1], accepted[number][-1] or ""]
            assert list(map(str, told)) == list(map(str, values))
        else:
            assert "misfit" in values[:-1] or "" in cells[:-1]
            assert [cell or "" for cell in rejected[number].values()] == cells


def slow(body: bytes) -> list[list[str]] | None:
    """Return the records as Python's csv module tells them apart; None where a quote stays open."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return None
    records = [cells for cells in csv.reader(io.StringIO(f"{text}the,end\n", newline="")) if cells]
    return records[:-1] if records[-1] == ["the", "end"] else None


def whole(cell: str) -> object:
    if not re.fullmatch(r"[ \t]*-?[0-9]+[ \t]*", cell, re.ASCII):
        return "misfit"
    return int(cell) if -(2**63) <= int(cell) < 2**63 else "misfit"


def real(cell: str) -> object:
    pattern = r"[ \t]*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?[ \t]*"
    if not re.fullmatch(pattern, cell) or not math.isfinite(float(cell)):
        return "misfit"
    return float(cell)


def flag(cell: str) -> object:
    return {"0": False, "1": True}.get(
        cell,
        cell.lower() == "true" if cell.lower() in ("true", "false") and (
            cell in (cell.lower(), cell.upper(), cell.title())
        ) else "misfit",
    )  # fmt: skip


def day(cell: str) -> object:
    try:
        return date.fromisoformat(cell.strip(" \t")) if "-" in cell[4:] else "misfit"
    except ValueError:
        return "misfit"


def moment(cell: str) -> object:
    pattern = (
        r"(\d{4}-\d\d-\d\d)[ T](\d\d)(?::(\d\d)(?::(\d\d)(?:\.(\d{1,6}))?)?)?"
        r"(?:Z|([+-])(\d\d)(?::?(\d\d))?)"
    )
    found = re.fullmatch(pattern, cell, re.ASCII)
    if not found:
        return "misfit"
    day, hour, minute, second, part, sign, hours, minutes = found.groups()
    try:
        datetime(1, 1, 1, int(hours or 0), int(minutes or 0), tzinfo=UTC)
        local = datetime.fromisoformat(f"{day}T{hour}:{minute or '00'}:{second or '00'}+00:00")
        offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
        local += timedelta(microseconds=int((part or "").ljust(6, "0")))
        return local - offset if sign == "+" else local + offset
    except (ValueError, OverflowError):
        return "misfit"


def nullable(read: Callable[[str], object]) -> Callable[[str], object]:
    return lambda cell: read(cell) if cell else None


READ: list[Callable[[str], object]] = [*map(nullable, (whole, real, flag, day, moment)), str]
