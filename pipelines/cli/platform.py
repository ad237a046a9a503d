"""Platform commands: start it, stop it, look at it."""

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from difflib import get_close_matches
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from pipelines.adapters.platform import (
    airflow_home,
    broker,
    machine,
    notifications,
    platform_processes,
    ports,
    process_logs,
    process_state,
    processes,
    users,
    workers,
)
from pipelines.adapters.platform.ports import Ports
from pipelines.adapters.settings import Settings
from pipelines.adapters.stores.whole_files import write_whole
from pipelines.errors import PlatformError, Problem
from pipelines.use_case import load_all

READY_SECONDS = 600
"""How long a start may take before it is called off: a minute on a quiet machine with two cores,
several on a loaded one."""

FAILURES_SHOWN = 5
"""Messages that `status` repeats."""

FOLLOW_SECONDS = 0.3
"""How often `logs --follow` looks for new lines."""

console = Console()

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
Port = Annotated[
    int | None,
    typer.Option(
        envvar="HEADFRAME_PORT", min=1, max=65535, help="Port of Airflow's UI; else a free one."
    ),
]


def register(app: typer.Typer) -> None:
    """Add the platform commands to ``app``."""
    for command in (up, down, worker, logs, doctor, status):
        app.command()(command)


def up(
    port: Port = None,
    timeout: Annotated[int, typer.Option(help="Seconds to wait for it.")] = READY_SECONDS,
) -> None:
    """Start Airflow and MLflow, and wait until they are ready."""
    settings = Settings()
    seconds = start(settings, port=port, timeout=timeout)
    console.print(
        "Headframe is already running."
        if seconds is None
        else f"Headframe is ready after {seconds:.0f} s."
    )
    print_addresses(settings)


def start(
    settings: Settings, *, port: int | None = None, timeout: int = READY_SECONDS
) -> float | None:
    """Start the platform and wait until it is ready; return the seconds, None if it already ran.

    Interrupted or failing, it leaves nothing running that it started.
    """
    broker.require(settings)
    machine.require(
        machine.writable_home(settings), machine.logins(settings), *machine.services(settings)
    )
    # A second start of this home waits here for the first one.
    lock = processes.only_one(
        settings.root / "run" / "up.lock", what="another `headframe up`", wait_seconds=timeout
    )
    with _interrupted_when_asked_to_end(), lock:
        known = ports.read(settings.root)
        if process_state.running(settings.root) and known:
            _refuse_other_port(known, port)
            _wait(settings, known, timeout)
            return None
        machine.require(machine.free_disk(settings))
        # What a killed supervisor left would hold the ports of this home.
        process_state.sweep(settings.root)
        chosen = ports.choose(settings.root, requested=port)
        began = time.monotonic()
        try:
            with console.status("Preparing the home and Airflow's database"):
                _write_first_users(settings)
                platform_processes.start(settings, chosen)
            _wait(settings, chosen, timeout)
        except BaseException:
            processes.stop(settings.root)
            raise
        return time.monotonic() - began


def down() -> None:
    """Stop everything that runs for this home."""
    settings = Settings()
    with console.status("Stopping"):
        stopped = processes.stop(settings.root)
    console.print("Headframe is stopped." if stopped else "Nothing was running.")


def worker(
    name: Annotated[
        str, typer.Option(help="What to call it; else it is named after its process.")
    ] = "",
) -> None:
    """Run one more worker of this home, here, until it is told to stop (docs/scale-out.md)."""
    workers.become(Settings(), name or f"worker-{os.getpid()}")


def logs(
    name: Annotated[str, typer.Argument(help="A process; all of them when left out.")] = "",
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Print new lines too.")] = False,
    lines: Annotated[int, typer.Option(help="Lines from the end.")] = 40,
) -> None:
    """Print the end of the processes' logs."""
    root = Settings().root
    known = process_logs.names(root)
    if name and name not in known:
        nearest = get_close_matches(name, known, n=1)
        raise PlatformError(
            Problem(
                where="headframe logs",
                expected=f"one of {', '.join(known)}"
                if known
                else "a home that was started before",
                found=f"'{name}'",
                fix=f"Did you mean '{nearest[0]}'?" if nearest else "Run `headframe up` first.",
            )
        )
    shown = (name,) if name else known
    ends = {}
    for process in shown:
        path = process_logs.log_file(root, process)
        ends[path] = path.stat().st_size
        if not name:
            console.rule(process)
        _print_raw(process_logs.tail(path, lines))
    while follow:
        time.sleep(FOLLOW_SECONDS)
        for path, end in ends.items():
            size = path.stat().st_size
            with path.open("rb") as file:
                # A log that was set aside begins anew.
                file.seek(end if size >= end else 0)
                new = file.read().decode("utf-8", errors="replace")
            ends[path] = size
            _print_raw(new.rstrip("\n"))


