"""Users: who can log in, and which Headframe roles each holds."""

import difflib
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipelines.errors import Problem, SettingsError

AIRFLOW_ROLES = {
    "data_engineer": "op",
    "data_scientist": "user",
    "approver": "user",
    "operator": "op",
}
"""Each Headframe role, and the Airflow role a user needs to act in it."""

AIRFLOW_RANKS = ("viewer", "user", "op", "admin")
"""Airflow's roles, each including the ones before it."""

ADMINISTRATOR = "admin"
"""The user who gets Airflow's admin role whatever ``users.toml`` says."""

PLATFORM = "headframe"
"""The platform's own user, who may read in Airflow and nothing else: tasks read answers with it."""

USERS_AT_FIRST = """\
# Who has which Headframe role. Edit freely. Airflow learns of new users and of their first role at
# the next `headframe up`; a new user's password appears in airflow/passwords.json then.
# Roles: data_engineer, data_scientist, approver, operator. The user admin administers Airflow.
[users]
engineer = ["data_engineer"]
scientist = ["data_scientist"]
approver = ["approver"]
operator = ["operator"]
admin = []

# Where mail about a question goes, when HEADFRAME_NOTIFY is a mailto:// address (docs/approval.md):
# [mail]
# approver = "approver@example.com"
"""


@dataclass(frozen=True, slots=True)
class User:
    """A person who can log in, the Headframe roles they hold, and their mail, if they gave one."""

    name: str
    roles: tuple[str, ...]
    mail: str = ""

    @property
    def airflow_role(self) -> str:
        """The lowest Airflow role that covers all roles of the user."""
        if self.name == ADMINISTRATOR:
            return "admin"
        ranks = [AIRFLOW_RANKS.index(AIRFLOW_ROLES[role]) for role in self.roles]
        return AIRFLOW_RANKS[max(ranks, default=0)]


def read_users(path: Path) -> tuple[User, ...]:
    """Read the users of ``users.toml``, in its order. Raises SettingsError with all its problems."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingsError(
            Problem(
                where=str(path),
                expected="a file that gives each user their roles",
                found="no such file",
                fix="Run `headframe up`, which writes one, or point HEADFRAME_HOME to its folder.",
            )
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(
            Problem(
                where=str(path),
                expected="TOML",
                found=str(error),
                fix="Correct that line, or delete the file to get the first one back.",
            )
        ) from None
    problems = tuple(_problems(path, content))
    if problems:
        raise SettingsError(*problems)
    mail = content.get("mail", {})
    return tuple(
        User(name, tuple(roles), mail.get(name, "")) for name, roles in content["users"].items()
    )


def _problems(path: Path, content: dict[str, object]) -> Iterator[Problem]:
    for key in sorted(content.keys() - {"users", "mail"}):
        yield Problem(
            where=f"{path} [{key}]",
            expected="only the tables [users] and [mail]",
            found=f"'{key}'",
            fix="Move its entries under [users], or delete it.",
        )
    users = content.get("users")
    if not isinstance(users, dict) or not users:
        yield Problem(
            where=str(path),
            expected='a table [users] with entries such as engineer = ["data_engineer"]',
            found="none",
            fix="Add it, or delete the file to get the first one back.",
        )
        return
    for name, roles in users.items():
        where = f"{path} [users] {name}"
        if not re.fullmatch(r"[A-Za-z0-9_.-]+", name):
            yield Problem(
                where=where,
                expected="letters, digits, and any of _ . -",
                found=f"'{name}'",
                fix="Rename the user.",
            )
        if name == PLATFORM:
            yield Problem(
                where=where,
                expected=f"another name than {PLATFORM}",
                found="the platform's own user",
                fix="Rename the user.",
            )
        if not isinstance(roles, list) or not all(isinstance(role, str) for role in roles):
            yield Problem(
                where=where,
                expected="a list of roles",
                found=repr(roles),
                fix=f'Write {name} = ["data_scientist"], or [] for no role.',
            )
            continue
        for role in roles:
            if role not in AIRFLOW_ROLES:
                nearest = difflib.get_close_matches(role, AIRFLOW_ROLES, n=1)
                yield Problem(
                    where=where,
                    expected=f"one of {', '.join(AIRFLOW_ROLES)}",
                    found=f"'{role}'",
                    fix=f"Did you mean '{nearest[0]}'?" if nearest else "Use one of these roles.",
                )
    yield from _mail_problems(path, content.get("mail", {}), users)


def _mail_problems(path: Path, mail: object, users: dict[str, object]) -> Iterator[Problem]:
    for name, address in mail.items() if isinstance(mail, dict) else [("", mail)]:
        if name not in users:
            yield Problem(
                where=f"{path} [mail] {name}".rstrip(),
                expected='entries such as ann = "ann@example.com" for names of [users]',
                found=f"'{name}'" if name else "no table",
                fix="Name one of the users, or delete it.",
            )
        elif not isinstance(address, str) or not re.fullmatch(r"[^@\s,]+@[^@\s,]+", address):
            yield Problem(
                where=f"{path} [mail] {name}",
                expected="one mail address",
                found="something else",  # not repeated: it may be a person's
                fix=f'Write {name} = "name@example.com".',
            )
