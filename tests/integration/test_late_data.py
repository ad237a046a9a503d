"""Late data: windows that lack rows are found, scored again, and then lack nothing, in any order."""

import json
import random
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import duckdb
import pyarrow.compute as pc
import pytest

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.delta.delta_commits import Commit
from pipelines.adapters.models import code_archive, feature_store, known, prediction_store
from pipelines.adapters.settings import Settings
from pipelines.adapters.silver import stale_marks
from pipelines.adapters.stores.object_store import local
from pipelines.domain.features import FeatureView, KnownTables, feature_digest
from pipelines.domain.labels import Label
from pipelines.domain.lateness import TICK, UNFINISHED
from pipelines.domain.scoring import LateWindow
from pipelines.errors import CommitLost, NotEnoughData
from pipelines.stages import ingest as ingest_stage
from pipelines.stages.ingest import ingest
from pipelines.stages.late import describe, late_windows
from pipelines.stages.score import score
from pipelines.use_case import TrainedUseCase, UseCase, load
from tests import machines, shop
from tests.integration.test_command_line import headframe_in
from tests.machines import at

FIRST = 50
"""The first day that the prepared home has not taken in."""

NEVER = at(400)

BIG = Label(
    name="big",
    table=shop.ORDERS,
    rule="amount > 5",
    expected_after=timedelta(hours=1),
    final_after=timedelta(hours=2),
)

Key = tuple[str, datetime]
"""Machine and scoring time."""

Predicted = dict[Key, tuple[datetime, float]]
"""What it was predicted as of, and the prediction."""


class CutOffError(Exception):
    """Stands for a kill."""


@dataclass
class Plant:
    """The machines with a champion, and files of the days after that land when a test says so."""

    use_case: UseCase
    settings: Settings
    files: Path

    def land(self, name: str, *, delivered: datetime | None = None) -> None:
        """Let a file land, delivered when it always is or at another time."""
        source = self.files / name
        target = local(self.settings.landing) / machines.NAME / name
        target.parent.mkdir(parents=True, exist_ok=True)
        told = source.with_name(f"{source.name}.delivered.json").read_text("utf-8")
        if delivered is not None:
            told = json.dumps({"delivered_at": delivered.isoformat()})
        target.with_name(f"{target.name}.delivered.json").write_text(told, "utf-8")
        target.write_bytes(source.read_bytes())

    def take_in(self, as_of: datetime = NEVER) -> None:
        ingest(self.use_case, self.settings, as_of=as_of, run="test")

    def bring(self, *names: str, as_of: datetime = NEVER) -> None:
        """Let files land when they always do, and take them in."""
        for name in names:
            self.land(name)
        self.take_in(as_of)

    def correct(self, day: int, *, delivered: datetime) -> None:
        """Let a file land that says of every shift of a day that its load is another."""
        header, *lines = (self.files / plan(day)).read_text("utf-8").splitlines()
        cells = [line.split(",") for line in lines]
        rows = [",".join([c[0], c[1], f"{1 - float(c[2]):.4f}", c[3]]) for c in cells]
        name = f"plan/{delivered:%Y%m%dT%H%M}.csv"
        machines.land(self.settings, name, header, rows, delivered)

    def score(self, *days: int) -> None:
        for day in days:
            since, until = at(day, 0), at(day, 5)
            score(self.use_case, self.settings, since=since, until=until, run="test")

    def describe(self, day: int) -> None:
        """Compute a day's features, as training does."""
        parts = TrainedUseCase.of(self.use_case)
        digest = feature_digest(parts.features, parts.label)
        folder = lake.features(self.settings, machines.NAME, digest)
        tables = known.load(self.settings, machines.NAME, parts.features, parts.label)
        feature_store.rows_at(
            folder, parts.features, tables, [(scored_at(day), scored_at(day + 1))]
        )

    def late(self, as_of: datetime) -> tuple[LateWindow, ...]:
        return late_windows(self.use_case, self.settings, as_of=as_of)

    def rescore(self, as_of: datetime) -> int:
        """Score what is late; return how many windows were."""
        late = self.late(as_of)
        if late:
            options = {"since": as_of, "until": as_of, "run": "late"}
            score(self.use_case, self.settings, late=late, **options)  # type: ignore[arg-type]
        return len(late)

    def predicted(self) -> Predicted:
        path = lake.predictions(self.settings, machines.NAME)
        rows = delta_tables.read(path).to_pylist() if delta_tables.exists(path) else []
        found = {
            (row["machine"], row["scored_for"]): (row["as_of"], row["prediction"]) for row in rows
        }
        assert len(found) == len(rows)
        return found

    def of_day(self, day: int) -> dict[str, tuple[datetime, float]]:
        """Return the predictions of one day's window, by machine."""
        return {
            machine: value
            for (machine, scored_for), value in self.predicted().items()
            if scored_for == scored_at(day)
        }

    def generations(self) -> dict[str, int]:
        return {
            found.window.partition("/")[2][:10]: found.generation
            for found in prediction_store.standing(self.settings, machines.NAME)
        }


