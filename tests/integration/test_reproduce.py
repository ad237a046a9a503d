"""Reproduce: a registered model is made again bit for bit, or what differs is named with evidence."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mlflow import MlflowClient

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables, table_upkeep
from pipelines.adapters.models import (
    code_archive,
    data_pins,
    environments,
    mlflow_registry,
    recipes,
    reproductions,
)
from pipelines.adapters.models.mlflow_registry import ModelVersion
from pipelines.adapters.settings import Settings
from pipelines.domain.recipe import Recipe
from pipelines.domain.reproduction import Reproduced
from pipelines.errors import LakeError, PlatformError
from pipelines.stages.card import card
from pipelines.stages.evaluate import evaluate
from pipelines.stages.maintain import Retention, maintain
from pipelines.stages.promote import promote
from pipelines.stages.reproduce import prove_champions, reproduce
from pipelines.use_case import load
from tests import machines, reproducing
from tests.integration.test_command_line import (
    headframe_in,
    wide_terminal,  # noqa: F401 - a fixture for every test here
)
from tests.machines import at

NIGHT = at(60)

LOCK = """\
version = 1
revision = 3
requires-python = ">=3.11"

[[package]]
name = "nothing"
version = "0.1.0"
source = { virtual = "." }
"""

PROJECT = """\
[project]
name = "nothing"
version = "0.1.0"
requires-python = ">=3.11"
dependencies = []
"""


@pytest.fixture(scope="module")
def template(machines_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a home whose champion is a forest, made by a library that lies beside it."""
    folder = tmp_path_factory.mktemp("reproduce")
    with pytest.MonkeyPatch.context() as patch:
        reproducing.use_library(folder / "library", patch)
        settings = machines.copy_template(machines_template, folder / "home")
        version = reproducing.trained(settings, "forest")
        use_case = load(settings.dags / "machines.py")
        evaluate(use_case, settings, version=version)
        promote(use_case, settings, version=version, as_of=at(50))
        yield folder
    import mlflow

    mlflow.set_tracking_uri(None)


@pytest.fixture
def home(template: Path, tmp_path: Path) -> Settings:
    """Return a copy of it whose version 1 is the champion."""
    return machines.copy_template(template / "home", tmp_path / "home")


def again(settings: Settings, **how: Any) -> Reproduced:  # noqa: ANN401 - as the stage takes it
    return reproduce("machines", settings, version="1", as_of=NIGHT, run="test", **how)


def model(settings: Settings) -> ModelVersion:
    return mlflow_registry.candidate(settings, "machines", "1")


def artifact(settings: Settings, path: str) -> Path:
    """Return where a file beside version 1 lies."""
    run = MlflowClient(settings.mlflow_uri).get_run(model(settings).run_id)
    return Path(run.info.artifact_uri) / path


def retag(settings: Settings, name: str, value: str) -> None:
    """Change a tag of version 1 by hand."""
    client = MlflowClient(settings.mlflow_uri)
    client.set_model_version_tag("machines-candidates", "1", name, value)


