"""PostgreSQL failures: what a database's error means to us, without a value or a credential."""

from typing import Any

from pipelines.errors import (
    DeclarationError,
    HeadframeError,
    Problem,
    ServiceUnavailable,
    SettingsError,
)

MAY_PASS = ("08", "40", "53", "55P03", "57", "58")
"""SQLSTATEs, by their first letters, that waiting may mend: connection, conflict, resources, lock,
operator, system."""

REFUSED = ("authentication failed", "does not exist", "no password supplied")
"""What libpq says, in English, of a login that will not do; it gives no SQLSTATE."""


def failure_of(error: Exception, where: str, connection: str) -> HeadframeError:
    """Return the error to raise for one of SQLAlchemy or psycopg2.

    Its words are our own: the driver's may quote rows and credentials. What it says about the text of
    a query (SQLSTATE class 42) is quoted: no value of a row is in it.
    """
    from psycopg2 import OperationalError, errorcodes

    driver: Any = getattr(error, "orig", None) or error
    state = getattr(driver, "pgcode", None)
    place = f"connection {connection!r}"
    if state is None and isinstance(driver, OperationalError):
        if any(words in str(driver) for words in REFUSED):
            fix = "Correct the connection's user, password or database."
            found = "one that refused them"
            return SettingsError(_problem(place, "a database that lets us in", found, fix))
        state = "08006"
    if state is None:
        fix = "See the query and the connection; nothing was landed."
        return DeclarationError(_problem(where, "a query that runs", type(driver).__name__, fix))
    if state.startswith(MAY_PASS):
        fix = "Nothing was landed; the task tries again. See whether the database runs."
        found = f"none ({_name(errorcodes, state)})"
        return ServiceUnavailable(_problem(place, "a database that answers", found, fix))
    if state.startswith("28"):
        fix = "Correct the connection's user or password."
        return SettingsError(_problem(place, "a database that lets us in", "a refusal", fix))
    if state == errorcodes.READ_ONLY_SQL_TRANSACTION:
        fix = "An extract reads: leave changes to the database's owners."
        found = "one that changes something"
        return DeclarationError(_problem(where, "a query that only reads", found, fix))
    found = _name(errorcodes, state)
    if state.startswith("42"):
        found = f"{found}: {driver.diag.message_primary}"
    fix = "Correct the query; nothing was landed."
    return DeclarationError(_problem(where, "a query that runs", found, fix))


def _name(codes: Any, state: str) -> str:  # noqa: ANN401 - a module of psycopg2
    try:
        return f"{codes.lookup(state).lower().replace('_', ' ')}, SQLSTATE {state}"
    except KeyError:
        return f"SQLSTATE {state}"


def _problem(where: str, expected: str, found: str, fix: str) -> Problem:
    return Problem(where=where, expected=expected, found=found, fix=fix)
