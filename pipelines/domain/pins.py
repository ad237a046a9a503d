"""Pins: the bytes of old table versions that are kept because registered models need them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

File = tuple[str, str]
"""A data file: its table's dotted name and its path inside the table's folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pinned:
    """What one registered model keeps: the versions it needs, and the bytes of their files.

    ``own`` would go with this model alone; ``shared`` are in no newest version either, and other
    models need them too; ``current`` are in the newest version of their table, and stay anyway.
    """

    model: str
    versions: Mapping[str, int]
    own: int
    shared: int
    current: int

    def describe(self) -> str:
        """Return one line for the terminal."""
        named = ", ".join(f"{table}@{version}" for table, version in sorted(self.versions.items()))
        return (
            f"{self.model}: {self.own:,} bytes of its own, {self.shared:,} shared with other models, "
            f"{self.current:,} in use anyway ({named})"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PinnedBytes:
    """What every registered model keeps, and ``kept``, the bytes kept for models alone, each once."""

    models: tuple[Pinned, ...]
    kept: int

    def describe(self) -> str:
        """Return a line a model and the sum."""
        lines = [model.describe() for model in self.models]
        sum_of_all = f"{len(self.models):,} models keep {self.kept:,} bytes of replaced files"
        return "\n".join([*lines, sum_of_all])


def pinned_bytes(
    needed: Mapping[str, Mapping[str, int]],
    sizes: Mapping[tuple[str, int], Mapping[str, int]],
    current: Mapping[str, Collection[str]],
) -> PinnedBytes:
    """Tell apart what each model keeps.

    ``needed`` is model -> table -> version; ``sizes`` the files of each (table, version) with their
    bytes; ``current`` the files of each table's newest version.

    >>> found = pinned_bytes(
    ...     {"a 1": {"t": 3}, "a 2": {"t": 5}},
    ...     {("t", 3): {"x": 10, "y": 20}, ("t", 5): {"y": 20, "z": 40}},
    ...     {"t": {"z"}},
    ... )
    >>> [(one.own, one.shared, one.current) for one in found.models], found.kept
    ([(10, 20, 0), (0, 20, 40)], 30)
    """
    files: dict[str, dict[File, int]] = {
        model: {
            (table, path): size
            for table, version in versions.items()
            for path, size in sizes[table, version].items()
        }
        for model, versions in needed.items()
    }
    users: dict[File, int] = {}
    for held in files.values():
        for file in held:
            users[file] = users.get(file, 0) + 1
    models: list[Pinned] = []
    replaced: dict[File, int] = {}
    for model, held in files.items():
        stays = {file for file in held if file[1] in current[file[0]]}
        gone = {file: size for file, size in held.items() if file not in stays}
        replaced |= gone
        models.append(
            Pinned(
                model=model,
                versions=needed[model],
                own=sum(size for file, size in gone.items() if users[file] == 1),
                shared=sum(size for file, size in gone.items() if users[file] > 1),
                current=sum(held[file] for file in stays),
            )
        )
    return PinnedBytes(models=tuple(models), kept=sum(replaced.values()))