def rewrite_recipe(settings: Settings, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the recipe of version 1, and the tag that would give it away."""
    file = artifact(settings, recipes.FILE)
    plain = json.loads(file.read_text("utf-8"))
    change(plain)
    file.write_text(json.dumps(plain), "utf-8")
    retag(settings, recipes.DIGEST, Recipe.from_json(json.dumps(plain)).digest)


def features(settings: Settings) -> Path:
    """Return the folder of the feature rows of version 1."""
    folder = lake.features(settings, "machines", model(settings).tags["headframe.features"])
    assert isinstance(folder, Path)
    return folder


def outcomes(settings: Settings) -> Path:
    """Return the folder of the table that labels are made from."""
    folder = lake.silver(settings, "machines", "outcome")
    assert isinstance(folder, Path)
    return folder


def change_rows(settings: Settings, change: Callable[[pa.Table], pa.Table]) -> None:
    """Change rows in place in the data file of the recorded feature rows, and cover it up."""
    version = json.loads(model(settings).tags["headframe.data_versions"])["gold.features.machines"]
    (file,) = table_upkeep.files_at(features(settings), version)
    path = features(settings) / file.path
    before = path.stat().st_size
    pq.write_table(change(pq.read_table(path)), path)
    # Readers look for the footer where the log says that the file ends.
    entry = features(settings) / "_delta_log" / f"{version:020}.json"
    text = entry.read_text("utf-8")
    assert f'"size":{before}' in text
    entry.write_text(text.replace(f'"size":{before}', f'"size":{path.stat().st_size}'), "utf-8")


def test_every_champion_is_made_again_in_a_process_of_its_own(home: Settings) -> None:
    # Neither today's declaration nor today's library may matter.
    (home.dags / "machines.py").write_text("raise RuntimeError\n", "utf-8")
    (proven,) = prove_champions(home, as_of=NIGHT, run="night")
    found = proven.reproduced
    assert found is not None
    assert (proven.wrong, found.outcome, found.findings) == ("", "identical", ())
    assert found.notes == ()
    assert found.compared.rows > 1_000
    assert found.reason == (
        f"Fitted again here on 1 thread, it predicts all {found.compared.rows:,} probe rows as it did, "
        "bit for bit."
    )
    assert reproductions.of_version(home, "machines", "1") == [found]


def test_two_threads_make_the_same_model_whatever_the_tables_hold_now_and_the_card_tells(
    home: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(code_archive, "PACKAGE", tmp_path / "installed" / "pipelines")
    for folder, column in ((features(home), "load"), (outcomes(home), "stop_minutes")):
        rows = delta_tables.read(folder)
        place, kind = rows.column_names.index(column), rows.schema.field(column).type
        for value in (1, 0):
            other = rows.set_column(place, column, pa.array([value] * rows.num_rows).cast(kind))
            delta_tables.commit_rows(folder, other, transactions={}, metadata={}, replace="true")
    # What no model needs goes at once: of each table the version with ones.
    swept = maintain(home, now=NIGHT, run="test", retention=Retention(files_hours=0))
    assert sum(table.data.files for table in swept.tables) == 2
    headframe = headframe_in(home)
    told = json.loads(headframe("reproduce", "machines", "--threads", "2", "--json").stdout)
    assert (told["outcome"], told["version"], told["threads"]) == ("identical", "1", 2)
    assert [one["layer"] for one in told["findings"]] == ["threads"]
    recipe = recipes.read(home, model(home))
    assert recipe is not None
    assert told["notes"] == [f"lock {recipe.surroundings.lock_sha256[:12]} there, none here"]
    text = card(load(home.dags / "machines.py"), home, version="1")
    section = text.split("## Made again\n\n")[1].split("\n\n")[0]
    assert section.splitlines()[2].endswith(f"| identical | {told['reason']} |")


def test_a_changed_row_is_named_with_its_table_and_version(home: Settings) -> None:
    changed: list[dict[str, Any]] = []

    def change(rows: pa.Table) -> pa.Table:
        place = rows["machine"].to_pylist().index("A08")
        changed.append(rows.slice(place, 1).to_pylist()[0])
        load_of = [
            1.0 - value if n == place else value for n, value in enumerate(rows["load"].to_pylist())
        ]
        return rows.set_column(rows.column_names.index("load"), "load", pa.array(load_of))

    change_rows(home, change)
    found = again(home)
    version = json.loads(model(home).tags["headframe.data_versions"])["gold.features.machines"]
    (row,) = changed
    assert (found.outcome, found.layer) == ("differs", "data")
    assert found.findings[0].evidence == (
        f"gold.features.machines at version {version}: load in 1 of {recipes_rows(home)} rows; "
        f"such as ({row['as_of']:%Y-%m-%d %H:%M} UTC, {row['day']}, A08)"
    )


def recipes_rows(settings: Settings) -> str:
    recipe = recipes.read(settings, model(settings))
    assert recipe is not None
    return f"{recipe.rows:,}"


def test_a_version_that_is_gone_is_named(home: Settings) -> None:
    for file in features(home).glob("*.parquet"):
        file.unlink()
    found = again(home)
    assert (found.outcome, found.layer) == ("not_rebuilt", "data")
    assert "gold" not in found.reason or "features" in found.reason
    assert found.compared.rows == 0


def test_changed_code_is_named_and_never_run(home: Settings, tmp_path: Path) -> None:
    file = artifact(home, code_archive.FILE)
    held = code_archive.contents(file.read_bytes())
    planted = tmp_path / "ran"
    held["pipelines/stages/refit.py"] = f"open({str(planted)!r}, 'w')\n".encode()
    del held["pipelines/adapters/threads.py"]
    reproducing.pack(held, file)
    found = again(home)
    assert (found.outcome, found.layer) == ("not_rebuilt", "code")
    assert found.findings[0].evidence == (
        "the archive beside it: pipelines/adapters/threads.py gone, pipelines/stages/refit.py changed"
    )
    # Nor when the tag was changed with it: the frozen evidence has the digest, the ledger that.
    retag(home, "headframe.code", code_archive.digest_of_files(code_archive.files_of(held)))
    with pytest.raises(LakeError, match=r"tags that say otherwise: headframe\.code"):
        again(home)
    assert not planted.exists()


def test_what_was_recorded_and_changed_since_is_an_error_of_its_own(home: Settings) -> None:
    recipe = artifact(home, recipes.FILE)
    before = recipe.read_text("utf-8")
    recipe.write_text(before.replace('"seed": 7', '"seed": 8'), "utf-8")
    with pytest.raises(LakeError, match="expected the recipe that was registered"):
        again(home)
    (proven,) = prove_champions(home, as_of=NIGHT, run="night")
    assert proven.wrong.startswith("recipe/recipe.json beside version 1: expected the recipe")
    recipe.write_text(before, "utf-8")
    retag(home, "headframe.probe_digest", "0" * 64)
    with pytest.raises(LakeError, match="its probe set, another"):
        again(home)
    assert reproductions.of_version(home, "machines", "1") == []


def test_a_version_of_an_older_release_is_not_tested(home: Settings) -> None:
    client = MlflowClient(home.mlflow_uri)
    client.delete_model_version_tag("machines-candidates", "1", recipes.DIGEST)
    (proven,) = prove_champions(home, as_of=NIGHT, run="night")
    assert proven.wrong == ""
    assert proven.reproduced is not None
    assert proven.reproduced.outcome == "not_recorded"
    told = headframe_in(home)("reproduce", "machines", status=1).stdout
    assert told.startswith("machines version 1: not recorded. Not tested")


def test_the_versions_recorded_are_those_that_were_read_and_what_they_keep_is_told(
    home: Settings,
) -> None:
    versions = json.loads(model(home).tags["headframe.data_versions"])
    assert set(versions) == {
        "silver.machines.plan", "silver.machines.outcome", "gold.features.machines",
    }  # fmt: skip
    (kept,) = data_pins.kept_bytes(home).models
    assert (kept.model, kept.own, kept.shared) == ("machines-candidates version 1", 0, 0)
    assert kept.current > 0
    # All rows are written anew: the version that the model needs is kept for it alone.
    rows = delta_tables.read(features(home))
    delta_tables.commit_rows(features(home), rows, transactions={}, metadata={}, replace="true")
    after = data_pins.kept_bytes(home)
    needed = table_upkeep.files_at(features(home), versions["gold.features.machines"])
    assert after.models[0].own == after.kept == sum(file.bytes for file in needed)
    told = headframe_in(home)("pins").stdout
    assert told.endswith(f"1 models keep {after.kept:,} bytes of replaced files\n")


def test_an_environment_is_made_once_for_each_lock(home: Settings) -> None:
    first = environments.rebuilt(home, lock=LOCK.encode(), project=PROJECT.encode())
    assert first.is_file()
    made = first.parents[1] / "pyvenv.cfg"
    before = made.stat().st_mtime_ns
    assert environments.rebuilt(home, lock=LOCK.encode(), project=PROJECT.encode()) == first
    assert made.stat().st_mtime_ns == before
    with pytest.raises(PlatformError, match="uv ended with status"):
        environments.rebuilt(home, lock=b"no lock", project=PROJECT.encode())


def test_a_lock_that_was_changed_beside_the_model_is_not_installed(home: Settings) -> None:
    file = artifact(home, code_archive.FILE)
    held = code_archive.contents(file.read_bytes())
    reproducing.pack({**held, code_archive.LOCK: LOCK.encode()}, file)
    with pytest.raises(LakeError, match="another lock in its archive"):
        again(home, rebuild=True)
    assert not (home.root / "environments").exists()
