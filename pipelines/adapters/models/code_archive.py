"""The code of a use case: its digest, and a small archive to keep beside a model."""

import gzip
import hashlib
import io
import tarfile
from pathlib import Path

from pipelines.adapters.settings import Settings

PACKAGE = Path(__file__).parents[2]
"""The ``pipelines`` package as it runs."""


def code_files(settings: Settings, use_case: str) -> dict[str, Path]:
    """Return archive name -> file of the DAG file, its suites and the library, sorted by name."""
    found = {f"dags/{use_case}.py": settings.dags.absolute() / f"{use_case}.py"}
    suites = settings.expectations.absolute() / use_case
    found |= {f"expectations/{use_case}/{p.name}": p for p in suites.glob("*.json")}
    found |= {
        f"pipelines/{path.relative_to(PACKAGE).as_posix()}": path for path in PACKAGE.rglob("*.py")
    }
    return dict(sorted(found.items()))


def code_digest(settings: Settings, use_case: str) -> str:
    """Return the SHA-256 over names and bytes of every code file."""
    whole = hashlib.sha256()
    for name, path in code_files(settings, use_case).items():
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        whole.update(f"{name}\0{content}\n".encode())
    return whole.hexdigest()


def archive(settings: Settings, use_case: str, target: Path) -> None:
    """Write the code files to ``target`` as a tar.gz without times or owners: same code, same bytes."""
    with (
        target.open("wb") as raw,
        gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as file,
        tarfile.open(fileobj=file, mode="w") as tar,
    ):
        for name, path in code_files(settings, use_case).items():
            content = path.read_bytes()
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
