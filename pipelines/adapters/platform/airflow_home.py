"""The Airflow installation of one Headframe home: environment, users, settings files."""

import base64
import hashlib
import json
import os
import secrets
import sys
from pathlib import Path

from pipelines.adapters.platform import broker
from pipelines.adapters.platform.ports import LOOPBACK, Ports
from pipelines.adapters.platform.users import PLATFORM, User, read_users, users_at_first
from pipelines.adapters.settings import Settings
from pipelines.adapters.stores.whole_files import write_whole
from pipelines.errors import PlatformError, Problem, SettingsError

PRELOAD = '''\
"""Written by Headframe at each start: what a process imports before it forks the tasks."""

import os
import sys

__all__: list[str] = []

LOCAL = os.environ.get("AIRFLOW__CORE__EXECUTOR") == "LocalExecutor"

if sys.argv[1:3] == ["celery", "worker"] or (LOCAL and sys.argv[1:2] == ["scheduler"]):
    # Imported and never used: tasks are forked from here, so each gets these modules for free,
    # while a library that had already started a thread would hang them.
    import duckdb
    import great_expectations
    import mlflow
    import pandas
    import pyarrow
    import sklearn.ensemble
elif sys.argv[1:2] == ["dag-processor"]:
    # Each file is read in a fork of this process, which would import what all of them need anew, and
    # read the settings.
    import pipelines.dag_factory.dags
    from pipelines.adapters.settings import current_settings

    current_settings()
'''

SIMPLE_AUTH_MANAGER = (
    "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager"
)
"""The class by which Airflow knows the users of ``users.toml``."""

KEPT_PREFIXES = (
    "AIRFLOW_CONN_",
    "AIRFLOW_VAR_",
    "AIRFLOW__EMAIL__",
    "AIRFLOW__METRICS__",
    "AIRFLOW__OPENLINEAGE__",
    "AIRFLOW__SECRETS__",
    "AIRFLOW__SMTP__",
    "AIRFLOW__TRACES__",
)
"""Airflow variables a person may set around Headframe; any other would mix two installations."""

TASK_TOKEN_SECONDS = 6 * 3600
"""A task's token must outlive its wait in the queue; Airflow's 600 s do not on a busy machine."""


IDENTITY_CHARACTERS = 12
"""Of a digest: enough that no two homes of a site meet by chance, and nothing to guess a key from."""

LOCK_SECONDS = 60
"""How long a process waits for another's write to SQLite; with the library's 5, requests failed."""

SERVER_LOCK_SECONDS = 15
"""The same for the API server. It waits in the one thread that also ends the request whose write it
waits for: then nothing moves on until it gives up, and who asked asks again."""


def prepare(settings: Settings) -> tuple[User, ...]:
    """Make the files Airflow needs under ``<home>/airflow`` and return the users.

    Secrets, passwords and ``users.toml`` are made once and then kept.
    Raises SettingsError when ``users.toml`` is wrong.
    """
    home = airflow_folder(settings)
    home.mkdir(parents=True, exist_ok=True)
    home.chmod(0o700)
    for folder in ("logs", "bundles"):
        (home / folder).mkdir(exist_ok=True)
    if not settings.users_file.exists():
        write_whole(settings.users_file, users_at_first({}))
    users = read_users(settings.users_file)
    if not _secrets_file(settings).exists():
        _write_private(_secrets_file(settings), _new_secrets())
    known = passwords(settings)
    missing = [name for name in (*(user.name for user in users), PLATFORM) if name not in known]
    if missing or not _passwords_file(settings).exists():
        known |= {name: secrets.token_urlsafe(12) for name in missing}
        _write_private(_passwords_file(settings), known)
    write_whole(home / "config" / "airflow_local_settings.py", PRELOAD)
    return users


def passwords(settings: Settings) -> dict[str, str]:
    """Each user's password for Airflow's UI and API; empty before the first start."""
    file = _passwords_file(settings)
    return _read_private(file) if file.exists() else {}


