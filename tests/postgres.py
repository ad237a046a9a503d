"""PostgreSQL: a private server on loopback, from Debian's own programs, for tests."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

USER, PASSWORD, DATABASE = "keeper", "canary-s3cr3t/p@ss:word", "postgres"
"""All made up; the password must never show."""

DEBIAN = Path("/usr/lib/postgresql")
"""Debian keeps the programs of each release in a folder of its own, outside PATH."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server: where it listens, and where its files lie."""

    port: int
    folder: Path

    @property
    def url(self) -> str:
        """The SQLAlchemy URL, with the password in it."""
        from sqlalchemy import URL

        return URL.create(
            "postgresql",
            username=USER,
            password=PASSWORD,
            host="127.0.0.1",
            port=self.port,
            database=DATABASE,
        ).render_as_string(hide_password=False)

    def connect(self) -> Any:  # noqa: ANN401 - psycopg2 has no types
        """Open a session of its own; it commits when told to."""
        import psycopg2

        return psycopg2.connect(
            host="127.0.0.1", port=self.port, user=USER, password=PASSWORD, dbname=DATABASE
        )

    def run(self, *statements: str) -> None:
        """Run statements in a session of their own, and commit them."""
        session = self.connect()
        try:
            with session, session.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)
        finally:
            session.close()


def program(name: str) -> str | None:
    """Return the path of a program on PATH, or among Debian's of PostgreSQL; None without one."""
    if found := shutil.which(name):
        return found
    releases = sorted(DEBIAN.glob(f"*/bin/{name}"), key=lambda path: float(path.parts[-3]))
    return str(releases[-1]) if releases else None


@contextmanager
def serving() -> Iterator[Server]:
    """Start a new, empty server, and stop and remove it at the end."""
    # Not below pytest's own folder: the server's user may not go through that.
    folder = Path(tempfile.mkdtemp(prefix="headframe-postgres-"))
    folder.chmod(0o755)
    password = folder / "password"
    password.write_text(PASSWORD, "utf-8")
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
        shutil.chown(password, "postgres", "postgres")
    port = _free_port()
    data, log = str(folder / "data"), str(folder / "log")
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
    options += " -c lock_timeout=20s"  # a session that a failed test left open must not stop others
    try:
        _run("initdb", ["-D", data, "-A", "scram-sha-256", f"--pwfile={password}", "-U", USER])
        _run("pg_ctl", ["-D", data, "-o", options, "-l", log, "-w", "start"])
        try:
            yield Server(port, folder)
        finally:
            _run("pg_ctl", ["-D", data, "-m", "immediate", "-w", "stop"])
    finally:
        shutil.rmtree(folder)


def _run(name: str, arguments: Sequence[str]) -> None:
    """Run one of PostgreSQL's programs; it refuses to be root, so root runs it as its own user."""
    path = program(name)
    assert path, f"{name} is not installed"
    user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]
    command = [*(user if os.geteuid() == 0 else []), path, *arguments]
    # Not into a pipe: the server would inherit it, and keep it open.
    subprocess.run(command, check=True, cwd="/", stdout=subprocess.DEVNULL, env=_environment())


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return {**kept, "LC_ALL": "C.UTF-8"}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
