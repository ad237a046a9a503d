"""Preflight: the facts that one read of a file gives, however it is packed and encoded."""

import gzip
import hashlib
import io
import os
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.adapters.landing import packed_files
from pipelines.adapters.landing.preflight import inspect, unpacked
from pipelines.domain.contract import Files
from pipelines.domain.delivery import Inspected
from pipelines.errors import FileRefused

CSV = b"order_id,note\n1,a\n2,b\n"


def gz(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


def zst(content: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(content)
    return bytes(sink.getvalue())


def zipped(content: bytes, packing: int = zipfile.ZIP_DEFLATED) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", packing) as archive:
        archive.writestr("orders.csv", content)
    return sink.getvalue()


def stored(content: bytes) -> bytes:
    return zipped(content, zipfile.ZIP_STORED)


def plain(content: bytes) -> bytes:
    return content


def gz_twice(content: bytes) -> bytes:
    return gz(content[:5]) + gz(b"") + gz(content[5:])


def zst_twice(content: bytes) -> bytes:
    return zst(content[:5]) + zst(content[5:])


PACKINGS = [
    ("a.csv", plain),
    ("a.csv.gz", gz),
    ("a.CSV.GZ", gz),
    ("a.csv.gz", gz_twice),
    ("a.csv.zip", zipped),
    ("a.csv.zip", stored),
    ("a.csv.zst", zst),
    ("a.csv.zst", zst_twice),
]


def facts(content: bytes, name: str = "a.csv", **declared: str) -> Inspected:
    found, refused = inspect(io.BytesIO(content), name, Files(pattern="*", **declared))  # type: ignore[arg-type]  # texts only
    assert refused is None
    return found


@pytest.mark.parametrize(("name", "pack"), PACKINGS)
@pytest.mark.parametrize("content", [CSV, CSV * 200_000], ids=["small", "large"])
def test_a_whole_file_is_fit_however_it_is_packed(
    name: str, pack: Callable[[bytes], bytes], content: bytes, tmp_path: Path
) -> None:
    packed = pack(content)
    assert facts(packed, name) == Inspected(
        sha256=hashlib.sha256(packed).hexdigest(),
        unpacked_bytes=len(content),
        quoted=False,
        ascii=True,
    )
    (tmp_path / name).write_bytes(packed)
    with unpacked(tmp_path / name) as stream:
        assert stream.read(3) == content[:3]
        assert stream.readline() == b"er_id,note\n"
        assert stream.read() == content[14:]


@pytest.mark.parametrize(("name", "pack"), PACKINGS)
@given(content=st.binary(min_size=1, max_size=300))
def test_what_is_packed_is_what_is_unpacked(
    name: str, pack: Callable[[bytes], bytes], content: bytes
) -> None:
    assert b"".join(packed_files.pieces(io.BytesIO(pack(content)), name)) == content


def test_a_frame_of_the_zstd_tool_is_unpacked_and_its_checksum_verified() -> None:
    # printf 'a\n1\n' | zstd --check (1.5.4)
    frame = bytes.fromhex("28b52ffd0458210000610a310a751cc301")
    damaged = frame[:-1] + bytes([frame[-1] ^ 1])
    assert facts(frame, "a.csv.zst").unpacked_bytes == 4
    _, refused = inspect(io.BytesIO(damaged), "a.csv.zst", Files(pattern="*"))
    assert "bytes that do not unpack" in str(refused)


def test_the_quote_is_looked_for_as_it_is_declared() -> None:
    assert not facts(b"a\n1\n").quoted
    assert facts(b'a\n"1"\n').quoted
    assert facts(gz(b'a\n"1"\n'), "a.csv.gz").quoted
    assert not facts(b'a\n"1"\n', quote="'").quoted
    assert not facts(b'a\n"1"\n', quote="").quoted
    assert facts('é\n"1"\n'.encode()).quoted
    assert facts('a\n"1"\n'.encode("utf-16"), encoding="utf-16").quoted
    assert not facts(
        "a\n∢\n".encode("utf-16"), encoding="utf-16"
    ).quoted  # 22 22: two bytes, no quote


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("utf-8", "näme,注文\n😀,2\n"),
        ("utf-8-sig", "näme\n1\n"),
        ("latin-1", "näme\n\x85\n"),
        ("cp1252", "näme\n€\n"),
        ("utf-16", "näme\n😀\n"),
        ("utf-16-le", "name\n1\n"),
        ("utf-32", "näme\n1\n"),
        ("shift_jis", "注文ソ\n表\n"),
        ("gb18030", "注文\n€\n"),
        ("big5", "注文\n功\n"),
        ("iso2022_jp", "注文\n1\n"),
    ],
)
def test_text_is_fit_in_its_own_encoding_wherever_its_pieces_are_cut(
    encoding: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = text.encode(encoding)
    for size in range(1, 12):
        monkeypatch.setattr(packed_files, "CHUNK_BYTES", size)
        found = facts(content, encoding=encoding)
        assert found.ascii == content.isascii()
        assert found.unpacked_bytes == len(content)


@pytest.mark.parametrize("piece_bytes", [1, 2, 3, 5, 1 << 20])
def test_the_first_byte_that_is_no_text_is_named_by_its_line(
    piece_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed_files, "CHUNK_BYTES", piece_bytes)
    for encoding, content, line in [
        ("utf-8", "näme\n注文\n".encode() + b"3\n\xe9t\xe9\n5\n", 4),
        ("utf-8", b"\xe9\n", 1),
        ("utf-8", "a\n注".encode()[:-1], 2),
        ("utf-16-le", "a\nb\n".encode("utf-16-le") + b"\x00\xdc\n\0", 3),
        ("utf-16-le", "a\nb\n".encode("utf-16-le") + b"c", 3),
        ("shift_jis", "表\n表\n".encode("shift_jis") + b"\x81\n", 3),
    ]:
        source = Files(pattern="*", encoding=encoding)
        _, refused = inspect(io.BytesIO(content), "a.csv", source)
        assert f"expected text in {encoding}; found other bytes in line {line}." in str(refused)


def test_a_packed_file_that_is_no_text_is_named_by_its_line_too() -> None:
    content = CSV * 100_000 + b"\xe9\n" + CSV
    for name, pack in PACKINGS:
        _, refused = inspect(io.BytesIO(pack(content)), name, Files(pattern="*"))
        assert "found other bytes in line 300001." in str(refused)


def test_a_file_of_json_lines_is_utf_8_whatever_encoding_a_csv_file_has() -> None:
    source = Files(pattern="*", format="jsonl", encoding="latin-1")
    _, refused = inspect(io.BytesIO(b'{"a": "\xe9"}\n'), "a.jsonl", source)
    assert "expected text in utf-8; found other bytes in line 1." in str(refused)


def test_everything_that_is_wrong_is_told_at_once() -> None:
    _, refused = inspect(io.BytesIO(b"a\n\xe9\nb"), "a.csv", Files(pattern="*"))
    assert refused is not None
    assert [problem.expected for problem in refused.problems] == [
        "a last line that ends with a newline",
        "text in utf-8",
    ]


def test_a_parquet_file_is_looked_at_from_both_ends() -> None:
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"a": [1, 2]}), sink)
    content = bytes(sink.getvalue())
    source = Files(pattern="*", format="parquet")
    found, refused = inspect(io.BytesIO(content), "a.parquet", source)
    assert refused is None
    assert found == Inspected(
        sha256=hashlib.sha256(content).hexdigest(),
        unpacked_bytes=len(content),
        quoted=False,
        ascii=False,
    )


