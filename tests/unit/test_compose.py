"""Docker files, checked without an engine: schema, Dockerfile lint, and our own rules."""

import base64
import functools
import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from pipelines.adapters.platform import airflow_home
from pipelines.adapters.platform.ports import Ports
from pipelines.adapters.settings import Settings

REPOSITORY: Final = Path(__file__).parents[2]
COMPOSE: Final = REPOSITORY / "docker-compose.yaml"
DOCKERFILE: Final = REPOSITORY / "Dockerfile"
TOOLS: Final = Path(sys.executable).parent
"""The environment's own executables, whatever the caller's PATH says."""

ONE_SHOT: Final = {"migrate"}
AIRFLOW: Final = {"migrate", "api-server", "scheduler", "dag-processor", "triggerer"}
AIRFLOW_SECRETS: Final = {
    "airflow_api_secret_key",
    "airflow_database_url",
    "airflow_fernet_key",
    "airflow_jwt_secret",
    "mlflow_credentials",
}
"""Airflow's processes trust one another only while these are the same everywhere."""

DIFFERENT_ON_PURPOSE: Final = re.compile(
    r"_CMD$|_URL$|_FOLDER$|_DIRECTORY$|__AUTH_MANAGER$|__API_AUTH__JWT_EXPIRATION_TIME$"
)
"""Addresses, folders, secrets and users; every other option is the embedded platform's."""

CREDENTIAL_NAME: Final = re.compile(r"PASSWORD|SECRET|TOKEN|KEY|CREDENTIAL|SQL_ALCHEMY|_URI$")
CREDENTIAL_IN_ADDRESS: Final = re.compile(r"://[^/\s:@]*:[^/\s@]+@")

Document = dict[str, Any]
"""A parsed YAML file: the one place where a value may be anything."""


def problems(document: Document) -> list[str]:
    """Name every broken rule of a Compose file, one line each; empty when there is none."""
    services: Document = document["services"]
    found = [*dangling_references(document), *airflow_disagreements(services)]
    for name, service in services.items():
        own = [*missing_safeguards(name, service), *exposed_credentials(service)]
        found += [f"{name}: {problem}" for problem in own]
    return found


def dangling_references(document: Document) -> Iterator[str]:
    """Yield each name used but not declared, and each declared but not used."""
    services: Document = document["services"]
    for name, service in services.items():
        for other in service.get("depends_on", {}):
            if other not in services:
                yield f"{name}: depends_on names the undeclared service {other}"
    namings = {"secrets": secret_names, "volumes": volume_names, "networks": network_names}
    for kind, names_of in namings.items():
        declared = set(document.get(kind, {}))
        used = {used for service in services.values() for used in names_of(service)}
        yield from (f"{kind}: {name} is used but not declared" for name in sorted(used - declared))
        yield from (f"{kind}: {name} is declared but not used" for name in sorted(declared - used))
    for name, secret in document["secrets"].items():
        if set(secret) != {"file"}:
            yield f"secrets: {name} does not come from a file"


def secret_names(service: Document) -> set[str]:
    """Return the secrets a service mounts, in the short or the long form."""
    secrets = service.get("secrets", [])
    return {secret["source"] if isinstance(secret, dict) else secret for secret in secrets}


def volume_names(service: Document) -> set[str]:
    """Return the named volumes a service mounts."""
    return {volume.split(":")[0] for volume in service.get("volumes", [])}


def network_names(service: Document) -> set[str]:
    """Return the networks a service joins; none named means Compose's default one."""
    return set(service.get("networks", ["default"]))


