"""Training with a search: tuners side by side, tried again where they stopped, and one model."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.adapters.models import mlflow_registry, retraining_ledger, search_record
from pipelines.adapters.models.studies import OpenTrial
from pipelines.adapters.settings import Settings
from pipelines.stages import train as stage
from tests import machines, searches
from tests.dags.airflow_runs import Ended, read_dags, run
from tests.dags.conftest import use_home
from tests.empty_databases import place_mlflow
from tests.machines import at

DAG_ID = "machines__train"


@pytest.fixture(scope="module")
def prepared(dags_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with pytest.MonkeyPatch.context() as patch:
        settings = use_home(tmp_path_factory.mktemp("machines") / "home", patch)
        machines.deliver(settings)
        machines.take_in(machines.declare(settings), settings)
        place_mlflow(settings.root / "mlflow" / "mlflow.db")
        yield settings
    (dags_folder / "machines.py").unlink()


@pytest.fixture
def settings(prepared: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Return the settings of a home whose use case makes four trials by two tuners."""
    monkeypatch.setenv("HEADFRAME_HOME", str(prepared.home))
    searches.declare(prepared, trials=4, tuning_tasks=2)
    return prepared


def tuners_of(ended: Ended) -> dict[int, tuple[str, int]]:
    """Return state and tries of each tuner of a run."""
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from sqlalchemy import select

    mine = (TaskInstance.run_id == ended.run_id) & (TaskInstance.task_id == "tune")
    with create_session() as session:
        found = session.scalars(select(TaskInstance).where(mine).order_by(TaskInstance.map_index))
        return {task.map_index: (str(task.state), task.try_number) for task in found}


def trials(settings: Settings, ended: Ended) -> list[dict[str, Any]]:
    """Return the trials that the model of a run keeps."""
    kept = mlflow_registry.artifact(settings, ended.returned["train"]["run_id"], search_record.FILE)
    return list(json.loads(kept)["trials"])


def test_a_search_has_tasks_of_its_own_and_a_training_without_one_has_none(
    settings: Settings, dags_folder: Path
) -> None:
    def shape() -> dict[str, tuple[str, list[str]]]:
        dag = read_dags(dags_folder / "machines.py").dags[DAG_ID]
        return {t.task_id: (t.task_type, sorted(t.downstream_task_ids)) for t in dag.tasks}

    alone = {
        "train": ("ModelTask", ["evaluate"]),
        "evaluate": ("EvidenceTask", ["promote"]),
        "promote": ("StageTask", ["reference"]),
        "reference": ("StageTask", []),
    }
    assert shape() == {"plan": ("StageTask", ["tune"]), "tune": ("PartTask", ["train"]), **alone}
    searches.declare(settings, trials=0)
    assert shape() == alone
    machines.declare(settings)
    assert shape() == alone


def test_tuners_share_a_search_and_the_best_of_it_is_judged(settings: Settings) -> None:
    ended = run(DAG_ID, conf={"as_of": at(50).isoformat(), "reason": "monthly"})
    assert ended.state == "success"
    assert tuners_of(ended) == {0: ("success", 1), 1: ("success", 1)}
    made = trials(settings, ended)
    assert [(trial["place"], trial["state"]) for trial in made] == [
        (place, "finished") for place in range(4)
    ]
    version = mlflow_registry.candidate(settings, "machines", ended.returned["train"]["version"])
    best = min(made, key=lambda trial: trial["loss"])
    assert json.loads(version.tags["headframe.parameters"]) == best["parameters"]
    assert version.tags["headframe.reason"] == "monthly"
    assert ended.returned["evaluate"]["version"] == version.version
    again = run(DAG_ID, conf={"as_of": at(50).isoformat()})
    assert (again.state, again.tasks["tune"]) == ("success", "skipped")
    assert again.returned["train"]["version"] == version.version


def test_a_tuner_that_failed_in_a_trial_goes_on_with_it_and_no_trial_is_lost(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole: Callable[..., bool] = OpenTrial.report
    failed: list[int] = []

    def report(trial: OpenTrial, fold: int, loss: float, *, last: bool) -> bool:
        answer = whole(trial, fold, loss, last=last)
        if not failed and trial.place == 2:
            failed.append(trial.place)
            raise ConnectionResetError("the machine went away")
        return answer

    monkeypatch.setattr(OpenTrial, "report", report)
    ended = run(DAG_ID, conf={"as_of": at(51).isoformat()})
    assert ended.state == "success"
    assert sorted(tries for _, tries in tuners_of(ended).values()) == [1, 2]
    states = [(trial["place"], trial["state"]) for trial in trials(settings, ended)]
    stood = [(place, "finished") for place in range(4)]
    assert states == [*stood[:2], (2, "killed"), *stood[2:]]


@pytest.mark.parametrize("searching", [True, False])
def test_a_dry_run_is_green_and_trains_nothing(settings: Settings, *, searching: bool) -> None:
    if not searching:
        machines.declare(settings)
    ended = run(DAG_ID, conf={"as_of": at(52).isoformat(), "dry_run": True})
    assert ended.state == "success"
    assert set(ended.tasks.values()) == {"skipped"}
    names = mlflow_registry.registered(settings)
    assert not [name for name in names if name.tags["headframe.as_of"] == at(52).isoformat()]


def test_a_tuner_with_other_code_than_the_run_began_with_is_refused(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = stage.plan

    def edited_meanwhile(*arguments: Any, **options: Any) -> stage.Planned:  # noqa: ANN401 - as plan
        planned = whole(*arguments, **options)
        with (settings.dags / "machines.py").open("a") as file:
            file.write("# A comment is other code, too.\n")
        return planned

    monkeypatch.setattr(stage, "plan", edited_meanwhile)
    ended = run(DAG_ID, conf={"as_of": at(53).isoformat()})
    assert {state for state, _ in tuners_of(ended).values()} == {"failed"}
    assert ended.tasks["train"] == "upstream_failed"
    assert "run of machines__train: expected the code it began with" in ended.reasons["tune"]


BUDGET = """
from dataclasses import replace
from pipelines.use_case import Budget
machines = replace(machines, budget=Budget(cpu_seconds_per_month=50))
build_dags(machines)
"""
"""Less than the 60 CPU seconds that the search may spend."""


def test_a_search_beyond_what_is_left_of_the_month_ends_before_its_first_trial(
    settings: Settings,
) -> None:
    path = settings.dags / "machines.py"
    text = path.read_text("utf-8")
    assert text.count("build_dags(machines)\n") == 1
    path.write_text(text.replace("build_dags(machines)\n", BUDGET), "utf-8")
    ended = run(DAG_ID, conf={"as_of": at(53).isoformat()})
    assert (ended.state, ended.tries["plan"]) == ("failed", 1)
    assert "of 50 CPU s of" in ended.reasons["plan"]
    assert "this training may spend 60" in ended.reasons["plan"]
    last = retraining_ledger.read(settings, "machines")[-1]
    assert (last.kind, last.why, last.run) == ("failed", "costs", ended.run_id)
    assert last.reason.startswith("training of machines: expected one that fits")