def scored_at(day: int) -> datetime:
    """Return the scoring time of a day: 05:00 in Berlin, in winter."""
    return at(day, 4)


def plan(day: int) -> str:
    return f"plan/{machines.FIRST + timedelta(days=day)}.csv"


def outcome(day: int) -> str:
    return f"outcome/{machines.FIRST + timedelta(days=day)}.csv"


@pytest.fixture(scope="session")
def later_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the files of the days after those of the prepared home."""
    settings = machines.settings_in(tmp_path_factory.mktemp("later"))
    machines.deliver(settings, first=FIRST, until=FIRST + 6)
    return local(settings.landing) / machines.NAME


@pytest.fixture
def plant(promoted: tuple[UseCase, Settings], later_files: Path) -> Plant:
    use_case, settings = promoted
    return Plant(use_case=use_case, settings=settings, files=later_files)


def test_windows_scored_with_all_that_was_known_are_never_late(plant: Plant) -> None:
    for day in (50, 51):
        plant.bring(plan(day), as_of=scored_at(day))
        plant.score(day)
        assert plant.late(scored_at(day)) == ()
        plant.bring(outcome(day), as_of=at(day + 1, 7))
        assert plant.late(at(day + 1, 7)) == ()


def test_a_file_taken_in_after_its_time_was_scored_makes_the_window_late_once(plant: Plant) -> None:
    plant.bring(plan(50), as_of=scored_at(50))
    plant.score(50)
    plant.take_in(scored_at(51))
    plant.score(51)
    assert plant.of_day(51) == {}
    before = plant.of_day(50)
    plant.bring(plan(51), as_of=at(51, 6))
    (late,) = plant.late(at(51, 6))
    assert (late.scored_for, late.as_of, late.until) == (
        scored_at(51),
        scored_at(51),
        scored_at(52),
    )
    assert late.reason == (
        "late: plan delivered 2026-02-20 20:00 UTC, taken in 2026-02-21 06:00 UTC"
    )
    assert describe((late,)) == (
        "window 2026-02-21T04:00:00+00:00, from 2026-02-21T04:00:00+00:00 on: late: plan delivered "
        "2026-02-20 20:00 UTC, taken in 2026-02-21 06:00 UTC"
    )
    assert plant.rescore(at(51, 6)) == 1
    assert len(plant.of_day(51)) == machines.MACHINES
    assert {as_of for as_of, _ in plant.of_day(51).values()} == {scored_at(51)}
    assert plant.late(at(51, 6)) == ()
    assert plant.late(at(52, 6)) == ()
    assert plant.of_day(50) == before
    history = delta_tables.history(lake.predictions(plant.settings, machines.NAME))
    assert history[0]["headframe.reason"] == late.reason


def test_a_late_label_makes_exactly_the_windows_late_that_could_have_known_it(plant: Plant) -> None:
    days = (50, 51, 52, 53)
    for day in days:
        plant.bring(plan(day))
    plant.score(*days)
    before = plant.predicted()
    plant.land(outcome(50), delivered=at(51))
    plant.take_in(at(53, 6))
    assert [late.scored_for for late in plant.late(at(53, 6))] == [scored_at(52), scored_at(53)]
    assert plant.rescore(at(53, 6)) == 2
    after = plant.predicted()
    assert {key for key in before if before[key] == after[key]} >= {
        key for key in before if key[1] in (scored_at(50), scored_at(51))
    }
    # The labels of day 50 are final two days after: the first window that counts them is day 53's.
    assert {key[1] for key in before if before[key] != after[key]} == {scored_at(53)}
    assert plant.generations() == {
        "2026-02-20": 1,
        "2026-02-21": 1,
        "2026-02-22": 1,
        "2026-02-23": 2,
    }
    assert plant.late(at(53, 6)) == ()


def test_a_missing_delivery_that_comes_is_scored_for_the_entities_still_ahead(plant: Plant) -> None:
    plant.bring(plan(50), as_of=scored_at(50))
    plant.score(50)
    plant.score(51)
    came = at(51, 9)
    plant.land(plan(51), delivered=came)
    plant.take_in(at(51, 9))
    (late,) = plant.late(came + TICK)
    assert (late.scored_for, late.as_of) == (scored_at(51), came + TICK)
    assert late.reason == (
        "late: plan missing at 2026-02-21 04:00 UTC, delivered 2026-02-21 09:00 UTC"
    )
    assert plant.late(scored_at(51)) == (), "it had not come yet"
    assert plant.rescore(came + TICK) == 1
    rows = delta_tables.read(lake.predictions(plant.settings, machines.NAME)).to_pylist()
    mine = [row for row in rows if row["scored_for"] == scored_at(51)]
    assert {row["as_of"] for row in mine} == {came + TICK}
    assert {row["event_time"].hour for row in mine} == set(range(10, 19))
    assert {row["stale_tables"] for row in mine} == {""}
    assert plant.late(at(52, 3)) == ()


def counted(known: KnownTables) -> duckdb.DuckDBPyRelation:
    return known.sql("""
        select order_id, count(*) over () as asked_at_once,
               (select count(*) from orders) as orders_known from asked
    """)


def test_late_feature_rows_are_of_the_entities_ahead_among_all_of_their_window(
    tmp_path: Path,
) -> None:
    home = shop.settings_in(tmp_path)
    lines = [
        shop.order(number).replace("2026-03-01T10", f"2026-03-02T{hour:02}")
        for number, hour in ((1, 13), (2, 15), (3, 17), (4, 19))
    ]
    shop.land_orders(home, "a.csv", lines[:2], shop.at(1))
    shop.land_orders(home, "b.csv", lines[2:], shop.at(2, 14))
    shop.take_in(home)
    view = FeatureView(entity=shop.ORDERS, reads=(), function=counted)
    folder, window = lake.features(home, "shop", "0" * 64), (shop.at(2), shop.at(3))
    tables = known.load(home, "shop", view, BIG)
    came = shop.at(2, 14) + TICK
    feature_store.describe(
        folder, view, tables, [window, (came, window[1])], since={came: window[0]}
    )
    rows = delta_tables.read(folder).sort_by([("as_of", "ascending"), ("order_id", "ascending")])
    found = rows.select(["as_of", "order_id", "asked_at_once", "orders_known"]).to_pylist()
    assert [tuple(row.values()) for row in found] == [
        (window[0], 1, 2, 2),
        (window[0], 2, 2, 2),
        (came, 2, 4, 4),
        (came, 3, 4, 4),
        (came, 4, 4, 4),
    ]


def test_a_correction_of_what_was_not_missing_is_no_reason_to_score_again(plant: Plant) -> None:
    plant.bring(plan(50), plan(51))
    plant.score(50, 51)
    plant.correct(51, delivered=at(51, 9))
    plant.take_in()
    assert plant.late(at(51, 10)) == ()


def test_a_late_correction_that_changes_no_feature_is_looked_at_once(plant: Plant) -> None:
    plant.bring(plan(50), plan(51), plan(52))
    plant.score(50, 51)
    before = plant.predicted(), plant.generations()
    # The outcome of a day whose labels are not final yet changes no feature.
    plant.land(outcome(50), delivered=at(51, 3))
    plant.take_in()
    assert plant.rescore(at(51, 10)) == 1
    assert plant.late(at(51, 10)) == ()
    assert (plant.predicted(), plant.generations()) == before


def test_a_window_is_late_although_training_computed_its_features_again(plant: Plant) -> None:
    plant.bring(plan(51))
    plant.score(50, 51)
    plant.bring(plan(50))
    plant.describe(50)
    late, _ = plant.late(at(51, 10))
    assert late.scored_for == scored_at(50)
    assert late.reason.startswith("late: plan delivered 2026-02-19 20:00 UTC")
    plant.rescore(at(51, 10))
    assert len(plant.of_day(50)) == machines.MACHINES
    assert plant.late(at(51, 10)) == ()


def test_a_rescore_that_is_cut_off_between_two_times_is_finished_by_the_next(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant.bring(plan(50))
    plant.score(50, 51)
    plant.land(plan(51), delivered=at(51, 9))
    plant.take_in()
    plant.rescore(at(51, 10))
    plant.correct(51, delivered=at(51, 3))
    plant.take_in()
    late = plant.late(at(51, 10))
    assert [window.as_of for window in late] == [scored_at(51), at(51, 9) + TICK]
    publish, published = prediction_store.publish, list[Commit]()

    def once(*arguments: Any, **named: Any) -> Commit:  # noqa: ANN401 - passed on as they are
        if published:
            raise CutOffError
        published.append(publish(*arguments, **named))
        return published[0]

    with monkeypatch.context() as patched:
        patched.setattr(prediction_store, "publish", once)
        with pytest.raises(CutOffError):
            plant.rescore(at(51, 10))
    assert {as_of for as_of, _ in plant.of_day(51).values()} == {scored_at(51)}
    (left,) = plant.late(at(51, 10))
    assert (left.as_of, left.reason) == (at(51, 9) + TICK, UNFINISHED)
    assert plant.rescore(at(51, 10)) == 1
    assert {as_of for as_of, _ in plant.of_day(51).values()} == {scored_at(51), at(51, 9) + TICK}
    assert plant.late(at(51, 10)) == ()


def test_kept_predictions_are_never_late(plant: Plant) -> None:
    plant.score(50)
    plant.bring(plan(50))
    assert len(plant.late(at(50, 6))) == 1
    scoring = plant.use_case.scoring
    assert scoring is not None
    plant.use_case = replace(plant.use_case, scoring=replace(scoring, on_late="keep"))
    assert plant.late(at(50, 6)) == ()


def test_a_window_that_was_refused_is_scored_once_what_it_lacked_has_come(plant: Plant) -> None:
    scoring = plant.use_case.scoring
    assert scoring is not None
    plant.use_case = replace(plant.use_case, scoring=replace(scoring, on_stale="fail_closed"))
    plant.bring(plan(50), as_of=scored_at(50))
    plant.score(50)
    with pytest.raises(NotEnoughData):
        plant.score(51)
    assert plant.late(at(51, 8)) == ()
    plant.land(plan(51), delivered=at(51, 9))
    plant.take_in()
    (late,) = plant.late(at(51, 10))
    assert (late.scored_for, late.as_of) == (scored_at(51), at(51, 9) + TICK)
    plant.rescore(at(51, 10))
    assert {as_of for as_of, _ in plant.of_day(51).values()} == {at(51, 9) + TICK}
    assert plant.late(at(51, 10)) == ()
    assert plant.late(at(52, 3)) == ()


def test_what_is_late_is_scored_from_the_command_line(plant: Plant) -> None:
    headframe = headframe_in(plant.settings)
    plant.score(50)
    plant.bring(plan(50), as_of=at(50, 6))
    as_of = ("--as-of", at(50, 6).isoformat())
    said = " ".join(headframe("run", "score", "machines", "--late", *as_of).output.split())
    assert "late: plan delivered 2026-02-19 20:00 UTC, taken in 2026-02-20 06:00 UTC" in said
    assert "40 predictions for 1 scoring times" in said
    assert "nothing is late" in headframe("run", "score", "machines", "--late", *as_of).output
    said = headframe("run", "monitor", "machines", "--late", *as_of, status=1).output
    assert "expected stage score; found stage monitor" in said


def test_what_is_scored_late_from_the_command_line_reaches_its_consumers(plant: Plant) -> None:
    path = plant.settings.dags / f"{machines.NAME}.py"
    given = 'Scoring(outputs=[CsvFile(name="all", consumer="desk")], '
    text = (
        path.read_text("utf-8")
        .replace("Scoring(", given, 1)
        .replace("    Scoring,", "    CsvFile, Scoring,")
    )
    path.write_text(text, "utf-8")
    headframe = headframe_in(plant.settings)
    plant.bring(plan(50), as_of=scored_at(50))
    plant.score(50, 51)
    plant.bring(plan(51), as_of=at(51, 6))
    as_of = ("--as-of", at(51, 6).isoformat())
    said = headframe("run", "score", "machines", "--late", *as_of).output
    assert "40 predictions for 1 scoring times (1 replaced)" in " ".join(said.split())
    assert "all: 40 rows of 1 scoring times (1 delivered)" in " ".join(said.split())
    files = sorted((plant.settings.root / "outputs" / "machines" / "all").glob("*.csv"))
    assert [file.name for file in files] == [f"{scored_at(51):%Y-%m-%dT%H%M%S}Z.csv"]
    assert len(files[0].read_text("utf-8").splitlines()) == machines.MACHINES + 1


def test_the_query_of_the_manual_finds_what_consumers_could_act_on(plant: Plant) -> None:
    plant.bring(plan(50), plan(51))
    plant.score(50, 51)
    first = plant.predicted()
    plant.correct(51, delivered=at(51, 3))
    plant.take_in()
    plant.rescore(at(51, 6))
    assert plant.predicted() != first
    manual = Path("docs/scoring.md").read_text("utf-8")
    (query,) = re.findall(r"```sql\n(select \* exclude.*?)```", manual, re.DOTALL)
    current = delta_tables.read(lake.predictions(plant.settings, machines.NAME))
    replaced = delta_tables.read(lake.prediction_history(plant.settings, machines.NAME))
    with duckdb.connect(":memory:") as connection:
        connection.execute("set TimeZone = 'UTC'")
        connection.register("predictions", current)
        connection.register("history", replaced)
        rows = connection.sql(query).to_arrow_table().to_pylist()
    found = {(row["machine"], row["scored_for"]): (row["as_of"], row["prediction"]) for row in rows}
    assert found == first


def test_days_to_look_back_on_are_declared_within_bounds(plant: Plant) -> None:
    scoring = plant.use_case.scoring
    assert scoring is not None
    for days, expected in ((0, 1), (1, 0), (92, 0), (93, 1)):
        declared = replace(plant.use_case, scoring=replace(scoring, rescore_days=days))
        found = [str(p) for p in declared.problems() if "rescore_days" in p.where]
        assert len(found) == expected, found
    odd = replace(scoring, on_late="later")  # type: ignore[arg-type]
    (problem,) = replace(plant.use_case, scoring=odd).problems()
    assert (problem.where, problem.expected) == (
        "use case 'machines', scoring, on_late",
        "one of rescore, keep",
    )


def test_windows_before_the_declared_days_stay_as_they_are(plant: Plant) -> None:
    plant.score(50, 51, 52)
    scoring = plant.use_case.scoring
    assert scoring is not None
    plant.use_case = replace(plant.use_case, scoring=replace(scoring, rescore_days=1))
    plant.bring(plan(50), plan(51), plan(52))
    assert [late.scored_for for late in plant.late(scored_at(52))] == [scored_at(51), scored_at(52)]
    assert [late.scored_for for late in plant.late(at(52, 5))] == [scored_at(52)]
    assert [late.scored_for for late in plant.late(at(53, 5))] == []


Step = Callable[[Plant], None]


def brings(name: str, delivered: datetime | None = None) -> Step:
    def step(plant: Plant) -> None:
        plant.land(name, delivered=delivered)
        plant.take_in()

    return step


def scores(day: int) -> Step:
    return lambda plant: plant.score(day)


IN_ORDER: list[tuple[datetime, Step]] = [
    (at(49, 20), brings(plan(50))),
    (scored_at(50), scores(50)),
    (scored_at(51), scores(51)),
    (at(51, 6), brings(outcome(50))),
    (at(51, 9), brings(plan(51), at(51, 9))),
    (at(51, 10), brings(plan(52), at(51, 10))),
    (scored_at(52), scores(52)),
    (at(52, 6), brings(outcome(51))),
    (at(52, 20), brings(plan(53))),
    (scored_at(53), scores(53)),
    (at(53, 6), brings(outcome(52))),
]
"""What happens when, where nothing is taken in late; the plan of day 51 is delivered on that day."""

END = at(53, 7)


def run(plant: Plant, steps: list[tuple[datetime, Step]], *, always: bool) -> Predicted:
    """Do the steps, looking for late windows after each or in the end; return the predictions."""
    for moment, step in steps:
        step(plant)
        if always:
            plant.rescore(moment)
    while plant.rescore(END):
        pass
    assert plant.late(END) == ()
    return plant.predicted()


@pytest.fixture(scope="module")
def clean(
    promoted_template: Path, tmp_path_factory: pytest.TempPathFactory, later_files: Path
) -> Predicted:
    """Return the predictions of the run in which everything happens in its order."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(code_archive, "PACKAGE", promoted_template / "no_library")
        plant = fresh(promoted_template, tmp_path_factory.mktemp("clean"), later_files)
        return run(plant, IN_ORDER, always=True)


