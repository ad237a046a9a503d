"""Trace and impact, exact against a second lake that never had the file."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables, table_upkeep
from pipelines.adapters.lineage.lineage_pages import impact_page, trace_page
from pipelines.adapters.models import code_archive, prediction_store
from pipelines.adapters.outputs import placed_files
from pipelines.adapters.settings import Settings
from pipelines.adapters.stores.object_store import Folder
from pipelines.cli import app
from pipelines.domain.impact import GONE, Impact
from pipelines.domain.lateness import TICK
from pipelines.domain.scoring import LateWindow
from pipelines.domain.trace import Trace, as_json
from pipelines.errors import ChampionUnresolved, NotEnoughData, SettingsError
from pipelines.stages.impact import impact_of_files, impact_of_model, impact_of_version
from pipelines.stages.maintain import Retention, maintain
from pipelines.stages.score import score
from pipelines.stages.trace import trace
from pipelines.stages.train import train
from pipelines.use_case import BusinessRule, TrainedUseCase, UseCase, load
from tests import machines
from tests.integration import bad_files
from tests.integration.bad_files import FILES, LATE_FILE, MIDDAY_FILE, Key, day
from tests.machines import at

Home = tuple[UseCase, Settings]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("bad_files")
        patch.setattr(code_archive, "PACKAGE", folder / "no_library")
        yield bad_files.build(folder / "whole")


@pytest.fixture(scope="module")
def home(template: Path) -> Home:
    """Return the lake with every seeded file; no test changes it."""
    settings = machines.settings_in(template)
    return load(settings.dags / f"{machines.NAME}.py"), settings


@pytest.fixture(scope="module")
def whole(home: Home) -> dict[Key, tuple[object, ...]]:
    return bad_files.feature_rows(home[1])


class Rebuilt:
    """Second lakes, each made by the same stages from all files but one."""

    def __init__(self, template: Path, folder: Path) -> None:
        self._template, self._folder = template, folder
        self._made: dict[str, Home] = {}

    def without(self, name: str) -> Home:
        if name not in self._made:
            folder = self._folder / name.replace("/", "_")
            self._made[name] = bad_files.without(self._template, folder, name)
        return self._made[name]


@pytest.fixture(scope="module")
def rebuilt(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Rebuilt:
    return Rebuilt(template, tmp_path_factory.mktemp("rebuilt"))


class Reached:
    """What files reached in the lake that no test changes, each found out once."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._made: dict[tuple[str, ...], Impact] = {}

    def by(self, *names: str) -> Impact:
        if names not in self._made:
            self._made[names] = impact_of_files(*self._home, names=names)
        return self._made[names]


@pytest.fixture(scope="module")
def reached(home: Home) -> Reached:
    return Reached(home)


def listed(found: Impact, *, current: bool = True) -> set[Key]:
    return {
        (window.scored_for, row["day"], row["machine"])
        for window in found.windows
        if window.current is current
        for row in window.affected.to_pylist()
    }


ALL = (*FILES, LATE_FILE, "plan/2026-02-16.csv")

CHOSEN = ("outcome/corrected.csv", "plan/loads.csv", "plan/told_again.csv", LATE_FILE)
"""A correction of labels, of what is scored, one of two that told the same, and what came late; a
lake without each of the others is a proof."""


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name in CHOSEN else pytest.mark.prove) for name in ALL],
)
def test_a_file_reached_exactly_what_differs_in_a_lake_that_never_had_it(
    name: str,
    home: Home,
    whole: dict[Key, tuple[object, ...]],
    rebuilt: Rebuilt,
    reached: Reached,
) -> None:
    _, settings = home
    _, without = rebuilt.without(name)
    other = bad_files.feature_rows(without)
    before, after = bad_files.predictions(settings), bad_files.predictions(without)

    found = reached.by(name)

    assert listed(found) == {key for key in whole if whole[key] != other.get(key)}
    # Every prediction that would be another is listed; the same number may come of other features.
    assert {key for key in before if before[key] != after.get(key)} <= listed(found)
    assert sum(window.unmade for window in found.windows if window.current) == len(
        other.keys() - whole.keys()
    )
    assert found.broken == ()
    assert found.looked_at == 6  # five days, the last of them in two generations


