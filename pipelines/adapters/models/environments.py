"""Environments: the packages that this process runs with, and others installed from a recorded lock."""

import hashlib
import os
import platform
import re
import shutil
import subprocess
from importlib import metadata
from pathlib import Path

from pipelines.adapters.models import code_archive
from pipelines.adapters.settings import Settings
from pipelines.domain.recipe import Surroundings
from pipelines.errors import PlatformError, Problem

LOCK_SHA256 = "headframe.lock_sha256"
PYTHON = "headframe.python"

INSTALLED = "installed"
"""Empty file that an environment gets once it is complete."""

TOOLS_UV = Path(__file__).parents[3] / ".tools" / "bin" / "uv"
"""Where ``make`` puts uv in a checkout."""

LONGEST = 30 * 60
"""Seconds that an installation may take."""

SAID = re.compile(r"^(Name|Version): (\S+)[ \t]*$", re.MULTILINE)
"""In the header of a package's METADATA, once each (core metadata specification)."""

LAST_LINES = 3
"""Of what uv said when it failed."""


def surroundings() -> Surroundings:
    """Return what this process runs with."""
    lock, project = lock_digests()
    return Surroundings(
        python=platform.python_version(),
        packages=packages(),
        lock_sha256=lock,
        project_sha256=project,
        processor=machine_model(),
    )


def lock_digests() -> tuple[str, str]:
    """Return the SHA-256 of uv.lock and of pyproject.toml beside the package; empty without them."""
    locked = {
        name: hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in code_archive.lock_files().items()
    }
    return locked.get(code_archive.LOCK, ""), locked.get(code_archive.PROJECT, "")


def packages() -> dict[str, str]:
    """Return every installed package, as its name is normalized (PEP 503), and its version."""
    # The first on the path is the one that is imported.
    found: dict[str, str] = {}
    for package in metadata.distributions():
        told, version = _name_and_version(package)
        name = _normal(told)
        # Headframe's own code is known by its digest.
        if name != "headframe":
            found.setdefault(name, version)
    return dict(sorted(found.items()))


def _name_and_version(package: metadata.Distribution) -> tuple[str, str]:
    """Return what a package says of itself, read by hand: parsed as a mail it takes ten times as long."""
    header = (package.read_text("METADATA") or "").partition("\n\n")[0]
    told = dict(SAID.findall(header))
    if set(told) == {"Name", "Version"}:
        return told["Name"], told["Version"]
    return package.name, package.version


def loaded_packages(modules: frozenset[str]) -> frozenset[str]:
    """Return the packages that these top-level modules come from."""
    owners = metadata.packages_distributions()
    return frozenset(_normal(owner) for module in modules for owner in owners.get(module, ()))


def machine_model() -> str:
    """Return architecture and model name of this machine's processor, as far as it tells them."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text("utf-8", "replace").splitlines() if told.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{platform.machine()} {names[0] if names else platform.processor()}".strip()


def tags(found: Surroundings) -> dict[str, str]:
    """Return what a model version says of its surroundings."""
    return {LOCK_SHA256: found.lock_sha256, PYTHON: found.python}


def rebuilt(settings: Settings, *, lock: bytes, project: bytes) -> Path:
    """Return the interpreter of an environment installed from a lock; made once, then found again.

    It lies under ``environments/<digest of lock and project>`` of the home. Raises PlatformError
    when there is no uv, or it cannot install what the lock names, or not in LONGEST seconds.
    """
    digest = hashlib.sha256(lock + b"\0" + project).hexdigest()[:16]
    folder = settings.root / "environments" / digest
    interpreter = folder / "venv" / "bin" / "python"
    if (folder / INSTALLED).exists():
        return interpreter
    source = folder / "project"
    source.mkdir(parents=True, exist_ok=True)
    (source / code_archive.LOCK).write_bytes(lock)
    (source / code_archive.PROJECT).write_bytes(project)
    _install(source, folder / "venv")
    (folder / INSTALLED).touch()
    return interpreter


def _install(source: Path, venv: Path) -> None:
    """Install exactly what the lock names, extras included, and not the project itself."""
    try:
        done = subprocess.run(  # noqa: S603 - our own arguments
            [_uv(), "sync", "--frozen", "--no-dev", "--all-extras", "--no-install-project",
             "--no-progress", "--project", str(source)],
            env={
                **{name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"},
                "UV_PROJECT_ENVIRONMENT": str(venv),
                "UV_PYTHON_DOWNLOADS": "never",
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=LONGEST,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise _not_installed(f"uv at work still after {LONGEST:,} seconds") from error
    if done.returncode:
        said = " ".join(done.stderr.split("\n")[-LAST_LINES - 1 :]).strip()
        raise _not_installed(f"uv ended with status {done.returncode}: {said}")


def _uv() -> str:
    """Return the program uv: on the path, or where ``make`` puts it."""
    found = shutil.which("uv") or (str(TOOLS_UV) if TOOLS_UV.is_file() else None)
    if found is None:
        raise _not_installed("no program uv on the path")
    return found


def _not_installed(found: str) -> PlatformError:
    return PlatformError(
        Problem(
            where="environment of a registered model",
            expected="the packages of the lock that it was registered with",
            found=found,
            fix="Install uv, give it a package index it can reach, and ask again.",
        )
    )


def _normal(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")
