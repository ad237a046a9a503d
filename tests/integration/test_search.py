"""Searching for parameters: which trials are made, what they cost, and what becomes of the best."""

import json
import math
import re
import shutil
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest
from mlflow import MlflowClient
from typer.testing import CliRunner

import headframe
from pipelines.adapters.models import code_archive, mlflow_registry, search_record, studies
from pipelines.adapters.settings import Settings
from pipelines.cli import app
from pipelines.domain.search import Trial
from pipelines.domain.training import AS_DECLARED, Asked
from pipelines.errors import (
    DeclarationError,
    NotEnoughData,
    PlanOvertaken,
    PromotionRefused,
    SettingsError,
)
from pipelines.stages import train as stage
from pipelines.stages.train import Trained, finish, plan, train, tune
from pipelines.use_case import UseCase
from tests import machines, searches
from tests.goldens import assert_golden
from tests.machines import at

AS_OF = at(50)


def trained(
    use_case: UseCase,
    settings: Settings,
    *,
    as_of: datetime = AS_OF,
    asked: Asked = AS_DECLARED,
    told: list[str] | None = None,
) -> Trained:
    lines: list[str] = [] if told is None else told
    return train(
        use_case,
        settings,
        as_of=as_of,
        run="test",
        requester="sam",
        asked=asked,
        told=lines.append,
    )


def tags(settings: Settings, version: str) -> dict[str, str]:
    return dict(mlflow_registry.candidate(settings, "machines", version).tags)


def trials_of(settings: Settings, made: Trained) -> list[Trial]:
    """Return the trials that a model's run keeps."""
    kept = json.loads(mlflow_registry.artifact(settings, made.run_id, search_record.FILE))
    return [Trial(**trial) for trial in kept["trials"]]


Searched = tuple[UseCase, Settings, Trained, list[str]]


@pytest.fixture(scope="module")
def searched_template(
    machines_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Searched]:
    """Return a home in which a search of six trials made candidate 1, and what was told of it."""
    folder, told = tmp_path_factory.mktemp("searched"), list[str]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(code_archive, "PACKAGE", folder / "no_library")
        settings = machines.copy_template(machines_template, folder)
        use_case = searches.declare(settings)
        yield use_case, settings, trained(use_case, settings, told=told), told


@pytest.fixture
def searched(searched_template: Searched, stable_code: None) -> Searched:
    """Lend the searched home to a test that registers nothing in it."""
    return searched_template


def test_a_search_makes_the_declared_trials_and_its_best_becomes_the_model(
    searched: Searched,
) -> None:
    _, settings, made, told = searched
    trials = trials_of(settings, made)
    assert [trial.place for trial in trials] == [0, 1, 2, 3, 4, 5]
    assert trials[0].parameters == {"strength": 0.002, "fit_intercept": True}
    best = min((t for t in trials if t.state == "finished"), key=lambda t: t.loss or math.inf)
    found = tags(settings, made.version)
    assert json.loads(found["headframe.parameters"]) == best.parameters
    assert best.loss is not None
    assert trials[0].loss is not None
    assert best.loss < trials[0].loss, "the declared strength is a poor one"
    model = mlflow_registry.load(
        settings, "machines", mlflow_registry.candidate(settings, "machines", made.version)
    )
    assert best.parameters["strength"] == model.steps[-1][1].C
    assert len(told) == 6
    assert made.describe().splitlines()[1].startswith("6 of 6 trials finished; ")
    assert f"best log_loss {best.loss:.4f} on the validation blocks" in made.describe()


def test_a_trial_is_judged_on_validation_days_alone_as_computed_by_hand(
    searched: Searched,
) -> None:
    use_case, settings, made, _ = searched
    first = trials_of(settings, made)[0]
    work = stage._Work(use_case, settings, AS_OF, AS_DECLARED)
    rows = work.chosen.labelled.to_pylist()
    days = sorted({row["as_of"] for row in rows})
    assert len(days) == 26
    losses = []
    # Seven validation days in two folds; a label is final 48 hours after the end of its day.
    for known, judged in ((days[:17], days[19:22]), (days[:20], days[22:26])):
        build = use_case.training.candidates[0].build if use_case.training else None
        assert build is not None
        columns = work.chosen.columns
        frames = [
            (
                pd.DataFrame([{name: row[name] for name in columns.all} for row in part]),
                [int(row["label"]) for row in part],
            )
            for part in ([r for r in rows if r["as_of"] in some] for some in (known, judged))
        ]
        (learned, taught), (asked, happened) = frames
        said = build(columns, 7, **first.parameters).fit(learned, taught).predict_proba(asked)[:, 1]
        losses += [-math.log(p if y else 1 - p) for p, y in zip(said, happened, strict=True)]
    assert first.loss == pytest.approx(math.fsum(losses) / len(losses), rel=1e-9)


