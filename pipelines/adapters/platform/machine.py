"""The machine: what it must offer for Headframe to run, and whether it does."""

import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from pipelines.adapters.platform import authentication, broker, ports, process_state
from pipelines.adapters.settings import Settings
from pipelines.errors import PlatformError, Problem

OLDEST_PYTHON, TOO_NEW_PYTHON = (3, 11), (3, 14)
"""As pyproject.toml's requires-python."""

LEAST_FREE_GIB = 2.0
"""Below this a start is refused: databases that run full need a person to repair them."""

GIB = 1024**3

MOST_CLOCK_SKEW_SECONDS = 10.0
"""Airflow's tokens tolerate this much between two clocks."""

ANSWER_SECONDS = 5
"""How long a database may take to answer a first connection."""

TOOLS = ("airflow", "mlflow")
"""Commands that must lie beside the running Python."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineCheck:
    """One thing looked at. ``fix`` says what to do when it is not ok."""

    name: str
    ok: bool
    found: str
    fix: str = ""


def look(settings: Settings, *, requested_port: int | None = None) -> tuple[MachineCheck, ...]:
    """Look at everything a start needs. Changes nothing that lasts."""
    return (
        _python(),
        _tools(),
        writable_home(settings),
        free_disk(settings),
        _ports(settings, requested_port),
        _locks(),
        _clock(settings),
        logins(settings),
        *services(settings),
    )


def require(*checks: MachineCheck) -> None:
    """Raise PlatformError with all ``checks`` that are not ok."""
    problems = [
        Problem(where=check.name, expected="what a start needs", found=check.found, fix=check.fix)
        for check in checks
        if not check.ok
    ]
    if problems:
        raise PlatformError(*problems)


def writable_home(settings: Settings) -> MachineCheck:
    """Try to make a file where the home is or will be."""
    existing = _nearest_existing(settings.root)
    try:
        with tempfile.NamedTemporaryFile(dir=existing, prefix=".headframe-doctor-"):
            found = str(settings.root)
        ok = True
    except OSError as error:
        ok, found = False, f"{existing}: {error.strerror}"
    return MachineCheck(
        name="home",
        ok=ok,
        found=found,
        fix="Make the folder writable, or point HEADFRAME_HOME to one that is.",
    )


def free_disk(settings: Settings) -> MachineCheck:
    """Measure the space left on the disk of the home."""
    free = shutil.disk_usage(_nearest_existing(settings.root)).free / GIB
    return MachineCheck(
        name="disk",
        ok=free >= LEAST_FREE_GIB,
        found=f"{free:.1f} GiB free",
        fix=f"Free some space ({LEAST_FREE_GIB:.0f} GiB are needed), or point HEADFRAME_HOME to a "
        "larger disk.",
    )


def logins(settings: Settings) -> MachineCheck:
    """Look whether Airflow is told to know nobody: then no approval would be anybody's."""
    anybody = authentication.everybody_is_administrator(settings)
    return MachineCheck(
        name="logins",
        ok=not anybody,
        found=f"{authentication.ALL_ADMINS} is on: whoever reaches Airflow may do anything"
        if anybody
        else "people log in",
        fix=f"Unset AIRFLOW__CORE__{authentication.ALL_ADMINS.upper()}, and take it out of airflow.cfg.",
    )


def services(settings: Settings) -> tuple[MachineCheck, ...]:
    """Ask the database and the broker that the settings name, if they name any."""
    checks = []
    if settings.database:
        checks.append(_service("database", _database_refusal(settings), "HEADFRAME_DATABASE"))
    if settings.broker:
        wrong = "; ".join(
            f"{problem.where} is {problem.found}" for problem in broker.problems(settings)
        )
        refused = wrong or broker.refusal(settings)
        checks.append(_service("broker", refused, "HEADFRAME_BROKER, with HEADFRAME_DATABASE"))
    return tuple(checks)


