"""Declared: the use case that a command names, and the version of it that is meant."""

from pipelines.adapters.models import champion
from pipelines.adapters.settings import Settings
from pipelines.errors import NotEnoughData, Problem
from pipelines.use_case import UseCase, load


def declared_use_case(settings: Settings, use_case: str) -> UseCase:
    """Return the use case of that name; raises DeclarationError, which names the nearest one."""
    return load(settings.dags.absolute() / f"{use_case}.py")


def champion_version(settings: Settings, use_case: str, *, command: str) -> str:
    """Return the champion's version. Raises NotEnoughData when none was promoted."""
    standing = champion.resolve(settings, use_case)
    if standing is None:
        raise NotEnoughData(
            Problem(
                where=f"headframe {command} {use_case}",
                expected="a champion, or --version",
                found="no version that was promoted",
                fix="Name a candidate: `headframe run train` prints the version it made.",
            )
        )
    return standing.model.version
