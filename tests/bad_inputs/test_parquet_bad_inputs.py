"""A Parquet file that is not whole, or not what its footer says, is refused and never crashes."""

import io
import random
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow.parquet import encryption

from pipelines.adapters.sources.parquet import read
from pipelines.domain.contract import Column, Files, Table
from pipelines.errors import FileRefused
from tests.local_files import Found, local_file

READINGS = Table(
    name="readings",
    source=Files(pattern="*.parquet", format="parquet"),
    columns=[Column("number", "int64"), Column("note", "string", nullable=True)],
    key=("number",),
)
ROWS = pa.table({"number": list(range(2000)), "note": [f"secret {n}" for n in range(2000)]})


def written(rows: pa.Table, **options: object) -> bytes:
    content = io.BytesIO()
    pq.write_table(rows, content, **options)
    return content.getvalue()


WHOLE = written(ROWS, write_page_checksum=True, compression="none")
MIDDLE = WHOLE.index(b"secret 1000")


class Keys(encryption.KmsClient):  # type: ignore[misc] # pyarrow has no types
    """A key store that keeps keys as they are."""

    def __init__(self, _: encryption.KmsConnectionConfig) -> None:
        encryption.KmsClient.__init__(self)

    def wrap_key(self, key_bytes: bytes, _: str) -> str:
        return key_bytes.hex()

    def unwrap_key(self, wrapped_key: bytes, _: str) -> bytes:
        return bytes.fromhex(wrapped_key.decode())


def encrypted(*, plain_footer: bool) -> bytes:
    factory = encryption.CryptoFactory(Keys)
    configuration = encryption.EncryptionConfiguration(
        footer_key="footer", column_keys={"column": ["note"]}, plaintext_footer=plain_footer
    )
    properties = factory.file_encryption_properties(encryption.KmsConnectionConfig(), configuration)
    return written(ROWS, encryption_properties=properties)


DAMAGED = {
    "empty": b"",
    "the magic alone": b"PAR1",
    "text": b"number,note\n1,a\n" * 9,
    "cut": WHOLE[:-100],
    "cut before the magic": WHOLE[:-4],
    "no footer": WHOLE[:-8] + b"\0\0\0\0PAR1",
    "a footer longer than the file": WHOLE[:-8] + b"\xff\xff\xff\x7fPAR1",
    "another footer length": WHOLE[:-8] + b"\x20\0\0\0PAR1",
    "zeros in a page header": WHOLE[:4] + bytes(30) + WHOLE[34:],
    "one letter of a value changed": WHOLE[:MIDDLE] + b"S" + WHOLE[MIDDLE + 1 :],
    "data of another file": WHOLE[:4] + WHOLE[200:1200] + WHOLE[1004:],
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_file_is_refused_and_not_quoted(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(FileRefused) as caught:
        Found(read(local_file(tmp_path / "r.parquet", content), READINGS), READINGS)
    assert str(caught.value) == (
        "landing/r.parquet: expected a whole Parquet file; found one that cannot be read as it says "
        "it is written.\n  Deliver the file again, whole, under a new name."
    )
    assert caught.value.__suppress_context__


def test_the_control_the_whole_file_is_read(tmp_path: Path) -> None:
    found = Found(read(local_file(tmp_path / "r.parquet", WHOLE), READINGS), READINGS)
    assert (found.landed, found.rows[1000]) == (2000, (1000, "secret 1000", 1001))


def test_an_encrypted_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileRefused, match="found an encrypted one"):
        read(local_file(tmp_path / "r.parquet", encrypted(plain_footer=False)), READINGS)


def test_an_encrypted_column_is_refused(tmp_path: Path) -> None:
    file = local_file(tmp_path / "r.parquet", encrypted(plain_footer=True))
    with pytest.raises(FileRefused, match="expected a whole Parquet file"):
        Found(read(file, READINGS), READINGS)


COUNTS = [
    place
    for place in range(len(WHOLE) - int.from_bytes(WHOLE[-8:-4], "little") - 8, len(WHOLE))
    if WHOLE[place : place + 2] == b"\xa0\x1f"
]
"""Where the footer counts 2000 rows or values: a zigzag varint of the compact protocol."""


@pytest.mark.parametrize("count", [b"\xa2\x1f", b"\x9e\x1f", b"\xfe\x7f"], ids=["+1", "-1", "8191"])
def test_a_footer_that_counts_other_rows_than_there_are_is_refused(
    tmp_path: Path, count: bytes
) -> None:
    rows = [(n, f"secret {n}", n + 1) for n in range(2000)]
    refused = 0
    for place in COUNTS:
        lying = WHOLE[:place] + count + WHOLE[place + 2 :]
        file = local_file(tmp_path / "r.parquet", lying)
        try:
            # What is counted beside rows, values with their nulls, does not matter to who reads all.
            assert Found(read(file, READINGS), READINGS).rows == rows
        except FileRefused:
            refused += 1
    assert refused >= 2  # of the file, and of its row group


@pytest.mark.parametrize("again", ["number", "Number "])
def test_a_column_that_is_there_twice_is_refused(tmp_path: Path, again: str) -> None:
    rows = pa.Table.from_arrays([[1], ["a"], [2]], names=["number", "note", again])
    with pytest.raises(FileRefused, match="expected column 'number' once; found it 2 times"):
        read(local_file(tmp_path / "r.parquet", written(rows)), READINGS)


def test_a_nested_column_in_place_of_a_flat_one_is_refused(tmp_path: Path) -> None:
    rows = pa.table({"number": [[1]], "note": ["a"]})
    with pytest.raises(FileRefused, match=r"column 'number': expected whole numbers; found list<"):
        read(local_file(tmp_path / "r.parquet", written(rows)), READINGS)


def test_a_file_of_another_table_is_refused_with_all_reasons(tmp_path: Path) -> None:
    rows = pa.table({"Nmber": [1], "extra": ["a"]})
    with pytest.raises(FileRefused) as caught:
        read(local_file(tmp_path / "r.parquet", written(rows)), READINGS)
    assert len(caught.value.problems) == 3


def test_old_timestamps_of_96_bits_are_refused_since_their_zone_is_unknown(tmp_path: Path) -> None:
    table = replace(READINGS, columns=[Column("at", "timestamp[UTC]")])
    rows = pa.table({"at": pa.array([0], pa.timestamp("ns"))})
    content = written(rows, use_deprecated_int96_timestamps=True)
    with pytest.raises(FileRefused, match="timestamps with a time zone; found timestamp"):
        read(local_file(tmp_path / "r.parquet", content), table)


def test_bytes_changed_at_random_are_read_or_refused(tmp_path: Path) -> None:
    generator = random.Random(7)  # noqa: S311 - no secret
    refused = 0
    for _ in range(300):
        content = bytearray(WHOLE)
        for _ in range(generator.choice([1, 1, 3])):
            content[generator.randrange(len(content))] = generator.randrange(256)
        try:
            Found(read(local_file(tmp_path / "r.parquet", bytes(content)), READINGS), READINGS)
        except FileRefused:
            refused += 1
    assert refused > 200