@pytest.fixture(scope="module")
def corrected(
    promoted_template: Path, tmp_path_factory: pytest.TempPathFactory, later_files: Path
) -> dict[str, tuple[datetime, float]]:
    """Return the predictions of day 51 by a run that knows its plan and the plan's correction."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(code_archive, "PACKAGE", promoted_template / "no_library")
        plant = fresh(promoted_template, tmp_path_factory.mktemp("corrected"), later_files)
        plant.correct(51, delivered=at(51, 3))
        plant.bring(plan(50), plan(51))
        plant.score(51)
        return plant.of_day(51)


def fresh(template: Path, folder: Path, files: Path) -> Plant:
    settings = machines.copy_template(template, folder)
    use_case = load(settings.dags / f"{machines.NAME}.py")
    return Plant(use_case=use_case, settings=settings, files=files)


def test_in_order_only_the_plan_that_was_late_is_scored_at_its_own_time(clean: Predicted) -> None:
    times = {(scored_for, as_of) for (_, scored_for), (as_of, _) in clean.items()}
    assert times == {
        (scored_at(50), scored_at(50)),
        (scored_at(51), at(51, 9) + TICK),
        (scored_at(51), at(51, 10) + TICK),
        (scored_at(52), scored_at(52)),
        (scored_at(53), scored_at(53)),
    }


SEED = 1
"""Of an order that is gone through in every run of the tests; others are for the long proofs."""


@pytest.mark.parametrize(
    "seed", [SEED, *(pytest.param(seed, marks=pytest.mark.prove) for seed in (0, 2, 3))]
)
def test_any_order_of_deliveries_ingests_and_scorings_ends_in_the_same_predictions(
    plant: Plant, clean: Predicted, seed: int
) -> None:
    steps = list(IN_ORDER)
    random.Random(seed).shuffle(steps)  # noqa: S311 - the same orders each time
    assert run(plant, steps, always=seed % 2 == 0) == clean


def test_without_looking_for_late_windows_another_order_ends_in_other_predictions(
    plant: Plant, clean: Predicted
) -> None:
    steps = list(IN_ORDER)
    random.Random(SEED).shuffle(steps)  # noqa: S311 - as above
    for _, step in steps:
        step(plant)
    assert plant.predicted() != clean


Point = tuple[Any, str]
"""A step of a stage: its module, and the function's name."""


