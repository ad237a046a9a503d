"""List: the use cases and their champions, and the catalogue of feature views."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table as Grid
from rich.text import Text

from pipelines.adapters.models import decisions
from pipelines.adapters.models.view_columns import view_columns
from pipelines.adapters.settings import Settings
from pipelines.cli.terminal import console, errors, fail_on
from pipelines.domain.catalogue import CataloguedView, DeclaredView, catalogue, views_of
from pipelines.domain.feature_view import feature_digest
from pipelines.domain.succession import succession
from pipelines.errors import DeclarationError, HeadframeError
from pipelines.use_case import UseCase, load_all

SHORT = 12
"""Characters of a digest that are shown."""

NO_CHAMPION = "none"


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command("list")(list_use_cases)


def list_use_cases(
    *,
    features: Annotated[
        bool, typer.Option("--features", help="List the feature views, and who uses which.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for a script.")] = False,
) -> None:
    """List the use cases under dags/ with their champions, or their feature views."""
    settings = Settings()
    sound, broken = load_all(settings.dags.absolute())
    with fail_on(HeadframeError):
        if features:
            broken += _list_views(list(sound.values()), as_json=as_json)
        else:
            _list_use_cases(settings, list(sound.values()), as_json=as_json)
    for error in broken:
        errors.print(str(error), markup=False, highlight=False)
    if broken:
        raise typer.Exit(1)


def _list_use_cases(settings: Settings, sound: Sequence[UseCase], *, as_json: bool) -> None:
    champions = _champions(settings, [use_case.name for use_case in sound])
    listed = [
        {
            "name": use_case.name,
            "owner": use_case.owner,
            "tier": use_case.tier,
            "schedule": _schedule(use_case),
            "champion": champions[use_case.name],
            "tables": [table.name for table in use_case.tables],
            "purpose": use_case.purpose,
        }
        for use_case in sound
    ]
    if as_json:
        sys.stdout.write(json.dumps(listed) + "\n")
        return
    grid = _grid("use case", "owner", "tier", "schedule", "champion", "tables", "purpose")
    for one in listed:
        told = {**one, "champion": one["champion"] or NO_CHAMPION, "tables": _joined(one["tables"])}
        grid.add_row(*(Text(str(cell)) for cell in told.values()))
    console.print(grid)


def _list_views(sound: Sequence[UseCase], *, as_json: bool) -> list[DeclarationError]:
    """List the views, and return what is wrong with those use cases whose features have no identity."""
    declared: list[DeclaredView] = []
    broken = []
    for use_case in sound:
        try:
            declared += _declared(use_case)
        except DeclarationError as error:
            broken.append(error)
    views = catalogue(declared)
    if as_json:
        sys.stdout.write(json.dumps([asdict(view) for view in views]) + "\n")
        return broken
    grid = _grid("view", "file", "entity", "reads", "uses", "digest", "used by")
    for view in views:
        cells = (view.name, view.file, view.entity, _joined(view.reads), _joined(view.uses))
        grid.add_row(*(Text(cell) for cell in (*cells, view.digest[:SHORT], _joined(view.used_by))))
    console.print(grid)
    for view in views:
        _show_features(view)
    return broken


def _show_features(view: CataloguedView) -> None:
    console.print()
    if view.columns is None:
        said = f"{view.name}: its features are not known until its query is mended"
        console.print(said, markup=False, highlight=False)
        return
    grid = _grid(view.name, "type", "handed to the models of")
    for name, kind in view.columns.items():
        grid.add_row(Text(name), Text(kind), Text(_joined(view.taken[name])))
    console.print(grid)


def _declared(use_case: UseCase) -> list[DeclaredView]:
    if use_case.features is None:
        return []
    feature_digest(use_case.features, None)  # refuses what the catalogue cannot tell apart
    views = views_of(use_case.name, use_case.features)
    columns = view_columns({view.name: view for view, _ in views}, use_case.label)
    return [
        DeclaredView(use_case=use_case.name, view=view, columns=columns[view.name], through=through)
        for view, through in views
    ]


def _champions(settings: Settings, names: Sequence[str]) -> dict[str, str | None]:
    """Return each use case's champion as the ledger has it, with what stands in its way, if anything."""
    entries = decisions.read_all(settings)
    found: dict[str, str | None] = {}
    for name in names:
        told = succession([entry for entry in entries if entry.decision.use_case == name])
        version = None if told.champion is None else told.champion.version
        if told.frozen is not None:
            version = f"{version} (frozen)"
        if told.unfinished is not None:
            version = f"{version or NO_CHAMPION} (a move under way)"
        found[name] = version
    return found


def _schedule(use_case: UseCase) -> str:
    """Return when the use case does its work: when it predicts, or takes in where it predicts nothing."""
    if use_case.scoring is None:
        return f"ingest {use_case.ingest_schedule}"
    return use_case.scoring.times.describe()


def _grid(*titles: str) -> Grid:
    grid = Grid(box=None, pad_edge=False, header_style="bold")
    for number, title in enumerate(titles):
        grid.add_column(Text(title), no_wrap=number == 0 or title == "digest")
    return grid


def _joined(names: object) -> str:
    return ", ".join(names) if isinstance(names, list | tuple) else ""