def missing_safeguards(name: str, service: Document) -> Iterator[str]:
    """Yield what one service lacks of what every service must have."""
    for port in service.get("ports", []):
        if not str(port).startswith("127.0.0.1:"):
            yield f"port {port} is published beyond 127.0.0.1"
    if name not in ONE_SHOT and "test" not in service.get("healthcheck", {}):
        yield "has no healthcheck"
    if service.get("restart") != ("no" if name in ONE_SHOT else "unless-stopped"):
        yield "has the wrong restart policy"
    if service.get("read_only") is not True:
        yield "can write to its root file system"
    if service.get("cap_drop") != ["ALL"] or service.get("cap_add") or service.get("privileged"):
        yield "keeps capabilities"
    if "no-new-privileges:true" not in service.get("security_opt", []):
        yield "may gain privileges"
    for limit in ("mem_limit", "cpus", "pids_limit"):
        if limit not in service:
            yield f"has no {limit}"


def exposed_credentials(service: Document) -> Iterator[str]:
    """Yield where one service holds a credential itself, or reads one it was not given."""
    for variable, value in service.get("environment", {}).items():
        named_file = variable.endswith(("_CMD", "_FILE", "_PATH")) and "/run/secrets/" in value
        if CREDENTIAL_NAME.search(variable) and not named_file:
            yield f"{variable} holds its value instead of naming a secret file"
    for text in strings(service):
        if CREDENTIAL_IN_ADDRESS.search(text):
            yield "an address holds a password"
        for secret in re.findall(r"/run/secrets/(\w+)", text):
            if secret not in secret_names(service):
                yield f"reads the secret {secret}, which it does not mount"


def strings(value: object) -> Iterator[str]:
    """Yield every text inside a parsed YAML value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from (text for child in value.values() for text in strings(child))
    elif isinstance(value, list):
        yield from (text for child in value for text in strings(child))


def airflow_disagreements(services: Document) -> Iterator[str]:
    """Yield what differs among Airflow's services and must not."""
    reference = services["api-server"]
    for name in sorted(AIRFLOW):
        service = services[name]
        yield from (
            f"{name}: {key} differs from the api-server's"
            for key in ("image", "build", "environment", "volumes", "networks")
            if service.get(key) != reference.get(key)
        )
        if missing := sorted(AIRFLOW_SECRETS - secret_names(service)):
            yield f"{name}: lacks the shared secrets {missing}"


def started(*command: str | Path, cwd: Path = REPOSITORY) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=99)


def checked_by_schema(path: Path) -> subprocess.CompletedProcess[str]:
    return started(TOOLS / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", path)


@pytest.fixture
def document() -> Document:
    # Through JSON: a YAML anchor is one object in many services, and a test changes one service.
    parsed: Document = json.loads(json.dumps(yaml.safe_load(COMPOSE.read_text())))
    return parsed


def test_the_compose_file_follows_the_compose_specification() -> None:
    assert checked_by_schema(COMPOSE).returncode == 0


def test_the_specification_check_refuses_a_misspelt_key(tmp_path: Path) -> None:
    broken = tmp_path / "docker-compose.yaml"
    broken.write_text(COMPOSE.read_text().replace("read_only: true", "readonly: true"))
    answer = checked_by_schema(broken)
    assert answer.returncode == 1
    assert "readonly" in answer.stdout


def test_the_dockerfile_passes_hadolint() -> None:
    answer = started(TOOLS / "hadolint", DOCKERFILE)
    assert answer.returncode == 0, answer.stdout


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        ("uv==0.13.8", "uv", "DL3013"),
        ("FROM python:3.11-slim-bookworm\n", "FROM python:latest\n", "DL3007"),
        ("USER 50000:0", "USER root", "DL3002"),
        ("WORKDIR /opt/headframe", "WORKDIR headframe", "DL3000"),
    ],
)
def test_hadolint_refuses_a_careless_file(old: str, new: str, rule: str, tmp_path: Path) -> None:
    text = DOCKERFILE.read_text()
    assert old in text
    broken = tmp_path / "Dockerfile"
    broken.write_text(text.replace(old, new))
    answer = started(TOOLS / "hadolint", broken)
    assert answer.returncode == 1
    assert rule in answer.stdout