def around(points: list[Point], *chosen: tuple[str, str]) -> list[Any]:
    """Return before and after each point; all but the chosen ones are for the long proofs."""
    return [
        pytest.param(
            *(point, when),
            id=f"{point[1]}-{when}",
            marks=[] if (point[1], when) in chosen else [pytest.mark.prove],
        )
        for point in points
        for when in ("before", "after")
    ]


SCORE_POINTS: list[Point] = [
    (known, "silver_versions"),
    (stale_marks, "of_tables"),
    (lake, "versions"),
    (feature_store, "describe"),
    (feature_store, "compute_features"),
    (feature_store, "pinned"),
    (feature_store, "digests"),
    (prediction_store, "publish"),
]
"""Steps of a score run, in order, before and after each of which an ingest comes."""

IN_A_SCORE_RUN = around(SCORE_POINTS, ("silver_versions", "after"), ("publish", "before"))
"""Chosen: just after a run has looked at what is known, and just before it is seen itself."""

INGEST_POINTS: list[Point] = [
    (ingest_stage, "_take_first"),
    (ingest_stage, "_set_aside"),
    (ingest_stage, "_commit"),
]
"""Steps of an ingest, in order, before and after each of which a score run comes."""

IN_AN_INGEST = around(
    INGEST_POINTS, ("_take_first", "after"), ("_commit", "before"), ("_commit", "after")
)


