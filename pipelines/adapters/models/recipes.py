"""Recipes of registered models: written beside each, and read back only as they were written."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.adapters.models import environments, kept_tables, mlflow_registry
from pipelines.adapters.models.mlflow_registry import ModelVersion
from pipelines.adapters.settings import Settings
from pipelines.domain.digest import digest_of
from pipelines.domain.feature_query import AS_OF
from pipelines.domain.recipe import Recipe
from pipelines.domain.row_marks import MARK, marked
from pipelines.errors import ChampionUnresolved, LakeError, Problem

if TYPE_CHECKING:
    import pyarrow as pa

FILE = "recipe/recipe.json"
MARKS = "rows/marks.parquet"

DIGEST = "headframe.recipe_digest"


def made(
    rows: int, columns: Mapping[str, str], *, files: Mapping[str, str], seed: int, threads: int = 1
) -> Recipe:
    """Return the recipe of a model that this process fits on so many labelled rows in canonical order.

    ``columns`` are their ``row_marks.column_digests``.
    """
    return Recipe(
        rows=rows,
        columns=columns,
        files=files,
        seed=seed,
        threads=threads,
        surroundings=environments.surroundings(),
    )


def tags(recipe: Recipe) -> dict[str, str]:
    """Return what a model version says of its recipe and of what it was fitted with."""
    return {DIGEST: recipe.digest, **environments.tags(recipe.surroundings)}


def write(recipe: Recipe, rows: "pa.Table", folder: Path) -> dict[str, Path]:
    """Write recipe and row marks into ``folder``; return what is logged, by its folder there."""
    import pyarrow.parquet as pq

    written = {Path(name).parent.name: folder / Path(name).name for name in (FILE, MARKS)}
    written["recipe"].write_text(recipe.to_json(), "utf-8")
    # Scoring times repeat, marks do not: neither is worth more than the fastest compression.
    pq.write_table(marked(rows), written["rows"], compression="zstd", compression_level=1)
    return written


def read(settings: Settings, model: ModelVersion) -> Recipe | None:
    """Return a version's recipe; None for a version of a release that recorded none.

    Raises LakeError when it is not the one that was registered or the version does not say which
    that is, ChampionUnresolved when it is gone.
    """
    if DIGEST not in model.tags:
        if _lies_there(settings, model):
            raise _other(model, f"the tag {DIGEST} that says which", "no such tag")
        return None
    expected = f"the recipe that was registered ({model.tags[DIGEST][:12]})"
    content = mlflow_registry.artifact(settings, model.run_id, FILE)
    try:
        plain = json.loads(content)
        found = digest_of(plain)
    except ValueError as error:
        raise _other(model, expected, f"no recipe ({type(error).__name__})") from error
    if found != model.tags[DIGEST]:
        raise _other(model, expected, f"another ({found[:12]})")
    return Recipe.from_plain(plain)


def _lies_there(settings: Settings, model: ModelVersion) -> bool:
    try:
        mlflow_registry.artifact(settings, model.run_id, FILE)
    except ChampionUnresolved:
        return False
    return True


def _other(model: ModelVersion, expected: str, found: str) -> LakeError:
    return LakeError(
        Problem(
            where=f"{FILE} beside version {model.version}",
            expected=expected,
            found=found,
            fix="Restore MLflow's database and artifacts from a backup.",
        )
    )


def row_marks(settings: Settings, model: ModelVersion) -> "pa.Table":
    """Return the marks of the rows a version was taught.

    Raises LakeError where the file was damaged, ChampionUnresolved where it is gone.
    """
    content = mlflow_registry.artifact(settings, model.run_id, MARKS)
    where = f"{MARKS} beside version {model.version}"
    return kept_tables.read(content, where=where, columns=[AS_OF, MARK])
