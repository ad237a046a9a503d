"""Users: who can log in, and which roles each holds: Headframe's four, and those of a team's own."""

import difflib
import json
import re
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.errors import Problem, SettingsError

AIRFLOW_ROLES = {
    "data_engineer": "op",
    "data_scientist": "user",
    "approver": "user",
    "operator": "op",
}
"""Each of the four roles, and the Airflow role a user needs to act in it."""

AIRFLOW_RANKS = ("viewer", "user", "op", "admin")
"""Airflow's roles, each including the ones before it."""

ADMINISTRATOR = "admin"
"""The user who gets Airflow's admin role whatever ``users.toml`` says."""

PLATFORM = "headframe"
"""The platform's own user, who may read in Airflow and nothing else: tasks read answers with it."""

AT_FIRST = {
    "engineer": "data_engineer",
    "scientist": "data_scientist",
    "approver": "approver",
    "operator": "operator",
}
"""The users of a new home, each with its role."""

HEAD = """\
# Who has which role. Edit freely. Airflow learns of new users and of their first role at the next
# `headframe up`; a new user's password appears in airflow/passwords.json then.
# Roles: data_engineer, data_scientist, approver, operator, and those that use cases name for
# themselves (roles=Roles(approver="...")): [roles] says which of the four each of those is like.
# The user admin administers Airflow.
"""

MAIL = """\

# Where mail about a question goes, when HEADFRAME_NOTIFY is a mailto:// address (docs/approval.md):
# [mail]
# approver = "approver@example.com"
"""


@dataclass(frozen=True, slots=True)
class User:
    """A person who can log in, their roles, the lowest Airflow role that covers them, and their mail."""

    name: str
    roles: tuple[str, ...]
    airflow_role: str
    mail: str = ""


def users_at_first(own_roles: Mapping[str, Collection[str]]) -> str:
    """Return the text of a new home's file.

    ``own_roles`` gives each role that a use case named for itself those of the four that it is like;
    the user of each gets it. It is listed as like the one for which Airflow asks the highest rank.
    """
    lines = ["[users]"]
    for name, kind in AT_FIRST.items():
        roles = [kind, *sorted(own for own, like in own_roles.items() if kind in like)]
        lines.append(f"{name} = [{', '.join(map(_quoted, roles))}]")
    lines.append(f"{ADMINISTRATOR} = []")
    if own_roles:
        lines += ["", "[roles]"]
        lines += [
            f"{_quoted(own)} = {_quoted(max(like, key=_rank))}"
            for own, like in sorted(own_roles.items())
        ]
    return HEAD + "\n".join(lines) + "\n" + MAIL


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
    mail, kinds = content.get("mail", {}), _kinds(content)
    return tuple(
        User(name, tuple(roles), _airflow_role(name, roles, kinds), mail.get(name, ""))
        for name, roles in content["users"].items()
    )


def airflow_role(path: Path, role: str) -> str:
    """Return the Airflow role that acting in a role takes; the highest for one nobody is told of."""
    kinds = _kinds(tomllib.loads(path.read_text(encoding="utf-8")))
    return AIRFLOW_ROLES.get(kinds.get(role, ""), AIRFLOW_RANKS[-1])


def _kinds(content: Mapping[str, Any]) -> dict[str, str]:
    """Return each role's kind, which is one of the four."""
    return {role: role for role in AIRFLOW_ROLES} | dict(content.get("roles", {}))


def _airflow_role(name: str, roles: Sequence[str], kinds: Mapping[str, str]) -> str:
    if name == ADMINISTRATOR:
        return "admin"
    held = [kinds[role] for role in roles]
    return AIRFLOW_ROLES[max(held, key=_rank)] if held else AIRFLOW_RANKS[0]


def _rank(kind: str) -> tuple[int, str]:
    return AIRFLOW_RANKS.index(AIRFLOW_ROLES[kind]), kind


def _quoted(text: str) -> str:
    return json.dumps(text)


def _problems(path: Path, content: dict[str, object]) -> Iterator[Problem]:
    for key in sorted(content.keys() - {"users", "roles", "mail"}):
        yield Problem(
            where=f"{path} [{key}]",
            expected="only the tables [users], [roles] and [mail]",
            found=f"'{key}'",
            fix="Move its entries under [users], or delete it.",
        )
    own = content.get("roles", {})
    yield from _role_problems(path, own)
    known = (*AIRFLOW_ROLES, *(own if isinstance(own, dict) else ()))
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
            if role not in known:
                nearest = difflib.get_close_matches(role, known, n=1)
                yield Problem(
                    where=where,
                    expected=f"one of {', '.join(known)}",
                    found=f"'{role}'",
                    fix=f"Did you mean '{nearest[0]}'?"
                    if nearest
                    else f'Use one of these, or say under [roles] what it is like: {role} = "approver".',
                )
    yield from _mail_problems(path, content.get("mail", {}), users)


def _role_problems(path: Path, own: object) -> Iterator[Problem]:
    """Yield what is wrong with the roles of teams' own."""
    for name, like in own.items() if isinstance(own, dict) else [("", own)]:
        where = f"{path} [roles] {name}".rstrip()
        if name in AIRFLOW_ROLES:
            yield Problem(
                where=where,
                expected="another name than those of the four roles",
                found=f"'{name}'",
                fix="Delete it: it is known.",
            )
        elif not isinstance(like, str) or like not in AIRFLOW_ROLES:
            yield Problem(
                where=where,
                expected=f"what it is like: one of {', '.join(AIRFLOW_ROLES)}",
                found=repr(like),
                fix='Write it such as head_of_department = "approver".',
            )


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
