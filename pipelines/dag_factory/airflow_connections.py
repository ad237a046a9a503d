"""Airflow connections: the address and credentials of a database, as an operator entered them."""

from airflow.sdk import Connection
from airflow.sdk.exceptions import AirflowNotFoundException

from pipelines.adapters.databases.connections import url_of


def look_up(name: str) -> str | None:
    """Return the SQLAlchemy URL of an Airflow connection; None where Airflow has none of that name.

    Raises SettingsError for a database that sources cannot ask.
    """
    try:
        found = Connection.get(name)
    except AirflowNotFoundException:
        return None
    fields = {
        "conn_type": found.conn_type,
        "host": found.host,
        "port": found.port,
        "login": found.login,
        "password": found.password,
        "schema": found.schema,
        "extra": found.extra,
    }
    return url_of(fields, where=f"Airflow connection {name!r}")
