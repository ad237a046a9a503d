"""Authentication: how Airflow knows people, as its configuration says."""

import configparser
import os
from pathlib import Path

from pipelines.adapters.platform import airflow_home
from pipelines.adapters.settings import Settings
from pipelines.errors import Problem, SettingsError

SIMPLE = airflow_home.SIMPLE_AUTH_MANAGER
FAB = "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager"

ALL_ADMINS = "simple_auth_manager_all_admins"
"""Airflow's option that makes everybody an administrator, without a login."""

TRUE = ("t", "true", "1")
"""What Airflow takes for true."""


def named(settings: Settings) -> str:
    """Return the class that Airflow's configuration names as its auth manager."""
    return _core_option(settings, "auth_manager", SIMPLE)


def everybody_is_administrator(settings: Settings) -> bool:
    """Whether Airflow is told to let anybody do anything, approvals included."""
    # As Airflow reads it, with what may be written after the value.
    value, _, _ = _core_option(settings, ALL_ADMINS, "False").partition("#")
    return value.strip().lower() in TRUE


def ranks(settings: Settings) -> dict[str, str]:
    """Return the rank that Airflow's simple auth manager gives each user, by name."""
    listed = _core_option(settings, "simple_auth_manager_users", "")
    users = [entry.strip().split(":") for entry in listed.split(",") if ":" in entry]
    return {name: rank.lower() for name, rank, *_ in users}


def refuse_everybody(settings: Settings) -> None:
    """Raise SettingsError where an approval would be nobody's."""
    if everybody_is_administrator(settings):
        raise SettingsError(
            Problem(
                where=f"Airflow's [core] {ALL_ADMINS}",
                expected="False: an approval is somebody's",
                found="True: whoever reaches Airflow is an administrator, without a login",
                fix=f"Unset AIRFLOW__CORE__{ALL_ADMINS.upper()}, or correct airflow.cfg, and start "
                "Airflow again.",
            )
        )


def _core_option(settings: Settings, name: str, otherwise: str) -> str:
    """Read an option of Airflow's section core: its environment goes before its files."""
    if (told := os.environ.get(f"AIRFLOW__CORE__{name.upper()}")) is not None:
        return told
    for file in _configurations(settings):
        parser = configparser.ConfigParser(interpolation=None, strict=False)
        try:
            parser.read(file, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError) as error:
            raise SettingsError(
                Problem(
                    where=str(file),
                    expected="Airflow's configuration",
                    found=f"a file that cannot be read ({type(error).__name__})",
                    fix="Correct it, or delete it: Airflow writes a new one.",
                )
            ) from None
        if parser.has_option("core", name):
            return parser.get("core", name)
    return otherwise


def _configurations(settings: Settings) -> tuple[Path, ...]:
    """Return where Airflow's configuration may be; that of a home of ``headframe up`` first."""
    folder = Path(os.environ.get("AIRFLOW_HOME", "~/airflow")).expanduser()
    elsewhere = Path(os.environ.get("AIRFLOW_CONFIG", folder / "airflow.cfg"))
    return (airflow_home.airflow_folder(settings) / "airflow.cfg", elsewhere)