def test_held_out_days_never_enter_a_search(searched: Searched) -> None:
    use_case, settings, _, _ = searched
    work = stage._Work(use_case, settings, AS_OF, AS_DECLARED)
    held_out = set(work.chosen.split.held_out)
    used = {time for fold in work.chosen.folds for time in (*fold.training, *fold.validation)}
    assert not used & held_out
    assert not held_out & set(work.chosen.labelled["as_of"].to_pylist())
    assert max(used) + timedelta(hours=24 + 48) <= min(held_out)


def test_the_same_search_again_makes_no_trial_and_no_second_candidate(
    searched: Searched,
) -> None:
    use_case, settings, made, _ = searched
    told: list[str] = []
    assert trained(use_case, settings, told=told) == made
    assert told == []
    shutil.rmtree(settings.root / "studies")
    assert trained(use_case, settings, told=told) == made
    assert told == [], "the model's own record says what came of the search"


def test_a_dry_run_says_what_would_happen_and_leaves_nothing(
    machines_settings: Settings,
) -> None:
    use_case = searches.declare(machines_settings)
    planned = plan(use_case, machines_settings, as_of=AS_OF, asked=Asked(dry_run=True))
    assert_golden("stages/train_dry_run", planned.says.replace(str(planned.study)[:12], "KEY"))
    assert not (machines_settings.root / "studies").exists()
    client = MlflowClient(machines_settings.mlflow_uri)
    assert client.search_model_versions("name = 'machines-candidates'") == []


def test_the_trial_of_a_tuner_that_never_came_back_is_made_at_the_end(
    machines_settings: Settings,
) -> None:
    use_case = searches.declare(machines_settings, tuning_tasks=2, trials=4)
    planned = plan(use_case, machines_settings, as_of=AS_OF, asked=AS_DECLARED)
    assert (planned.study is not None, planned.tuners) == (True, 2)
    key, told = str(planned.study), list[str]()
    work = stage._Work(use_case, machines_settings, AS_OF, AS_DECLARED)
    assert work.plan is not None
    left = studies.opened(machines_settings, "machines", work.plan).next(1)
    assert left is not None, "tuner 1 dies in this trial, and never comes back"
    tune(
        use_case,
        machines_settings,
        as_of=AS_OF,
        asked=AS_DECLARED,
        study=key,
        tuner=0,
        told=told.append,
    )
    assert [line[:12] for line in told] == ["trial 1 of 4", "trial 2 of 4", "trial 3 of 4"]
    made = finish(use_case, machines_settings, as_of=AS_OF, run="test", requester="sam")
    assert made.searched.startswith("4 of 4 trials finished, 1 killed; ")
    with pytest.raises(PlanOvertaken, match="the rows and the declaration it was planned for"):
        tune(use_case, machines_settings, as_of=at(51), asked=AS_DECLARED, study=key, tuner=0)


MOODY = """
def moody(columns, seed, mood=1):
    if mood > {most}:
        raise ValueError("these parameters do not go together")
    return logistic(columns, seed, strength=1.0)
"""
MOODS = '{"mood": IntUniform(1, 99)}'


def test_trials_that_fail_are_told_and_the_others_go_on(machines_settings: Settings) -> None:
    use_case = searches.declare(
        machines_settings,
        trials=5,
        more_candidates=f'Candidate("moody", moody, {MOODS}),',
        more_code=MOODY.replace("{most}", "1"),
    )
    made = trained(use_case, machines_settings)
    states = [(t.candidate, t.state) for t in trials_of(machines_settings, made)]
    assert ("moody", "finished") in states
    assert ("moody", "failed") in states
    assert "failed (ValueError)" in made.describe()


def test_a_search_without_any_finished_trial_makes_no_model(machines_settings: Settings) -> None:
    use_case = searches.declare(
        machines_settings,
        trials=3,
        space=f'{{}}), Candidate("moody", moody, {MOODS}',
        more_code=MOODY.replace("{most}", "0"),
    )
    with pytest.raises(NotEnoughData) as caught:
        trained(use_case, machines_settings, asked=Asked(candidates=("moody",)))
    text = re.sub(r"[0-9.]+ of 60 CPU s", "S of 60 CPU s", str(caught.value))
    assert_golden("stages/train_no_trial", text)


OWN = """
def halved(rows):
    return rows / 2


def own(columns, seed, strength=1.0):
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    model = logistic(columns, seed, strength)
    model.steps.insert(1, ("own", FunctionTransformer(halved)))
    return model
"""


