"""Platform processes: Airflow's four, its workers and MLflow's server, under one supervisor."""

import hashlib
import logging
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

from pipelines.adapters.platform import (
    airflow_home,
    notifications,
    ports,
    process_logs,
    process_state,
    processes,
    supervisor,
    workers,
)
from pipelines.adapters.platform.airflow_answers import ComponentHealth
from pipelines.adapters.platform.airflow_home import (
    airflow_folder,
    database_url,
    environment,
    server_variables,
    tracking_uri,
)
from pipelines.adapters.platform.ports import Ports
from pipelines.adapters.platform.process_state import ChildState, SupervisorState
from pipelines.adapters.platform.processes import ChildSpec
from pipelines.adapters.settings import Settings
from pipelines.adapters.stores.whole_files import write_whole
from pipelines.errors import HeadframeError, PlatformError, Problem, ServiceUnavailable

HEALTHY = "healthy"
API_SERVER = "api-server"
MLFLOW = "mlflow"
MIGRATE = "migrate"

MIGRATE_SECONDS = 600.0
"""An empty database takes about ten seconds; an old, large one minutes."""

POLL_SECONDS = 1.0
"""How often readiness is asked for."""

HEALTH_SECONDS = 5.0
"""How long one question about health may take."""

LINES_SHOWN = 15
"""Lines of a log that an error repeats."""

Progress = Callable[[str], None]
"""Gets what is being waited for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartHealth:
    """Whether one part of the platform does its work, and which process does it."""

    name: str
    healthy: bool
    process: str
    found: str


def start(settings: Settings, chosen: Ports) -> SupervisorState:
    """Prepare the home and its database, then start the supervisor.

    Returns when the supervisor runs; see ``wait_until_ready`` for its children.
    """
    airflow_home.prepare(settings)
    variables = environment(settings, chosen)
    _migrate(settings, variables)
    settings.mlflow_artifacts.mkdir(parents=True, exist_ok=True)
    command = (sys.executable, "-m", "pipelines.adapters.platform.platform_processes")
    # The supervisor reads the same settings as its caller; its children get theirs from it.
    variables["HEADFRAME_MLFLOW"] = settings.mlflow
    return processes.start(settings.root, command, variables)


def wait_until_ready(
    settings: Settings,
    chosen: Ports,
    *,
    timeout_seconds: float,
    progress: Progress,
) -> None:
    """Return once every part is healthy.

    Raises PlatformError, with the end of the log of a part that is not, when that takes longer
    than ``timeout_seconds`` or the supervisor gave a process up.
    """
    begun = time.monotonic()
    while True:
        state = process_state.running(settings.root)
        parts = health(settings, chosen, state)
        waiting = [part for part in parts if not part.healthy]
        if not waiting:
            _warm_up(chosen)
            return
        seconds = time.monotonic() - begun
        lost = state is None or any(child.state == "given up" for child in state.children)
        if lost or seconds > timeout_seconds:
            raise PlatformError(*(_not_ready(settings, part, seconds) for part in waiting))
        progress(f"{', '.join(part.name for part in waiting)} ({seconds:.0f} s)")
        time.sleep(POLL_SECONDS)


def health(
    settings: Settings, chosen: Ports, state: SupervisorState | None
) -> tuple[PartHealth, ...]:
    """Ask every part of the platform how it is; a part that does not answer is not healthy."""
    states = {child.name: child for child in state.children} if state else {}
    parts = []
    for name, component in _airflow_components(chosen).items():
        process = _PROCESS_OF[name]
        found = _component_found(component, states.get(process))
        parts.append(_part(name, process, states.get(process), found))
    if tracking_uri(settings, chosen) == chosen.mlflow_address:
        parts.append(_part(MLFLOW, MLFLOW, states.get(MLFLOW), _mlflow_found(chosen)))
    return (*parts, *_workers(settings, states))


def children(settings: Settings, chosen: Ports) -> tuple[ChildSpec, ...]:
    """List the processes of this home."""
    variables = environment(settings, chosen)
    airflow = str(Path(sys.executable).with_name("airflow"))
    commands = {
        API_SERVER: (airflow, "api-server"),
        # Without their log servers, which listen on every interface; logs are files here.
        "scheduler": (airflow, "scheduler", "--skip-serve-logs"),
        "dag-processor": (airflow, "dag-processor"),
        "triggerer": (airflow, "triggerer", "--skip-serve-logs"),
    }
    if tracking_uri(settings, chosen) == chosen.mlflow_address:
        commands[MLFLOW] = _mlflow_command(settings, chosen)
    # Else the server starts a job runner and seven more processes, half a gigabyte.
    variables["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
    own = {API_SERVER: server_variables(settings)}
    servers = tuple(
        ChildSpec(name=name, command=command, environment=variables | own.get(name, {}))
        for name, command in commands.items()
    )
    return servers + tuple(workers.child(settings, chosen, n) for n in workers.names(settings))


def main() -> int:
    """Be the supervisor of the home that the environment names."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    settings = Settings()
    try:
        chosen = ports.read(settings.root)
        if chosen is None:
            chosen = ports.choose(settings.root)
        supervisor.supervise(
            settings.root,
            children(settings, chosen),
            report=lambda title, body: notifications.notify(settings, title, body),
        )
    except HeadframeError as error:
        logging.getLogger(__name__).error("%s", error)  # noqa: TRY400 - it says all there is to do
        return 1
    return 0