def test_the_image_installs_the_lock_and_runs_as_an_ordinary_user() -> None:
    text = DOCKERFILE.read_text()
    assert text.count("uv sync") == text.count("uv sync --locked --no-dev --compile-bytecode") > 0
    assert re.findall(r"^USER (.*)$", text, flags=re.MULTILINE) == ["50000:0"]
    assert "OMP_WAIT_POLICY=PASSIVE" in text


def test_the_build_context_is_what_the_dockerfile_copies_and_nothing_else() -> None:
    copies = re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE.read_text(), flags=re.MULTILINE)
    copied = {source for line in copies for source in line.split()}
    _, first, *rules = (REPOSITORY / ".dockerignore").read_text().splitlines()
    assert first == "*"
    assert {rule[1:] for rule in rules if rule.startswith("!")} == copied
    assert {"pipelines", "dags", "plugins", "expectations"} <= copied


def test_the_compose_file_breaks_none_of_our_rules(document: Document) -> None:
    assert set(document["services"]) == AIRFLOW | {"postgres", "mlflow"}
    assert problems(document) == []


def documented_commands() -> list[str]:
    """Return the lines of the Compose file's heading that a person runs."""
    return re.findall(r"^#: (.*)$", COMPOSE.read_text(), flags=re.MULTILINE)


def create_secrets(folder: Path) -> subprocess.CompletedProcess[str]:
    script = "\n".join(documented_commands()[1:-2])
    return started(sys.executable, "-c", script, cwd=folder)


def test_the_documented_commands_create_every_secret_and_replace_none(
    document: Document, tmp_path: Path
) -> None:
    first, *_, end, start = documented_commands()
    assert (first, end, start) == ("python3 - <<'END'", "END", "docker compose up --build -d")
    assert create_secrets(tmp_path).returncode == 0
    written = contents(tmp_path)
    assert set(written) == {secret["file"] for secret in document["secrets"].values()}
    # Compose mounts a file as it is: services under other users must be able to read it.
    assert {(tmp_path / name).stat().st_mode & 0o777 for name in written} == {0o444}
    assert (tmp_path / ".headframe/secrets").stat().st_mode & 0o777 == 0o700
    assert "FileExistsError" in create_secrets(tmp_path).stderr
    assert contents(tmp_path) == written


def test_the_created_secrets_fit_together(tmp_path: Path) -> None:
    assert create_secrets(tmp_path).returncode == 0
    made = {Path(name).name: text for name, text in contents(tmp_path).items()}
    assert len(base64.urlsafe_b64decode(made["airflow_fernet_key"])) == 32
    assert len(made["airflow_jwt_secret"]) >= 64  # HS512 asks for 64 bytes
    for file in ("airflow_database_url", "mlflow_environment", "mlflow_auth"):
        role = file.split("_")[0]
        addresses = re.findall(rf"psycopg2://{role}:(\w+)@postgres/(\w+)", made[file])
        assert len(addresses) == 1
        password, database = addresses[0]
        assert f"CREATE ROLE {role} LOGIN PASSWORD '{password}';" in made["postgres_databases"]
        assert f"CREATE DATABASE {database} OWNER {role};" in made["postgres_databases"]
    server = re.findall(r"admin_password = (\w+)", made["mlflow_auth"])
    client = re.findall(r"mlflow_tracking_password = (\w+)", made["mlflow_credentials"])
    assert server == client != []