@pytest.mark.parametrize(
    ("name", "retrained"),
    [
        ("outcome/corrected.csv", True),
        ("outcome/recent.csv", False),
        pytest.param("plan/extra.csv", False, marks=pytest.mark.prove),
    ],
)
def test_a_model_is_listed_for_its_training_rows_where_the_stage_would_train_another(
    *, name: str, retrained: bool, reached: Reached, rebuilt: Rebuilt
) -> None:
    found = reached.by(name)
    second, without = rebuilt.without(name)
    # The same training rows are not trained on again: the candidate that has them is the answer.
    again = train(second, without, as_of=at(50), run="again", requester="sam")
    assert (again.version != "1") is retrained
    trained = [m for m in found.models if m.features or m.labels or m.lost or m.added]
    assert [model.version for model in trained] == (["1"] if retrained else [])


@pytest.mark.parametrize(
    "name", ["outcome/emptied.csv", pytest.param("plan/moved.csv", marks=pytest.mark.prove)]
)
def test_a_model_is_listed_for_a_training_row_that_a_file_took_away(
    name: str, reached: Reached
) -> None:
    (model,) = reached.by(name).models
    assert (model.lost, model.added, model.labels) == (0, 1, 0)


def test_the_seeded_files_reach_what_they_were_made_to_reach(reached: Reached) -> None:
    counted = {
        name: len(listed(reached.by(name)))
        for name in ("outcome/too_late.csv", "plan/mistaken.csv", "outcome/quarantined.csv",
                     "plan/told.csv", "plan/told_again.csv", "plan/extra.csv", "plan/loads.csv")
    }  # fmt: skip
    assert counted == {
        "outcome/too_late.csv": 0,
        "plan/mistaken.csv": 0,
        "outcome/quarantined.csv": 0,
        "plan/told.csv": 0,  # the other file told the same row
        "plan/told_again.csv": 1,
        "plan/extra.csv": 1,
        "plan/loads.csv": 2,  # and one shift that it moved out of the window
    }


def test_two_files_that_told_the_same_reach_together_what_neither_does_alone(
    reached: Reached,
) -> None:
    found = reached.by("plan/told.csv", "plan/told_again.csv")
    assert {machine for _, _, machine in listed(found)} == {"A12", "B13"}


def test_what_came_late_reached_only_the_generations_that_saw_it(
    home: Home, reached: Reached
) -> None:
    use_case, settings = home
    found = reached.by(LATE_FILE)
    assert {(w.scored_for, w.generation, w.current) for w in found.windows} == {
        (at(48, 4), 2, True)
    }
    assert listed(found, current=False) == set()
    version = delta_tables.version(lake.silver(settings, machines.NAME, "outcome"))
    table = use_case.table("outcome")
    by_version = impact_of_version(use_case, settings, table=table, version=version)
    assert listed(by_version) == listed(found)
    assert [file.name for file in by_version.files] == [LATE_FILE]


def test_a_model_reached_every_prediction_it_made_and_another_none(home: Home) -> None:
    use_case, settings = home
    found = impact_of_model(use_case, settings, version="1")
    table = lake.predictions(settings, machines.NAME)
    history = lake.prediction_history(settings, machines.NAME)
    rows = delta_tables.read(table).num_rows, delta_tables.read(history).num_rows
    assert (found.current, found.predictions - found.current) == rows
    with pytest.raises(ChampionUnresolved):
        impact_of_model(use_case, settings, version="9")


def test_a_consumer_is_named_for_what_was_delivered_and_a_top_list_for_who_is_on_it(
    home: Home, reached: Reached
) -> None:
    _, settings = home
    found = reached.by("plan/loads.csv")
    lists = placed_files.folder(settings, machines.NAME, "watch_list")
    (window,) = found.windows
    content = placed_files.read(lists, placed_files.file_name(window.scored_for, "json"))
    on_list = {row["machine"] for row in json.loads(content)["rows"]}
    affected = {row["machine"] for row in window.affected.to_pylist()}
    assert affected == {"A06", "B07"}
    assert on_list & affected == {"A06"}, "the seeded load puts one of them on the list"
    assert [(o.output, o.consumer, o.rows, o.certain) for o in found.outputs] == [
        ("all_shifts", "planning", 2, True),
        ("watch_list", "floor", 1, True),
    ]
    extra = reached.by("plan/taken_back.csv")
    assert [output.output for output in extra.outputs] == ["all_shifts"]


