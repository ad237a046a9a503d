"""Redis: a private server on loopback, from Debian's own program, for tests."""

import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import quote

from tests.postgres import program

PASSWORD = "canary-r3dis/p@ss:word"  # noqa: S105 - made up
"""It must never show."""

START_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Server:
    """A running server."""

    port: int

    @property
    def url(self) -> str:
        """Its address, with the password in it."""
        return f"redis://:{quote(PASSWORD, safe='')}@127.0.0.1:{self.port}/0"

    def ask(self, *words: str) -> list[str]:
        """Send one command; return the lines of its answer."""
        path = program("redis-cli")
        assert path, "redis-cli is not installed"
        command = [path, "-p", str(self.port), "--no-auth-warning", "-a", PASSWORD, *words]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return done.stdout.split("\n")[:-1]


@contextmanager
def serving() -> Iterator[Server]:
    """Start a new, empty server that keeps nothing on disk, and stop it at the end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="headframe-redis-") as folder:
        path = program("redis-server")
        assert path, "redis-server is not installed"
        options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder]
        command = [path, *options, "--requirepass", PASSWORD]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            try:
                _wait(port, process)
                yield Server(port)
            finally:
                process.terminate()


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError("redis-server does not answer")
