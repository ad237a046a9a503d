"""Monitoring through the stages: references made once, profiles kept up to date, blocks judged once."""

import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.models import (
    champion_profiles,
    code_archive,
    monitoring_ledger,
    profile_store,
)
from pipelines.adapters.settings import Settings
from pipelines.adapters.stores.object_store import local
from pipelines.domain import model_reference
from pipelines.domain.drift.drift_result import DriftResult
from pipelines.domain.drift.severity import Alarm
from pipelines.domain.monitored import Judged
from pipelines.errors import DeclarationError
from pipelines.stages.evaluate import evaluate
from pipelines.stages.ingest import ingest
from pipelines.stages.monitor import Monitored, monitor
from pipelines.stages.profile_reference import profile_reference
from pipelines.stages.promote import promote
from pipelines.stages.score import score
from pipelines.stages.train import train
from pipelines.use_case import UseCase, load
from tests import parcels
from tests.empty_databases import place_mlflow
from tests.machines import MLFLOW_PATHS
from tests.parcels import PARCELS, TODAY, TRAINED, at

MORNING = at(TODAY, 8)

Home = tuple[UseCase, Settings]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a home to copy: trained on day 50, scored until TODAY, never monitored."""
    folder = tmp_path_factory.mktemp("parcels")
    settings = parcels.settings_in(folder)
    use_case = parcels.declare(settings)
    for day in range(TODAY + 2):
        parcels.land_plan(settings, day)
        parcels.land_outcome(settings, day)
    place_mlflow(settings.root / "mlflow" / "mlflow.db")
    ingest(use_case, settings, as_of=at(TODAY + 3), run="test")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(code_archive, "PACKAGE", folder / "no_library")
        train(use_case, settings, as_of=at(TRAINED, 12), run="test", requester="sam")
        evaluate(use_case, settings, version="1")
        promote(use_case, settings, version="1", as_of=at(TRAINED, 12))
    score_days(use_case, settings, TRAINED, TODAY + 1)
    return folder


@pytest.fixture
def home(template: Path, tmp_path: Path, stable_code: None) -> Home:
    return copy(template, tmp_path)


def copy(template: Path, folder: Path) -> Home:
    shutil.copytree(template, folder, dirs_exist_ok=True)
    settings = parcels.settings_in(folder)
    with closing(sqlite3.connect(settings.root / "mlflow" / "mlflow.db")) as database:
        for table, columns in MLFLOW_PATHS.items():
            for column in columns:
                statement = f"update {table} set {column} = replace({column}, ?, ?)"
                database.execute(statement, (f"{template}/", f"{folder}/"))
        database.commit()
    return load(settings.dags / "parcels.py"), settings


def score_days(use_case: UseCase, settings: Settings, first: int, until: int) -> None:
    score(use_case, settings, since=at(first), until=at(until), run="test")


def watch(home: Home, day: int = TODAY) -> Monitored:
    use_case, settings = home
    return monitor(use_case, settings, as_of=at(day, 8), run="test")


def versions(settings: Settings) -> dict[str, int]:
    return {
        name: delta_tables.version(table)
        for name, table in lake.table_paths(settings).items()
        if name.startswith("gold.")
    }


def test_monitoring_again_changes_nothing_and_says_the_same(home: Home) -> None:
    first, before = watch(home), versions(home[1])
    again = watch(home)
    assert versions(home[1]) == before
    assert again.watched == first.watched
    assert first.watched.level == "OK"
    assert first.watched.newest_block == "2026-03-04"
    assert first.describe().splitlines()[0] == first.watched.verdict


def test_every_block_that_the_champion_scored_is_judged_once_by_each_test(home: Home) -> None:
    watch(home)
    found = monitoring_ledger.read(home[1], "parcels", model_version="1")
    names = [one.name for one in found if one.subject == "inputs"]
    days, before = TODAY + 1 - TRAINED, 24
    # Below 150 reference blocks the budget cannot pay for single blocks: the day test is left out. What
    # the model neither learned from nor published is looked at by hard rules alone.
    assert {name: names.count(name) for name in set(names)} == {
        "HardRules": days + before, "BlockPermutation 7": days,
    }  # fmt: skip
    assert min(one.block for one in found) == "2026-01-25", "the day after the training window"
    assert {one.level for one in found if one.name == "HardRules"} == {"none"}
    assert sorted(one.name for one in found if one.subject == "model") == [
        "Harm",
        "RealisedLoss",
        "SegmentContrast",
    ]


def test_a_profile_counts_the_rows_of_its_block(home: Home) -> None:
    settings = home[1]
    watch(home)
    (reference,) = profile_store.references(settings, "parcels").values()
    profiles = profile_store.profiles(settings, "parcels", reference)
    # Training, gap and held-out blocks are described, and those that were scored.
    assert [one.published for one in profiles] == [False] * 48 + [True] * 13
    newest = profiles[-1].profile
    miles = np.array([row["miles"] for row in parcels.plan_of(TODAY)])
    edges = reference.edges.of("miles")
    expected = np.histogram(miles, [-np.inf, *edges.cuts, np.inf])[0].tolist()  # type: ignore[union-attr]
    assert newest.of(reference.edges, "miles").tolist() == [*expected, 0]
    assert newest.rows == PARCELS
    assert set(reference.edges.ranked) == {"miles", "minutes", "depot", reference.prediction}
    assert set(reference.importance) == {"miles", "minutes", "depot"}
    assert reference.importance["minutes"] > 0.1
    assert sum(reference.importance.values()) == pytest.approx(1)
    assert reference.losses.blocks[0] == "2026-01-27"
    assert len(reference.losses.blocks) == 22


def test_what_is_profiled_from_features_and_from_predictions_is_the_same(home: Home) -> None:
    use_case, settings = home
    watch(home)
    (reference,) = profile_store.references(settings, "parcels").values()
    published = profile_store.profiles(settings, "parcels", reference)[-1].profile.as_row()
    predictions = lake.predictions(settings, "parcels")
    shutil.rmtree(local(predictions))
    shutil.rmtree(local(lake.profiles(settings, "parcels")))
    found = profile_reference(use_case, settings, as_of=MORNING, run="test")
    assert found is not None
    again = profile_store.profiles(settings, "parcels", reference)[-1]
    assert not again.published
    assert again.profile.as_row() == published


def test_the_next_block_alone_is_read(home: Home) -> None:
    use_case, settings = home
    watch(home)
    score_days(use_case, settings, TODAY + 1, TODAY + 2)
    watch(home, TODAY + 1)
    commits = delta_tables.history(lake.profiles(settings, "parcels"))
    assert [commit.get("headframe.blocks") for commit in commits[:2]] == ["1", "61"]
    judged = monitoring_ledger.read(settings, "parcels")
    assert sum(one.block == "2026-03-05" and one.subject == "inputs" for one in judged) == 2


def test_the_reference_is_made_at_promotion_and_never_again(home: Home) -> None:
    use_case, settings = home
    made = profile_reference(use_case, settings, as_of=at(TRAINED), run="test")
    assert made is not None
    assert made.blocks == 48
    assert made.describe().startswith(
        "version 1: edges of 4 columns from 2026-01-01 to 2026-01-24; 48 earlier blocks profiled"
    )
    watch(home)
    assert delta_tables.version(lake.references(settings, "parcels")) == 1


def test_a_block_that_is_scored_again_is_judged_again(home: Home) -> None:
    use_case, settings = home
    path = parcels.land_plan(settings, TODAY)
    path.with_name(f"{path.name}.delivered.json").unlink()
    path.unlink()
    watch(home)

    def kilometres(rows: list[parcels.Row]) -> list[parcels.Row]:
        return [{**row, "miles": round(1.609344 * row["miles"], 1)} for row in rows]

    corrected = parcels.land_plan(settings, TODAY, kilometres, hour=21)
    corrected.rename(corrected.with_name("again.csv"))
    sidecar = corrected.with_name(f"{corrected.name}.delivered.json")
    sidecar.rename(corrected.with_name("again.csv.delivered.json"))
    ingest(use_case, settings, as_of=at(TODAY + 3), run="test")
    score_days(use_case, settings, TODAY, TODAY + 1)
    found = watch(home)
    assert found.watched.level == "PAGE"
    assert "miles looks converted: miles to kilometres" in found.watched.verdict
    assert [one.name for one in found.watched.spent.episodes][:1] == ["HardRules"]


def test_before_the_promotion_nothing_is_judged(home: Home) -> None:
    found = watch(home, TRAINED - 1)
    assert found.watched.verdict == (
        "Not watched: no champion was promoted by 2026-02-19 08:00 UTC. "
        "Train one and have it promoted."
    )
    assert not delta_tables.exists(lake.monitoring(home[1], "parcels"))


def test_with_too_few_reference_blocks_it_is_learning_and_never_ok(home: Home) -> None:
    use_case, settings = home
    slow = replace(use_case, monitoring=replace(use_case.monitoring, minimum_reference_blocks=60))
    found = monitor(slow, settings, as_of=MORNING, run="test")
    assert found.watched.level == "learning"
    assert found.watched.verdict.startswith("Learning: 30 of the 60 earlier blocks ")


@pytest.mark.parametrize("kind", ["trailing", "frozen", "season"])
def test_every_kind_of_reference_says_what_it_assumes(
    home: Home, kind: Literal["trailing", "frozen", "season"]
) -> None:
    use_case, settings = home
    chosen = replace(use_case, monitoring=replace(use_case.monitoring, reference=kind))
    found = monitor(chosen, settings, as_of=MORNING, run="test")
    # No block is from another year, so there is nothing of this season to compare with.
    assert found.watched.level == ("learning" if kind == "season" else "OK")
    assert found.watched.assumes


def test_a_segment_that_is_no_text_feature_is_a_problem_of_the_declaration(home: Home) -> None:
    use_case, settings = home
    wrong = replace(use_case, monitoring=replace(use_case.monitoring, segments=["depots"]))
    with pytest.raises(DeclarationError) as caught:
        monitor(wrong, settings, as_of=MORNING, run="test")
    assert "'depots' (did you mean 'depot'?)" in str(caught.value)


def test_estimates_cover_the_blocks_whose_labels_are_not_final(home: Home) -> None:
    found = watch(home)
    waiting = [block.block for block in found.blocks if block.outcome == "too_few"]
    assert [estimate.block for estimate in found.watched.estimates] == waiting
    assert len(waiting) >= 2
    # Ten labelled blocks are too few to tell whether estimates can be believed.
    assert {estimate.estimated.valid for estimate in found.watched.estimates} == {False}


def test_what_broke_under_another_champion_is_no_reference(
    home: Home, template: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Else a source that broke before a promotion and is still broken would be told by nobody."""
    spared = copy(template, tmp_path_factory.mktemp("spared"))
    for version, block in (("7", "2026-02-10"), ("8", "2026-01-20")):  # the second was learned from
        told_broken(home[1], version, block)
    watch(home)
    watch(spared)
    without, sizes = reference_sizes(spared), reference_sizes(home)
    assert min(without) > 0
    assert sizes == [size - 1 for size in without]