def test_a_list_that_was_declared_anew_hides_no_consumer_of_the_one_before(
    template: Path, tmp_path: Path
) -> None:
    """Of the three on the list before, one is on the next, which another team gets."""
    settings = machines.copy_template(template, tmp_path / "declared_anew")
    lists = placed_files.folder(settings, machines.NAME, "watch_list")
    content = placed_files.read(lists, placed_files.file_name(at(46, 4), "json"))
    first, *_, last = json.loads(content)["rows"]
    path = settings.dags / f"{machines.NAME}.py"
    before = 'TopN(3, name="watch_list", consumer="floor"'
    text = path.read_text("utf-8").replace(before, 'TopN(1, name="watch_list", consumer="yard"')
    path.write_text(text, "utf-8")
    use_case = load(path)
    bad_files.delivered(use_case, settings)
    told = {}
    for row in (first, last):
        key = {"day": row["day"], "machine": row["machine"]}
        found = trace(use_case, settings, key=key, brief=True).outputs
        told[row["rank"]] = {(o.consumer, o.certain) for o in found if o.output == "watch_list"}
    assert told == {1: {("floor", False), ("yard", True)}, 3: {("floor", False)}}


class Traced:
    """Whole traces, each made once."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._made: dict[tuple[int, str, int | None], Trace] = {}

    def of(self, number: int, machine: str, generation: int | None = None) -> Trace:
        asked = (number, machine, generation)
        if asked not in self._made:
            key = {"day": day(number), "machine": machine}
            self._made[asked] = trace(*self._home, key=key, generation=generation)
        return self._made[asked]


@pytest.fixture(scope="module")
def traced(home: Home) -> Traced:
    return Traced(home)


def sources_of(found: Trace) -> set[str]:
    return {source.file.name for source in found.sources if source.changed or source.gone}


TRACED = [
    (46, "A06", CHOSEN),
    *(
        pytest.param(number, machine, ALL, marks=pytest.mark.prove)
        for number, machine in ((48, "A16"), (46, "A06"), (48, "B13"))
    ),
]


@pytest.mark.parametrize(("number", "machine", "names"), TRACED)
def test_a_feature_row_comes_from_exactly_the_files_without_which_it_is_another(
    *,
    number: int,
    machine: str,
    names: tuple[str, ...],
    traced: Traced,
    whole: dict[Key, tuple[object, ...]],
    rebuilt: Rebuilt,
) -> None:
    found = traced.of(number, machine)
    key = (found.prediction.scored_for, found.key["day"], machine)
    truth = {
        name
        for name in names
        if bad_files.feature_rows(rebuilt.without(name)[1]).get(key) != whole[key]
    }
    assert sources_of(found) & set(names) == truth
    assert found.broken == ()


def test_a_trace_goes_from_the_prediction_to_the_landed_row(home: Home, traced: Traced) -> None:
    _, settings = home
    found = traced.of(46, "A06")
    prediction, model = found.prediction, found.model
    assert (
        prediction.prediction
        == bad_files.predictions(settings)[prediction.scored_for, found.key["day"], "A06"]
    )
    assert (prediction.generation, prediction.current, prediction.run) == (1, True, "score run")
    assert model is not None
    assert (model.version, model.requester) == ("1", "sam")
    assert model.training_window == ("2026-01-01", "2026-01-26")
    assert model.data_versions["silver.machines.outcome"] == 1
    assert [gate.outcome for gate in found.gates] == ["passed", "not_applicable"]
    assert [d.kind for d in found.decisions] == [
        "requested", "evaluated", "promoting", "promoted",
    ]  # fmt: skip
    assert found.recorded == {"plan": 1, "outcome": 1}
    assert found.feature_row is not None
    assert found.feature_row.features["load"] == 0.9999
    own = found.sources[0]
    assert (own.file.name, own.own_row, own.rows) == ("plan/loads.csv", 1, (1,))
    assert own.file.delivered_at == at(45, 21)
    assert own.file.law["accepted"] == 3
    outcome = next(s.file for s in found.sources if s.file.table == "outcome")
    assert outcome.check is not None
    assert outcome.check.set_aside == {"expect_column_values_to_be_between:stop_minutes": 2}
    assert [(output.consumer, output.rows) for output in found.outputs] == [
        ("planning", 1),
        ("floor", 1),
    ]


@pytest.mark.prove
def test_a_replaced_generation_is_traced_as_it_was_scored(traced: Traced) -> None:
    current, replaced = traced.of(48, "A16"), traced.of(48, "A16", 1)
    assert LATE_FILE in sources_of(current)
    assert LATE_FILE not in sources_of(replaced)
    assert not replaced.prediction.current
    assert replaced.prediction.replaced_because
    assert [other.generation for other in current.others] == [1]
    assert replaced.recorded["outcome"] < current.recorded["outcome"]
    assert (current.broken, replaced.broken) == ((), ())
    assert current.feature_row is not None
    assert replaced.feature_row is not None
    assert current.feature_row.features["past_rate"] > replaced.feature_row.features["past_rate"]


@pytest.fixture(scope="module")
def late_home(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Return a lake in which a window was scored again in its middle; no test changes it."""
    return bad_files.build_late(template, tmp_path_factory.mktemp("noon") / "whole")


