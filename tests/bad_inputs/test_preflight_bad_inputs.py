"""Each file that is broken as a whole is refused with what to do, and never half taken."""

import gzip
import hashlib
import io
import os
import stat
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from pipelines.adapters.landing.landing import Landed, deliveries, local_file
from pipelines.adapters.landing.preflight import inspect
from pipelines.domain.contract import Files
from pipelines.errors import FileRefused
from tests.goldens import assert_golden

CSV = b"order_id,note\n1,a\n2,b\n"
SOURCE = Files(pattern="orders/*")
GZ = gzip.compress(CSV, mtime=0)
ZST_WITH_CHECKSUM = bytes.fromhex("28b52ffd0458210000610a310a751cc301")  # a, 1: zstd --check
ZST_WINDOW_OF_2_GIB = bytes.fromhex("28b52ffd00a8") + bytes.fromhex("0100000a")
PARQUET = b"PAR1" + b"\0" * 20 + (20).to_bytes(4, "little") + b"PAR1"


@dataclass(frozen=True, kw_only=True)
class Bad:
    """One bad file: its name, its bytes, and words of the message that must come."""

    name: str = "a.csv"
    content: bytes
    told: str
    source: Files = SOURCE


def changed(content: bytes, at: int, to: bytes) -> bytes:
    """Return ``content`` with other bytes at an offset, which counts from the end if negative."""
    at %= len(content)
    return content[:at] + to + content[at + len(to) :]


def zipped(*names: str, content: bytes = CSV, packing: int = zipfile.ZIP_DEFLATED) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", packing) as archive:
        for name in names:
            archive.writestr(name, content)
    return sink.getvalue()


def linking() -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        link = zipfile.ZipInfo("a.csv")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    return sink.getvalue()


def directory(content: bytes, offset: int, value: int, size: int = 4) -> bytes:
    """Return the zip with another number in its directory entry (APPNOTE.TXT, section 4.3.12)."""
    entry = content.rindex(b"PK\x01\x02")
    return changed(content, entry + offset, value.to_bytes(size, "little"))


ZIP = zipped("a.csv")
FLAGS, CHECKSUM, PACKED_SIZE, SIZE, HEADER_OFFSET, PACKING = 8, 16, 20, 24, 42, 10
UNPACKS = "bytes that do not unpack"
LIES = "a member of another size or checksum than its directory says"

