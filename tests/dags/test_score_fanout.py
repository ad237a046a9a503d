"""Scoring in parts: the same predictions as in one task, whatever was tried again in between."""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.platform import notifications
from pipelines.adapters.settings import Settings
from pipelines.errors import ChampionUnresolved, CommitLost, Problem
from pipelines.stages import score as stage
from pipelines.use_case import BusinessRule, TrainedUseCase, UseCase
from tests import machines
from tests.dags.airflow_runs import Ended, events, read_dags, run
from tests.dags.conftest import use_home
from tests.empty_databases import place_mlflow
from tests.machines import Variant, at

DAG_ID = "machines__score"
WEEK = {"as_of": at(40, 0).isoformat(), "until": at(47, 0).isoformat()}
"""Seven scoring times of forty machines each."""

WHOLE = Variant(parts=1)
PARTS = Variant(parts=4)
WAYS = [pytest.param(WHOLE, id="whole", marks=pytest.mark.prove), pytest.param(PARTS, id="parts")]
"""Other files and the demo score in one task in every run of the tests."""

HALF = BusinessRule("half", owner="plant", when="true", then="prediction / 2", reason="agreed")

Rows = dict[tuple[str, ...], tuple[str, ...]]
"""Key and scoring time of each current prediction -> its values, floats as their bits."""


@dataclass(frozen=True, slots=True)
class Home:
    """A home with a champion, and what one task makes of a week in it."""

    settings: Settings
    whole: Rows
    whole_run: Ended

    def declare(self, variant: Variant) -> None:
        machines.declare(self.settings, variant)

    def forget(self) -> None:
        """Take all predictions away, and the incidents of earlier runs."""
        predictions = Path(str(lake.predictions(self.settings, machines.NAME))).parent
        for folder in (predictions, Path(str(lake.ledger(self.settings, "incidents")))):
            shutil.rmtree(folder, ignore_errors=True)

    def predictions(self) -> Rows:
        table = lake.predictions(self.settings, machines.NAME)
        columns = ["day", "machine", "scored_for", "as_of", "raw_prediction", "prediction"]
        columns += ["model_version", "artifact_sha256", "feature_digest", "stale_tables"]
        found = delta_tables.read(table).select(columns).to_pylist()
        rows: Rows = {
            (str(row["day"]), row["machine"], row["scored_for"].isoformat()): tuple(
                value.hex() if isinstance(value, float) else str(value) for value in row.values()
            )
            for row in found
        }
        assert len(rows) == len(found), "a prediction is current once"
        return rows

    def version(self) -> int:
        return delta_tables.version(lake.predictions(self.settings, machines.NAME))