def test_a_small_file_may_pack_as_well_as_it_can_and_a_large_one_if_declared() -> None:
    small, large = b"0\n" * 5_000_000, b"0\n" * 6_000_000
    assert len(small) / len(gz(small)) > 500
    assert facts(gz(small), "a.csv.gz").unpacked_bytes == 10_000_000
    _, refused = inspect(io.BytesIO(gz(large)), "a.csv.gz", Files(pattern="*"))
    assert "200 times" in str(refused)
    trusted = Files(pattern="*", maximum_ratio=1100)
    assert inspect(io.BytesIO(gz(large)), "a.csv.gz", trusted)[1] is None


def test_what_opens_a_landed_file_follows_no_link_and_waits_for_no_writer(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(CSV)
    (tmp_path / "link.csv").symlink_to(tmp_path / "a.csv")
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "folder.csv").mkdir()
    for name in ("link.csv", "pipe.csv", "folder.csv"):
        with pytest.raises(OSError, match=r"symbolic links|not a regular file"):
            unpacked(tmp_path / name)
    with unpacked(tmp_path / "a.csv") as stream:
        assert stream.read() == CSV


def test_closing_the_unpacked_bytes_closes_the_file(tmp_path: Path) -> None:
    for name, pack in PACKINGS:
        (tmp_path / name).write_bytes(pack(CSV))
        before = len(list(Path("/proc/self/fd").iterdir()))
        with unpacked(tmp_path / name) as stream:
            stream.read(2)
        assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_damaged_file_is_refused_also_where_it_is_parsed(tmp_path: Path) -> None:
    damaged = bytearray(gz(CSV))
    damaged[-8] ^= 1  # the first byte of the checksum
    (tmp_path / "a.csv.gz").write_bytes(damaged)
    with unpacked(tmp_path / "a.csv.gz") as stream, pytest.raises(FileRefused, match="data check"):
        stream.read()


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.csv.zip", "a.csv.zst", "a.parquet"])
@given(content=st.binary(max_size=400))
def test_no_bytes_crash_it_and_all_are_hashed(name: str, content: bytes) -> None:
    source = Files(pattern="*", format="parquet" if name == "a.parquet" else "csv")
    found, _ = inspect(io.BytesIO(content), name, source)
    assert found.sha256 == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "shift_jis", "cp1252", "utf-7"])
@given(content=st.binary(max_size=100))
def test_no_text_crashes_it(encoding: str, content: bytes) -> None:
    _, refused = inspect(io.BytesIO(content), "a.csv", Files(pattern="*", encoding=encoding))
    try:
        content.decode(encoding)
    except UnicodeError:
        assert refused is not None


@pytest.mark.parametrize(("name", "pack"), PACKINGS[1:])
@given(data=st.data())
def test_a_packed_file_with_any_byte_changed_or_lost_is_refused_or_the_same(
    name: str, pack: Callable[[bytes], bytes], data: st.DataObject
) -> None:
    packed = bytearray(pack(CSV))
    at = data.draw(st.integers(0, len(packed) - 1))
    if data.draw(st.booleans()):
        del packed[at]
    else:
        packed[at] ^= data.draw(st.integers(1, 255))
    try:
        content = b"".join(packed_files.pieces(io.BytesIO(bytes(packed)), name))
    except FileRefused:
        return
    if pack not in (zst, zst_twice):  # Arrow writes frames without a checksum
        assert content in (CSV, CSV[:5], b"")


def test_the_trap_is_real_zlib_alone_does_not_look_at_the_checksum() -> None:
    damaged = bytearray(gz(CSV))
    damaged[-8] ^= 1  # the first byte of the checksum
    assert zlib.decompressobj(-zlib.MAX_WBITS).decompress(damaged[10:]) == CSV
    _, refused = inspect(io.BytesIO(damaged), "a.csv.gz", Files(pattern="*"))
    assert "incorrect data check" in str(refused)