def test_a_file_reached_exactly_what_was_scored_late_and_is_other_without_it(
    late_home: Home, tmp_path: Path
) -> None:
    use_case, settings = late_home
    second, without = bad_files.without(settings.home.parent, tmp_path, MIDDAY_FILE)
    bad_files.scored_at_noon(second, without)
    whole, other = bad_files.described(settings), bad_files.described(without)
    truth = {key[2] for key in whole if whole[key] != other.get(key)}
    assert truth == {"A06", "A02", "A08", "C41"}

    found = impact_of_files(use_case, settings, names=[MIDDAY_FILE])

    # The prediction of the shift that moved back stands as of its scoring time, when nobody knew
    # the file; without it, there would be a later one, which is counted.
    assert {machine for _, _, machine in listed(found)} == truth - {"A08"}
    assert sum(window.unmade for window in found.windows if window.current) == 1
    assert listed(found, current=False) == set()
    (window,) = found.windows
    assert (window.scored_for, window.generation) == (at(48, 4), 3)
    assert (found.broken, found.looked_at) == ((), 7)
    assert ("all_shifts", 3) in [(output.output, output.rows) for output in found.outputs]
    gone = {row["machine"] for row in window.affected.to_pylist() if row[GONE]}
    assert gone == {"A02", "C41"}


@pytest.mark.parametrize(
    ("machine", "generation", "as_of", "run"),
    [
        ("A06", 3, bad_files.NOON, "noon run"),
        ("A02", 3, bad_files.NOON, "noon run"),
        ("B01", 3, at(48, 4), "score again"),
        ("A08", 3, at(48, 4), "score again"),
        ("A06", 2, at(48, 4), "score again"),
    ],
)
def test_a_row_of_a_window_scored_late_is_traced_as_of_its_own_time(
    machine: str, generation: int, as_of: datetime, run: str, late_home: Home
) -> None:
    key = {"day": day(48), "machine": machine}
    found = trace(*late_home, key=key, generation=generation, brief=True)
    prediction = found.prediction
    assert (prediction.as_of, prediction.run) == (as_of, run)
    assert (prediction.generation, prediction.current) == (generation, generation == 3)
    assert found.feature_row is not None
    assert (found.broken, found.feature_row.differs_in) == ((), ())


@pytest.mark.parametrize(
    ("machine", "sees"),
    [
        pytest.param("A06", True, marks=pytest.mark.prove),
        pytest.param("A02", True, marks=pytest.mark.prove),
        pytest.param("B01", False, marks=pytest.mark.prove),
        pytest.param("A08", False, marks=pytest.mark.prove),
    ],
)
def test_only_a_row_that_was_scored_late_comes_from_a_file_of_the_middle_of_its_window(
    *, machine: str, sees: bool, late_home: Home
) -> None:
    found = trace(*late_home, key={"day": day(48), "machine": machine})
    assert (MIDDAY_FILE in sources_of(found)) is sees


MISTAKE = BusinessRule("mistake", "plant", "machine = 'A06'", "prediction + 1", "it was meant well")


