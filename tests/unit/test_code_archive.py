"""The code archive: the same code, the same bytes; and nothing that leads elsewhere is unpacked."""

import io
import tarfile
from pathlib import Path

import pytest

from pipelines.adapters.models import code_archive
from pipelines.adapters.settings import Settings
from pipelines.errors import CodeChanged


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Return a home whose library is two files, with a lock beside it."""
    library = tmp_path / "checkout" / "pipelines"
    (library / "domain").mkdir(parents=True)
    (library / "__init__.py").write_text("")
    (library / "domain" / "labels.py").write_text("FINAL = 1\n")
    for name in ("uv.lock", "pyproject.toml"):
        (tmp_path / "checkout" / name).write_text(f"# {name}\n")
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "shop.py").write_text("SHOP = 1\n")
    monkeypatch.setattr(code_archive, "PACKAGE", library)
    return Settings(
        home=tmp_path / "home", dags=tmp_path / "dags", expectations=tmp_path / "expectations"
    )


CODE = ["dags/shop.py", "pipelines/__init__.py", "pipelines/domain/labels.py"]


def test_code_and_lock_come_back_as_they_were(settings: Settings, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    files = code_archive.archive(settings, "shop", first)
    assert code_archive.archive(settings, "shop", second) == files
    assert first.read_bytes() == second.read_bytes()
    held = code_archive.contents(first.read_bytes())
    assert sorted(held) == sorted([*CODE, "pyproject.toml", "uv.lock"])
    assert code_archive.files_of(held) == files
    code_archive.unpack(held, tmp_path / "out")
    assert (tmp_path / "out" / "pipelines" / "domain" / "labels.py").read_text() == "FINAL = 1\n"


def test_the_lock_is_no_part_of_the_codes_digest(settings: Settings, tmp_path: Path) -> None:
    files = code_archive.archive(settings, "shop", tmp_path / "archive")
    before = code_archive.code_digest(settings, "shop")
    assert list(files) == CODE
    assert code_archive.digest_of_files(files) == before
    (tmp_path / "checkout" / "uv.lock").write_text("other")
    assert code_archive.code_digest(settings, "shop") == before
    (tmp_path / "dags" / "shop.py").write_text("SHOP = 2\n")
    assert code_archive.code_digest(settings, "shop") != before


def test_a_lock_without_its_project_is_left_out(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "checkout" / "pyproject.toml").unlink()
    code_archive.archive(settings, "shop", tmp_path / "archive")
    assert sorted(code_archive.contents((tmp_path / "archive").read_bytes())) == CODE


def packed(name: str, *, kind: bytes = tarfile.REGTYPE) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:gz") as tar:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, "/etc/passwd"
        tar.addfile(member, io.BytesIO(b""))
    return target.getvalue()


@pytest.mark.parametrize(
    ("archived", "found"),
    [
        (packed("../evil.py"), "leads elsewhere"),
        (packed("dags/../../evil.py"), "leads elsewhere"),
        (packed("/etc/evil.py"), "leads elsewhere"),
        (packed("dags/link.py", kind=tarfile.SYMTYPE), "leads elsewhere"),
        (packed("dags/link.py", kind=tarfile.LNKTYPE), "leads elsewhere"),
        (b"no archive", "no such archive"),
        (packed("dags/shop.py")[:40], "no such archive"),
    ],
    ids=["up", "inside_up", "root", "symlink", "hard_link", "no_tar", "cut_off"],
)
def test_what_leads_elsewhere_or_is_cut_off_is_refused(archived: bytes, found: str) -> None:
    with pytest.raises(CodeChanged, match=found):
        code_archive.contents(archived)


def test_a_damaged_byte_anywhere_is_an_error_of_ours_or_other_content(
    settings: Settings, tmp_path: Path
) -> None:
    # Long enough that it is not all unpacked with the first header.
    numbers = "".join(f"N{n} = {n * n}\n" for n in range(20_000))
    (settings.dags / "shop.py").write_text(numbers)
    code_archive.archive(settings, "shop", tmp_path / "archive")
    whole = (tmp_path / "archive").read_bytes()
    refused = 0
    for place in range(0, len(whole), len(whole) // 40):
        damaged = bytearray(whole)
        damaged[place] ^= 0xFF
        try:
            code_archive.contents(bytes(damaged))
        except CodeChanged:
            refused += 1
    assert refused > 0
