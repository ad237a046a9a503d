"""Peer environments: other tools, each installed beside the project and never into it."""

import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from benchmarks.paired import ROOT

PEERS = ROOT / ".tools" / "peers"
PINS = {
    "polars": ("polars==2.1.0",),
    "dlt": ("dlt[deltalake]==1.31.0",),
    "pandera": ("pandera[polars]==0.35.0", "polars==2.1.0"),
    # Evidently does not import with pandas 3.1, NannyML does not declare its last two, and whylogs
    # uses what NumPy 2 removed.
    "evidently": ("evidently==0.7.23", "pandas==3.0.6"),
    "nannyml": ("nannyml==0.13.1", "statsmodels", "setuptools<81"),
    "whylogs": ("whylogs==1.6.4", "pandas==2.3.3", "numpy<2"),
}
"""What each peer is; it writes with the deltalake and reads with the pyarrow of the project."""

LONGEST_SECONDS = 600
"""An install that takes longer has no registry to talk to."""


class PeerError(Exception):
    """A peer cannot be installed here; the text says why."""


def python_of(peer: str) -> Path:
    """Return the Python that has the peer, installed by uv on first use. Raises PeerError."""
    folder = PEERS / peer
    python, installed = folder / "bin" / "python", folder / "installed.txt"
    pins = pins_of(peer)
    if installed.exists() and installed.read_text().split() == pins:
        return python
    uv = shutil.which("uv") or str(ROOT / ".tools" / "bin" / "uv")
    for command in (
        [uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)],
        [uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", str(python), *pins],
    ):
        _run(command, peer)
    installed.write_text("\n".join(pins))
    return python


def pins_of(peer: str) -> list[str]:
    """Return the exact packages of a peer's environment."""
    shared = (f"{package}=={version(package)}" for package in ("deltalake", "pyarrow"))
    return [*PINS[peer], *shared]


def _run(command: list[str], peer: str) -> None:
    environment = {**os.environ, "UV_PYTHON_DOWNLOADS": "never"}
    try:
        ended = subprocess.run(
            command,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=LONGEST_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PeerError(f"{peer}: {type(error).__name__} on running uv") from error
    if ended.returncode:
        # uv's own text names registries and paths of the machine, so only its status is kept.
        raise PeerError(f"{peer}: uv {command[1]} ended with status {ended.returncode}")
