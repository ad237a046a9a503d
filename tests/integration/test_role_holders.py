"""Who has a role now: under Airflow's simple auth manager, under FAB, and under any other."""

from pathlib import Path

import pytest

from pipelines.adapters.platform import authentication, machine
from pipelines.adapters.platform.airflow_home import airflow_folder
from pipelines.adapters.platform.role_holders import holders, kept_in, unable
from pipelines.adapters.settings import Settings
from pipelines.domain.approval import Person
from pipelines.errors import PlatformError, SettingsError
from tests.airflow_fake import airflow_of

USERS = """\
[users]
zoe = ["approver"]
ann = ["approver", "operator"]
sam = ["data_scientist"]
[mail]
ann = "ann@example.com"
"""

ALL_ADMINS = "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS"
RANKS = "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS"


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name in ("AIRFLOW__CORE__AUTH_MANAGER", ALL_ADMINS, RANKS, "AIRFLOW_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path / "elsewhere"))
    found = Settings(home=tmp_path / "home")
    found.root.mkdir()
    found.users_file.write_text(USERS)
    return found


def test_the_simple_auth_manager_has_the_users_of_users_toml(settings: Settings) -> None:
    assert holders(settings, "approver") == (
        Person(id="ann", name="ann", mail="ann@example.com"),
        Person(id="zoe", name="zoe"),
    )
    assert holders(settings, "data_engineer") == ()
    assert kept_in(settings) == "users.toml"


def test_an_edit_of_users_toml_counts_at_once(settings: Settings) -> None:
    settings.users_file.write_text('[users]\nzoe = []\nsam = ["approver"]\n')
    assert [person.name for person in holders(settings, "approver")] == ["sam"]


def test_fab_has_its_own_users_whose_ids_are_numbers(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__AUTH_MANAGER", authentication.FAB)
    with airflow_of(settings) as airflow:
        airflow.people["approver"] = [{"id": "7", "name": "ann", "mail": "ann@example.com"}]
        found = holders(settings, "approver")
        assert holders(settings, "operator") == ()
    assert found == (Person(id="7", name="ann", mail="ann@example.com"),)
    assert set(airflow.asked_as) == {"headframe"}
    assert kept_in(settings) == "Airflow (Security, List Users)"


def test_any_other_auth_manager_is_refused(settings: Settings) -> None:
    folder = airflow_folder(settings)
    folder.mkdir(parents=True)
    (folder / "airflow.cfg").write_text("[core]\nauth_manager = keycloak.Manager\n")
    with pytest.raises(SettingsError, match=r"found keycloak\.Manager"):
        holders(settings, "approver")


def test_whom_airflow_gave_too_low_a_rank_is_known_until_the_next_start(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(RANKS, "ann:op, zoe:viewer,sam:USER:team,headframe:viewer")
    people = [Person(id=name, name=name) for name in ("ann", "zoe", "sam", "new")]
    assert unable(settings, "approver", people) == ("zoe", "new")
    assert unable(settings, "operator", people) == ("zoe", "sam", "new")
    monkeypatch.setenv("AIRFLOW__CORE__AUTH_MANAGER", authentication.FAB)
    assert unable(settings, "approver", people) == ()


def test_without_ranks_nobody_is_said_to_be_unable(settings: Settings) -> None:
    assert unable(settings, "approver", holders(settings, "approver")) == ()


@pytest.mark.parametrize(
    ("said", "everybody"),
    [
        ("True", True),
        (" t ", True),
        ("1", True),
        ("True  # for now", True),
        ("False  # not True", False),
        ("# True", False),
        ("False", False),
    ],
)
def test_everybody_is_administrator_where_airflow_reads_so(
    said: str, settings: Settings, monkeypatch: pytest.MonkeyPatch, *, everybody: bool
) -> None:
    monkeypatch.setenv(ALL_ADMINS, said)
    assert authentication.everybody_is_administrator(settings) is everybody


@pytest.mark.parametrize("where", ["environment", "airflow.cfg"])
def test_a_platform_that_knows_nobody_does_not_start(
    where: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.require(machine.logins(settings))
    if where == "environment":
        monkeypatch.setenv(ALL_ADMINS, "True")
    else:
        folder = airflow_folder(settings)
        folder.mkdir(parents=True)
        (folder / "airflow.cfg").write_text("[core]\nsimple_auth_manager_all_admins = true\n")
    with pytest.raises(PlatformError) as caught:
        machine.require(machine.logins(settings))
    assert str(caught.value) == (
        "logins: expected what a start needs; found simple_auth_manager_all_admins is on: whoever "
        f"reaches Airflow may do anything.\n  Unset {ALL_ADMINS}, and take it out of airflow.cfg."
    )
