"""Role holders: who has a Headframe role now, by whatever Airflow knows people with."""

from collections.abc import Iterable

from pipelines.adapters.platform import airflow_api, authentication
from pipelines.adapters.platform.users import (
    AIRFLOW_RANKS,
    PLATFORM,
    airflow_role,
    read_users,
)
from pipelines.adapters.settings import Settings
from pipelines.domain.approval import Person
from pipelines.errors import Problem, SettingsError


def holders(settings: Settings, role: str) -> tuple[Person, ...]:
    """Return the users who have a role at this moment, by name.

    Under Airflow's simple auth manager ``users.toml`` says so, and a user's id is their name; under
    FAB the role of that name does, and an id is a number. Raises SettingsError under any other auth
    manager, ServiceUnavailable where FAB's Airflow does not answer.
    """
    manager = authentication.named(settings)
    if manager == authentication.SIMPLE:
        users = read_users(settings.users_file)
        found = [Person(id=u.name, name=u.name, mail=u.mail) for u in users if role in u.roles]
    elif manager == authentication.FAB:
        with airflow_api.connect(settings, user=PLATFORM) as api:
            found = [Person(**person) for person in api.people(role)]
    else:
        raise SettingsError(
            Problem(
                where="Airflow's [core] auth_manager",
                expected="Airflow's simple auth manager or FAB, whose roles can be read",
                found=manager,
                fix="Use one of the two where a use case is governed.",
            )
        )
    return tuple(sorted(found, key=lambda person: person.name))


def unable(settings: Settings, role: str, people: Iterable[Person]) -> tuple[str, ...]:
    """Return the names of those whom Airflow, as it was started, does not let act in a role.

    Under the simple auth manager `headframe up` tells Airflow each user's rank, so that a role given
    since may be one that Airflow refuses; empty under FAB, and where no ranks are configured.
    """
    ranks = authentication.ranks(settings)
    if authentication.named(settings) != authentication.SIMPLE or not ranks:
        return ()
    enough = AIRFLOW_RANKS[AIRFLOW_RANKS.index(airflow_role(settings.users_file, role)) :]
    return tuple(person.name for person in people if ranks.get(person.name) not in enough)


def kept_in(settings: Settings) -> str:
    """Say where a person is given a role."""
    fab = authentication.named(settings) == authentication.FAB
    return "Airflow (Security, List Users)" if fab else settings.users_file.name
