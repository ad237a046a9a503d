"""Ports: the loopback ports of one home, chosen once and remembered."""

import json
import secrets
import socket
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from pipelines.adapters.stores.whole_files import write_whole
from pipelines.errors import PlatformError, Problem

LOOPBACK = "127.0.0.1"
"""The one address Headframe's servers listen on."""

LOWEST_PORT, HIGHEST_PORT = 20_000, 32_000
"""Where free ports are looked for: below Linux's ephemeral range (32768 and up), so that no
outgoing connection takes a port between choosing it and listening on it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """One port for each server of a home."""

    airflow: int
    mlflow: int
    worker_logs: int
    triggerer_logs: int

    @property
    def airflow_address(self) -> str:
        """Where Airflow's UI and API answer."""
        return f"http://{LOOPBACK}:{self.airflow}"

    @property
    def mlflow_address(self) -> str:
        """Where this home's MLflow server answers."""
        return f"http://{LOOPBACK}:{self.mlflow}"


def choose(root: Path, *, requested: int | None = None) -> Ports:
    """Free ports for the home ``root``: the remembered ones while they are free, else new ones.

    ``requested`` is the port of Airflow's UI. Raises PlatformError when it is in use.
    """
    if requested is not None and not is_free(requested):
        raise PlatformError(
            Problem(
                where=f"port {requested}",
                expected=f"a free port on {LOOPBACK} for Airflow's UI",
                found="another process listening on it",
                fix="Stop that process, choose another port with --port, or leave --port out.",
            )
        )
    remembered = read(root)
    wanted = dict.fromkeys((field.name for field in fields(Ports)), 0)
    wanted |= asdict(remembered) if remembered else {}
    wanted["airflow"] = requested or wanted["airflow"]
    taken: set[int] = set()
    for name, port in wanted.items():
        usable = port not in taken and port > 0 and is_free(port)
        wanted[name] = port if usable else _free_port(taken | set(wanted.values()))
        taken.add(wanted[name])
    ports = Ports(**wanted)
    write_whole(_file(root), json.dumps(asdict(ports), indent=2) + "\n")
    return ports


def read(root: Path) -> Ports | None:
    """Read the ports remembered for the home ``root``; None before the first start."""
    try:
        content = json.loads(_file(root).read_text(encoding="utf-8"))
        return Ports(**{field.name: int(content[field.name]) for field in fields(Ports)})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def is_free(port: int) -> bool:
    """Whether nothing listens on ``port`` of the loopback interface."""
    with socket.socket() as probe:
        # As servers do: a closed connection that lingers does not make its port taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except (OSError, OverflowError):
            return False
    return True


def _free_port(taken: set[int]) -> int:
    span = HIGHEST_PORT - LOWEST_PORT
    start = secrets.randbelow(span)
    for step in range(span):
        port = LOWEST_PORT + (start + step) % span
        if port not in taken and is_free(port):
            return port
    raise PlatformError(
        Problem(
            where=LOOPBACK,
            expected=f"a free port from {LOWEST_PORT} to {HIGHEST_PORT}",
            found="all of them in use",
            fix="Stop what listens there, or choose a port with --port.",
        )
    )


def _file(root: Path) -> Path:
    return root / "run" / "ports.json"
