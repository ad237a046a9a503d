"""Airflow connections: what an operator entered reaches a task, and nothing of it a message."""

from pipelines.adapters.settings import Settings
from tests.dags.airflow_runs import run

SECRET = "s3cret/with:marks"  # noqa: S105 - of a database that does not exist


def enter(name: str, kind: str) -> None:
    from airflow.models.connection import Connection
    from airflow.utils.session import create_session

    with create_session() as session:
        session.add(
            Connection(
                conn_id=name, conn_type=kind, host="db.example", port=5433,
                login="reader", password=SECRET, schema="crm",
            )
        )  # fmt: skip


def test_a_connection_that_an_operator_entered_is_found_by_its_name(settings: Settings) -> None:
    enter("crm", "postgres")
    ended = run("troubles__addresses")
    assert ended.state == "success", ended.reasons
    found = "postgresql://reader:s3cret%2Fwith%3Amarks@db.example:5433/crm"
    assert ended.returned["work"] == [None, found]


def test_a_database_that_cannot_be_asked_is_refused_without_its_password(
    settings: Settings,
) -> None:
    enter("legacy", "oracle")
    ended = run("troubles__unusable")
    assert ended.state == "failed"
    assert "conn_type" in ended.reasons["work"]
    assert SECRET not in ended.reasons["work"]
