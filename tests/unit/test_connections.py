"""Connections: where an address and its credentials come from, and that neither is ever told."""

import json
from typing import Any

import pytest
from sqlalchemy import make_url

from pipelines.adapters.databases.connections import from_environment, resolver, url_of
from pipelines.errors import SettingsError

PASSWORD = "canary/s3cr3t@:%"  # noqa: S105 - made up; it must never show
URL = "postgresql://sam:canary%2Fs3cr3t%40%3A%25@db.example:5433/till"
FIELDS = {
    "conn_type": "postgres",
    "login": "sam",
    "password": PASSWORD,
    "host": "db.example",
    "port": 5433,
    "schema": "till",
}


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HEADFRAME_CONNECTION_TILL", "AIRFLOW_CONN_TILL"):
        monkeypatch.delenv(name, raising=False)


def parts(url: str | None) -> tuple[Any, ...]:
    found = make_url(url or "")
    return found.username, found.password, found.host, found.port, found.database


SAM = ("sam", PASSWORD, "db.example", 5433, "till")


def test_headframes_own_variable_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_TILL", "postgres://other@elsewhere/db")
    monkeypatch.setenv("HEADFRAME_CONNECTION_TILL", URL)
    assert from_environment("till") == URL
    assert parts(URL) == SAM


@pytest.mark.parametrize(
    "told",
    [
        "postgres://sam:canary%2Fs3cr3t%40%3A%25@db.example:5433/till",
        "postgresql://sam:canary%2Fs3cr3t%40%3A%25@db.example:5433/till?sslmode=require",
        json.dumps(FIELDS),
        json.dumps({**FIELDS, "conn_type": "postgresql", "port": "5433", "extra": "{}"}),
    ],
)
def test_airflows_variable_is_read_as_uri_or_json(
    monkeypatch: pytest.MonkeyPatch, told: str
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_TILL", told)
    assert parts(from_environment("till")) == SAM


@pytest.mark.parametrize(
    "extra",
    [{"sslmode": "require", "iam": True}, '{"sslmode": "require", "cursor": "dictcursor"}'],
)
def test_of_the_extras_the_drivers_own_are_kept(extra: object) -> None:
    found = make_url(url_of({**FIELDS, "extra": extra}, where="connection"))
    assert dict(found.query) == {"sslmode": "require"}


def test_the_extras_of_a_uri_may_be_one_json(monkeypatch: pytest.MonkeyPatch) -> None:
    uri = "postgres://sam@db.example/?__extra__=%7B%22sslmode%22%3A+%22require%22%7D"
    monkeypatch.setenv("AIRFLOW_CONN_TILL", uri)
    assert from_environment("till") == "postgresql://sam@db.example?sslmode=require"


def test_airflow_itself_agrees_on_what_a_uri_means(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.sdk import Connection

    uri = Connection(conn_id="till", **FIELDS).get_uri()
    monkeypatch.setenv("AIRFLOW_CONN_TILL", uri)
    assert parts(from_environment("till")) == SAM


def test_a_socket_folder_as_host_keeps_its_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_TILL", "postgres://sam@%2Fvar%2FRun/till")
    assert from_environment("till") == "postgresql://sam@/till?host=%2Fvar%2FRun"


def test_a_connection_that_nobody_knows_names_what_to_set() -> None:
    assert from_environment("till") is None
    with pytest.raises(SettingsError) as raised:
        resolver(lambda _: None)("till")
    assert str(raised.value) == (
        "connection 'till': expected its address and credentials; found neither "
        "HEADFRAME_CONNECTION_TILL nor an Airflow connection of that name.\n"
        "  Set HEADFRAME_CONNECTION_TILL to an SQLAlchemy URL (postgresql://user:password@host/"
        "database), or create the Airflow connection 'till' (Admin, Connections; or "
        "AIRFLOW_CONN_TILL)."
    )


def test_others_are_asked_after_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def metadata(name: str) -> str | None:
        asked.append(name)
        return URL

    assert resolver(lambda _: None, metadata)("till") == URL
    monkeypatch.setenv("HEADFRAME_CONNECTION_TILL", "postgresql://other/db")
    assert resolver(metadata)("till") == "postgresql://other/db"
    assert asked == ["till"]


@pytest.mark.parametrize(
    "told",
    [
        f"mysql://sam:{PASSWORD}@db.example/till",
        "sam:canary-s3cr3t",
        "postgres://sam:canary-s3cr3t@db.example:port/till",
        '{"conn_type": "postgres", "password": "canary-s3cr3t"',
        json.dumps({**FIELDS, "conn_type": "mysql"}),
        json.dumps({**FIELDS, "port": "canary"}),
        json.dumps({**FIELDS, "extra": "canary"}),
        json.dumps({**FIELDS, "extra": ["canary"]}),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_and_not_told(
    monkeypatch: pytest.MonkeyPatch, told: str
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_TILL", told)
    with pytest.raises(SettingsError) as raised:
        from_environment("till")
    assert "AIRFLOW_CONN_TILL" in str(raised.value)
    assert "canary" not in repr((raised.value, raised.value.__cause__, raised.value.__context__))