@pytest.mark.parametrize("dry_run", [False, True])
def test_a_candidate_whose_model_no_file_can_hold_is_refused_before_the_first_trial(
    machines_settings: Settings,
    dry_run: bool,  # noqa: FBT001 - both ways
) -> None:
    use_case = searches.declare(
        machines_settings,
        more_candidates='Candidate("own", own, {"strength": LogUniform(0.1, 1.0)}),',
        more_code=OWN,
    )
    told: list[str] = []
    asked = Asked(dry_run=dry_run)
    with pytest.raises(PromotionRefused, match=r"machines, candidate 'own'.*halved"):
        plan(use_case, machines_settings, as_of=AS_OF, asked=asked)
    with pytest.raises(PromotionRefused, match=r"machines, candidate 'own'.*halved"):
        trained(use_case, machines_settings, told=told)
    assert told == []
    asked = Asked(candidates=("logistic",))
    assert trained(use_case, machines_settings, asked=asked).version == "1"


def test_what_a_person_asks_for_is_trained_and_recorded(machines_settings: Settings) -> None:
    use_case = searches.declare(machines_settings)
    asked = Asked(window_days=20, trials=0, reason="a look at the last weeks")
    made = trained(use_case, machines_settings, asked=asked)
    assert made.training_window == ("2026-01-07", "2026-01-26")
    assert made.searched == ""
    found = tags(machines_settings, made.version)
    assert found["headframe.reason"] == "a look at the last weeks"
    assert json.loads(found["headframe.parameters"]) == {}
    for wrong in (Asked(candidates=("logstic",)), Asked(window_days=5), Asked(trials=-1)):
        with pytest.raises(DeclarationError):
            trained(use_case, machines_settings, asked=wrong)


def test_weights_and_a_sliding_window_change_the_model_and_not_the_rows_it_is_held_to(
    machines_settings: Settings,
) -> None:
    def coefficients(more: str) -> tuple[tuple[str, str], tuple[str, str], list[float]]:
        use_case = searches.declare(machines_settings, trials=0, more_training=more)
        made = trained(use_case, machines_settings)
        version = mlflow_registry.candidate(machines_settings, "machines", made.version)
        model = mlflow_registry.load(machines_settings, "machines", version)
        return made.training_window, made.held_out_window, model.steps[-1][1].coef_.tolist()[0]

    plain, weighted, sliding = (
        coefficients(more)
        for more in ("", "weights=Recent(half_life_days=5),", "window=Sliding(20),")
    )
    assert plain[0] == weighted[0] == ("2026-01-01", "2026-01-26")
    assert sliding[0] == ("2026-01-07", "2026-01-26")
    assert plain[1] == weighted[1] == sliding[1]
    assert plain[2] != weighted[2]
    assert plain[2] != sliding[2]


def test_the_command_line_tells_of_each_trial_and_a_notebook_trains_the_same_model(
    machines_settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    searches.declare(machines_settings, trials=3)
    for name in ("home", "dags", "expectations"):
        monkeypatch.setenv(f"HEADFRAME_{name.upper()}", str(getattr(machines_settings, name)))
    as_of = AS_OF.isoformat()
    arguments = ["run", "train", "machines", "--as-of", as_of, "--reason", "a look"]
    dry = CliRunner().invoke(app, [*arguments, "--dry-run"])
    assert "would learn from 1,010 labelled rows" in dry.output
    ran = CliRunner().invoke(app, arguments)
    assert ran.exit_code == 0, ran.output
    assert [line[:12] for line in ran.output.splitlines() if line.startswith("trial")] == [
        "trial 1 of 3", "trial 2 of 3", "trial 3 of 3",
    ]  # fmt: skip
    again = headframe.train("machines", as_of=as_of)
    assert (again.version, "trial" in capsys.readouterr().out) == ("1", False)
    other = headframe.train("machines", as_of=as_of, trials=2)
    assert other.version == "2"
    assert "\ntrial 1 of 2: finished" in capsys.readouterr().out
    refused = CliRunner().invoke(app, ["run", "monitor", "machines", "--trials", "3"])
    assert refused.exit_code == 1
    assert "expected stage train; found stage monitor" in refused.output


def test_a_notebook_reads_what_was_known_and_learns_from_what_training_learns_from(
    machines_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    machines.declare(machines_settings)
    for name in ("home", "dags", "expectations"):
        monkeypatch.setenv(f"HEADFRAME_{name.upper()}", str(getattr(machines_settings, name)))
    # The plan of a day lands the evening before, its outcome the morning after.
    plan_rows = headframe.read("plan", as_of="2026-01-10T12:00:00Z")
    assert plan_rows["day"].max().isoformat() == "2026-01-10"
    outcomes = headframe.read("machines.outcome", as_of="2026-01-10T12:00:00Z")
    assert outcomes["day"].max().isoformat() == "2026-01-09"
    assert len(outcomes) == 9 * machines.MACHINES
    learned = headframe.training_rows("machines", as_of=AS_OF.isoformat())
    assert (len(learned), set(learned["label"])) == (1_010, {0, 1})
    assert learned["as_of"].max() < pd.Timestamp("2026-01-27", tz="UTC"), "no held-out row"
    with pytest.raises(SettingsError, match=r"none of that name \(did you mean 'plan'\?\)"):
        headframe.read("plann")