def meanwhile(
    patch: pytest.MonkeyPatch, point: tuple[ModuleType, str], when: str, other: Callable[[], None]
) -> list[str]:
    """Do something else once, before or after a function; return a list that then says so."""
    module, name = point
    function, done = getattr(module, name), list[str]()

    def step(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - passed on as they are
        first = not done
        if first:
            done.append(name)
        if first and when == "before":
            other()
        found = function(*arguments, **named)
        if first and when == "after":
            other()
        return found

    patch.setattr(module, name, step)
    return done


@pytest.mark.parametrize(("point", "when"), IN_A_SCORE_RUN)
def test_an_ingest_in_the_middle_of_a_score_run_is_seen_or_found_late(
    plant: Plant, monkeypatch: pytest.MonkeyPatch, point: tuple[ModuleType, str], when: str
) -> None:
    plant.bring(plan(50), plan(52))
    plant.land(plan(51))
    with monkeypatch.context() as patched:
        done = meanwhile(patched, point, when, plant.take_in)
        plant.score(51)
    assert done
    seen = len(plant.of_day(51)) == machines.MACHINES
    assert seen or len(plant.late(at(51, 5))) == 1
    plant.rescore(at(51, 5))
    assert len(plant.of_day(51)) == machines.MACHINES
    assert plant.late(at(51, 5)) == ()


@pytest.mark.parametrize(("point", "when"), IN_A_SCORE_RUN)
def test_a_score_run_that_knows_more_in_the_middle_of_another_has_the_last_word(
    plant: Plant,
    corrected: dict[str, tuple[datetime, float]],
    monkeypatch: pytest.MonkeyPatch,
    point: tuple[ModuleType, str],
    when: str,
) -> None:
    plant.bring(plan(50), plan(51))
    plant.correct(51, delivered=at(51, 3))

    def other() -> None:
        plant.take_in()
        plant.score(51)

    with monkeypatch.context() as patched:
        done = meanwhile(patched, point, when, other)
        with suppress(CommitLost):
            plant.score(51)
    assert done
    plant.rescore(at(51, 5))
    assert plant.late(at(51, 5)) == ()
    stands = plant.of_day(51)
    assert len(stands) == machines.MACHINES
    (folder,) = (
        path
        for name, path in lake.table_paths(plant.settings).items()
        if name.startswith("gold.features.machines__")
    )
    features = delta_tables.read(folder)
    assert features.filter(pc.equal(features["as_of"], scored_at(51))).num_rows == 40
    assert stands == corrected


@pytest.mark.parametrize(
    "point",
    [
        *(pytest.param(point, marks=pytest.mark.prove) for point in SCORE_POINTS[:-1]),
        SCORE_POINTS[-1],
    ],
    ids=lambda point: point[1],
)
def test_training_in_the_middle_of_a_score_run_does_not_hide_what_was_late(
    plant: Plant,
    corrected: dict[str, tuple[datetime, float]],
    monkeypatch: pytest.MonkeyPatch,
    point: tuple[ModuleType, str],
) -> None:
    plant.bring(plan(50), plan(51))
    plant.correct(51, delivered=at(51, 3))

    def training() -> None:
        plant.take_in()
        plant.describe(51)

    with monkeypatch.context() as patched:
        meanwhile(patched, point, "before", training)
        plant.score(51)
    plant.rescore(at(51, 5))
    assert plant.of_day(51) == corrected
    assert plant.late(at(51, 5)) == ()


@pytest.mark.parametrize(("point", "when"), IN_AN_INGEST)
def test_a_score_run_in_the_middle_of_an_ingest_sees_it_or_is_found_late(
    plant: Plant, monkeypatch: pytest.MonkeyPatch, point: tuple[ModuleType, str], when: str
) -> None:
    plant.bring(plan(50), plan(52))
    plant.land(plan(51))
    with monkeypatch.context() as patched:
        done = meanwhile(patched, point, when, lambda: plant.score(51))
        plant.take_in()
    assert done
    seen = len(plant.of_day(51)) == machines.MACHINES
    assert seen == (point[1] == "_commit" and when == "after")
    assert seen or len(plant.late(at(51, 5))) == 1
    plant.rescore(at(51, 5))
    assert len(plant.of_day(51)) == machines.MACHINES
    assert plant.late(at(51, 5)) == ()