def reference_sizes(home: Home) -> list[int]:
    """Return the blocks of the reference of hard rules, by block that the champion published."""
    judged = monitoring_ledger.read(home[1], "parcels", model_version="1")
    served = f"{at(TRAINED):%Y-%m-%d}"
    rules = [one for one in judged if one.name == "HardRules" and one.block >= served]
    return [one.result.reference_blocks for one in rules]


def told_broken(settings: Settings, version: str, block: str) -> None:
    """Let the ledger say that hard rules told of a block when a version was the champion."""
    reason = "miles: missing in every row"
    judged = Judged(
        name="HardRules",
        block=block,
        result=DriftResult(
            test="HardRules", outcome="drifted", reason=reason, window_blocks=1, reference_blocks=30
        ),
        alarm=Alarm(level="PAGE", test="HardRules", reason=reason, shifts=()),
        since=None,
        about=("miles",),
        source="",
    )
    monitoring_ledger.keep(settings, "parcels", version, [judged], as_of=MORNING, run="test")


def test_blocks_are_judged_on_one_thread(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two threads wait for each other on tables this small, and their sums may end otherwise."""
    seen: list[int] = []

    def watched(*found: Any, **named: Any) -> dict[str, float]:  # noqa: ANN401 - as the function has
        seen.append(most_threads())
        return model_reference.importances(*found, **named)

    monkeypatch.setattr(champion_profiles, "importances", watched)
    with threadpool_limits(2):
        assert most_threads() == 2
        watch(home)
        assert seen == [1]
        assert most_threads() == 2


def most_threads() -> int:
    return max(int(pool["num_threads"]) for pool in threadpool_info())
