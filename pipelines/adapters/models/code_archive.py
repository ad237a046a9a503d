"""The code of a use case: its digest, and a small archive to keep beside a model."""

import gzip
import hashlib
import io
import tarfile
import time
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from pipelines.adapters.settings import Settings
from pipelines.adapters.shared_modules import shared_files
from pipelines.errors import CodeChanged, Problem

PACKAGE = Path(__file__).parents[2]
"""The ``pipelines`` package as it runs."""

FILE = "code/code.tar.gz"
"""Where a model's run has the archive."""

LOCK, PROJECT = "uv.lock", "pyproject.toml"
"""Beside the package in a checkout and in the image: which packages it runs with. They lie in the
archive, and are no part of the code's digest: other packages do not make other code."""


COMPRESSION = 3
"""Of zlib's nine levels: a tenth more bytes than the highest for a quarter of its time."""


TICK_NS = 2_000_000_000
"""How old a change has to be for the next one to have another time, on any file system."""

_READ: dict[Path, tuple[tuple[int, int, int, int], str]] = {}
"""What files were like when they were read, and their SHA-256."""


def code_files(settings: Settings, use_case: str) -> dict[str, Path]:
    """Return archive name -> file of the DAG file, its suites and the library, sorted by name.

    With the shared files that the DAG file imports, and no others.
    """
    dags = settings.dags.absolute()
    found = {f"dags/{use_case}.py": dags / f"{use_case}.py"}
    found |= {f"dags/{name}": path for name, path in shared_files(dags, use_case).items()}
    suites = settings.expectations.absolute() / use_case
    found |= {f"expectations/{use_case}/{p.name}": p for p in suites.glob("*.json")}
    found |= {
        f"pipelines/{path.relative_to(PACKAGE).as_posix()}": path for path in PACKAGE.rglob("*.py")
    }
    return dict(sorted(found.items()))


def code_digest(settings: Settings, use_case: str) -> str:
    """Return the SHA-256 over names and bytes of every code file.

    A file that this process has read before is read again if its times, its size or its inode changed.
    """
    return digest_of_files(
        {name: _sha256_of(path) for name, path in code_files(settings, use_case).items()}
    )


def digest_of_files(files: Mapping[str, str]) -> str:
    """Return the code digest of files known by name -> SHA-256."""
    lines = "".join(f"{name}\0{content}\n" for name, content in sorted(files.items()))
    return _sha256(lines.encode())


def lock_files() -> dict[str, Path]:
    """Return archive name -> file of the lock and the project it locks; of neither where one lacks."""
    found = {name: PACKAGE.parent / name for name in (LOCK, PROJECT)}
    return found if all(path.is_file() for path in found.values()) else {}


def archive(settings: Settings, use_case: str, target: Path) -> dict[str, str]:
    """Write code and lock to ``target`` as a tar.gz; return the code files' SHA-256 by name.

    It holds no times or owners: same code, same bytes.
    """
    files: dict[str, str] = {}
    with (
        target.open("wb") as raw,
        gzip.GzipFile("", "wb", COMPRESSION, fileobj=raw, mtime=0) as file,
        tarfile.open(fileobj=file, mode="w") as tar,
    ):
        for name, path in {**code_files(settings, use_case), **lock_files()}.items():
            content = path.read_bytes()
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
            files[name] = _sha256(content)
    return _code_of(files)


def contents(archived: bytes) -> dict[str, bytes]:
    """Return what an archive holds, by name. Raises CodeChanged when it is none of ours.

    Nothing is written or run: see whether the digest is the recorded one first.
    """
    try:
        return dict(_members(archived))
    except (tarfile.TarError, zlib.error, ValueError, OSError, EOFError) as error:
        raise _not_ours(f"a file that is no such archive ({type(error).__name__})") from error


def files_of(held: Mapping[str, bytes]) -> dict[str, str]:
    """Return the SHA-256 of an archive's code files by name."""
    return _code_of({name: _sha256(content) for name, content in held.items()})


def unpack(held: Mapping[str, bytes], folder: Path) -> None:
    """Write what an archive holds below ``folder``."""
    for name, content in held.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _members(archived: bytes) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(fileobj=io.BytesIO(archived), mode="r:gz") as tar:
        for member in tar:
            inside = PurePosixPath(member.name)
            content = tar.extractfile(member) if member.isreg() else None
            if content is None or inside.is_absolute() or ".." in inside.parts:
                raise _not_ours(f"a member that leads elsewhere, {inside.name!r}")
            yield member.name, content.read()


def _sha256_of(path: Path) -> str:
    found = path.stat()
    changed = max(found.st_mtime_ns, found.st_ctime_ns)
    state = (found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino)
    known = _READ.get(path)
    if known is not None and known[0] == state:
        return known[1]
    sha256 = _sha256(path.read_bytes())
    if time.time_ns() - changed > TICK_NS:  # or the next change might leave the same times
        _READ[path] = state, sha256
    return sha256


def _code_of(files: Mapping[str, str]) -> dict[str, str]:
    return {name: sha256 for name, sha256 in sorted(files.items()) if name not in (LOCK, PROJECT)}


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _not_ours(found: str) -> CodeChanged:
    return CodeChanged(
        Problem(
            where=f"{FILE} beside a registered model",
            expected="the archive that was written when it was registered",
            found=found,
            fix="Restore the artifact store from a backup; nothing of it was run.",
        )
    )