def password(settings: Settings, user: str) -> str:
    """Return a user's password; empty for one without.

    That of the platform's own user is in HEADFRAME_AIRFLOW_PASSWORD_FILE where that is set.
    """
    if user == PLATFORM and settings.airflow_password_file is not None:
        try:
            return settings.airflow_password_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(
                Problem(
                    where="HEADFRAME_AIRFLOW_PASSWORD_FILE",
                    expected=f"a file with the password of Airflow's user {PLATFORM}",
                    found=type(error).__name__,
                    fix="Name a file that this process may read.",
                )
            ) from None
    return passwords(settings).get(user, "")


def airflow_folder(settings: Settings) -> Path:
    """AIRFLOW_HOME of this home."""
    return settings.root / "airflow"


def identity(settings: Settings) -> str:
    """Return a name that no other home has, once ``prepare`` has made its secrets."""
    key = _read_private(_secrets_file(settings))["fernet_key"]
    return hashlib.sha256(key.encode()).hexdigest()[:IDENTITY_CHARACTERS]


def airflow_address(settings: Settings, ports: Ports) -> str:
    """Return where workers and people reach Airflow."""
    return settings.airflow.rstrip("/") or ports.airflow_address


def tracking_uri(settings: Settings, ports: Ports) -> str:
    """Choose the MLflow tracking URI of tasks: a server set from outside, else this home's own."""
    outside = settings.mlflow.startswith(("http://", "https://"))
    return settings.mlflow if outside else ports.mlflow_address


def environment(settings: Settings, ports: Ports) -> dict[str, str]:
    """All variables a process of this home needs, on top of the caller's own.

    Call ``prepare`` first: the secrets it made are part of the result, so never log it.
    """
    kept = {name: value for name, value in os.environ.items() if _is_kept(name)}
    loopback = ",".join(filter(None, [kept.get("NO_PROXY", ""), LOOPBACK, "localhost"]))
    dags = settings.dags.absolute()
    python_path = [str(dags.parent), *filter(None, kept.get("PYTHONPATH", "").split(os.pathsep))]
    path = [str(Path(sys.executable).parent), kept.get("PATH", os.defpath)]
    kept.setdefault("AIRFLOW__OPENLINEAGE__DISABLED", "True")
    return {
        **kept,
        **_airflow_variables(settings, ports),
        "HEADFRAME_HOME": str(settings.root),
        "HEADFRAME_DAGS": str(dags),
        "HEADFRAME_EXPECTATIONS": str(settings.expectations.absolute()),
        "HEADFRAME_MLFLOW": tracking_uri(settings, ports),
        "PATH": os.pathsep.join(path),
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(python_path)),
        "PYTHONUNBUFFERED": "1",
        "NO_PROXY": loopback,
        "no_proxy": loopback,
        # Two tasks share two cores: a numeric library gets one thread, and waits asleep.
        "OMP_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
        # pyarrow's allocator would start a thread at import, before the scheduler forks.
        "JE_ARROW_MALLOC_CONF": "background_thread:false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "GX_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }


