"""The Airflow home: secrets kept, users read strictly, an environment that mixes with no other."""

import json
import os
from pathlib import Path

import pytest

from pipelines.adapters.platform import airflow_home, platform_processes
from pipelines.adapters.platform.ports import Ports
from pipelines.adapters.platform.users import User, airflow_role, read_users, users_at_first
from pipelines.adapters.settings import Settings
from pipelines.errors import PlatformError, SettingsError

REPOSITORY = Path(__file__).parents[2]
PORTS = Ports(airflow=20001, mlflow=20002, worker_logs=20003, triggerer_logs=20004)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name in list(os.environ):
        if "AIRFLOW" in name or name.startswith("HEADFRAME_"):
            monkeypatch.delenv(name)
    return Settings(home=tmp_path / "home", dags=tmp_path / "site" / "dags")


def test_secrets_and_passwords_are_made_once_and_readable_only_by_their_owner(
    settings: Settings,
) -> None:
    airflow_home.prepare(settings)
    folder = airflow_home.airflow_folder(settings)
    files = [folder / "secrets.json", folder / "passwords.json"]
    first = [file.read_text() for file in files]
    airflow_home.prepare(settings)
    assert [file.read_text() for file in files] == first
    assert [file.stat().st_mode & 0o777 for file in files] == [0o600, 0o600]
    assert len(json.loads(first[0])["jwt_secret"]) >= 64


def test_the_first_users_have_one_role_each_and_the_administrator_none(settings: Settings) -> None:
    users = airflow_home.prepare(settings)
    assert users == (
        User("engineer", ("data_engineer",), "op"),
        User("scientist", ("data_scientist",), "user"),
        User("approver", ("approver",), "user"),
        User("operator", ("operator",), "op"),
        User("admin", (), "admin"),
    )
    assert [user.airflow_role for user in users] == ["op", "user", "user", "op", "admin"]


def test_an_edited_users_file_is_kept_and_a_new_user_gets_a_password(settings: Settings) -> None:
    airflow_home.prepare(settings)
    before = airflow_home.passwords(settings)
    with settings.users_file.open("a") as file:
        file.write('alice = ["data_scientist", "operator"]\nguest = []\n')
    users = airflow_home.prepare(settings)
    assert [user.airflow_role for user in users[-2:]] == ["op", "viewer"]
    after = airflow_home.passwords(settings)
    assert after.keys() - before.keys() == {"alice", "guest"}
    assert {name: after[name] for name in before} == before


def test_the_platform_has_a_user_of_its_own_who_may_only_look(settings: Settings) -> None:
    airflow_home.prepare(settings)
    assert len(airflow_home.password(settings, "headframe")) >= 16
    users = airflow_home.environment(settings, PORTS)["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS"]
    assert users == (
        "engineer:op,scientist:user,approver:user,operator:op,admin:admin,headframe:viewer"
    )


