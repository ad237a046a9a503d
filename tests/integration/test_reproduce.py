"""Reproduce: a registered model is made again bit for bit, or what differs is named with evidence."""

import hashlib
import json
import shutil
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
    decisions,
    environments,
    mlflow_registry,
    probe,
    recipes,
    reproductions,
)
from pipelines.adapters.models.decisions import Decision
from pipelines.adapters.models.mlflow_registry import ModelVersion
from pipelines.adapters.settings import Settings
from pipelines.domain.recipe import Recipe
from pipelines.domain.reproduction import Finding, Reproduced
from pipelines.errors import LakeError, NotEnoughData, PlatformError, ServiceUnavailable
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


FORGED = {code_archive.LOCK: LOCK.encode(), code_archive.PROJECT: PROJECT.encode()}

SHOP = Decision(
    use_case="shop", kind="promoted", version="1", actor="gates", reason="",
    as_of=at(50), artifact_sha256="a", evidence_digest="b",
)  # fmt: skip
"""A champion that MLflow has not."""


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
    asked = {"version": "1", **how}
    return reproduce("machines", settings, as_of=NIGHT, run="test", **asked)


def model(settings: Settings, version: str = "1") -> ModelVersion:
    return mlflow_registry.candidate(settings, "machines", version)


def artifact(settings: Settings, path: str, *, version: str = "1") -> Path:
    """Return where a file beside a version lies."""
    run = MlflowClient(settings.mlflow_uri).get_run(model(settings, version).run_id)
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
    retag(settings, recipes.DIGEST, Recipe.from_plain(plain).digest)


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
    # Marks name rows that differ: where none does, nobody looks at them.
    artifact(home, recipes.MARKS).write_bytes(b"damaged")
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
    with pytest.raises(LakeError, match=r"tags that say otherwise: headframe\.probe_digest"):
        again(home)
    assert reproductions.of_version(home, "machines", "1") == []


DAMAGED: dict[str, tuple[str, bytes, str]] = {
    "recipe": (recipes.FILE, b"{", "found no recipe (JSONDecodeError)"),
    "text": (recipes.FILE, b"\xff", "found no recipe (UnicodeDecodeError)"),
    "archive": (code_archive.FILE, b"\x1f\x8b\x08\0" + b"\xff" * 40, "no such archive"),
    "probe": (probe.FILE, b"PAR1", "found a file that is none (ArrowInvalid)"),
    "evidence": (mlflow_registry.EVIDENCE_FILE, b"\xff", "expected evidence in format"),
}


@pytest.mark.parametrize("damaged", DAMAGED)
def test_a_damaged_file_is_told_and_ends_no_other_proof(home: Settings, damaged: str) -> None:
    path, content, told = DAMAGED[damaged]
    artifact(home, path).write_bytes(content)
    decisions.append(home, lambda _: SHOP)
    proven = prove_champions(home, as_of=NIGHT, run="night")
    first = next(proven)
    assert first.use_case == "machines"
    assert told in first.wrong
    # Only now is the next one looked at: what is known is reported before.
    assert [(one.use_case, bool(one.wrong)) for one in proven] == [("shop", True)]


def test_a_champion_whose_recipe_is_no_more_named_is_told(home: Settings) -> None:
    client = MlflowClient(home.mlflow_uri)
    client.delete_model_version_tag("machines-candidates", "1", recipes.DIGEST)
    shutil.rmtree(artifact(home, recipes.FILE).parent)
    (proven,) = prove_champions(home, as_of=NIGHT, run="night")
    assert "found tags that say otherwise: headframe.recipe_digest" in proven.wrong


def test_what_the_ledger_does_not_vouch_for_is_neither_run_nor_installed(home: Settings) -> None:
    version = reproducing.trained(home, "logistic")
    with pytest.raises(NotEnoughData, match="headframe run evaluate machines --version 2"):
        again(home, version=version)
    # The evidence of a release that froze no recipe, beside a model that has one.
    client, name = MlflowClient(home.mlflow_uri), "machines-candidates"
    digest = client.get_model_version(name, version).tags[recipes.DIGEST]
    folder = artifact(home, "recipe", version=version)
    client.delete_model_version_tag(name, version, recipes.DIGEST)
    reproducing.judged(home, version)
    with pytest.raises(LakeError, match=r"headframe\.recipe_digest that says which; found no such"):
        again(home, version=version)
    client.set_model_version_tag(name, version, recipes.DIGEST, digest)
    with pytest.raises(PlatformError, match="nothing vouches for the lock in its archive"):
        again(home, version=version, rebuild=True)
    assert not (home.root / "environments").exists()
    # And of one that wrote none.
    client.delete_model_version_tag(name, version, recipes.DIGEST)
    shutil.rmtree(folder)
    found = again(home, version=version)
    assert found.outcome == "not_recorded"
    assert found.reason.startswith("Not tested: the release that registered it recorded no recipe")


def test_a_fit_that_was_killed_or_waits_for_a_store_blames_no_layer(
    home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIT_ENDS", "killed")
    found = again(home)
    assert (found.outcome, found.layer) == ("not_rebuilt", "unknown")
    told = "its process was killed by signal 9 (SIGKILL) at step 'fit'"
    assert found.findings == (Finding(layer="unknown", evidence=told),)
    monkeypatch.setenv("FIT_ENDS", "without its store")
    with pytest.raises(ServiceUnavailable, match="expected an answer; found none"):
        again(home)
    assert reproductions.of_version(home, "machines", "1") == [found]


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
    # Nor when recipe and tags were changed with it: the frozen evidence has the recipe's digest.
    reproducing.pack({**held, **FORGED}, file)
    lock, project = (hashlib.sha256(content).hexdigest() for content in FORGED.values())
    rewrite_recipe(
        home,
        lambda plain: plain["surroundings"].update(lock_sha256=lock, project_sha256=project),
    )
    retag(home, environments.LOCK_SHA256, lock)
    with pytest.raises(LakeError, match=r"tags that say otherwise: headframe\.recipe_digest"):
        again(home, rebuild=True)
    assert not (home.root / "environments").exists()
