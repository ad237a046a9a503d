"""Connections: the address and credentials of a database behind the name a declaration gives."""

import json
import os
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from pipelines.errors import Problem, SettingsError

OWN_PREFIX = "HEADFRAME_CONNECTION_"
"""Environment variable of a connection: an SQLAlchemy URL."""

AIRFLOW_PREFIX = "AIRFLOW_CONN_"
"""Airflow's own environment variable of a connection: a URI, or JSON."""

AIRFLOW_EXTRA = "__extra__"
"""Parameter of Airflow's URI that holds the whole ``extra`` as JSON."""

DRIVERS = {"postgres": "postgresql", "postgresql": "postgresql"}
"""Airflow's connection type -> the name of the same database in an SQLAlchemy URL."""

DRIVER_PARAMETERS = (
    *("sslmode", "sslrootcert", "sslcert", "sslkey", "sslcrl", "channel_binding", "gssencmode"),
    *("connect_timeout", "keepalives", "keepalives_idle", "keepalives_interval"),
    *("keepalives_count", "target_session_attrs", "application_name"),
)
"""What of a connection's ``extra`` is libpq's; the rest speaks to Airflow's hook."""


def resolver(*more: Callable[[str], str | None]) -> Callable[[str], str]:
    """Return a function that gives the SQLAlchemy URL of a connection, by its name.

    It looks in the environment first, then asks ``more`` in order. It raises SettingsError for a
    name that none of them knows.
    """

    def resolve(name: str) -> str:
        for look in (from_environment, *more):
            if found := look(name):
                return found
        raise SettingsError(
            Problem(
                where=f"connection {name!r}",
                expected="its address and credentials",
                found=f"neither {variable(name)} nor an Airflow connection of that name",
                fix=f"Set {variable(name)} to an SQLAlchemy URL (postgresql://user:password@host/"
                f"database), or create the Airflow connection {name!r} (Admin, Connections; or "
                f"{AIRFLOW_PREFIX}{name.upper()}).",
            )
        )

    return resolve


def from_environment(name: str) -> str | None:
    """Return the SQLAlchemy URL of a connection, None where the environment knows none.

    Headframe's own variable comes before Airflow's. Raises SettingsError for a value that cannot be
    understood, without quoting it.
    """
    if own := os.environ.get(variable(name)):
        return own
    told = os.environ.get(f"{AIRFLOW_PREFIX}{name.upper()}")
    if not told:
        return None
    fields = _of_json(told) if told.lstrip().startswith("{") else _of_uri(told)
    if fields is None:
        raise _unusable(
            f"{AIRFLOW_PREFIX}{name.upper()}", "a URI, or a JSON object", "another text"
        )
    return url_of(fields, where=f"{AIRFLOW_PREFIX}{name.upper()}")


def variable(name: str) -> str:
    """Return the environment variable that holds a connection's URL."""
    return f"{OWN_PREFIX}{name.upper()}"


def url_of(fields: Mapping[str, Any], *, where: str) -> str:
    """Return the SQLAlchemy URL of an Airflow connection, given by its fields.

    ``fields`` are those of Airflow: conn_type, host, port, login, password, schema and extra (JSON or
    a mapping). Raises SettingsError, which names ``where``, for a database other than PostgreSQL.
    """
    from sqlalchemy import URL

    kind = str(fields.get("conn_type") or "").lower()
    if kind not in DRIVERS:
        raise _unusable(where, f"conn_type out of {', '.join(DRIVERS)}", repr(kind[:20]))
    extra = fields.get("extra") or {}
    port = fields.get("port")
    if isinstance(extra, str):
        extra = _object(extra)
    if not isinstance(extra, Mapping) or not str(port or 0).isdecimal():
        raise _unusable(where, "a port number, and extra as a JSON object", "something else")
    query = {name: str(extra[name]) for name in DRIVER_PARAMETERS if name in extra}
    host = fields.get("host")
    if host and str(host).startswith("/"):  # a socket's folder, which cannot stand before a path
        query, host = {**query, "host": str(host)}, None
    return URL.create(
        DRIVERS[kind],
        username=fields.get("login"),
        password=fields.get("password"),
        host=host,
        port=int(port) if port else None,
        database=fields.get("schema"),
        query=query,
    ).render_as_string(hide_password=False)


def _of_json(told: str) -> dict[str, Any] | None:
    return _object(told)


def _of_uri(told: str) -> dict[str, Any] | None:
    """Return the fields of an Airflow URI; as Airflow reads it, each part is percent-encoded."""
    try:
        parts = urlsplit(told)
        port = parts.port
    except ValueError:
        return None
    extra: Any = dict(parse_qsl(parts.query, keep_blank_values=True))
    if AIRFLOW_EXTRA in extra:
        extra = extra[AIRFLOW_EXTRA]
    return {
        "conn_type": parts.scheme.replace("-", "_"),
        "host": unquote(_host(parts.netloc)) or None,
        "port": port,
        "login": None if parts.username is None else unquote(parts.username),
        "password": None if parts.password is None else unquote(parts.password),
        "schema": unquote(parts.path.removeprefix("/")) or None,
        "extra": extra,
    }


def _host(netloc: str) -> str:
    """Return the host as it is spelled; urlsplit would make it lower case, and a socket's path wrong."""
    host = netloc.rpartition("@")[2]
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]


def _object(text: str) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _unusable(where: str, expected: str, found: str) -> SettingsError:
    fix = "Write postgresql://user:password@host:port/database, with each part percent-encoded."
    return SettingsError(Problem(where=where, expected=expected, found=found, fix=fix))
