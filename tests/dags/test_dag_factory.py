"""The DAGs of a use case: their shape, their reading, and what a wrong declaration looks like."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, time
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pendulum
import pytest

from benchmarks.parse import shape_of
from benchmarks.parse_files import write_bare, write_ours
from pipelines.adapters.settings import Settings
from tests.dags.airflow_runs import read_dags
from tests.dags.conftest import REPOSITORY
from tests.goldens import assert_golden

MOST_TIMES_THE_CALLS = 0.8
"""Calls of reading a declaration to those of a bare file with the same DAGs; 0.74 measured."""

PURPOSES = ("ingest", "monitor", "score", "train")
HEAVY = (
    "deltalake",
    "duckdb",
    "great_expectations",
    "mlflow",
    "numpy",
    "pandas",
    "pyarrow",
    "sklearn",
)
BROKEN = """
from pipelines.dag_factory import build_dags
from pipelines.use_case import Column, Files, Table, UseCase

build_dags(UseCase(name="broken", owner="", tables=[Table(
    name="t", source=Files(pattern="t/*.csv"), columns=[Column("a", "int46")], key=("b",)
)]))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the DAG file of flight_delays and nothing else."""
    found = tmp_path_factory.mktemp("dags")
    shutil.copy(REPOSITORY / "dags" / "flight_delays.py", found)
    return found


@pytest.fixture(scope="module")
def dags(folder: Path) -> dict[str, Any]:
    bag = read_dags(folder)
    assert bag.import_errors == {}
    return dict(bag.dags)


def shape(dag: Any) -> dict[str, Any]:  # noqa: ANN401 - Airflow is untyped here
    """Return what people and other DAGs see of a DAG, without the folder it was read in."""
    from airflow.serialization.serialized_objects import DagSerialization

    written = DagSerialization.to_dict(dag)["dag"]
    return {
        "schedule": written["timetable"],
        "start_date": dag.start_date.isoformat(),
        "end_date": dag.end_date and dag.end_date.isoformat(),
        "catchup": dag.catchup,
        "max_active_runs": dag.max_active_runs,
        "paused_at_first": dag.is_paused_upon_creation,
        "owner": dag.owner,
        "tags": sorted(dag.tags),
        "retries": [dag.default_args["retries"], str(dag.default_args["retry_delay"])],
        "form": {
            name: {"default": param.value, "description": param.description, **param.schema}
            for name, param in sorted((n, dag.params.get_param(n)) for n in dag.params)
        },
        "tasks": {
            task.task_id: {
                "operator": task.task_type,
                "then": sorted(task.downstream_task_ids),
                "announces": [asset.name for asset in task.outlets],
            }
            for task in dag.tasks
        },
    }


def test_the_dags_of_flight_delays(dags: dict[str, Any]) -> None:
    shapes = {name: shape(dags[f"flight_delays__{name}"]) for name in PURPOSES}
    text = json.dumps(shapes, indent=1, sort_keys=True)
    assert_golden("dags/flight_delays", text.replace(Settings().root.as_uri(), "file://<home>"))


def test_the_runbooks_of_flight_delays(dags: dict[str, Any]) -> None:
    pages = [dags[f"flight_delays__{name}"].doc_md for name in PURPOSES]
    assert_golden("dags/flight_delays_runbooks", "\n\n\n".join(pages))


def test_a_file_reads_the_same_twice(folder: Path) -> None:
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.serialization.serialized_objects import DagSerialization

    first, second = (
        {
            name: SerializedDagModel.hash(DagSerialization.to_dict(dag))
            for name, dag in read_dags(folder).dags.items()
        }
        for _ in range(2)
    )
    assert first == second


def test_a_broken_use_case_shows_all_its_problems_and_hides_no_other(
    folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "broken.py").write_text(BROKEN, "utf-8")
    shutil.copy(folder / "flight_delays.py", tmp_path)
    bag = read_dags(tmp_path)
    assert sorted(bag.dags) == [f"flight_delays__{name}" for name in PURPOSES]
    (error,) = bag.import_errors.values()
    for part in ("the team that answers for it", "'int46' (did you mean 'int64'?)", "key"):
        assert part in error


def test_a_worker_builds_only_the_dag_it_was_asked_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What Airflow's own context manager sets, and does not take away again.
    monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_DAG_ID", "flight_delays__score")
    found = read_dags(folder / "flight_delays.py").dags
    assert list(found) == ["flight_delays__score"]


@pytest.mark.parametrize(
    ("now", "schedule", "end_date"),
    [
        ("2013-12-31", "CronTriggerTimetable", datetime(2014, 1, 1, 4, 59, 59, tzinfo=UTC)),
        ("2014-01-01", "CronTriggerTimetable", datetime(2014, 1, 1, 4, 59, 59, tzinfo=UTC)),
        ("2014-01-02", "NullTimetable", None),
    ],
)
def test_nothing_is_scheduled_once_the_data_has_ended(
    now: str, schedule: str, end_date: datetime | None, folder: Path
) -> None:
    from airflow.sdk.definitions._internal.contextmanager import DagContext

    from pipelines.dag_factory.dags import declare_dags
    from pipelines.use_case import load

    use_case = load(folder / "flight_delays.py")
    DagContext.current_autoregister_module_name = __name__
    declare_dags(use_case, only=None, now=datetime.fromisoformat(now).replace(tzinfo=UTC))
    DagContext.current_autoregister_module_name = None
    found = {dag.dag_id: dag for dag, _ in DagContext.autoregistered_dags}
    DagContext.autoregistered_dags.clear()
    for name in ("ingest", "train"):
        dag = found[f"flight_delays__{name}"]
        assert (type(dag.timetable).__name__, dag.end_date) == (schedule, end_date)
    news = found["flight_delays__monitor"]
    assert (type(news.timetable).__name__, news.end_date) == ("AssetTriggeredTimetable", None)
    # What comes late has no end either.
    score = found["flight_delays__score"]
    both = "AssetOrTimeSchedule" if end_date else "AssetTriggeredTimetable"
    assert (type(score.timetable).__name__, score.end_date) == (both, end_date)


def test_a_dag_file_is_read_in_under_a_second_and_loads_nothing_heavy() -> None:
    code = f"""
