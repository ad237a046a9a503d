"""Recipe: what is recorded when a model is registered, so that it can be made again and compared."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pipelines.domain.digest import digest_of
from pipelines.errors import LakeError, Problem

FORMAT = 1
"""Of the recipe, and of what an archive's own code is asked and answers; a later one is refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """Where a model was fitted: versions of everything that may change what comes out.

    ``packages`` are name -> version of all that is installed. ``lock_sha256`` is that of uv.lock,
    and ``project_sha256`` that of the pyproject.toml it locks, empty where there were none.
    ``processor`` is the machine's architecture and model name.
    """

    python: str
    packages: Mapping[str, str]
    lock_sha256: str
    project_sha256: str
    processor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What a registered model was made from and how, beside what its version is tagged with.

    ``columns`` are SHA-256 by column of the labelled training rows, in canonical order; ``files``
    are SHA-256 by name of the code; ``threads`` is how many the fit was allowed.
    """

    rows: int
    columns: Mapping[str, str]
    files: Mapping[str, str]
    seed: int
    threads: int
    surroundings: Surroundings

    @property
    def digest(self) -> str:
        """The SHA-256 of all of it, kept apart from it."""
        return digest_of(self.to_plain())

    def to_plain(self) -> dict[str, Any]:
        """Return it as JSON-ready data."""
        return {"format": FORMAT, **asdict(self)}

    def to_json(self) -> str:
        """Return it as text; the same recipe gives the same text."""
        return json.dumps(self.to_plain(), sort_keys=True, indent=1)

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "Recipe":
        """Read what ``to_plain`` returned.

        Raises LakeError for the format of a later release, and for what is no recipe.
        """
        try:
            if plain["format"] == FORMAT:
                fields = {name: value for name, value in plain.items() if name != "format"}
                return cls(**{**fields, "surroundings": Surroundings(**plain["surroundings"])})
        except (AttributeError, KeyError, TypeError) as error:
            raise _unreadable(f"something else ({type(error).__name__})") from error
        raise _unreadable("that of another release")


def _unreadable(found: str) -> LakeError:
    return LakeError(
        Problem(
            where="recipe of a registered model",
            expected=f"format {FORMAT}",
            found=found,
            fix="Use the Headframe release that registered the model.",
        )
    )


def different_files(recorded: Mapping[str, str], found: Mapping[str, str]) -> tuple[str, ...]:
    """Return, sorted, the files whose content differs or that only one side has, each with how.

    >>> different_files({"a.py": "1", "b.py": "2"}, {"a.py": "3", "c.py": "4"})
    ('a.py changed', 'b.py gone', 'c.py added')
    """
    return tuple(
        f"{name} {'added' if name not in recorded else 'changed' if name in found else 'gone'}"
        for name in sorted({*recorded, *found})
        if recorded.get(name) != found.get(name)
    )


def different_packages(
    recorded: Mapping[str, str], found: Mapping[str, str], *, loaded: frozenset[str] | None = None
) -> tuple[str, ...]:
    """Return, sorted, the packages whose versions differ, each with both; of ``loaded`` if given.

    >>> different_packages({"numpy": "2.4.6", "skops": "0.14"}, {"numpy": "2.3.1"})
    ('numpy 2.4.6 there, 2.3.1 here', 'skops 0.14 there, none here')
    """
    names = {*recorded, *found} if loaded is None else {*recorded, *found} & loaded
    return tuple(
        f"{name} {recorded.get(name, 'none')} there, {found.get(name, 'none')} here"
        for name in sorted(names)
        if recorded.get(name) != found.get(name)
    )