def test_the_password_of_the_platform_may_be_in_a_file(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "password"
    elsewhere = settings.model_copy(update={"airflow_password_file": file})
    with pytest.raises(SettingsError, match=r"HEADFRAME_AIRFLOW_PASSWORD_FILE.*FileNotFoundError"):
        airflow_home.password(elsewhere, "headframe")
    file.write_text("told to nobody\n")
    assert airflow_home.password(elsewhere, "headframe") == "told to nobody"
    assert airflow_home.password(elsewhere, "operator") == ""


def test_users_may_give_an_address_for_mail(tmp_path: Path) -> None:
    file = tmp_path / "users.toml"
    file.write_text('[users]\nann = []\nbob = []\n[mail]\nann = "ann@example.com"\n')
    assert [user.mail for user in read_users(file)] == ["ann@example.com", ""]


def test_all_problems_of_the_users_file_are_told_at_once(tmp_path: Path) -> None:
    file = tmp_path / "users.toml"
    file.write_text(
        "[user]\n"
        "[users]\n"
        'ann = ["data_scientst"]\n'
        'bob = "approver"\n'
        '"a:b" = []\n'
        'cleo = ["approver", "king"]\n'
        "headframe = []\n"
        '[mail]\nann = "ann at example"\ndan = "dan@example.com"\n'
    )
    with pytest.raises(SettingsError) as caught:
        read_users(file)
    found = [
        (problem.where.removeprefix(f"{file} "), problem.found) for problem in caught.value.problems
    ]
    assert found == [
        ("[user]", "'user'"),
        ("[users] ann", "'data_scientst'"),
        ("[users] bob", "'approver'"),
        ("[users] a:b", "'a:b'"),
        ("[users] cleo", "'king'"),
        ("[users] headframe", "the platform's own user"),
        ("[mail] ann", "something else"),
        ("[mail] dan", "'dan'"),
    ]
    assert caught.value.problems[1].fix == "Did you mean 'data_scientist'?"


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (None, "no such file"),
        ("[users\n", "Expected"),
        ("", "none"),
        ("users = 3\n", "none"),
    ],
)
def test_a_users_file_that_cannot_be_read_says_why(
    tmp_path: Path, content: str | None, found: str
) -> None:
    file = tmp_path / "users.toml"
    if content is not None:
        file.write_text(content)
    with pytest.raises(SettingsError, match=found):
        read_users(file)


