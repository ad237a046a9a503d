"""PostgreSQL sessions: a connection to write through, and what a failure there means to us."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pipelines.adapters.databases.postgres_address import address
from pipelines.adapters.databases.postgres_failures import MAY_PASS, REFUSED
from pipelines.errors import (
    HeadframeError,
    OutputRefused,
    Problem,
    ServiceUnavailable,
    SettingsError,
)

CONNECT_SECONDS = 10
"""How long a database may take to answer the first call, unless its URL says otherwise."""


SAFE_TO_QUOTE = ("42", "3F")
"""Classes of SQLSTATE about names and rights: PostgreSQL's words hold no value of a row there."""


@contextmanager
def session(url: str, name: str, *, where: str) -> Iterator[Any]:
    """Lend a psycopg2 connection in one transaction, committed at the end unless an error left it.

    Raises SettingsError for a connection that cannot be used, ServiceUnavailable where waiting may
    help, OutputRefused, which names ``where``, for what the database will not take. No message has
    a value of a row, or anything of ``url``.
    """
    import psycopg2
    from sqlalchemy.exc import SQLAlchemyError

    try:
        connection = _connect(url, name)
        try:
            with connection:  # commits, or rolls back where an error passes
                yield connection
        finally:
            connection.close()
    except (psycopg2.Error, SQLAlchemyError) as error:
        told = _failure(error, where, name)
    else:
        return
    # Raised here, the driver's own error does not hang on it: that one may quote rows and address.
    raise told


def _connect(url: str, name: str) -> Any:  # noqa: ANN401 - psycopg2 has no types
    import psycopg2

    found = address(url, name, others="cannot be delivered to")
    _, options = found.get_dialect()().create_connect_args(found)
    connection = psycopg2.connect(**{"connect_timeout": CONNECT_SECONDS, **options})
    connection.set_client_encoding("UTF8")
    return connection


def _failure(error: Exception, where: str, name: str) -> HeadframeError:
    from psycopg2 import OperationalError, errorcodes

    driver: Any = getattr(error, "orig", None) or error
    state = getattr(driver, "pgcode", None)
    place = f"connection {name!r}"
    lost = isinstance(driver, OperationalError) and state is None
    if (lost and any(words in str(driver) for words in REFUSED)) or str(state).startswith("28"):
        fix = "Correct the connection's user, password or database."
        return SettingsError(_problem(place, "a database that lets us in", "a refusal", fix))
    if lost or str(state).startswith(MAY_PASS):
        found = "none" if state is None else f"none (SQLSTATE {state})"
        fix = "What stood there still does; the task tries again. See whether the database runs."
        return ServiceUnavailable(_problem(place, "a database that answers", found, fix))
    try:
        words = (
            errorcodes.lookup(state).lower().replace("_", " ") if state else type(driver).__name__
        )
    except KeyError:
        words = "an error"
    found = f"{words}, SQLSTATE {state}" if state else words
    if str(state).startswith(SAFE_TO_QUOTE):
        found = f"{found}: {driver.diag.message_primary}"
    fix = "What stood there still does. Mend it in the database, or declare another table."
    return OutputRefused(_problem(where, "a database that takes the rows", found, fix))


def _problem(where: str, expected: str, found: str, fix: str) -> Problem:
    return Problem(where=where, expected=expected, found=found, fix=fix)