@pytest.mark.parametrize("brief", [True, pytest.param(False, marks=pytest.mark.prove)])
def test_a_key_that_was_refused_is_traced_to_its_reason_run_and_landed_row(
    *, brief: bool, home: Home, template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = machines.copy_template(template, tmp_path / "refused")
    use_case = load(settings.dags / f"{machines.NAME}.py")
    parts = TrainedUseCase.of(use_case)
    ruled = replace(use_case, scoring=replace(parts.scoring, rules=[MISTAKE]))
    key = {"day": day(46), "machine": "A06"}
    score(ruled, settings, since=at(46, 0), until=at(47, 0), run="mistaken run")
    bad_files.delivered(use_case, settings)

    found = trace(use_case, settings, key=key, brief=brief)

    refused, (other,) = found.prediction, found.others
    assert (refused.prediction, refused.raw_prediction, refused.rule) == (None, None, None)
    assert refused.refused == "business rule 'mistake': outside [0, 1]"
    assert (refused.generation, refused.current, refused.run) == (2, True, "mistaken run")
    assert (refused.scored_for, refused.as_of) == (at(46, 4), at(46, 4))
    assert refused.declaration_digest == ruled.digest()
    before = trace(*home, key=key, brief=brief)
    assert (other.generation, other.prediction) == (1, before.prediction.prediction)
    assert (found.model, found.gates, found.decisions) == (
        before.model, before.gates, before.decisions,
    )  # fmt: skip
    assert found.feature_row is not None
    assert (found.feature_row.features["load"], found.feature_row.differs_in) == (0.9999, ())
    assert found.sources == before.sources
    assert (found.sources[0].file.name, found.sources[0].own_row) == ("plan/loads.csv", 1)
    assert (found.outputs, found.broken) == ((), ())

    use_home(monkeypatch, settings)
    asked = ["trace", "machines", "--key", f"day={day(46)},machine=A06", "--brief"]
    shown = CliRunner().invoke(app, asked)
    assert shown.exit_code == 0
    assert "refused: business rule 'mistake': outside [0, 1]" in " ".join(shown.stdout.split())
    told = json.loads(CliRunner().invoke(app, [*asked, "--json"]).stdout)["prediction"]
    assert (told["prediction"], told["refused"]) == (None, refused.refused)
    assert "refused: business rule &#39;mistake&#39;" in trace_page(found)

    nobody = replace(MISTAKE, when="true", then="prediction + 2")
    none = replace(use_case, scoring=replace(parts.scoring, rules=[nobody]))
    score(none, settings, since=at(46, 0), until=at(47, 0), run="nobody's run")
    reached = impact_of_files(use_case, settings, names=["plan/loads.csv"])
    rows = [[row["machine"] for row in w.affected.to_pylist()] for w in reached.windows]
    assert rows == [["A06", "B07"], ["B07"], []]
    assert [(w.generation, w.current, w.refused, w.model_versions) for w in reached.windows] == [
        (1, False, 0, ("1",)), (2, False, 1, ("1",)), (3, True, 2, ("1",)),
    ]  # fmt: skip
    assert "2 refused whose feature row would be another" in impact_page(reached)


def test_a_refusal_that_was_carried_or_replaced_is_traced_to_the_run_that_made_it(
    template: Path, tmp_path: Path
) -> None:
    settings = machines.copy_template(template, tmp_path / "refused")
    use_case = load(settings.dags / f"{machines.NAME}.py")
    parts = TrainedUseCase.of(use_case)
    ruled = replace(use_case, scoring=replace(parts.scoring, rules=[MISTAKE]))
    key, since, until = {"day": day(46), "machine": "A06"}, at(46, 0), at(47, 0)
    score(ruled, settings, since=since, until=until, run="mistaken run")
    noon = LateWindow(scored_for=at(46, 4), as_of=at(46, 12) + TICK, until=at(47, 4), reason="late")
    score(use_case, settings, since=at(46), until=at(46), run="noon run", late=[noon])
    carried = trace(use_case, settings, key=key, brief=True)
    assert (carried.prediction.generation, carried.prediction.run) == (3, "mistaken run")
    assert carried.prediction.refused == "business rule 'mistake': outside [0, 1]"
    score(use_case, settings, since=since, until=until, run="mended run")
    mended = trace(use_case, settings, key=key, brief=True)
    assert (mended.prediction.generation, mended.prediction.refused) == (4, None)
    assert [(other.generation, other.refused is None) for other in mended.others] == [
        (1, True), (2, False), (3, False),
    ]  # fmt: skip
    replaced = trace(use_case, settings, key=key, brief=True, generation=2).prediction
    assert (replaced.current, replaced.replaced_because) == (False, "late")
    assert (carried.broken, mended.broken) == ((), ())


def test_a_refusal_that_was_set_aside_and_never_published_is_none(
    template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = machines.copy_template(template, tmp_path / "refused")
    use_case = load(settings.dags / f"{machines.NAME}.py")
    parts = TrainedUseCase.of(use_case)
    ruled = replace(use_case, scoring=replace(parts.scoring, rules=[MISTAKE]))

    def kill(point: str) -> None:
        if point == "score.between_refused_and_predictions":
            raise KeyboardInterrupt

    monkeypatch.setattr(prediction_store, "failpoint", kill)
    with pytest.raises(KeyboardInterrupt):
        score(ruled, settings, since=at(46, 0), until=at(47, 0), run="cut off")
    assert delta_tables.exists(lake.refused_predictions(settings, machines.NAME))
    found = trace(use_case, settings, key={"day": day(46), "machine": "A06"}, brief=True)
    # Its copy in the history is there by now, too, and is no generation of its own.
    assert delta_tables.read(
        lake.prediction_history(settings, machines.NAME), where="machine = 'A06'"
    ).num_rows
    assert (found.prediction.refused, found.prediction.generation, found.others) == (None, 1, ())
    reached = impact_of_files(use_case, settings, names=["plan/loads.csv"])
    assert [(window.generation, window.current) for window in reached.windows] == [(1, True)]
    # Another run replaces it, for a reason of its own: not for that of the one that was cut off.
    monkeypatch.undo()
    noon = LateWindow(scored_for=at(46, 4), as_of=at(46, 12) + TICK, until=at(47, 4), reason="late")
    score(use_case, settings, since=at(46), until=at(46), run="noon run", late=[noon])
    (replaced,) = trace(
        use_case, settings, key={"day": day(46), "machine": "A06"}, brief=True
    ).others
    assert replaced.replaced_because == "late"


def feature_table(settings: Settings) -> Folder:
    (name,) = (n for n in lake.table_paths(settings) if n.startswith("gold.features."))
    return lake.table_paths(settings)[name]


def change_stored_load(settings: Settings, asked: str, machine: str) -> Folder:
    """Change a feature of one row in the newest version of the store; return its table."""
    import pyarrow as pa

    table = feature_table(settings)
    rows = delta_tables.read(table).to_pylist()
    for row in rows:
        if (str(row["day"]), row["machine"]) == (asked, machine):
            row["load"] = 0.5
    changed = pa.Table.from_pylist(rows, schema=delta_tables.schema(table))
    delta_tables.commit_rows(table, changed, transactions={}, metadata={}, replace="true")
    return table


def test_a_stored_feature_row_that_the_tables_do_not_give_is_a_broken_link(
    home: Home, template: Path, tmp_path: Path
) -> None:
    settings = machines.copy_template(template, tmp_path / "changed")
    use_case = load(settings.dags / f"{machines.NAME}.py")
    table = change_stored_load(settings, day(46), "A06")
    (commit,) = (
        c for c in delta_tables.history(lake.predictions(settings, machines.NAME))
        if c.get("headframe.window", "").startswith(f"champion/{day(46)}")
    )  # fmt: skip
    assert int(commit["headframe.feature_version"]) < delta_tables.version(table)
    found = trace(use_case, settings, key={"day": day(46), "machine": "A06"}, brief=True)
    assert found.broken == (), "what was scored is the version that was recorded"
    log = Path(str(lake.predictions(settings, machines.NAME))) / "_delta_log"
    for entry in log.glob("*.json"):
        actions = [json.loads(line) for line in entry.read_text("utf-8").splitlines()]
        for action in actions:
            action.get("commitInfo", {}).pop("headframe.feature_version", None)
        entry.write_text("\n".join(map(json.dumps, actions)), "utf-8")
    broken = trace(use_case, settings, key={"day": day(46), "machine": "A06"}, brief=True).broken
    assert [problem.found for problem in broken] == ["another value of load"]
    found_impact = impact_of_files(use_case, settings, names=["plan/loads.csv"])
    assert any("feature rows as its recorded tables say" in str(p) for p in found_impact.broken)


def maintained(template: Path, folder: Path) -> Home:
    """Return a copy of which maintenance has removed all that it removes after a week."""
    settings = machines.copy_template(template, folder)
    at_once = Retention(files_hours=0)
    done = maintain(settings, now=at(500), run="maintain", retention=at_once)
    removed = {one.table for one in done.tables if one.data.files}
    assert any(name.startswith("gold.features.") for name in removed)
    return load(settings.dags / f"{machines.NAME}.py"), settings


def test_what_maintenance_removes_leaves_trace_and_impact_as_they_were(
    home: Home, reached: Reached, template: Path, tmp_path: Path
) -> None:
    """The feature rows of all windows lay in one file, which late data replaced in one of them."""
    kept = maintained(template, tmp_path / "kept")
    key = {"day": day(48), "machine": "A16"}
    before, after = (trace(*one, key=key, generation=1, brief=True) for one in (home, kept))
    assert before.feature_row is not None
    assert before.feature_row.stored
    # What was scored and replaced is gone: it is computed again, and says so.
    assert after == replace(before, feature_row=replace(before.feature_row, stored=False))
    name = "outcome/corrected.csv"
    found, known = impact_of_files(*kept, names=[name]), reached.by(name)
    assert listed(found) == listed(known)
    assert listed(found, current=False) == listed(known, current=False)
    assert (found.models, found.outputs) == (known.models, known.outputs)
    assert (found.unreadable, found.broken) == ((), ())


def test_a_feature_row_that_was_changed_is_found_though_its_version_is_gone(
    template: Path, tmp_path: Path
) -> None:
    settings = machines.copy_template(template, tmp_path / "changed")
    use_case = load(settings.dags / f"{machines.NAME}.py")
    score(use_case, settings, since=at(49, 0), until=at(50, 0), run="next day")
    key, at_once = {"day": day(49), "machine": "A06"}, Retention(files_hours=0)
    rewrites: list[Callable[[], object]] = [
        lambda: table_upkeep.compact(feature_table(settings), least_files=1),
        lambda: change_stored_load(settings, day(49), "A06"),
    ]
    found = []
    for rewrite in rewrites:
        rewrite()
        maintain(settings, now=at(500), run="maintain", retention=at_once)
        traced = trace(use_case, settings, key=key, brief=True)
        assert traced.feature_row is not None
        assert traced.feature_row.stored
        found.append([problem.found for problem in traced.broken])
    assert found == [[], ["another value of load"]]


def test_what_was_scored_from_tables_that_are_gone_is_told_as_perhaps(
    reached: Reached, template: Path, tmp_path: Path
) -> None:
    """Silver was rewritten, and what it held before lasts a week; what a model was made from stays."""
    settings = machines.copy_template(template, tmp_path / "rewritten")
    silver = lake.silver(settings, machines.NAME, "outcome")
    told = {"stage": "reingest", "run": "reingest run"}
    rows = delta_tables.read(silver)
    delta_tables.commit_rows(silver, rows, transactions={}, metadata=told, replace="true")
    maintain(settings, now=at(500), run="maintain", retention=Retention(files_hours=0))
    use_case = load(settings.dags / f"{machines.NAME}.py")
    key = {"day": day(48), "machine": "A16"}
    found = trace(use_case, settings, key=key, brief=True)
    assert found.feature_row is not None
    assert [problem.where for problem in found.broken] == ["table machines/outcome"]
    known = reached.by("outcome/corrected.csv")
    now = impact_of_files(use_case, settings, names=["outcome/corrected.csv"])
    assert now.unreadable == (f"champion/{at(48, 4).isoformat()} generation 2",)
    assert (now.models, now.uncertain, now.broken) == (known.models, (), ())
    scored = {key for key in listed(known) if key[0] != at(48, 4)}
    assert listed(now) == scored
    assert listed(now, current=False) == listed(known, current=False)


def test_a_ledger_that_says_otherwise_is_a_broken_link_and_no_yes(
    template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    settings = machines.copy_template(template, tmp_path / "changed")
    use_case = load(settings.dags / f"{machines.NAME}.py")
    client = MlflowClient(settings.mlflow_uri)
    client.set_model_version_tag("machines-candidates", "1", "headframe.artifact_sha256", "ff")
    (problem,) = trace(use_case, settings, key=None, brief=True).broken
    assert problem.expected.startswith("artifact ")
    assert problem.found == "ff"
    versions = json.dumps({"silver.machines.outcome": 7})
    client.set_model_version_tag("machines-candidates", "1", "headframe.data_versions", versions)
    told = trace(use_case, settings, key=None, brief=True).broken
    assert [problem.expected for problem in told[1:]] == [
        "the training data of its frozen evidence"
    ]
    use_home(monkeypatch, settings)
    shown = CliRunner().invoke(app, ["trace", "machines", "--first", "--brief"])
    assert shown.exit_code == 1
    assert "model 1" in shown.stdout, "the rest is shown all the same"


def use_home(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    """Let the command line find a home."""
    places = {"HOME": "home", "DAGS": "dags", "EXPECTATIONS": "expectations"}
    for name, attribute in places.items():
        monkeypatch.setenv(f"HEADFRAME_{name}", str(getattr(settings, attribute)))


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ({"dy": "2026-02-16", "machine": "A06"}, "did you mean 'day'"),
        ({"machine": "A06"}, "none for day"),
        ({"day": "secret", "machine": "A06"}, "expected date"),
    ],
)
def test_a_key_that_does_not_fit_is_told_without_its_values(
    key: dict[str, str], words: str, home: Home
) -> None:
    with pytest.raises(SettingsError, match=words) as caught:
        trace(*home, key=key)
    assert "secret" not in str(caught.value)
    assert "A06" not in str(caught.value)


def test_a_key_without_prediction_is_told_which_windows_there_are(home: Home) -> None:
    with pytest.raises(NotEnoughData, match="2026-02-18T04:00:00") as caught:
        trace(*home, key={"day": day(46), "machine": "Z99"})
    assert "Z99" not in str(caught.value)
    with pytest.raises(NotEnoughData, match="of this key there are predictions for 2026-02-16"):
        trace(
            *home, key={"day": day(46), "machine": "A06"}, scored_for=(at(40), at(41)), brief=True
        )
    with pytest.raises(NotEnoughData, match="generations 1, 2 of it"):
        trace(*home, key={"day": day(48), "machine": "A16"}, generation=7, brief=True)


def test_a_file_or_version_that_is_none_is_told_with_the_nearest(home: Home) -> None:
    use_case, settings = home
    with pytest.raises(SettingsError, match=r"near are outcome/recent\.csv"):
        impact_of_files(use_case, settings, names=["outcome/recnt.csv"])
    with pytest.raises(SettingsError, match="a version from 0 to"):
        impact_of_version(use_case, settings, table=use_case.table("plan"), version=99)


class Reader(HTMLParser):
    """Notes what a page would load or run."""

    def __init__(self) -> None:
        super().__init__()
        self.odd: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        loads = [v for n, v in attrs if n in ("src", "href") and not (v or "").startswith("data:")]
        runs = [n for n, _ in attrs if n.startswith("on")]
        if tag == "script" or loads or runs:
            self.odd.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_pages_stand_alone_and_escape_what_the_lake_holds(home: Home, reached: Reached) -> None:
    found = trace(*home, key={"day": day(46), "machine": "A06"}, brief=True)
    hostile = replace(found, key={**found.key, "machine": "<script>alert(1)</script>"})
    pages = [
        trace_page(hostile),
        impact_page(reached.by("plan/loads.csv")),
        impact_page(impact_of_model(*home, version="1")),
    ]
    for page in pages:
        reader = Reader()
        reader.feed(page)
        assert reader.odd == []
        assert "default-src 'none'" in page
    assert "machine=&lt;script&gt;" in pages[0]
    assert "plan/loads.csv" in pages[1]


def test_the_commands_say_it_as_tree_json_and_page(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, settings = home
    use_home(monkeypatch, settings)
    run = CliRunner()
    page = tmp_path / "trace.html"
    asked = ["trace", "machines", "--key", f"day={day(46)},machine=A06", "--scored-for", day(46)]
    shown = run.invoke(app, [*asked, "--brief", "--page", str(page)])
    assert shown.exit_code == 0
    assert "plan/loads.csv: row 1 is the entity's own" in shown.stdout
    assert page.read_text("utf-8").startswith("<!doctype html>")
    told: dict[str, Any] = json.loads(run.invoke(app, [*asked, "--brief", "--json"]).stdout)
    assert told["key"] == {"day": day(46), "machine": "A06"}
    assert told["sources"][0]["own_row"] == 1
    first = run.invoke(app, ["trace", "machines", "--first", "--brief", "--json"])
    assert json.loads(first.stdout)["prediction"]["scored_for"] == at(48, 4).isoformat()
    impact = run.invoke(app, ["impact", "machines", "--file", "plan/loads.csv", "--json"])
    reached: dict[str, Any] = json.loads(impact.stdout)
    assert reached["predictions_current"] == 2
    assert [row["machine"] for row in reached["windows"][0]["affected"]] == ["A06", "B07"]
    assert run.invoke(app, ["trace", "machines"]).exit_code == 1
    assert run.invoke(app, ["impact", "machines"]).exit_code == 1
    both = ["impact", "machines", "--file", "plan/loads.csv", "--model", "1"]
    assert run.invoke(app, both).exit_code == 1


def test_json_holds_moments_as_texts() -> None:
    moment = datetime.fromisoformat("2026-02-16T04:00:00+00:00")
    assert as_json({"at": (moment, None)}) == {"at": ["2026-02-16T04:00:00+00:00", None]}


def test_json_holds_a_number_that_is_none_as_a_text() -> None:
    found = as_json((1.5, float("inf"), float("-inf"), float("nan")))
    assert found == [1.5, "inf", "-inf", "nan"]