def _service(name: str, refused: str, variable: str) -> MachineCheck:
    return MachineCheck(
        name=name,
        ok=not refused,
        found=refused or "answers",
        fix=f"Start it, or correct {variable} (docs/scale-out.md).",
    )


def _database_refusal(settings: Settings) -> str:
    """Return why Airflow's database cannot be used, without its address; empty when it answers."""
    from sqlalchemy import create_engine
    from sqlalchemy.exc import SQLAlchemyError

    waits = {"connect_timeout": ANSWER_SECONDS} if settings.database.startswith("postgres") else {}
    try:
        engine = create_engine(settings.database, connect_args=waits)
        try:
            engine.connect().close()
        finally:
            engine.dispose()
    except (SQLAlchemyError, ImportError, ValueError) as error:
        # Only the type: a driver's message may repeat the address and the user.
        cause = error.__cause__ or error
        return f"no connection ({type(cause).__name__})"
    return ""


def _python() -> MachineCheck:
    lowest, limit = (".".join(map(str, v)) for v in (OLDEST_PYTHON, TOO_NEW_PYTHON))
    return MachineCheck(
        name="Python",
        ok=OLDEST_PYTHON <= sys.version_info[:2] < TOO_NEW_PYTHON,
        found=f"{sys.version.split()[0]} at {sys.executable}",
        fix=f"Install Headframe with Python {lowest} or newer, below {limit}.",
    )


def _tools() -> MachineCheck:
    missing = [tool for tool in TOOLS if not Path(sys.executable).with_name(tool).exists()]
    return MachineCheck(
        name="tools",
        ok=not missing,
        found=f"missing: {', '.join(missing)}" if missing else ", ".join(TOOLS),
        fix="Install Headframe with all its dependencies: `uv sync`.",
    )


def _ports(settings: Settings, requested: int | None) -> MachineCheck:
    known = ports.read(settings.root)
    runs = process_state.running(settings.root) is not None
    if runs and known:
        return MachineCheck(name="ports", ok=True, found=f"{known.airflow} and more, in use by us")
    if requested is not None and not ports.is_free(requested):
        return MachineCheck(
            name="ports",
            ok=False,
            found=f"{requested} is in use by another process",
            fix="Stop it, or choose another port with HEADFRAME_PORT or --port.",
        )
    if known and requested is None and not ports.is_free(known.airflow):
        # No obstacle: the next start takes another one.
        return MachineCheck(
            name="ports", ok=True, found=f"{known.airflow} is taken now; the next start moves on"
        )
    return MachineCheck(name="ports", ok=True, found="free")


def _locks() -> MachineCheck:
    import multiprocessing

    try:
        multiprocessing.Lock()
    except OSError as error:
        return MachineCheck(
            name="locks",
            ok=False,
            found=f"Python cannot make a lock between processes: {error}",
            fix="Airflow's executor needs one: mount a writable tmpfs on /dev/shm (1 MiB will do).",
        )
    return MachineCheck(name="locks", ok=True, found="between processes")


def _clock(settings: Settings) -> MachineCheck:
    """Compare the clock with the one of the disk, and with what it showed before."""
    fix = "Set the clock, best with NTP; tokens and schedules depend on it."
    try:
        with tempfile.NamedTemporaryFile(dir=_nearest_existing(settings.root)) as file:
            skew = abs(Path(file.name).stat().st_mtime - time.time())
    except OSError:
        skew = 0.0
    if skew > MOST_CLOCK_SKEW_SECONDS:
        return MachineCheck(
            name="clock", ok=False, found=f"{skew:.0f} s off the clock of the home's disk", fix=fix
        )
    state_file = process_state.state_file(settings.root)
    ahead = state_file.stat().st_mtime - time.time() if state_file.exists() else 0.0
    if ahead > MOST_CLOCK_SKEW_SECONDS:
        return MachineCheck(
            name="clock", ok=False, found=f"{ahead:.0f} s behind the last start", fix=fix
        )
    return MachineCheck(
        name="clock", ok=True, found=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    )


def _nearest_existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path