def contents(folder: Path) -> dict[str, str]:
    """Map each file under a folder, by its relative path, to its text."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_text() for path in files}


def test_airflow_runs_with_the_options_of_the_embedded_platform(
    document: Document, tmp_path: Path
) -> None:
    settings = Settings(home=tmp_path)
    airflow_home.prepare(settings)
    ports = Ports(airflow=1, mlflow=2, worker_logs=3, triggerer_logs=4)
    embedded = airflow_home.environment(settings, ports)
    composed = document["services"]["scheduler"]["environment"]
    airflow = [name for name in composed if name.startswith("AIRFLOW__")]
    shared = [name for name in airflow if not DIFFERENT_ON_PURPOSE.search(name)]
    assert len(shared) > 10
    assert [composed[name] for name in shared] == [embedded.get(name) for name in shared]


@pytest.mark.parametrize(("status", "exit_status"), [("healthy", 0), ("unhealthy", 1), (None, 1)])
def test_a_component_is_judged_by_the_answers_body_not_by_its_http_status(
    status: str | None, exit_status: int, document: Document, tmp_path: Path
) -> None:
    answer = tmp_path / "api/v2/monitor/health"
    answer.parent.mkdir(parents=True)
    answer.write_text(json.dumps({"scheduler": {"status": status}}))
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    _, _, *check = document["services"]["scheduler"]["healthcheck"]["test"]
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        here = f"http://127.0.0.1:{server.server_port}"
        check = [part.replace("http://api-server:8080", here) for part in check]
        ended = started("/usr/bin/env", "no_proxy=*", sys.executable, *check)
        server.shutdown()
    assert ended.returncode == exit_status, ended.stderr


# One row a line, beyond the usual width: a table is read by its columns.
# fmt: off
BROKEN: Final[list[tuple[str, object, str]]] = [
    ("services scheduler depends_on redis", {}, "scheduler: depends_on names the undeclared service redis"),
    ("secrets airflow_jwt_secret", None, "secrets: airflow_jwt_secret is used but not declared"),
    ("secrets spare", {"file": "spare"}, "secrets: spare is declared but not used"),
    ("secrets mlflow_auth", {"environment": "AUTH"}, "secrets: mlflow_auth does not come from a file"),
    ("volumes mlflow", None, "volumes: mlflow is used but not declared"),
    ("volumes spare", {}, "volumes: spare is declared but not used"),
    ("services mlflow networks", ["outside"], "networks: outside is used but not declared"),
    ("services mlflow networks", None, "networks: default is used but not declared"),
    ("networks spare", {}, "networks: spare is declared but not used"),
    ("services mlflow ports", ["5000:5000"], "mlflow: port 5000:5000 is published beyond 127.0.0.1"),
    ("services triggerer healthcheck", None, "triggerer: has no healthcheck"),
    ("services migrate restart", "always", "migrate: has the wrong restart policy"),
    ("services postgres read_only", False, "postgres: can write to its root file system"),
    ("services scheduler cap_drop", None, "scheduler: keeps capabilities"),
    ("services scheduler cap_add", ["NET_ADMIN"], "scheduler: keeps capabilities"),
    ("services api-server security_opt", None, "api-server: may gain privileges"),
    ("services scheduler mem_limit", None, "scheduler: has no mem_limit"),
    ("services mlflow cpus", None, "mlflow: has no cpus"),
    ("services postgres pids_limit", None, "postgres: has no pids_limit"),
    ("services triggerer image", "apache/airflow:3", "triggerer: image differs from the api-server's"),
    ("services scheduler environment OMP_NUM_THREADS", "8", "scheduler: environment differs from the api-server's"),
    ("services triggerer secrets", [], f"triggerer: lacks the shared secrets {sorted(AIRFLOW_SECRETS)}"),
    ("services mlflow secrets", ["mlflow_auth"], "mlflow: reads the secret mlflow_environment, which it does not mount"),
    ("services postgres environment POSTGRES_PASSWORD", "hunter2", "postgres: POSTGRES_PASSWORD holds its value instead of naming a secret file"),
    ("services mlflow command", ["postgresql://mlflow:hunter2@postgres/mlflow"], "mlflow: an address holds a password"),
]
# fmt: on
"""Where to change the file, the new value (None removes it), and the problem that must be named."""


@pytest.mark.parametrize(("place", "value", "expected"), BROKEN)
def test_a_compose_file_that_breaks_a_rule_is_refused(
    place: str, value: object, expected: str, document: Document
) -> None:
    *folders, last = place.split()
    inside = document
    for folder in folders:
        inside = inside[folder]
    inside.pop(last, None)
    if value is not None:
        inside[last] = value
    assert expected in problems(document)