BAD = {
    "empty": Bad(content=b"", told="a header line; found an empty file"),
    "empty gz": Bad(name="a.csv.gz", content=gzip.compress(b""), told="an empty file"),
    "gz of no bytes": Bad(name="a.csv.gz", content=b"", told="an empty file"),
    "zst of no bytes": Bad(name="a.csv.zst", content=b"", told="an empty file"),
    "zip of no bytes": Bad(name="a.csv.zip", content=b"", told="no directory to read"),
    "empty jsonl": Bad(
        name="a.jsonl",
        content=b"",
        told="a line; found an empty file",
        source=replace(SOURCE, format="jsonl"),
    ),
    "only a BOM": Bad(content=b"\xef\xbb\xbf", told="a header line; found an empty file"),
    "only a UTF-16 BOM": Bad(
        content=b"\xff\xfe", told="an empty file", source=replace(SOURCE, encoding="utf-16")
    ),
    "cut in a line": Bad(content=CSV[:-3], told="found a file cut in the middle of a line"),
    "no final newline": Bad(content=CSV[:-1], told="found a file cut in the middle of a line"),
    "no final newline in UTF-16": Bad(
        content="a\n1".encode("utf-16"),
        told="found a file cut in the middle of a line",
        source=replace(SOURCE, encoding="utf-16"),
    ),
    "cut in a UTF-16 letter": Bad(
        content="a\n1\n".encode("utf-16")[:-1],
        told="text in utf-16; found other bytes in line 2",
        source=replace(SOURCE, encoding="utf-16"),
    ),
    "lines of an old Macintosh": Bad(content=b"a\r1\r", told="found a file cut in the middle"),
    "UTF-16 in UTF-8": Bad(content=CSV.decode().encode("utf-16"), told="other bytes in line 1."),
    "latin-1 in UTF-8": Bad(
        content="order_id,note\n1,a\n2,Zoë\n".encode("latin-1"), told="other bytes in line 3."
    ),
    "cut in a UTF-8 letter": Bad(content=b"a\n\xc3", told="other bytes in line 2."),
    "a surrogate in UTF-8": Bad(content=b"a\n1\n\xed\xa0\x80\n", told="other bytes in line 3."),
    "an overlong letter": Bad(content=b"a\n\xc0\xaf\n", told="other bytes in line 2."),
    "gz named csv": Bad(content=GZ, told="text in utf-8; found other bytes in line 1."),
    "too large": Bad(
        content=CSV, told="at most 21 bytes; found 22", source=replace(SOURCE, maximum_bytes=21)
    ),
    "too large unpacked": Bad(
        name="a.csv.gz",
        content=gzip.compress(CSV * 100),
        told="at most 2199 bytes unpacked; found more",
        source=replace(SOURCE, maximum_bytes=2199),
    ),
    "csv named gz": Bad(name="a.csv.gz", content=CSV, told="incorrect header check"),
    "cut gz": Bad(name="a.csv.gz", content=GZ[:-10], told="one that is cut"),
    "gz cut in its checksum": Bad(name="a.csv.gz", content=GZ[:-1], told="one that is cut"),
    "gz cut in its header": Bad(name="a.csv.gz", content=GZ[:5], told="one that is cut"),
    "gz cut in its second member": Bad(name="a.csv.gz", content=GZ + GZ[:-1], told="that is cut"),
    "gz with a wrong checksum": Bad(
        name="a.csv.gz", content=changed(GZ, -8, b"\0\0\0\0"), told="incorrect data check"
    ),
    "gz with a wrong length": Bad(
        name="a.csv.gz", content=changed(GZ, -4, b"\0\0\0\0"), told="incorrect length check"
    ),
    "gz with a changed byte": Bad(name="a.csv.gz", content=changed(GZ, 14, b"\xff"), told=UNPACKS),
    "gz and garbage": Bad(name="a.csv.gz", content=GZ + b"garbage", told="incorrect header check"),
    "gz and zeros": Bad(name="a.csv.gz", content=GZ + b"\0" * 512, told="incorrect header check"),
    "gz bomb": Bad(
        name="a.csv.gz",
        content=gzip.compress(b"0" * 50_000_000, mtime=0),
        told="at most 200 times its 48",
    ),
    "zip bomb": Bad(
        name="a.csv.zip",
        content=zipped("a.csv", content=b"0" * 50_000_000),
        told="at most 200 times",
    ),
    "zst bomb": Bad(
        name="a.csv.zst",
        # A block of 131,072 times "0" (RFC 8878, section 3.1.1.2), 4,000 times, in one frame.
        content=bytes.fromhex("28b52ffd0058") + bytes.fromhex("02001030") * 4000,
        told="at most 200 times",
    ),
    "zst with a window of gigabytes": Bad(
        name="a.csv.zst", content=ZST_WINDOW_OF_2_GIB, told="too much memory"
    ),
    "csv named zst": Bad(name="a.csv.zst", content=CSV, told=UNPACKS),
    "cut zst": Bad(name="a.csv.zst", content=ZST_WITH_CHECKSUM[:-1], told="Truncated"),
    "zst with a wrong checksum": Bad(
        name="a.csv.zst", content=changed(ZST_WITH_CHECKSUM, -1, b"\0"), told="checksum"
    ),
    "zst and garbage": Bad(
        name="a.csv.zst", content=ZST_WITH_CHECKSUM + b"garbage", told="Unknown frame descriptor"
    ),
    "csv named zip": Bad(name="a.csv.zip", content=CSV, told="no directory to read"),
    "cut zip": Bad(name="a.csv.zip", content=ZIP[:-30], told="no directory to read"),
    "zip of nothing": Bad(name="a.csv.zip", content=zipped(), told="one member; found 0 members"),
    "zip of two": Bad(name="a.csv.zip", content=zipped("a", "b"), told="found 2 members"),
    "zip of a folder": Bad(name="a.csv.zip", content=zipped("a/", content=b""), told="a folder or"),
    "zip of a link": Bad(name="a.csv.zip", content=linking(), told="a folder or a link"),
    "zip with ../": Bad(name="a.csv.zip", content=zipped("../a.csv"), told="a name with a path"),
    "zip with an absolute name": Bad(
        name="a.csv.zip", content=zipped("/etc/passwd"), told="a name with a path"
    ),
    "zip with a drive": Bad(name="a.csv.zip", content=zipped("C:a.csv"), told="a name with a path"),
    "encrypted zip": Bad(name="a.csv.zip", content=directory(ZIP, FLAGS, 1, 2), told="encrypted"),
    "zip of another packing": Bad(
        name="a.csv.zip",
        content=zipped("a.csv", packing=zipfile.ZIP_BZIP2),
        told="found another packing",
    ),
    "zip that says it holds less": Bad(
        name="a.csv.zip", content=directory(ZIP, SIZE, len(CSV) - 1), told=LIES
    ),
    "zip that says it holds more": Bad(
        name="a.csv.zip", content=directory(ZIP, SIZE, len(CSV) + 1), told=LIES
    ),
    "zip that says it holds the first half, which has that checksum": Bad(
        name="a.csv.zip",
        content=directory(directory(ZIP, SIZE, 14), CHECKSUM, 0xAA09B3FA),
        told=LIES,
    ),
    "zip that says its packed bytes are fewer": Bad(
        name="a.csv.zip", content=directory(ZIP, PACKED_SIZE, 5), told="one that is cut"
    ),
    "zip that says its packed bytes are more": Bad(
        name="a.csv.zip", content=directory(ZIP, PACKED_SIZE, 60), told="bytes behind the end"
    ),
    "zip with a wrong checksum": Bad(
        name="a.csv.zip", content=directory(ZIP, CHECKSUM, 0), told=LIES
    ),
    "zip with its member elsewhere": Bad(
        name="a.csv.zip",
        content=directory(ZIP, HEADER_OFFSET, 7),
        told="does not lie where the directory says",
    ),
    "zip with its member outside": Bad(
        name="a.csv.zip",
        content=directory(ZIP, HEADER_OFFSET, 2**31),
        told="does not lie where the directory says",
    ),
    "zip with a huge directory": Bad(
        name="a.csv.zip",
        content=b"\0" * (2 << 20)
        + b"PK\x05\x06"
        + b"\0" * 8
        + (2 << 20).to_bytes(4, "little")
        + b"\0" * 6,
        told="a directory of many members",
    ),
    "csv named parquet": Bad(
        content=CSV,
        told="found one that does not begin as such",
        source=replace(SOURCE, format="parquet"),
    ),
    "cut parquet": Bad(
        content=PARQUET[:-2],
        told="does not end as such: cut, damaged or encrypted",
        source=replace(SOURCE, format="parquet"),
    ),
    "parquet with a footer larger than itself": Bad(
        content=changed(PARQUET, -8, b"\xff\xff\xff\x7f"),
        told="a footer larger than the file",
        source=replace(SOURCE, format="parquet"),
    ),
    "packed parquet": Bad(
        name="a.parquet.gz",
        content=gzip.compress(PARQUET),
        told="does not begin as such",
        source=replace(SOURCE, format="parquet"),
    ),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_a_bad_file_is_refused_and_named_with_what_to_do(bad: Bad, tmp_path: Path) -> None:
    landed = delivered(tmp_path, bad.name, bad.content, bad.source)
    (delivery,) = landed.deliveries
    assert delivery.sha256 == hashlib.sha256(bad.content).hexdigest()
    for known in (landed, None):
        with (
            pytest.raises(FileRefused) as caught,
            local_file(delivery, bad.source, known=known),
        ):
            pytest.fail("its rows were read")
        assert bad.told in str(caught.value)
        for problem in caught.value.problems:
            assert problem.where == f"landing/orders/{bad.name}"
            assert problem.fix
            assert str(tmp_path) not in str(problem)


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_what_is_wrong_costs_no_more_than_reading_the_file(bad: Bad) -> None:
    start = time.process_time()
    inspect(io.BytesIO(bad.content), bad.name, bad.source)
    assert time.process_time() - start < 0.5


@pytest.mark.parametrize(
    ("golden", "name"),
    [
        ("empty_file", "empty"),
        ("no_final_newline", "no final newline"),
        ("other_encoding_preflight", "latin-1 in UTF-8"),
        ("too_large", "too large"),
        ("too_large_unpacked", "too large unpacked"),
        ("gzip_cut", "cut gz"),
        ("gzip_bad_checksum", "gz with a wrong checksum"),
        ("gzip_trailing_garbage", "gz and garbage"),
        ("gzip_not_at_all", "csv named gz"),
        ("packed_too_well", "zst bomb"),
        ("zip_of_two", "zip of two"),
        ("zip_with_a_path", "zip with ../"),
        ("zip_that_lies", "zip that says it holds less"),
        ("parquet_cut", "cut parquet"),
    ],
)
def test_people_read(golden: str, name: str) -> None:
    bad = BAD[name]
    _, refused = inspect(io.BytesIO(bad.content), f"orders/{bad.name}", bad.source)
    assert_golden(f"files/{golden}", str(refused).replace(bad.name, "FILE"))


def test_the_control_the_same_files_unharmed_are_read(tmp_path: Path) -> None:
    whole = {"a.csv": CSV, "b.csv.gz": GZ + GZ, "c.csv.zip": ZIP, "d.csv.zst": ZST_WITH_CHECKSUM}
    for name, content in whole.items():
        landed = delivered(tmp_path / name, name, content, SOURCE)
        with local_file(landed.deliveries[0], SOURCE, known=landed) as file:
            assert file.path.read_bytes() == content


def test_the_control_the_standard_library_takes_a_zip_that_lies() -> None:
    lying = BAD["zip that says it holds the first half, which has that checksum"].content
    with zipfile.ZipFile(io.BytesIO(lying)) as archive:
        assert archive.read("a.csv") == CSV[:14]


def link(path: Path) -> None:
    path.symlink_to("/etc/passwd")


def dangling(path: Path) -> None:
    path.symlink_to("nowhere")


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("make", [link, dangling, device, os.mkfifo, Path.mkdir])
def test_what_is_no_file_is_no_delivery(make: Callable[[Path], None], tmp_path: Path) -> None:
    folder = tmp_path / "landing" / "shop" / "orders"
    folder.mkdir(parents=True)
    make(folder / "a.csv")
    landed = deliveries(tmp_path / "landing", "shop", SOURCE, tmp_path / "landed_files")
    assert landed.deliveries == ()
    (error,) = landed.refused
    assert "found a link, a folder or a device" in str(error)


def test_a_file_that_becomes_a_link_after_it_was_seen_is_not_followed(tmp_path: Path) -> None:
    landed = delivered(tmp_path, "a.csv", CSV, SOURCE)
    path = landed.deliveries[0].path
    path.rename(path.with_name("moved"))
    path.symlink_to(path.with_name("moved"))
    with pytest.raises(FileRefused), local_file(landed.deliveries[0], SOURCE):
        pytest.fail("its rows were read")


def delivered(home: Path, name: str, content: bytes, source: Files) -> Landed:
    folder = home / "landing" / "shop" / "orders"
    folder.mkdir(parents=True)
    (folder / name).write_bytes(content)
    return deliveries(home / "landing", "shop", source, home / "landed_files")
