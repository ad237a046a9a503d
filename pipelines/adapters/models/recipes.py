"""Recipes of registered models: written beside each, and read back only as they were written."""

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.adapters.models import environments, mlflow_registry
from pipelines.adapters.models.mlflow_registry import ModelVersion
from pipelines.adapters.settings import Settings
from pipelines.domain.recipe import Recipe
from pipelines.domain.row_marks import column_digests, marked
from pipelines.errors import LakeError, Problem

if TYPE_CHECKING:
    import pyarrow as pa

FILE = "recipe/recipe.json"
MARKS = "rows/marks.parquet"

DIGEST = "headframe.recipe_digest"


def made(rows: "pa.Table", *, files: Mapping[str, str], seed: int, threads: int = 1) -> Recipe:
    """Return the recipe of a model that this process fits on labelled rows in canonical order."""
    return Recipe(
        rows=rows.num_rows,
        columns=column_digests(rows),
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

    Raises LakeError when it is not the one that was registered, ChampionUnresolved when it is gone.
    """
    if DIGEST not in model.tags:
        return None
    text = mlflow_registry.artifact(settings, model.run_id, FILE).decode("utf-8")
    recipe = Recipe.from_json(text)
    if recipe.digest != model.tags[DIGEST]:
        raise LakeError(
            Problem(
                where=f"{FILE} beside version {model.version}",
                expected=f"the recipe that was registered ({model.tags[DIGEST][:12]})",
                found=f"another ({recipe.digest[:12]})",
                fix="Restore the artifact store from a backup.",
            )
        )
    return recipe


def row_marks(settings: Settings, model: ModelVersion) -> "pa.Table":
    """Return the marks of the rows a version was taught; raises ChampionUnresolved when gone."""
    import pyarrow.parquet as pq

    return pq.read_table(BytesIO(mlflow_registry.artifact(settings, model.run_id, MARKS)))