def doctor(port: Port = None, *, as_json: Json = False) -> None:
    """Look at this machine: may Headframe run here? Exit status 1 when something is wrong."""
    checks = machine.look(Settings(), requested_port=port)
    if as_json:
        _print_json(
            {"ok": all(check.ok for check in checks), "checks": [asdict(c) for c in checks]}
        )
    else:
        table = Table("check", "ok", "found", "what to do", box=None)
        for check in checks:
            answer = "[green]yes[/]" if check.ok else "[red]no[/]"
            table.add_row(check.name, answer, check.found, "" if check.ok else check.fix)
        console.print(table)
    if not all(check.ok for check in checks):
        raise typer.Exit(1)


def status(*, as_json: Json = False) -> None:
    """Show processes, health and recent failures. Exit status 0 only when all is healthy."""
    settings = Settings()
    state = process_state.running(settings.root)
    known = ports.read(settings.root)
    parts = platform_processes.health(settings, known, state) if state and known else ()
    failures = notifications.recent(settings, FAILURES_SHOWN)
    given_up = state is not None and any(child.state == "given up" for child in state.children)
    healthy = bool(parts) and all(part.healthy for part in parts) and not given_up
    if as_json:
        _print_json(
            {
                "healthy": healthy,
                "running": state is not None,
                "supervisor": state.pid if state else None,
                "processes": [asdict(child) for child in state.children] if state else [],
                "parts": [asdict(part) for part in parts],
                "addresses": _addresses(settings, known) if state and known else {},
                "messages": [
                    {"at": m.at.isoformat(), "title": m.title, "body": m.body} for m in failures
                ],
            }
        )
    else:
        _print_status(settings, state, parts)
        for message in failures:
            console.print(f"{message.at:%Y-%m-%d %H:%M} {message.title}", markup=False)
    if not healthy:
        raise typer.Exit(1)


def _print_status(
    settings: Settings,
    state: process_state.SupervisorState | None,
    parts: tuple[platform_processes.PartHealth, ...],
) -> None:
    if state is None:
        console.print(f"Headframe is not running in {settings.root}. Start it: `headframe up`.")
        return
    table = Table("process", "state", "pid", "restarts", "last exit", "since", box=None)
    for child in state.children:
        exit_code = "" if child.exit_code is None else str(child.exit_code)
        pid = str(child.pid or "")
        table.add_row(
            child.name, child.state, pid, str(child.restarts), exit_code, child.started_at
        )
    console.print(table)
    for part in parts:
        console.print(f"{part.name}: [{'green' if part.healthy else 'red'}]{part.found}[/]")


def print_addresses(settings: Settings) -> None:
    """Print where Airflow and MLflow are, and who may log in."""
    known = ports.read(settings.root)
    if known is None:
        return
    for name, address in _addresses(settings, known).items():
        console.print(f"{name:8} {address}", highlight=False)
    passwords = airflow_home.passwords(settings)
    file = airflow_home.airflow_folder(settings) / "passwords.json"
    table = Table("user", "password", "roles", box=None)
    for user in users.read_users(settings.users_file):
        # A pipe or a build's log keeps what it gets; a person's terminal does not.
        password = passwords[user.name] if sys.stdout.isatty() else "(in the file below)"
        table.add_row(user.name, password, ", ".join(user.roles) or "-")
    console.print(table)
    console.print(f"Passwords are in {file}", highlight=False, soft_wrap=True)


def _addresses(settings: Settings, known: Ports) -> dict[str, str]:
    return {
        "Airflow": known.airflow_address,
        "MLflow": airflow_home.tracking_uri(settings, known),
    }


def _write_first_users(settings: Settings) -> None:
    """Give a new home users who can act in every role that its use cases name."""
    if settings.users_file.exists():
        return
    sound, broken = load_all(settings.dags.absolute())
    for error in broken:
        console.print(f"{error}\nIts roles are in nobody's hands: see users.toml.", markup=False)
    own: dict[str, set[str]] = {}
    for use_case in sound.values():
        for kind, role in asdict(use_case.roles).items():
            if role not in users.AIRFLOW_ROLES:
                own.setdefault(role, set()).add(kind)
    write_whole(settings.users_file, users.users_at_first(own))


def _wait(settings: Settings, known: Ports, timeout: int) -> None:
    with console.status("Starting") as spinner:
        platform_processes.wait_until_ready(
            settings,
            known,
            timeout_seconds=timeout,
            progress=lambda waiting: spinner.update(f"Waiting for {waiting}"),
        )


def _refuse_other_port(known: Ports, port: int | None) -> None:
    if port is not None and port != known.airflow:
        raise PlatformError(
            Problem(
                where=f"port {port}",
                expected="a home that is not running yet",
                found=f"it is running on port {known.airflow}",
                fix="Run `headframe down` first.",
            )
        )


@contextmanager
def _interrupted_when_asked_to_end() -> Iterator[None]:
    """Treat SIGTERM and SIGHUP like Ctrl-C, so that a start called off leaves nothing running."""
    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, signal.default_int_handler) for number in numbers]
    try:
        yield
    finally:
        for number, action in zip(numbers, before, strict=True):
            signal.signal(number, action)


def _print_raw(text: str) -> None:
    if text:
        console.out(text, highlight=False)


def _print_json(content: dict[str, Any]) -> None:
    typer.echo(json.dumps(content, indent=2))