import sys, time
import airflow.sdk, airflow.providers.standard.operators.hitl
began = time.process_time()
import runpy
runpy.run_path({str(REPOSITORY / "dags" / "flight_delays.py")!r})
print(time.process_time() - began)
print([name for name in {HEAVY!r} if name in sys.modules])
"""
    # Seconds of CPU: those of the clock tell how busy the machine is.
    seconds, heavy = _python(code)
    assert float(seconds) < 1
    assert heavy == "[]"


def test_a_declaration_is_loaded_without_airflow() -> None:
    code = f"""
import sys
from pathlib import Path
from pipelines.use_case import load
print(load(Path({str(REPOSITORY / "dags" / "flight_delays.py")!r})).name)
print([name for name in sys.modules if name.split(".")[0] == "airflow"])
"""
    assert _python(code) == ["flight_delays", "[]"]


def _python(code: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    return done.stdout.strip().splitlines()[-2:]


def test_a_weekly_use_case_is_scored_on_its_weekday_at_its_local_time(folder: Path) -> None:
    from airflow.sdk.definitions._internal.contextmanager import DagContext
    from airflow.serialization.decoders import decode_timetable
    from airflow.serialization.serialized_objects import DagSerialization
    from airflow.timetables.base import TimeRestriction

    from pipelines.dag_factory.dags import declare_dags
    from pipelines.use_case import Monitoring, load

    use_case = load(folder / "flight_delays.py")
    assert use_case.scoring is not None
    mondays = replace(
        use_case.scoring, at=time(9), timezone="Europe/London", weekday="monday", on_late="keep"
    )
    weekly = replace(use_case, scoring=mondays, monitoring=Monitoring(block="week"))
    DagContext.current_autoregister_module_name = __name__
    declare_dags(weekly, only="flight_delays__score", now=datetime(2013, 1, 1, tzinfo=UTC))
    DagContext.current_autoregister_module_name = None
    ((dag, _),) = DagContext.autoregistered_dags
    DagContext.autoregistered_dags.clear()
    timetable = decode_timetable(DagSerialization.to_dict(dag)["dag"]["timetable"])
    # The clock goes forward on Sunday, 31 March 2013.
    spring = TimeRestriction(pendulum.datetime(2013, 3, 20), None, catchup=True)
    first = timetable.next_dagrun_info(last_automated_data_interval=None, restriction=spring)
    second = timetable.next_dagrun_info(
        last_automated_data_interval=first.data_interval, restriction=spring
    )
    assert [run.logical_date.isoformat() for run in (first, second)] == [
        "2013-03-25T09:00:00+00:00",
        "2013-04-01T08:00:00+00:00",
    ]


def test_a_declaration_takes_few_more_calls_to_read_than_a_bare_file(tmp_path: Path) -> None:
    # `make bench NAME=parse` measures seconds; a count of calls is the same on every machine.
    write_ours(tmp_path / "ours", 2)
    declared, told = sorted((tmp_path / "ours").iterdir())
    shape = shape_of(shape_read(read_dags(declared)))
    write_bare(tmp_path / "bare", 2, shape)
    first, bare = sorted((tmp_path / "bare").iterdir())
    read_dags(first)
    counted = {path.parent.name: calls(partial(read_dags, path)) for path in (told, bare)}
    assert counted["ours"] <= MOST_TIMES_THE_CALLS * counted["bare"], counted


def shape_read(bag: Any) -> dict[str, dict[str, list[str]]]:  # noqa: ANN401 - Airflow is untyped here
    return {
        dag_id: {task.task_id: sorted(task.downstream_task_ids) for task in dag.tasks}
        for dag_id, dag in bag.dags.items()
    }


def calls(do: Callable[[], object]) -> int:
    """Return how many functions, of Python or of C, are called in doing something."""
    counted = 0

    def count(frame: FrameType, event: str, arg: object) -> None:
        nonlocal counted
        del frame, arg
        counted += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        do()
    finally:
        sys.setprofile(before)
    return counted


def test_a_task_knows_the_form_of_its_run(dags: dict[str, Any]) -> None:
    for dag in dags.values():
        for task in dag.tasks:
            if task.task_id != "approve":  # a question has a form of its own
                assert task.params == dag.params


def test_a_field_is_checked_again_when_its_default_or_its_schema_is_another() -> None:
    from airflow.sdk import Param
    from airflow.sdk.exceptions import ParamValidationError

    from pipelines.dag_factory import forms

    sound = {"rows": Param(1, type="integer", minimum=1, title="Rows")}
    for _ in range(2):
        assert dict(forms.checked(sound)) == {"rows": 1}
    wrong_default = Param(0, type="integer", minimum=1, title="Rows")
    wrong_schema = Param(1, type="integer", minimum=2, title="Rows")
    for field in (wrong_default, wrong_schema, wrong_default):
        with pytest.raises(ParamValidationError, match="minimum"):
            forms.checked(sound | {"other": field})
