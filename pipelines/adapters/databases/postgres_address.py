"""PostgreSQL addresses: an SQLAlchemy URL checked, and with the driver that is installed."""

from typing import TYPE_CHECKING

from pipelines.errors import Problem, SettingsError

if TYPE_CHECKING:
    from sqlalchemy import URL

DRIVERS = ("postgres", "postgresql", "postgresql+psycopg2")
"""Names of PostgreSQL in a URL; the last is what SQLAlchemy is given."""


def address(url: str, name: str, *, others: str) -> "URL":
    """Return the URL of connection ``name`` with psycopg2 as its driver.

    Raises SettingsError for another text or another database; ``others`` says in the message what
    is not done with those. No part of the URL is in it.
    """
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        found = make_url(url)
    except (ArgumentError, ValueError):
        found = None
    if found is None or found.drivername not in DRIVERS:
        raise SettingsError(
            Problem(
                where=f"connection {name!r}",
                expected="an SQLAlchemy URL of a PostgreSQL database",
                found="another text" if found is None else f"one of {found.drivername!r}",
                fix="Write postgresql://user:password@host:port/database, with each part "
                f"percent-encoded; other databases {others}.",
            )
        )
    return found.set(drivername=DRIVERS[-1])
