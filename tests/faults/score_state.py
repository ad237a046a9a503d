"""Score state: what scoring left in a home, and what of it is not as promised."""

import json
from collections import Counter
from typing import Any

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.settings import Settings
from pipelines.adapters.stores.object_store import Folder
from tests import machines

Rows = Counter[str]


def state(settings: Settings) -> dict[str, Rows]:
    """Return every row of predictions, history and refused rows, whole, with how often it is there."""
    return {name: Counter(map(repr, rows)) for name, rows in _tables(settings).items()}


def folders(settings: Settings) -> dict[str, Folder]:
    """Return the folders of the tables that scoring writes."""
    return {
        "current": lake.predictions(settings, machines.NAME),
        "history": lake.prediction_history(settings, machines.NAME),
        "refused": lake.refused_predictions(settings, machines.NAME),
    }


def _tables(settings: Settings) -> dict[str, list[dict[str, Any]]]:
    return {
        name: delta_tables.read(folder).to_pylist() if delta_tables.exists(folder) else []
        for name, folder in folders(settings).items()
    }


def broken_promises(settings: Settings) -> list[str]:
    """Return what is doubled, missing or not accounted for; nothing where all is as promised.

    A scoring that was killed after it copied what it was about to replace leaves the copy: history
    may hold the standing generation too, whole, which readers take for what it is.
    """
    tables, found = _tables(settings), []
    identity = {
        "current": ("prediction_window",),
        "history": ("prediction_window", "generation"),
        "refused": ("prediction_window", "run_key"),
    }
    for name, columns in identity.items():
        keys = Counter(tuple(row[c] for c in ("machine", "day", *columns)) for row in tables[name])
        found += [f"{name}: {key} is there {n} times" for key, n in keys.items() if n > 1]
    current: dict[str, set[tuple[int, str]]] = {}
    for row in tables["current"]:
        said = (row["generation"], row["run_key"])
        current.setdefault(row["prediction_window"], set()).add(said)
    replaced: dict[str, set[int]] = {}
    for row in tables["history"]:
        replaced.setdefault(row["prediction_window"], set()).add(row["generation"])
    for window, stand in current.items():
        ((generation, run_key), *more) = sorted(stand)
        if more:
            found.append(f"{window}: generations {sorted(stand)} at once")
        standing = sum(row["prediction_window"] == window for row in tables["current"])
        copied = sum(
            (row["prediction_window"], row["generation"]) == (window, generation)
            for row in tables["history"]
        )
        before = replaced.get(window, set()) - ({generation} if copied == standing else set())
        if before != set(range(1, generation)):
            found.append(f"{window}: {replaced.get(window)} in history before {generation}")
        aside = sum(
            (row["prediction_window"], row["run_key"]) == (window, run_key)
            for row in tables["refused"]
        )
        found += _law_problems(settings, window, generation, standing, aside)
    return found


def _law_problems(
    settings: Settings, window: str, generation: int, standing: int, aside: int
) -> list[str]:
    """Compare what a window's last commit says of its rows with the rows that are there."""
    commits = [
        commit
        for commit in delta_tables.history(lake.predictions(settings, machines.NAME))
        if commit.get("headframe.window") == window
        and int(commit["headframe.generation"]) == generation
    ]
    if len(commits) != 1:
        return [f"{window}: {len(commits)} commits of generation {generation}"]
    if standing + aside != machines.MACHINES:
        return [f"{window}: {standing} stand and {aside} are refused of {machines.MACHINES}"]
    law = json.loads(commits[0]["headframe.law"])
    rows, carried, carried_refused = (
        int(commits[0][f"headframe.{name}"]) for name in ("rows", "carried", "carried_refused")
    )
    told = (law["rows"], law["scored"] + carried, law["refused"] + carried_refused)
    there = (law["scored"] + law["refused"], standing, aside)
    return [] if (told, rows) == (there, standing) else [f"{window}: {told} told, {there} there"]