def _airflow_variables(settings: Settings, ports: Ports) -> dict[str, str]:
    home = airflow_folder(settings)
    generated = _read_private(_secrets_file(settings))
    users = read_users(settings.users_file)
    dags = settings.dags.absolute()
    options = {
        "core": {
            "dags_folder": str(dags),
            "plugins_folder": str(dags.parent / "plugins"),
            "load_examples": "False",
            "dag_discovery_safe_mode": "False",
            "executor": "LocalExecutor",
            "parallelism": "2",
            "execute_tasks_new_python_interpreter": "False",
            "fernet_key": generated["fernet_key"],
            # A laptop's full name changes with its network, and looking it up can take seconds.
            "hostname_callable": "socket.gethostname",
            "execution_api_server_url": f"{airflow_address(settings, ports)}/execution/",
            "auth_manager": SIMPLE_AUTH_MANAGER,
            "simple_auth_manager_all_admins": "False",
            "simple_auth_manager_users": ",".join(
                (*(f"{user.name}:{user.airflow_role}" for user in users), f"{PLATFORM}:viewer")
            ),
            "simple_auth_manager_passwords_file": str(_passwords_file(settings)),
        },
        "database": {"sql_alchemy_conn": database_url(settings)},
        "api": {
            "host": LOOPBACK,
            "port": str(ports.airflow),
            "workers": "1",
            "base_url": airflow_address(settings, ports),
            "secret_key": generated["api_secret_key"],
        },
        "api_auth": {"jwt_secret": generated["jwt_secret"]},
        "execution_api": {"jwt_expiration_time": str(TASK_TOKEN_SECONDS)},
        "workers": {
            # A loaded machine answers late; Airflow's 5 s would fail the task.
            "execution_api_timeout": "30",
            # A finished task keeps its worker until the next look at it: Airflow's 5 s make two
            # workers end two tasks in five seconds, however short.
            "min_heartbeat_interval": "1",
        },
        "logging": {
            "base_log_folder": str(home / "logs"),
            "dag_processor_child_process_log_directory": str(home / "logs" / "dag_processor"),
            "worker_log_server_port": str(ports.worker_logs),
            "trigger_log_server_port": str(ports.triggerer_logs),
            "colored_console_log": "False",
        },
        "scheduler": {
            # Airflow's 1 s is most of a chain of short tasks.
            "scheduler_idle_sleep_time": "0.2",
            # A task whose scheduler was killed is taken up again within about a minute.
            "orphaned_tasks_check_interval": "60",
        },
        "dag_processor": {
            "dag_bundle_storage_path": str(home / "bundles"),
            "parsing_processes": "1",
            "print_stats_interval": "0",
            # New and changed files are found by the refresh; unchanged ones are read seldom.
            "refresh_interval": "10",
            "min_file_process_interval": "120",
            # Airflow forgets the DAGs of a file that it gave up reading; its 50 s are short of LOCK_SECONDS.
            "dag_file_processor_timeout": "180",
        },
    }
    for section, values in broker.airflow_options(settings, identity=identity(settings)).items():
        options[section] = {**options.get(section, {}), **values}
    return {
        "AIRFLOW_HOME": str(home),
        **{
            f"AIRFLOW__{section}__{option}".upper(): value
            for section, values in options.items()
            for option, value in values.items()
        },
    }


def server_variables(settings: Settings) -> dict[str, str]:
    """Return what the API server is told otherwise than the other processes."""
    url = database_url(settings, lock_seconds=SERVER_LOCK_SECONDS)
    return {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": url}


def database_url(settings: Settings, *, lock_seconds: int = LOCK_SECONDS) -> str:
    """SQLAlchemy URL of Airflow's metadata database; of SQLite with how long another's write is waited for."""
    file = airflow_folder(settings) / "airflow.db"
    return settings.database or f"sqlite:///{file}?timeout={lock_seconds}"


def _is_kept(name: str) -> bool:
    if name in {"PYTHONDONTWRITEBYTECODE", "HEADFRAME_PROCESS"}:
        return False
    return name.startswith(KEPT_PREFIXES) or not name.lstrip("_").startswith("AIRFLOW")


def _new_secrets() -> dict[str, str]:
    return {
        # HS512 asks for at least 64 bytes.
        "jwt_secret": secrets.token_urlsafe(64),
        "api_secret_key": secrets.token_urlsafe(48),
        "fernet_key": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
    }


def _secrets_file(settings: Settings) -> Path:
    return airflow_folder(settings) / "secrets.json"


def _passwords_file(settings: Settings) -> Path:
    return airflow_folder(settings) / "passwords.json"


def _write_private(path: Path, content: dict[str, str]) -> None:
    write_whole(path, json.dumps(content, indent=2) + "\n", mode=0o600)


def _read_private(path: Path) -> dict[str, str]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        content = None
    if not isinstance(content, dict):
        raise PlatformError(
            Problem(
                where=str(path),
                expected="the JSON object that `headframe up` wrote",
                found="something else" if path.exists() else "no such file",
                fix="Restore it from a backup, or delete it and run `headframe up` for a new one.",
            )
        )
    return {str(name): str(value) for name, value in content.items()}
