"""Replay home: the throw-away homes of a replay, which read the real one's silver and write none of it."""

import errno
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_handles, delta_tables, linked_tables
from pipelines.adapters.models import code_archive, environments, mlflow_registry
from pipelines.adapters.settings import Settings
from pipelines.adapters.stores import object_store, whole_files
from pipelines.domain.contract import Table
from pipelines.domain.digest import digest_of
from pipelines.domain.replay_steps import Every
from pipelines.errors import CodeChanged, HeadframeError, LakeError, Problem

FOLDER = "replays"
"""Below a home: a folder for each replay that was asked for."""

SHARED = "shared"
"""Below a replay: the home in which features are described once, for every policy."""

PINNED = "pinned.json"
DATABASE = Path("mlflow") / "mlflow.db"
DIGITS = 12

FULL_DISK = ("database or disk is full", *delta_handles.FULL_DISK)
"""What SQLite, and what lies on top of it, say when a disk takes no more."""

THROWN = "thrown"
"""Ending of the name of a replay that is being thrown away."""

LEDGERS = ("landed_files", "deliveries")
"""Ledgers of landing, by which feeds are watched; all others of a replay are its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayAsked:
    """What a replay is identified by: of which declaration and code, over which history (UTC), how.

    ``packages`` is the digest of what is installed. Policies are no part of it: each has a home of its
    own, which a later replay finds.
    """

    use_case: str
    declaration: str
    code: str
    packages: str
    since: datetime
    until: datetime
    every: Every
    fixed: bool

    @property
    def digest(self) -> str:
        """Return the identity."""
        return digest_of(self)


def asked_of(
    settings: Settings,
    use_case: str,
    declaration: str,
    *,
    since: datetime,
    until: datetime,
    every: Every,
    fixed: bool,
) -> ReplayAsked:
    """Return what is asked for of a declaration (its digest), with the code and packages there are."""
    return ReplayAsked(
        use_case=use_case,
        declaration=declaration,
        code=code_archive.code_digest(settings, use_case),
        packages=_packages(),
        since=since,
        until=until,
        every=every,
        fixed=fixed,
    )


class ReplayHome:
    """The folder of one replay, below the real home."""

    def __init__(self, settings: Settings, asked: ReplayAsked) -> None:
        self._real, self.asked = settings, asked
        self.folder = settings.root / FOLDER / asked.digest[:DIGITS]

    def throw_away(self) -> None:
        """Forget all that was replayed, at once however it ends: what is left has another name.

        Raises LakeError where a file cannot be removed.
        """
        thrown = self.folder.with_suffix(f".{THROWN}")
        try:
            if thrown.exists():  # a kill left it
                shutil.rmtree(thrown)
            if self.folder.exists():
                self.folder.rename(thrown)
                shutil.rmtree(thrown)
        except OSError as error:
            raise LakeError(
                Problem(
                    where=f"replay of {self.asked.use_case}, --fresh",
                    expected=f"to remove {self.folder} and {thrown.name} beside it",
                    found=error.strerror or type(error).__name__,
                    fix="Remove them as their owner.",
                )
            ) from error

    def refuse_changed(self, declaration: str) -> None:
        """Raise CodeChanged where packages or declaration (its digest) are not any more those asked of."""
        if (declaration, _packages()) != (self.asked.declaration, self.asked.packages):
            raise self._changed()

    def refuse_changed_code(self) -> None:
        """Raise CodeChanged where the code on disk is not any more what this replay is of."""
        try:
            there = code_archive.code_digest(self._real, self.asked.use_case)
        except FileNotFoundError:  # one was removed, or is being replaced
            there = ""
        if there != self.asked.code:
            raise self._changed()

    def _changed(self) -> CodeChanged:
        return CodeChanged(
            Problem(
                where=f"replay of {self.asked.use_case}",
                expected=f"the code it began with ({self.asked.code[:DIGITS]})",
                found="other code, changed while it ran",
                fix="The same command now replays the new code, from the beginning.",
            )
        )

    def settings(self, name: str = SHARED) -> Settings:
        """Return the settings of a policy's home; nothing of the real one's surroundings is in them."""
        home = self.folder / name
        return Settings(
            home=home,
            dags=self._real.dags.absolute(),
            expectations=self._real.expectations.absolute(),
            lake_folder=str(home / "lake"),
            landing_folder=str(home / "landing"),
            mlflow=f"sqlite:///{home / 'mlflow' / 'mlflow.db'}",
            database="",
            broker="",
            notify="",
        )

    def pin(self, tables: Mapping[str, Table], features: str) -> dict[str, int]:
        """Link silver, the landing ledgers and computed features, once; return silver's versions.

        What is asked for again reads the versions of the first time. Raises LakeError where the real
        lake is no folder on this machine, or has nothing of a table, and where what was linked is gone.
        """
        file, shared, name = self.folder / PINNED, self.settings(), self.asked.use_case
        if file.exists():
            pinned = {one: int(at) for one, at in json.loads(file.read_text("utf-8")).items()}
            self._refuse_damaged(shared, pinned)
            return pinned
        real_lake, own_lake = _on_disk(self._real), _on_disk(shared)
        pinned = {}
        for table in tables:
            inside = Path("silver") / name / table
            found = linked_tables.link(real_lake / inside, own_lake / inside)
            if found < 0:
                raise LakeError(_not_ingested(name, table))
            pinned[f"silver.{name}.{table}"] = found
        described = _inside(lake.features(self._real, name, features), real_lake)
        for inside in (*(Path("ledger") / one for one in LEDGERS), described):
            linked_tables.link(real_lake / inside, own_lake / inside)
        mlflow_registry.registered(shared)  # makes its database, which takes seconds
        whole_files.write_whole(file, json.dumps(pinned, sort_keys=True))
        return pinned

    def moved_on(self, pinned: Mapping[str, int]) -> list[str]:
        """Return the tables of the real silver that have a newer version than is replayed, sorted."""
        return _other_versions(self._real, pinned)

    def policy(self, name: str, pinned: Mapping[str, int], features: str) -> Settings:
        """Return the settings of a policy's home, made from the shared one where it is not there.

        Raises LakeError where it does not hold silver at the versions that are ``pinned``.
        """
        shared, own = self.settings(), self.settings(name)
        from_lake, to_lake = _on_disk(shared), _on_disk(own)
        inside = [Path(*table.split(".")) for table in pinned]
        inside += [Path("ledger") / one for one in LEDGERS]
        inside.append(_inside(lake.features(shared, self.asked.use_case, features), from_lake))
        for table in inside:
            linked_tables.link(from_lake / table, to_lake / table)
        database = own.root / DATABASE
        if not database.exists():
            database.parent.mkdir(parents=True, exist_ok=True)
            half = database.with_suffix(".half")
            shutil.copyfile(shared.root / DATABASE, half)
            half.rename(database)
        self._refuse_damaged(own, pinned)
        return own

    def _refuse_damaged(self, settings: Settings, pinned: Mapping[str, int]) -> None:
        gone = _other_versions(settings, pinned)
        if not (settings.root / DATABASE).exists():
            gone.append(str(DATABASE))
        if gone:
            raise LakeError(
                Problem(
                    where=f"replay of {self.asked.use_case}, {settings.root.name}",
                    expected="what its first run put there",
                    found=f"without {', '.join(gone)}",
                    fix="Somebody removed files of the replay: begin anew (--fresh).",
                )
            )


@contextmanager
def on_a_full_disk(name: str) -> Iterator[None]:
    """Raise LakeError for whatever fails since the disk takes no more."""
    try:
        yield
    except HeadframeError:
        raise
    except Exception as error:
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        if not full and not any(words in str(error) for words in FULL_DISK):
            raise
        raise LakeError(
            Problem(
                where=f"replay of {name}",
                expected="room on the disk for its throw-away home",
                found="a full disk",
                fix="Free some space: the same command goes on with the step that was cut off.",
            )
        ) from error


def _packages() -> str:
    return digest_of(environments.packages())


def _other_versions(settings: Settings, pinned: Mapping[str, int]) -> list[str]:
    """Return the tables of a lake whose newest version is not the one pinned, sorted."""
    folder = _on_disk(settings)
    return sorted(
        name
        for name, at in pinned.items()
        if delta_tables.version(folder.joinpath(*name.split("."))) != at
    )


def _on_disk(settings: Settings) -> Path:
    """Return the lake's folder. Raises LakeError for one in a store, of which no link can be made."""
    if isinstance(settings.lake, Path):
        return object_store.local(settings.lake)
    raise LakeError(
        Problem(
            where="replay",
            expected="a lake on this machine, whose files can be linked",
            found="one in an object store",
            fix="Copy silver into a home on this machine (HEADFRAME_HOME) and replay there.",
        )
    )


def _inside(folder: object, lake_folder: Path) -> Path:
    assert isinstance(folder, Path)  # noqa: S101 - of a lake on disk
    return folder.relative_to(lake_folder)


def _not_ingested(use_case: str, table: str) -> Problem:
    return Problem(
        where=f"replay of {use_case}, table {table}",
        expected="rows in silver, which a replay reads",
        found="no table yet",
        fix=f"headframe run ingest {use_case}",
    )