def test_every_address_of_the_environment_is_on_the_loopback_interface(settings: Settings) -> None:
    airflow_home.prepare(settings)
    variables = airflow_home.environment(settings, PORTS)
    addresses = [value for value in variables.values() if ":2000" in value]
    assert addresses == [address for address in addresses if "//127.0.0.1:2000" in address]
    assert variables["AIRFLOW__API__HOST"] == "127.0.0.1"
    assert (
        variables["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://127.0.0.1:20001/execution/"
    )
    assert variables["HEADFRAME_MLFLOW"] == "http://127.0.0.1:20002"
    assert variables["AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT"] == "20003"
    assert variables["AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT"] == "20004"
    assert variables["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS"] == "False"


def test_the_environment_takes_nothing_from_another_airflow(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    airflow_home.prepare(settings)
    outside = {
        "AIRFLOW_CONFIG": "/elsewhere/airflow.cfg",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "True",
        "_AIRFLOW_SKIP_DB_TESTS": "true",
        "AIRFLOW_CONN_WAREHOUSE": "postgresql://warehouse",
        "AIRFLOW__OPENLINEAGE__DISABLED": "False",
        "PYTHONDONTWRITEBYTECODE": "1",
        "HEADFRAME_PROCESS": "scheduler",
        "NO_PROXY": "intranet",
    }
    for name, value in outside.items():
        monkeypatch.setenv(name, value)
    variables = airflow_home.environment(settings, PORTS)
    kept = {name: variables[name] for name in outside if name in variables}
    assert kept == {
        "AIRFLOW_CONN_WAREHOUSE": "postgresql://warehouse",
        "AIRFLOW__OPENLINEAGE__DISABLED": "False",
        "NO_PROXY": "intranet,127.0.0.1,localhost",
    }


def test_relative_folders_become_absolute_and_the_checkout_is_importable(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    relative = settings.model_copy(update={"home": Path("home"), "dags": Path("site/dags")})
    airflow_home.prepare(relative)
    variables = airflow_home.environment(relative, PORTS)
    assert variables["HEADFRAME_HOME"] == str(tmp_path / "home")
    assert variables["HEADFRAME_EXPECTATIONS"] == str(tmp_path / "expectations")
    assert variables["AIRFLOW__CORE__DAGS_FOLDER"] == str(tmp_path / "site" / "dags")
    assert variables["AIRFLOW__CORE__PLUGINS_FOLDER"] == str(tmp_path / "site" / "plugins")
    assert variables["PYTHONPATH"].split(os.pathsep)[0] == str(tmp_path / "site")
    assert variables["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] == (
        f"sqlite:///{tmp_path}/home/airflow/airflow.db?timeout=60"
    )


def test_the_api_server_gives_a_lock_up_before_others_and_before_a_file_is_given_up(
    settings: Settings,
) -> None:
    airflow_home.prepare(settings)
    variables = {
        child.name: child.environment for child in platform_processes.children(settings, PORTS)
    }
    waits = {
        name: of["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].rpartition("=")[2]
        for name, of in variables.items()
    }
    assert waits.pop("api-server") == "15"
    assert {"scheduler", "dag-processor", "triggerer"} <= waits.keys()
    assert set(waits.values()) == {"60"}
    given_up = variables["dag-processor"]["AIRFLOW__DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT"]
    assert int(given_up) > 60 + 15
    outside = settings.model_copy(update={"database": "postgresql://db/airflow"})
    assert airflow_home.server_variables(outside) == {
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "postgresql://db/airflow"
    }


def test_an_outside_mlflow_server_and_database_are_used(settings: Settings) -> None:
    outside = settings.model_copy(
        update={"mlflow": "https://mlflow.example", "database": "postgresql://db/airflow"}
    )
    airflow_home.prepare(outside)
    variables = airflow_home.environment(outside, PORTS)
    assert variables["HEADFRAME_MLFLOW"] == "https://mlflow.example"
    assert variables["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] == "postgresql://db/airflow"


def test_a_damaged_secrets_file_is_never_replaced_silently(settings: Settings) -> None:
    airflow_home.prepare(settings)
    file = airflow_home.airflow_folder(settings) / "secrets.json"
    file.write_text("{")
    airflow_home.prepare(settings)
    with pytest.raises(PlatformError, match=r"secrets\.json"):
        airflow_home.environment(settings, PORTS)


def test_only_the_scheduler_imports_what_its_tasks_will_need(settings: Settings) -> None:
    airflow_home.prepare(settings)
    file = airflow_home.airflow_folder(settings) / "config" / "airflow_local_settings.py"
    code = compile(file.read_text(), str(file), "exec")
    imported: dict[str, object] = {}
    exec(code, imported)  # noqa: S102 - the file this project wrote a moment ago
    assert "pandas" not in imported
    assert imported["__all__"] == []


def test_a_team_may_have_roles_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "users.toml"
    file.write_text(
        users_at_first({"head_of_mill": {"approver", "operator"}, "miller": ["data_engineer"]})
    )
    found = {user.name: (user.roles, user.airflow_role) for user in read_users(file)}
    assert found["approver"] == (("approver", "head_of_mill"), "op")
    assert found["engineer"] == (("data_engineer", "miller"), "op")
    assert found["operator"] == (("operator", "head_of_mill"), "op")
    assert found["scientist"] == (("data_scientist",), "user")
    assert (airflow_role(file, "head_of_mill"), airflow_role(file, "miller")) == ("op", "op")
    assert airflow_role(file, "nobody") == "admin", "who can do the most, until somebody says"


def test_a_role_of_its_own_is_like_one_of_the_four(tmp_path: Path) -> None:
    file = tmp_path / "users.toml"
    file.write_text(
        '[users]\nann = ["head_of_mil"]\n[roles]\nhead_of_mill = "king"\napprover = "operator"\n'
        'reeve = ["approver"]\n'
    )
    with pytest.raises(SettingsError) as caught:
        read_users(file)
    assert [(p.where.removeprefix(f"{file} "), p.found) for p in caught.value.problems] == [
        ("[roles] head_of_mill", "'king'"),
        ("[roles] approver", "'approver'"),
        ("[roles] reeve", "['approver']"),
        ("[users] ann", "'head_of_mil'"),
    ]
    assert caught.value.problems[-1].fix == "Did you mean 'head_of_mill'?"