_PROCESS_OF = {
    "metadatabase": API_SERVER,
    "scheduler": "scheduler",
    "dag_processor": "dag-processor",
    "triggerer": "triggerer",
}
"""Airflow's components, and the process that answers for each."""


def _migrate(settings: Settings, variables: dict[str, str]) -> None:
    """Bring Airflow's database to the installed version, unless this home did so before."""
    marker = airflow_folder(settings) / "migrated"
    url = database_url(settings)
    # A digest, since the URL may hold a password.
    done = f"{version('apache-airflow-core')} {hashlib.sha256(url.encode()).hexdigest()}\n"
    database_file = Path(url.removeprefix("sqlite:///"))
    kept = database_file.exists() or not url.startswith("sqlite:///")
    if kept and marker.exists() and marker.read_text(encoding="utf-8") == done:
        return
    airflow = str(Path(sys.executable).with_name("airflow"))
    spec = ChildSpec(name=MIGRATE, command=(airflow, "db", "migrate"), environment=variables)
    process = processes.spawn(spec, settings.root)
    try:
        code = process.wait(timeout=MIGRATE_SECONDS)
    except subprocess.TimeoutExpired:
        code = None
    finally:
        process_state.sweep(settings.root, MIGRATE)
        process.wait()
    if code != 0:
        log = process_logs.log_file(settings.root, MIGRATE)
        raise PlatformError(
            Problem(
                where="airflow db migrate",
                expected=f"to end well within {MIGRATE_SECONDS:.0f} s",
                found=f"exit code {code}: {process_logs.tail(log, LINES_SHOWN)}",
                fix=f"See {log}.",
            )
        )
    write_whole(marker, done)


def _mlflow_command(settings: Settings, chosen: Ports) -> tuple[str, ...]:
    return (
        str(Path(sys.executable).with_name("mlflow")),
        "server",
        "--host",
        ports.LOOPBACK,
        "--port",
        str(chosen.mlflow),
        "--workers",
        "1",
        "--backend-store-uri",
        _mlflow_backend(settings),
        # Plain paths, not the server's proxy: the same artifacts are found without the server.
        "--default-artifact-root",
        settings.mlflow_artifacts.as_uri(),
        "--artifacts-destination",
        settings.mlflow_artifacts.as_uri(),
    )


def _mlflow_backend(settings: Settings) -> str:
    """Find where this home's own server keeps its data: the setting may name the server itself."""
    if settings.mlflow.startswith(("http://", "https://")):
        return settings.model_copy(update={"mlflow": ""}).mlflow_uri
    return settings.mlflow_uri


def _airflow_components(chosen: Ports) -> dict[str, ComponentHealth | None]:
    """Ask Airflow for its components; None for all of them when it does not answer."""
    from pipelines.adapters.platform.airflow_api import AirflowApi

    try:
        with AirflowApi(chosen.airflow_address, timeout_seconds=HEALTH_SECONDS) as api:
            components = {component.name: component for component in api.health()}
    except (ServiceUnavailable, PlatformError, ValueError):
        components = {}
    return {name: components.get(name) for name in _PROCESS_OF}


def _warm_up(chosen: Ports) -> None:
    from pipelines.adapters.platform.airflow_api import AirflowApi

    # Only a matter of speed: the first task would do the same.
    with suppress(ServiceUnavailable, PlatformError), AirflowApi(chosen.airflow_address) as api:
        api.warm_up()


def _component_found(component: ComponentHealth | None, child: ChildState | None) -> str:
    if component is None:
        return "the API server does not answer"
    if not component.healthy:
        return "unhealthy"
    if child and component.heartbeat:
        started = datetime.fromisoformat(child.started_at)
        # The database still remembers the process of before a restart.
        if component.heartbeat < started:
            return "no heartbeat yet"
    return HEALTHY


def _mlflow_found(chosen: Ports) -> str:
    import httpx

    try:
        with httpx.Client(trust_env=False, timeout=HEALTH_SECONDS) as client:
            answer = client.get(f"{chosen.mlflow_address}/health")
    except httpx.TransportError as error:
        return f"no answer ({type(error).__name__})"
    return HEALTHY if answer.text.strip() == "OK" else f"status {answer.status_code}"


def _workers(settings: Settings, states: dict[str, ChildState]) -> tuple[PartHealth, ...]:
    """Ask the workers: this home's own by name, then whoever else answers, here or elsewhere."""
    if not settings.broker:
        return ()
    try:
        present, absent = workers.present(settings), "no answer"
    except ServiceUnavailable:
        present, absent = frozenset(), "the broker does not answer"
    own = {name: workers.hostname(name) for name in workers.names(settings)}
    parts = [
        _part(name, name, states.get(name), HEALTHY if hostname in present else absent)
        for name, hostname in own.items()
    ]
    others = sorted(present - set(own.values()))
    return (
        *parts,
        *(PartHealth(name=name, healthy=True, process="", found=HEALTHY) for name in others),
    )


def _part(name: str, process: str, child: ChildState | None, found: str) -> PartHealth:
    if child is None or child.state != "running":
        found = child.state if child else "not running"
    return PartHealth(name=name, healthy=found == HEALTHY, process=process, found=found)


def _not_ready(settings: Settings, part: PartHealth, seconds: float) -> Problem:
    log = process_logs.tail(process_logs.log_file(settings.root, part.process), LINES_SHOWN)
    return Problem(
        where=part.name,
        expected="healthy",
        found=f"'{part.found}' after {seconds:.0f} s. Its log ends:\n{log}\n",
        fix=f"See `headframe logs {part.process}`.",
    )


if __name__ == "__main__":
    sys.exit(main())