@pytest.fixture(scope="module")
def prepared(dags_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("machines")
        settings = use_home(folder / "home", patch)
        machines.deliver(settings)
        use_case = machines.declare(settings, WHOLE)
        machines.take_in(use_case, settings)
        place_mlflow(settings.root / "mlflow" / "mlflow.db")
        assert run("machines__train", conf={"as_of": at(50).isoformat()}).state == "success"
        home = Home(settings, {}, Ended("", "", {}, {}, {}, {}))
        ended = run(DAG_ID, conf=WEEK)
        yield Home(settings, home.predictions(), ended)
    (dags_folder / "machines.py").unlink()


@pytest.fixture
def home(prepared: Home, monkeypatch: pytest.MonkeyPatch) -> Home:
    """Return the home without any prediction, declared to score in four parts."""
    monkeypatch.setenv("HEADFRAME_HOME", str(prepared.settings.home))
    prepared.forget()
    prepared.declare(PARTS)
    return prepared


def parts_of(ended: Ended) -> dict[int, tuple[str, int]]:
    """Return state and tries of each part of a run."""
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from sqlalchemy import select

    mine = (TaskInstance.run_id == ended.run_id) & (TaskInstance.task_id == "score_part")
    with create_session() as session:
        found = session.scalars(select(TaskInstance).where(mine).order_by(TaskInstance.map_index))
        return {task.map_index: (str(task.state), task.try_number) for task in found}


def failing_once(
    patch: pytest.MonkeyPatch, name: str, *, part: int | None = None
) -> list[tuple[str, int | None]]:
    """Let one step of scoring do all its work and then fail, once; return what failed."""
    whole: Callable[..., Any] = getattr(stage, name)
    failed: list[tuple[str, int | None]] = []

    def work(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - as the step
        made = whole(*arguments, **options)
        if not failed and part in (None, arguments[-1]):
            failed.append((name, part))
            raise ConnectionResetError("the answer was lost")
        return made

    patch.setattr(stage, name, work)
    return failed


def test_the_shape_of_both_ways(home: Home, dags_folder: Path) -> None:
    def shape() -> dict[str, tuple[str, list[str], list[str]]]:
        dag = read_dags(dags_folder / "machines.py").dags[DAG_ID]
        return {
            task.task_id: (
                task.task_type,
                sorted(task.downstream_task_ids),
                [asset.name for asset in task.outlets],
            )
            for task in dag.tasks
        }

    assert shape() == {
        "champion": ("StageTask", ["plan"], []),
        "plan": ("StageTask", ["score_part"], []),
        "score_part": ("PartTask", ["publish"], []),
        "publish": ("StageTask", [], ["predictions.machines"]),
    }
    home.declare(WHOLE)
    assert shape() == {
        "champion": ("StageTask", ["score"], []),
        "score": ("StageTask", [], ["predictions.machines"]),
    }


def test_a_file_with_parts_reads_the_same_twice_and_names_no_address(
    home: Home, dags_folder: Path
) -> None:
    from airflow.serialization.serialized_objects import DagSerialization

    first, second = (
        json.dumps(DagSerialization.to_dict(read_dags(dags_folder / "machines.py").dags[DAG_ID]))
        for _ in range(2)
    )
    assert first == second
    assert " at 0x" not in first


def test_parts_make_the_same_predictions_as_one_task_to_the_bit(home: Home) -> None:
    ended = run(DAG_ID, conf=WEEK)
    assert (ended.state, parts_of(ended)) == ("success", dict.fromkeys(range(4), ("success", 1)))
    assert len(home.whole) == 7 * machines.MACHINES
    assert home.predictions() == home.whole
    assert home.whole_run.state == "success"
    same = ("rows", "model_version", "scored_for_first", "scored_for_last", "as_of", "scored_for")
    whole, published = home.whole_run.returned["score"], ended.returned["publish"]
    assert {name: published[name] for name in same} == {name: whole[name] for name in same}
    assert events("predictions.machines")[-1] == {
        name: published[name] for name in published if name not in ("says", "scored_for")
    }


def test_a_part_that_is_tried_again_changes_nothing(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = failing_once(monkeypatch, "score_part", part=2)
    ended = run(DAG_ID, conf=WEEK)
    assert failed == [("score_part", 2)]
    tries = {part: tries for part, (_, tries) in parts_of(ended).items()}
    assert (ended.state, tries) == ("success", {0: 1, 1: 1, 2: 2, 3: 1})
    assert home.predictions() == home.whole


def test_a_publication_whose_answer_was_lost_is_made_once(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = failing_once(monkeypatch, "publish")
    ended = run(DAG_ID, conf=WEEK)
    assert (failed, ended.tries["publish"]) == ([("publish", None)], 2)
    assert ended.state == "success"
    assert home.predictions() == home.whole
    generations = delta_tables.read(lake.predictions(home.settings, machines.NAME))["generation"]
    assert set(generations.to_pylist()) == {1}
    assert not delta_tables.exists(lake.prediction_history(home.settings, machines.NAME))


def test_a_publication_whose_plan_another_run_overtook_is_not_tried_again(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, overtaken = stage.publish, list[str]()

    def publish(use_case: UseCase, settings: Settings, *rest: Any) -> Any:  # noqa: ANN401 - as publish
        if not overtaken:
            overtaken.append("once")
            scoring = TrainedUseCase.of(use_case).scoring
            other = replace(use_case, scoring=replace(scoring, rules=[HALF]))
            stage.score(other, settings, since=at(40, 0), until=at(41, 0), run="by hand")
        return whole(use_case, settings, *rest)

    monkeypatch.setattr(stage, "publish", publish)
    ended = run(DAG_ID, conf={**WEEK, "until": at(41, 0).isoformat()})
    assert (ended.state, ended.tasks["publish"], ended.tries["publish"]) == ("failed", "failed", 1)
    assert "clear task plan with all after it" in ended.reasons["publish"]
    assert len(home.predictions()) == machines.MACHINES, "those of the other run stand"


def test_a_second_run_has_no_part_and_publishes_nothing(home: Home) -> None:
    run(DAG_ID, conf=WEEK)
    version = home.version()
    again = run(DAG_ID, conf=WEEK)
    assert again.tasks == {
        "champion": "success",
        "plan": "success",
        "score_part": "skipped",
        "publish": "success",
    }
    assert "7 unchanged" in again.returned["publish"]["says"]
    assert (home.version(), home.predictions()) == (version, home.whole)


def test_a_single_part_is_published_as_well(home: Home) -> None:
    ended = run(DAG_ID, conf={"as_of": WEEK["as_of"], "until": at(41, 0).isoformat()})
    assert (ended.state, len(parts_of(ended))) == ("success", 1)
    assert len(home.predictions()) == machines.MACHINES


def test_a_part_with_other_code_than_the_run_began_with_is_refused(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = stage.plan

    def edited_meanwhile(*arguments: Any, **options: Any) -> stage.ScorePlan:  # noqa: ANN401 - as plan
        planned = whole(*arguments, **options)
        with (home.settings.dags / "machines.py").open("a") as file:
            file.write("# A comment is other code, too.\n")
        return planned

    monkeypatch.setattr(stage, "plan", edited_meanwhile)
    ended = run(DAG_ID, conf=WEEK)
    assert ended.tasks["publish"] == "upstream_failed"
    assert {state for state, _ in parts_of(ended).values()} == {"failed"}
    assert {tries for _, tries in parts_of(ended).values()} == {1}
    assert "run of machines__score: expected the code it began with" in ended.reasons["score_part"]
    assert not delta_tables.exists(lake.predictions(home.settings, machines.NAME))


def test_the_incident_of_a_failed_part_tells_the_reason_of_that_part_alone(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[int] = []

    def trouble(_use_case: object, _settings: object, _plan: object, part: int) -> None:
        begun.append(part)
        # The first waits to be tried again, with a reason of its own, while the second fails.
        kind = CommitLost if len(begun) == 1 else ChampionUnresolved
        raise kind(Problem(where=f"part {part}", expected="a", found="b", fix="Mend it."))

    monkeypatch.setattr(stage, "score_part", trouble)
    ended = run(DAG_ID, conf=WEEK)
    assert ended.state == "failed"
    (told,) = notifications.recent(home.settings, 1)
    reason = f"machines__score failed: part {begun[1]}: expected a; found b."
    assert told.title.endswith(reason)


@pytest.mark.parametrize("variant", WAYS)
def test_a_run_about_late_data_is_green_and_does_nothing_when_nothing_is_late(
    home: Home, variant: Variant
) -> None:
    home.declare(variant)
    announced = len(events("predictions.machines"))
    ended = run(DAG_ID, conf={"as_of": at(50).isoformat(), "late": True})
    assert ended.state == "success"
    assert {state for task, state in ended.tasks.items() if task != "champion"} == {"skipped"}
    assert len(events("predictions.machines")) == announced


@pytest.mark.parametrize(
    ("variant", "day"), [pytest.param(WHOLE, 48, marks=pytest.mark.prove), (PARTS, 49)]
)
def test_a_run_about_late_data_scores_what_lacks_it_and_nothing_else(
    home: Home, variant: Variant, day: int
) -> None:
    home.declare(variant)
    run(DAG_ID, conf={"as_of": at(day - 1).isoformat(), "until": at(day).isoformat()})
    scored_at, late = at(day, 4).isoformat(), machines.FIRST + timedelta(days=day)
    row = f"{late},Z99,0.9000,{at(day, 15):%Y-%m-%dT%H:%M:%SZ}"
    header = "day,machine,load,shift_at"
    machines.land(home.settings, f"plan/{late}-more.csv", header, [row], at(day - 1, 22))
    assert run("machines__ingest", conf={"as_of": at(day, 8).isoformat()}).state == "success"
    about_late = {"as_of": at(day, 9).isoformat(), "late": True}
    ended = run(DAG_ID, conf=about_late)
    last = "score" if variant is WHOLE else "publish"
    assert ended.returned[last]["scored_for"] == [scored_at]
    assert ended.returned[last]["as_of"] == about_late["as_of"]
    assert events("predictions.machines")[-1]["as_of"] == about_late["as_of"]
    standing = [key for key in home.predictions() if key[2] == scored_at]
    assert len(standing) == machines.MACHINES + 1
    assert run(DAG_ID, conf=about_late).tasks[last] == "skipped"


@pytest.mark.parametrize("variant", WAYS)
def test_consumers_get_what_was_scored_and_a_second_run_leaves_it_alone(
    home: Home, variant: Variant
) -> None:
    home.declare(variant)
    file = home.settings.dags / "machines.py"
    parts = f"parts={variant.parts}"
    given = f'{parts}, outputs=[CsvFile(name="shifts", consumer="plant")]'
    text = file.read_text("utf-8").replace(parts, given)
    file.write_text(text.replace("import (\n", "import (\n    CsvFile,\n", 1), "utf-8")
    first, again = run(DAG_ID, conf=WEEK), run(DAG_ID, conf=WEEK)
    assert (first.tasks["deliver"], again.tasks["deliver"]) == ("success", "success")
    assert first.returned["deliver"]["says"].startswith("shifts: 280 rows of 7 scoring times (7 ")
    assert "7 unchanged" in again.returned["deliver"]["says"]
    delivered = sorted((home.settings.root / "outputs" / "machines" / "shifts").glob("*.csv"))
    lines = [len(path.read_text("utf-8").splitlines()) for path in delivered]
    assert lines == [machines.MACHINES + 1] * 7
