"""Workers: Celery's processes that run the tasks of one home."""

import os
import socket
import sys
from pathlib import Path
from typing import NoReturn

from pipelines.adapters.platform import airflow_home, broker, ports, processes
from pipelines.adapters.platform.ports import Ports
from pipelines.adapters.platform.processes import ChildSpec
from pipelines.adapters.settings import Settings
from pipelines.errors import PlatformError, Problem


def names(settings: Settings) -> tuple[str, ...]:
    """Name the workers that ``headframe up`` starts: none without a broker."""
    count = settings.workers if settings.broker else 0
    return tuple(f"worker-{number}" for number in range(1, count + 1))


def child(settings: Settings, chosen: Ports, name: str) -> ChildSpec:
    """Describe the process of one worker. Call ``airflow_home.prepare`` first."""
    airflow = str(Path(sys.executable).with_name("airflow"))
    command = (
        airflow,
        "celery",
        "worker",
        "--celery-hostname",
        hostname(name),
        "--concurrency",
        str(settings.worker_tasks),
        # Without its log server, which listens on every interface; logs are files of the home.
        "--skip-serve-logs",
        "--without-gossip",
    )
    return ChildSpec(
        name=name, command=command, environment=airflow_home.environment(settings, chosen)
    )


def hostname(name: str) -> str:
    """Return what Celery calls the worker ``name`` of this machine."""
    return f"{name}.{socket.gethostname()}"


def present(settings: Settings) -> frozenset[str]:
    """Return what Celery calls each worker of the home that answers, here and elsewhere.

    Takes about a second. Raises ServiceUnavailable when the broker does not answer.
    """
    return broker.answering(settings, identity=airflow_home.identity(settings))


def become(settings: Settings, name: str) -> NoReturn:
    """Turn this process into a worker of the home; it never returns.

    Raises SettingsError without a broker that fits, PlatformError where ``headframe up`` has never
    run or a worker of that name is there already.
    """
    broker.require(settings)
    known = ports.read(settings.root)
    if not settings.broker or known is None:
        raise PlatformError(
            Problem(
                where=f"a worker of {settings.root}",
                expected="a home that `headframe up` started with a broker",
                found="no ports of such a start" if settings.broker else "no HEADFRAME_BROKER",
                fix="Set HEADFRAME_BROKER and HEADFRAME_DATABASE as for `headframe up`, which comes "
                "first.",
            )
        )
    if hostname(name) in present(settings):
        raise PlatformError(
            Problem(
                where=f"worker {name}",
                expected="a name that no worker of this machine has",
                found="a worker that answers to it",
                fix="Choose another with --name.",
            )
        )
    spec = child(settings, known, name)
    variables = processes.marked(spec.environment, settings.root, name)
    os.execve(spec.command[0], spec.command, variables)  # noqa: S606 - this project's own command
