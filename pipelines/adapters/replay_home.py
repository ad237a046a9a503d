"""Replay home: the throw-away homes of a replay, which read the real one's silver and write none of it."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables, linked_tables
from pipelines.adapters.models import mlflow_registry
from pipelines.adapters.settings import Settings
from pipelines.adapters.stores import object_store, whole_files
from pipelines.domain.contract import Table
from pipelines.domain.digest import digest_of
from pipelines.domain.replay_steps import Every
from pipelines.errors import LakeError, Problem

FOLDER = "replays"
"""Below a home: a folder for each replay that was asked for."""

SHARED = "shared"
"""Below a replay: the home in which features are described once, for every policy."""

PINNED = "pinned.json"
DIGITS = 12

LEDGERS = ("landed_files", "deliveries")
"""Ledgers of landing, by which feeds are watched; all others of a replay are its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayAsked:
    """What a replay is identified by: of which declaration and code, over which history (UTC), how.

    Policies are none of it: each has a home of its own, which a later replay finds.
    """

    use_case: str
    declaration: str
    code: str
    since: datetime
    until: datetime
    every: Every
    fixed: bool

    @property
    def digest(self) -> str:
        """Return the identity."""
        return digest_of(self)


class ReplayHome:
    """The folder of one replay, below the real home."""

    def __init__(self, settings: Settings, asked: ReplayAsked) -> None:
        self._real, self.asked = settings, asked
        self.folder = settings.root / FOLDER / asked.digest[:DIGITS]

    def throw_away(self) -> None:
        """Forget all that was replayed."""
        shutil.rmtree(self.folder, ignore_errors=True)

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
            # Nothing of it is missed after a power cut: it is replayed.
            fsync=False,
        )

    def pin(self, tables: Mapping[str, Table], features: str) -> dict[str, int]:
        """Link silver, the landing ledgers and computed features, once; return silver's versions.

        What is asked for again reads the versions of the first time. Raises LakeError where the real
        lake is no folder on this machine, or has nothing of a table.
        """
        file = self.folder / PINNED
        if file.exists():
            return {name: int(at) for name, at in json.loads(file.read_text("utf-8")).items()}
        shared, name = self.settings(), self.asked.use_case
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
        real_lake = _on_disk(self._real)
        newest = {
            name: delta_tables.version(real_lake.joinpath(*name.split("."))) for name in pinned
        }
        return sorted(name for name, at in pinned.items() if newest[name] != at)

    def policy(self, name: str, tables: Mapping[str, Table], features: str) -> Settings:
        """Return the settings of a policy's home, made from the shared one where it is not there."""
        shared, own = self.settings(), self.settings(name)
        from_lake, to_lake = _on_disk(shared), _on_disk(own)
        inside = [Path("silver") / self.asked.use_case / table for table in tables]
        inside += [Path("ledger") / one for one in LEDGERS]
        inside.append(_inside(lake.features(shared, self.asked.use_case, features), from_lake))
        for table in inside:
            linked_tables.link(from_lake / table, to_lake / table)
        database = own.root / "mlflow" / "mlflow.db"
        if not database.exists():
            database.parent.mkdir(parents=True, exist_ok=True)
            half = database.with_suffix(".half")
            shutil.copyfile(shared.root / "mlflow" / "mlflow.db", half)
            half.rename(database)
        return own


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
