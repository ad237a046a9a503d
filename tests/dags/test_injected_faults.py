"""Injected faults: each is one incident, of the right owner and severity, at the script's times."""

import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from pipelines.adapters.platform import incident_ledger
from pipelines.adapters.settings import Settings
from pipelines.domain.incidents import Incident
from pipelines.use_case import UseCase, load
from tests import parcels
from tests.dags import airflow_runs, simulated_runs
from tests.empty_databases import place_mlflow
from tests.machines import MLFLOW_PATHS
from tests.parcels import PARCELS, TODAY, TRAINED, Change, Row, Variant, at

Script = Callable[["World"], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A prepared home on the evening before TODAY: a champion in service, all labels as they come.

    ``use_case`` is the one that a script is about: parcels, or what another team takes in beside it.
    """

    use_case: UseCase
    settings: Settings

    def run(self, purpose: str, as_of: datetime, **options: Any) -> str:  # noqa: ANN401 - as of run
        return simulated_runs.run(self.use_case, purpose, as_of, **options)

    def day(
        self,
        day: int,
        change: Change = parcels.unchanged,
        outcome: Change = parcels.unchanged,
        *,
        watched: bool = True,
    ) -> None:
        """Deliver and ingest a day's plan, score it, take in yesterday's outcome, and monitor."""
        parcels.land_plan(self.settings, day, change)
        assert self.run("ingest", at(day - 1, 21)) == "success"
        assert self.run("score", at(day, 5)) == "success"
        parcels.land_outcome(self.settings, day - 1, outcome)
        assert self.run("ingest", at(day, 7)) == "success"
        if watched:
            assert self.run("monitor", at(day, 8)) == "success"

    def land_plan(self, day: int, change: Change = parcels.unchanged, **how: Any) -> Path:  # noqa: ANN401 - as land_plan
        return parcels.land_plan(self.settings, day, change, use_case=self.use_case.name, **how)

    def declare(self, variant: Variant) -> "World":
        return replace(self, use_case=parcels.declare(self.settings, variant))


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """The one incident that a fault is; ``recovered`` None: it still stands when the script ends."""

    severity: str
    about: str
    began: datetime
    detected: datetime
    recovered: datetime | None = None
    use_case: str = parcels.NAME

    @property
    def owner(self) -> str:
        return OWNERS[self.use_case]


OWNERS = {"parcels": "dispatch", "returns": "customer care"}
"""As declared: teams that answer for nothing in common."""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, dags_folder: Path) -> Path:
    """Return a home to copy: trained on day 50, scored, judged and quiet until the day before TODAY."""
    folder = tmp_path_factory.mktemp("parcels")
    settings = parcels.settings_in(folder)
    use_case, returns = parcels.declare(settings), parcels.declare_returns(settings)
    for day in range(TODAY):
        parcels.land_plan(settings, day)
        parcels.land_plan(settings, day, use_case=parcels.RETURNS)
    for day in range(TODAY - 1):
        parcels.land_outcome(settings, day)
    place_mlflow(settings.root / "mlflow" / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        use(settings, patch)
        for each_of in (use_case, returns):
            assert simulated_runs.run(each_of, "ingest", at(TODAY - 1, 7)) == "success"
        assert simulated_runs.run(use_case, "train", at(TRAINED)) == "success"
        params = {"as_of": at(TRAINED).isoformat(), "until": at(TODAY).isoformat()}
        assert simulated_runs.run(use_case, "score", at(TRAINED), params=params) == "success"
        assert simulated_runs.run(use_case, "monitor", at(TODAY - 1, 8)) == "success"
    assert incident_ledger.incidents(settings) == {}
    return folder


def use(settings: Settings, patch: pytest.MonkeyPatch) -> None:
    """Make a home that of every task that runs from here on."""
    patch.setenv("HEADFRAME_HOME", str(settings.home))
    patch.setenv("HEADFRAME_DAGS", str(settings.dags))
    patch.setenv("HEADFRAME_EXPECTATIONS", str(settings.expectations))


@pytest.fixture
def world(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """Return a copy of the prepared home, whose registry names its own paths."""
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    settings = parcels.settings_in(tmp_path)
    with closing(sqlite3.connect(settings.root / "mlflow" / "mlflow.db")) as database:
        for table, columns in MLFLOW_PATHS.items():
            for column in columns:
                statement = f"update {table} set {column} = replace({column}, ?, ?)"
                database.execute(statement, (f"{prepared}/", f"{tmp_path}/"))
        database.commit()
    use(settings, monkeypatch)
    return World(use_case=load(settings.dags / "parcels.py"), settings=settings)


def each(rows: list[Row], **values: Callable[[Row], object]) -> list[Row]:
    """Return rows with some values made anew from the row."""
    return [{**row, **{name: value(row) for name, value in values.items()}} for row in rows]


def late_source(world: World) -> None:
    parcels.land_plan(world.settings, TODAY)
    world.run("ingest", at(TODAY, 7))
    world.run("ingest", at(TODAY, 9))
    parcels.land_outcome(world.settings, TODAY - 1, hour=10)
    world.run("ingest", at(TODAY, 11))


def missing_slot(world: World) -> None:
    parcels.land_outcome(world.settings, TODAY - 1)
    world.run("ingest", at(TODAY - 1, 21))
    world.run("ingest", at(TODAY - 1, 23))
    world.run("ingest", at(TODAY, 1))


def empty_delivery(world: World) -> None:
    parcels.land_plan(world.settings, TODAY, lambda rows: [])
    world.run("ingest", at(TODAY - 1, 21))


def row_count_jump(world: World) -> None:
    def doubled(rows: list[Row]) -> list[Row]:
        return rows + each(rows, parcel=lambda row: f"q{row['parcel']}")

    world.land_plan(TODAY, doubled)
    world.run("ingest", at(TODAY - 1, 21))


def wrong_schema(world: World) -> None:
    path = world.land_plan(TODAY)
    good = path.read_text("utf-8")
    path.write_text(good.replace("miles", "kilometres", 1), "utf-8")
    assert world.run("ingest", at(TODAY - 1, 21)) == "ingest"
    corrected(world, path, good)


def refused_file(world: World) -> None:
    path = world.land_plan(TODAY)
    good = path.read_text("utf-8")
    path.write_bytes(b"day,parcel\x00\xff\xfe")
    assert world.run("ingest", at(TODAY - 1, 21)) == "ingest"
    corrected(world, path, good)


def poisoned_rows(world: World) -> None:
    parcels.expect(world.settings, world.use_case.name)
    world.land_plan(TODAY, lambda rows: each(rows, miles=lambda row: -row["miles"]))
    assert world.run("ingest", at(TODAY - 1, 21)) == "ingest"


def corrected(world: World, path: Path, good: str) -> None:
    """Take the bad file away and deliver a good one under another name an hour later."""
    path.with_name(f"{path.name}.delivered.json").unlink()
    path.unlink()
    again = world.land_plan(TODAY, hour=21, name="again")
    again.write_text(good, "utf-8")
    assert world.run("ingest", at(TODAY - 1, 22)) == "success"


def stale_table(world: World) -> None:
    strict = world.declare(Variant(on_stale="fail_closed"))
    strict.run("ingest", at(TODAY - 1, 23))
    assert strict.run("score", at(TODAY, 5)) == "score"


def broken_promise(world: World) -> None:
    strict = world.declare(Variant(highest=0.5))
    parcels.land_plan(world.settings, TODAY)
    strict.run("ingest", at(TODAY - 1, 21))
    assert strict.run("score", at(TODAY, 5)) == "score"
    mended = world.declare(Variant())
    assert mended.run("score", at(TODAY, 5, 30)) == "success"


def undeliverable_output(world: World) -> None:
    parcels.land_plan(world.settings, TODAY)
    world.run("ingest", at(TODAY - 1, 21))
    outputs = world.settings.root / "outputs"
    shutil.rmtree(outputs)
    outputs.write_text("a file where the folder was", "utf-8")
    assert world.run("score", at(TODAY, 5)) == "deliver"
    outputs.unlink()
    assert world.run("score", at(TODAY, 5, 30)) == "success"


def moved_alias(world: World) -> None:
    from mlflow import MlflowClient

    parcels.land_plan(world.settings, TODAY)
    world.run("ingest", at(TODAY - 1, 21))
    MlflowClient(world.settings.mlflow_uri).delete_registered_model_alias("parcels", "champion")
    assert world.run("score", at(TODAY, 5)) == "champion"
    assert world.run("monitor", at(TODAY, 8)) == "success"
    client = MlflowClient(world.settings.mlflow_uri)
    client.set_registered_model_alias("parcels", "champion", "1")
    assert world.run("score", at(TODAY, 9)) == "success"


def bad_model(world: World) -> None:
    worse = world.declare(Variant(rate=0.000001))
    assert worse.run("train", at(TODAY - 1, 9)) == "success"
    mended = world.declare(Variant(rate=0.11))
    assert mended.run("train", at(TODAY - 1, 10)) == "success"


def changed_code(world: World) -> None:
    parcels.land_plan(world.settings, TODAY)
    world.run("ingest", at(TODAY - 1, 21))
    file = world.settings.dags / "parcels.py"
    before = file.read_text("utf-8")
    edit = {"score": lambda: file.write_text(f"{before}# a comment\n", "utf-8")}
    assert world.run("score", at(TODAY, 5), before=edit) == "score"
    file.write_text(before, "utf-8")
    assert world.run("score", at(TODAY, 5, 30)) == "success"


def killed_task(world: World) -> None:
    parcels.land_plan(world.settings, TODAY)
    world.run("ingest", at(TODAY - 1, 21))
    assert world.run("score", at(TODAY, 5), killed=["score"]) == "score"
    assert world.run("score", at(TODAY, 5, 30)) == "success"


def other_unit(world: World) -> None:
    def in_kilometres(rows: list[Row]) -> list[Row]:
        return each(rows, miles=lambda row: round(1.609344 * row["miles"], 1))

    world.day(TODAY, in_kilometres)
    world.day(TODAY + 1, in_kilometres)  # still wrong: what was broken before is nobody's reference
    world.day(TODAY + 2)


def unseen_category(world: World) -> None:
    world.day(
        TODAY,
        lambda rows: each(rows, depot=lambda r: "X" if r["parcel"] < "p010" else r["depot"]),
    )
    world.day(TODAY + 1)


def null_jump(world: World) -> None:
    world.day(
        TODAY,
        lambda rows: each(rows, minutes=lambda r: None if r["parcel"] < "p040" else r["minutes"]),
    )
    world.day(TODAY + 1)


def volume_drop(world: World) -> None:
    world.day(TODAY, lambda rows: rows[: PARCELS // 4])


BROKEN_DAYS = 5
OTHER_DAYS = 24


def many_days(
    world: World, days: int, change: Change = parcels.unchanged, outcome: Change = parcels.unchanged
) -> None:
    """Let days pass, score each as of its own time, and monitor on the morning of the last."""
    last = TODAY + days - 1
    for day in range(TODAY, last + 1):
        parcels.land_plan(world.settings, day, change)
        parcels.land_outcome(world.settings, day - 1, outcome if day > TODAY else parcels.unchanged)
    assert world.run("ingest", at(last, 7)) == "success"
    window = {"as_of": at(TODAY).isoformat(), "until": at(last + 1).isoformat()}
    assert world.run("score", at(TODAY), params=window) == "success"
    assert world.run("monitor", at(last, 8)) == "success"


def joint_break(world: World) -> None:
    def shuffled(rows: list[Row]) -> list[Row]:
        minutes = [row["minutes"] for row in rows]
        random.Random(1).shuffle(minutes)  # noqa: S311 - made-up data
        return [{**row, "minutes": value} for row, value in zip(rows, minutes, strict=True)]

    many_days(world, BROKEN_DAYS, shuffled)


def other_concept(world: World) -> None:
    def flipped(rows: list[Row]) -> list[Row]:
        return each(rows, late_minutes=lambda row: 15 - row["late_minutes"])

    many_days(world, OTHER_DAYS, outcome=flipped)


FAULTS: dict[str, tuple[Script, Expected]] = {
    "a late source": (
        late_source,
        Expected(
            severity="WARN", about="table:outcome",
            began=at(TODAY, 6), detected=at(TODAY, 9), recovered=at(TODAY, 11),
        ),
    ),
    "a missing slot": (
        missing_slot,
        Expected(
            severity="WARN", about="table:plan", began=at(TODAY - 1, 20), detected=at(TODAY - 1, 23)
        ),
    ),
    "an empty delivery": (
        empty_delivery,
        Expected(
            severity="WARN", about="table:plan", began=at(TODAY - 1, 20), detected=at(TODAY - 1, 21)
        ),
    ),
    "a jump of the row count": (
        row_count_jump,
        Expected(
            severity="WARN", about="table:plan", began=at(TODAY - 1, 20), detected=at(TODAY - 1, 21),
            use_case=parcels.RETURNS,
        ),
    ),
    "another schema": (
        wrong_schema,
        Expected(
            severity="PAGE", about="dag:returns__ingest", began=at(TODAY - 1, 21), detected=at(TODAY - 1, 21),
            recovered=at(TODAY - 1, 22), use_case=parcels.RETURNS,
        ),
    ),
    "a refused file": (
        refused_file,
        Expected(
            severity="PAGE", about="dag:parcels__ingest", began=at(TODAY - 1, 21), detected=at(TODAY - 1, 21),
            recovered=at(TODAY - 1, 22),
        ),
    ),
    "poisoned rows": (
        poisoned_rows,
        Expected(
            severity="PAGE", about="dag:returns__ingest", began=at(TODAY - 1, 21), detected=at(TODAY - 1, 21),
            use_case=parcels.RETURNS,
        ),
    ),
    "a stale table, failing closed": (
        stale_table,
        Expected(
            severity="PAGE", about="table:plan", began=at(TODAY - 1, 20), detected=at(TODAY - 1, 23)
        ),
    ),
    "a broken promise": (
        broken_promise,
        Expected(
            severity="PAGE", about="dag:parcels__score", began=at(TODAY, 5), detected=at(TODAY, 5),
            recovered=at(TODAY, 5, 30),
        ),
    ),
    "an output that cannot be delivered": (
        undeliverable_output,
        Expected(
            severity="PAGE", about="dag:parcels__score", began=at(TODAY, 5), detected=at(TODAY, 5),
            recovered=at(TODAY, 5, 30),
        ),
    ),
    "an alias moved by hand": (
        moved_alias,
        Expected(
            severity="PAGE", about="dag:parcels__score", began=at(TODAY, 5), detected=at(TODAY, 5),
            recovered=at(TODAY, 9),
        ),
    ),
    "a bad model": (
        bad_model,
        Expected(
            severity="WARN", about="training", began=at(TODAY - 1, 9), detected=at(TODAY - 1, 9),
            recovered=at(TODAY - 1, 10),
        ),
    ),
    "code changed in a run": (
        changed_code,
        Expected(
            severity="PAGE", about="dag:parcels__score", began=at(TODAY, 5), detected=at(TODAY, 5),
            recovered=at(TODAY, 5, 30),
        ),
    ),
    "a killed task": (
        killed_task,
        Expected(
            severity="PAGE", about="dag:parcels__score", began=at(TODAY, 5), detected=at(TODAY, 5),
            recovered=at(TODAY, 5, 30),
        ),
    ),
    "miles in kilometres": (
        other_unit,
        Expected(
            severity="PAGE", about="feature:miles", began=at(TODAY, 5), detected=at(TODAY, 8),
            recovered=at(TODAY + 2, 8),
        ),
    ),
    "an unseen category": (
        unseen_category,
        Expected(
            severity="PAGE", about="feature:depot", began=at(TODAY, 5), detected=at(TODAY, 8),
            recovered=at(TODAY + 1, 8),
        ),
    ),
    "a jump of missing values": (
        null_jump,
        Expected(
            severity="PAGE", about="feature:minutes", began=at(TODAY, 5), detected=at(TODAY, 8),
            recovered=at(TODAY + 1, 8),
        ),
    ),
    "a drop of predictions": (
        volume_drop,
        Expected(
            severity="WARN", about="predictions", began=at(TODAY - 1, 20), detected=at(TODAY - 1, 21)
        ),
    ),
    "a broken join": (
        joint_break,
        Expected(
            severity="WARN", about="feature:minutes", began=at(TODAY, 5),
            detected=at(TODAY + BROKEN_DAYS - 1, 8),
        ),
    ),
    "another concept": (
        other_concept,
        Expected(
            severity="PAGE", about="model", began=at(TODAY, 5),
            detected=at(TODAY + OTHER_DAYS - 1, 8),
        ),
    ),
}  # fmt: skip


CHOSEN = {
    "a late source",
    "a jump of the row count",
    "another schema",
    "a stale table, failing closed",
    "an output that cannot be delivered",
    "an alias moved by hand",
    "a bad model",
    "a killed task",
    "an unseen category",
    "another concept",
}
"""One fault or two of each part that tells of them: feeds, failed runs, training, inputs, the model.
The others are for the long proofs."""


@pytest.mark.parametrize(
    "fault",
    [pytest.param(name, marks=[] if name in CHOSEN else pytest.mark.prove) for name in FAULTS],
)
def test_an_injected_fault_is_one_incident_with_its_owner_severity_and_times(
    fault: str, world: World
) -> None:
    script, expected = FAULTS[fault]
    declared = {name: load(world.settings.dags / f"{name}.py") for name in OWNERS}
    assert {name: use_case.owner for name, use_case in declared.items()} == OWNERS
    script(replace(world, use_case=declared[expected.use_case]))
    incidents = incident_ledger.incidents(world.settings)
    assert [told(incident) for incident in incidents.values()] == [
        {
            "use_case": expected.use_case,
            "owner": expected.owner,
            "severity": expected.severity,
            "began": expected.began,
            "detected": expected.detected,
            "recovered": expected.recovered,
        }
    ], "\n".join(f"{one.title} {[e.text for e in one.events]}" for one in incidents.values())
    (incident,) = incidents.values()
    assert expected.about in incident.subjects


def told(incident: Incident) -> dict[str, object]:
    return {
        "use_case": incident.use_case,
        "owner": incident.owner,
        "severity": incident.severity,
        "began": incident.began_at,
        "detected": incident.detected_at,
        "recovered": incident.mitigated_at or incident.resolved_at,
    }


def test_there_are_twenty_faults() -> None:
    assert len(FAULTS) == 20
    assert set(FAULTS) >= CHOSEN


def test_a_late_rescore_whose_try_was_lost_reaches_its_consumers_with_the_next(
    world: World,
) -> None:
    assert world.run("score", at(TODAY, 5)) == "success"  # without the day's plan
    parcels.land_plan(world.settings, TODAY)
    assert world.run("ingest", at(TODAY, 7)) == "success"
    late: dict[str, Any] = {"params": {"late": True}, "state": {}}
    assert world.run("score", at(TODAY, 8), **late, lost="score") == "score"
    file = world.settings.root / f"outputs/parcels/list/{at(TODAY, 5):%Y-%m-%dT%H%M%S}Z.csv"
    assert len(file.read_text("utf-8").splitlines()) == 1, "consumers have the header alone"
    assert world.run("score", at(TODAY, 8), **late) == "success"
    assert len(file.read_text("utf-8").splitlines()) == PARCELS + 1
    assert world.run("score", at(TODAY, 9), params={"late": True}) == "success"  # nothing is late


PAGES = {"docs", "report"}
"""Tasks that write pages for people, and decide nothing."""


def test_the_simulated_tasks_are_those_of_the_dags(world: World) -> None:
    bag = airflow_runs.read_dags(world.settings.dags)
    found = {
        dag_id.removeprefix("parcels__"): [
            task.task_id for task in dag.topological_sort() if task.task_id not in PAGES
        ]
        for dag_id, dag in bag.dags.items()
        if dag_id.startswith("parcels__")
    }
    assert found == {
        purpose: [task_id for task_id, _ in tasks]
        for purpose, tasks in simulated_runs.works().items()
    }


def test_quiet_days_are_no_incident(world: World) -> None:
    for day in range(TODAY, TODAY + 2):
        world.day(day)
    assert incident_ledger.incidents(world.settings) == {}
