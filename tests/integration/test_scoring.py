"""Scoring in steps: plan, parts and publish on the machines, in any number of parts, exactly once."""

import json
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from pipelines.adapters import lake, lake_sql
from pipelines.adapters.delta import delta_tables, live_files, table_upkeep
from pipelines.adapters.models import (
    champion,
    code_archive,
    feature_store,
    mlflow_registry,
    prediction_store,
    probe,
)
from pipelines.adapters.settings import Settings
from pipelines.adapters.stores import object_store
from pipelines.adapters.stores.object_store import StoreUrl, local
from pipelines.domain.scoring import Scored, ScoredPart, ScorePlan, Share, deal
from pipelines.errors import (
    ChampionUnresolved,
    CodeChanged,
    CommitLost,
    LakeError,
    PlanOvertaken,
    PromiseBroken,
)
from pipelines.stages import score as stage
from pipelines.stages.evaluate import evaluate
from pipelines.stages.promote import promote
from pipelines.stages.score import LateWindow, plan, publish, score, score_part
from pipelines.stages.train import train
from pipelines.use_case import (
    BusinessRule,
    CsvFile,
    PredictionRange,
    TrainedUseCase,
    UseCase,
    load,
)
from tests import machines
from tests.machines import Variant, at

Home = tuple[UseCase, Settings]
Rows = list[dict[str, Any]]

START = at(48, 4)
"""05:00 in Berlin: the scoring time of day 48."""

TREES = """def logistic(columns, seed):
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OrdinalEncoder

    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    return make_pipeline(
        ColumnTransformer([
            ("numbers", "passthrough", list(columns.numeric)),
            ("categories", codes, list(columns.categorical)),
        ]),
        HistGradientBoostingClassifier(max_iter=10, random_state=seed),
    )
"""


def rows_of(settings: Settings, *, history: bool = False) -> Rows:
    path = (lake.prediction_history if history else lake.predictions)(settings, "machines")
    if not delta_tables.exists(path):
        return []
    found: Rows = delta_tables.read(path).to_pylist()
    return sorted(found, key=lambda row: (row["scored_for"], row["machine"], row["generation"]))


def planned(home: Home, first: int = 48, until: int = 49, **options: Any) -> ScorePlan:  # noqa: ANN401 - the stage's own
    use_case, settings = home
    return plan(use_case, settings, since=at(first, 0), until=at(until, 0), run="test", **options)


def travelled(value: ScorePlan) -> ScorePlan:
    return ScorePlan.from_plain(json.loads(json.dumps(value.to_plain())))


def made(home: Home, whole: ScorePlan) -> list[ScoredPart]:
    parts = [score_part(*home, travelled(whole), number) for number in range(len(whole.parts))]
    return [ScoredPart.from_plain(json.loads(json.dumps(part.to_plain()))) for part in parts]


def in_parts(whole: ScorePlan, parts: int) -> ScorePlan:
    """Deal a plan's units anew."""
    shares = [share for part in whole.parts for share in part]
    units = {
        number: tuple(u for share in shares if share.window == number for u in share.units)
        for number in range(len(whole.windows))
    }
    return replace(whole, parts=deal([Share(window=n, units=u) for n, u in units.items()], parts))


def scored(home: Home, first: int = 48, until: int = 49, **options: Any) -> list[str]:  # noqa: ANN401 - the stage's own
    use_case, settings = home
    done = score(use_case, settings, since=at(first, 0), until=at(until, 0), run="test", **options)
    return [window.outcome for window in done.windows]


@pytest.fixture(scope="module")
def trees_template(machines_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a home whose champion is a tree model, which the fused encoder recognises."""
    folder = tmp_path_factory.mktemp("trees")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(code_archive, "PACKAGE", folder / "no_library")
        promoted_as(machines.copy_template(machines_template, folder), TREES)
    return folder


@pytest.fixture
def trees(trees_template: Path, tmp_path: Path, stable_code: None) -> Home:
    """Return a fresh copy whose champion is a tree model."""
    settings = machines.copy_template(trees_template, tmp_path / "trees")
    return load(settings.dags / "machines.py"), settings


def promoted_as(settings: Settings, candidate: str, variant: Variant | None = None) -> Home:
    machines.declare(settings, variant)
    path = settings.dags / "machines.py"
    text = path.read_text()
    begin, end = text.index("def logistic"), text.index("\n\nmachines = UseCase")
    text = text[:begin] + candidate + text[end:]
    path.write_text(text)
    use_case = load(path)
    done = train(use_case, settings, as_of=at(50), run="test", requester="sam")
    evaluate(use_case, settings, version=done.version)
    promote(use_case, settings, version=done.version, as_of=at(50))
    return use_case, settings


@pytest.fixture
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a day of 40 machines be six row groups, as a large day is."""
    monkeypatch.setattr(feature_store, "GROUP_ROWS", 7)


@pytest.mark.usefixtures("small_groups")
@pytest.mark.parametrize(("kind", "fixture"), [("fused", "trees"), ("pipeline", "promoted")])
def test_any_number_of_parts_makes_the_same_rows_bit_by_bit(
    kind: str, fixture: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    home: Home = request.getfixturevalue(fixture)
    _, settings = home
    version = mlflow_registry.candidate(settings, "machines", "1")
    assert version.tags[probe.SCORER] == kind
    whole = planned(home, 48, 50)
    assert sum(len(share.units) for part in whole.parts for share in part) == 12
    alone = publish(*home, whole, made(home, whole))
    expected = rows_of(settings)
    assert (alone.rows, len(expected)) == (80, 80)
    table = local(lake.predictions(settings, "machines"))
    for parts in (5, 12):
        table.rename(tmp_path / f"before_{parts}")
        spread = in_parts(planned(home, 48, 50), parts)
        assert len(spread.parts) == parts
        publish(*home, spread, made(home, spread))
        assert rows_of(settings) == expected


def test_the_fused_and_the_plain_scorer_write_the_same_rows(trees: Home, tmp_path: Path) -> None:
    _, settings = trees
    assert champion.scorer(settings, "machines", _champion(settings)).kind == "fused"
    assert scored(trees) == ["written"]
    fused = rows_of(settings)
    local(lake.predictions(settings, "machines")).rename(tmp_path / "fused")
    MlflowClient(settings.mlflow_uri).set_model_version_tag(
        "machines-candidates", "1", probe.SCORER, "pipeline"
    )
    assert champion.scorer(settings, "machines", _champion(settings)).kind == "pipeline"
    assert scored(trees) == ["written"]
    assert rows_of(settings) == fused


def _champion(settings: Settings) -> champion.Champion:
    found = champion.resolve(settings, "machines")
    assert found is not None
    return found


def test_a_model_that_predicts_its_probe_set_otherwise_is_refused(trees: Home) -> None:
    _, settings = trees
    client, name, other = MlflowClient(settings.mlflow_uri), "machines-candidates", "0" * 64
    client.set_tag(client.get_model_version(name, "1").run_id, probe.DIGEST, other)
    client.set_model_version_tag(name, "1", probe.DIGEST, other)
    with pytest.raises(ChampionUnresolved, match="predictions of its probe set"):
        scored(trees)
    assert rows_of(settings) == []


def test_a_model_knows_the_usual_value_of_each_feature(trees: Home) -> None:
    _, settings = trees
    found = probe.reference(settings, _champion(settings).model)
    assert set(found) == {"load", "past_rate", "family"}
    assert 0.4 < float(found["load"]) < 0.6
    assert found["family"] in {"A", "B"}


def test_parts_without_their_publication_leave_nothing_readable(promoted: Home) -> None:
    _, settings = promoted
    whole = planned(promoted)
    parts = made(promoted, whole)
    assert rows_of(settings) == []
    with pytest.raises(LakeError, match="rows in = rows scored"):
        publish(*promoted, whole, parts[:-1])
    assert rows_of(settings) == []
    again = made(promoted, whole)  # a part is tried again: its first files never count
    publish(*promoted, whole, again)
    assert len(rows_of(settings)) == machines.MACHINES
    names = {file.name for part in again for share in part.shares for file in share.files}
    assert set(live_files.Names(lake.predictions(settings, "machines"))) == names


def test_publishing_twice_changes_nothing(promoted: Home) -> None:
    _, settings = promoted
    whole = planned(promoted)
    parts = made(promoted, whole)
    first = publish(*promoted, whole, parts)
    rows = rows_of(settings)
    again = publish(*promoted, whole, parts)
    assert [window.outcome for window in first.windows] == ["written"]
    assert [(w.outcome, w.rows) for w in again.windows] == [("unchanged", machines.MACHINES)]
    assert rows_of(settings) == rows
    assert planned(promoted).parts == ()


def test_a_plan_that_another_run_overtook_is_not_published(promoted: Home) -> None:
    use_case, settings = promoted
    old = planned(promoted)
    parts = made(promoted, old)
    promote(use_case, settings, version="2", as_of=at(50))
    assert scored(promoted) == ["written"]
    rows = rows_of(settings)
    with pytest.raises(PlanOvertaken, match="another run scored it since") as caught:
        publish(*promoted, old, parts)
    assert not caught.value.retryable, "waiting does not bring the plan up to date"
    assert "clear task plan with all after it" in str(caught.value)
    assert rows_of(settings) == rows
    assert {row["model_version"] for row in rows} == {"2"}
    assert rows_of(settings, history=True) == []
    anew = planned(promoted, model_version="1")
    assert [w.outcome for w in publish(*promoted, anew, made(promoted, anew)).windows] == [
        "replaced"
    ]


def test_a_run_in_one_piece_that_another_overtook_is_worth_another_try(
    promoted: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_case, settings = promoted
    publishes = stage.publish

    def overtaken(*arguments: Any) -> Scored:  # noqa: ANN401 - as publish
        monkeypatch.setattr(stage, "publish", publishes)
        promote(use_case, settings, version="2", as_of=at(50))
        assert scored(promoted) == ["written"]
        return publishes(*arguments)

    monkeypatch.setattr(stage, "publish", overtaken)
    with pytest.raises(CommitLost) as caught:
        scored(promoted)
    assert caught.value.retryable
    assert scored(promoted, model_version="1") == ["replaced"]


def declared(home: Home, **changes: Any) -> Home:  # noqa: ANN401 - any field of scoring
    use_case, settings = home
    scoring = replace(TrainedUseCase.of(use_case).scoring, **changes)
    return replace(use_case, scoring=scoring), settings


def test_what_is_in_no_row_makes_no_window_due_again_and_a_rule_does(promoted: Home) -> None:
    _, settings = promoted
    scored(promoted)
    rows, first = rows_of(settings), promoted[0].digest()
    other = declared(
        promoted,
        outputs=[CsvFile(name="all", consumer="desk")],
        promises=[PredictionRange(0, 1)],
        on_late="keep",
        rescore_days=3,
    )
    assert other[0].digest() != first
    assert scored(other) == ["unchanged"]
    assert rows_of(settings) == rows
    assert {row["declaration_digest"] for row in rows} == {first}, "the one it was made with"
    half = BusinessRule("half", owner="plant", when="true", then="prediction / 2", reason="agreed")
    assert scored(declared(promoted, rules=[half])) == ["replaced"]


def test_a_window_that_stands_is_held_to_what_has_been_promised_since(promoted: Home) -> None:
    _, settings = promoted
    scored(promoted)
    rows = rows_of(settings)
    values = sorted(row["prediction"] for row in rows)
    kept, narrowed = (
        declared(promoted, promises=[PredictionRange(values[0], high)])
        for high in (values[-1], values[-3])
    )
    assert scored(kept) == ["unchanged"]
    with pytest.raises(PromiseBroken, match="found 2 of 40 predictions that stand outside it"):
        scored(narrowed)
    assert rows_of(settings) == rows


def test_a_late_rescore_carries_no_row_that_breaks_what_has_been_promised_since(
    promoted: Home,
) -> None:
    _, settings = promoted
    scored(promoted)
    rows = rows_of(settings)
    ahead = [r["prediction"] for r in rows if r["event_time"] >= late(12).as_of]
    stay = [r["prediction"] for r in rows if r["event_time"] < late(12).as_of]
    outside = sum(not min(ahead) <= value <= max(ahead) for value in stay)
    assert 0 < outside < len(stay)
    narrowed = declared(promoted, promises=[PredictionRange(min(ahead), max(ahead))])
    told = f"found {outside} of {len(stay)} predictions that stand outside it"
    with pytest.raises(PromiseBroken, match=told):
        rescored(narrowed, 12)
    assert rows_of(settings) == rows
    assert rows_of(settings, history=True) == []


def test_a_row_that_is_made_anew_may_have_broken_what_was_promised_since(promoted: Home) -> None:
    _, settings = promoted
    scored(promoted)
    rows = rows_of(settings)
    ahead = [r["prediction"] for r in rows if r["event_time"] >= late(12).as_of]
    stay = [r["prediction"] for r in rows if r["event_time"] < late(12).as_of]
    middle = (min(stay) + max(stay)) / 2
    assert not all(min(stay) <= value <= max(stay) for value in ahead)
    even = BusinessRule("even", owner="plant", when="true", then=f"{middle!r}", reason="agreed")
    home = declared(promoted, rules=[even], promises=[PredictionRange(min(stay), max(stay))])
    assert rescored(home, 12) == [("replaced", machines.MACHINES, len(stay))]
    assert sorted(r["prediction"] for r in rows_of(settings)) == sorted(
        [*stay, *[middle] * len(ahead)]
    )


def test_a_plan_is_not_carried_out_with_another_declaration(promoted: Home) -> None:
    _, settings = promoted
    whole = planned(promoted)
    other = machines.declare(settings, Variant(minimum_labels=31))
    with pytest.raises(CodeChanged, match="deployed since"):
        score_part(other, settings, whole, 0)
    with pytest.raises(CodeChanged, match="deployed since"):
        publish(other, settings, whole, [])


def late(hour: int) -> LateWindow:
    moment = at(48, hour) + timedelta(microseconds=1)
    return LateWindow(scored_for=START, as_of=moment, until=at(49, 4), reason=f"late at {hour}")


def as_ofs(rows: Rows) -> dict[datetime, int]:
    counts: dict[datetime, int] = {}
    for row in rows:
        counts[row["as_of"]] = counts.get(row["as_of"], 0) + 1
    return counts


def rescored(home: Home, *hours: int) -> list[tuple[str, int, int]]:
    use_case, settings = home
    done = score(
        use_case,
        settings,
        since=at(48, 0),
        until=at(48, 0),
        run="late",
        late=[late(hour) for hour in hours],
    )
    return [(w.outcome, w.rows, w.carried) for w in done.windows]


def test_a_late_rescore_makes_the_rows_still_ahead_and_carries_the_others(promoted: Home) -> None:
    _, settings = promoted
    scored(promoted)
    first = rows_of(settings)
    ahead = sum(row["event_time"] >= late(12).as_of for row in first)
    assert 0 < ahead < machines.MACHINES
    assert rescored(promoted, 12) == [("replaced", machines.MACHINES, machines.MACHINES - ahead)]
    now = rows_of(settings)
    assert as_ofs(now) == {START: machines.MACHINES - ahead, late(12).as_of: ahead}
    assert {row["generation"] for row in now} == {2}
    assert len({row["run_key"] for row in now}) == 1
    changed = {"run_key", "generation"}
    before = {row["machine"]: row for row in first}
    for row in now:
        if row["event_time"] < late(12).as_of:
            old = before[row["machine"]]
            assert {k: v for k, v in row.items() if k not in changed} == {
                k: v for k, v in old.items() if k not in changed
            }
    kept = rows_of(settings, history=True)
    assert {row.pop("replaced_because") for row in kept} == {"late at 12"}
    assert kept == first


def test_after_a_late_rescore_both_runs_again_change_nothing(promoted: Home) -> None:
    _, settings = promoted
    scored(promoted)
    rescored(promoted, 12)
    rescored(promoted, 14)
    rows = rows_of(settings)
    assert {row["generation"] for row in rows} == {3}
    assert scored(promoted) == ["unchanged"]
    assert [outcome for outcome, _, _ in rescored(promoted, 12, 14)] == ["unchanged"] * 2
    assert rows_of(settings) == rows


def test_a_new_model_below_a_late_rescore_makes_it_due_again(promoted: Home) -> None:
    use_case, settings = promoted
    scored(promoted)
    rescored(promoted, 12)
    promote(use_case, settings, version="2", as_of=at(50))
    assert scored(promoted) == ["replaced"]
    assert set(as_ofs(rows_of(settings))) == {START}
    assert [outcome for outcome, _, _ in rescored(promoted, 12)] == ["replaced"]
    rows = rows_of(settings)
    assert ({row["model_version"] for row in rows}, len(as_ofs(rows))) == ({"2"}, 2)


@pytest.mark.prove
def test_a_model_that_comes_back_below_a_late_rescore_makes_it_due_again(promoted: Home) -> None:
    use_case, settings = promoted
    scored(promoted)
    rescored(promoted, 12)
    promote(use_case, settings, version="2", as_of=at(50))
    assert scored(promoted) == ["replaced"]
    assert scored(promoted, model_version="1") == ["replaced"]
    assert set(as_ofs(rows_of(settings))) == {START}
    done = score(
        use_case,
        settings,
        since=at(48, 0),
        until=at(48, 0),
        run="late",
        model_version="1",
        late=[late(12)],
    )
    assert [window.outcome for window in done.windows] == ["replaced"]
    assert set(as_ofs(rows_of(settings))) == {START, late(12).as_of}


def test_two_late_rescores_of_one_run_lie_on_one_another(promoted: Home) -> None:
    _, settings = promoted
    scored(promoted)
    assert [outcome for outcome, _, _ in rescored(promoted, 14, 12)] == ["replaced"] * 2
    found = rows_of(settings)
    for row in found:
        due = [m for m in (START, late(12).as_of, late(14).as_of) if m <= row["event_time"]]
        assert row["as_of"] == max(due, default=START)


ODD = """,
               case when a.day >= date '2026-02-20' and a.machine = 'A00' then 'infinity'::double
                    else 1.0 end as odd"""


def test_rows_without_a_usable_feature_are_refused_and_counted(
    machines_settings: Settings,
) -> None:
    home = promoted_as(machines_settings, TREES, Variant(more_features=ODD))
    use_case, settings = home
    machines.deliver(settings, first=50, until=52)
    machines.take_in(use_case, settings)
    done = score(use_case, settings, since=at(50, 0), until=at(51, 0), run="test")
    assert (done.rows, done.refused) == (machines.MACHINES - 1, 1)
    assert "1 rows REFUSED" in done.describe()
    refused = delta_tables.read(lake.refused_predictions(settings, "machines")).to_pylist()
    assert [(row["machine"], row["reason"]) for row in refused] == [
        ("A00", "feature odd is infinite")
    ]
    assert "A00" not in {row["machine"] for row in rows_of(settings)}
    told = delta_tables.history(lake.predictions(settings, "machines"))[0]
    assert json.loads(told["headframe.law"]) == {"rows": 40, "scored": 39, "refused": 1}
    assert json.loads(told["headframe.refused"]) == {"feature odd is infinite": 1}
    standing = prediction_store.current(settings, "machines", refused[0]["prediction_window"])
    assert standing is not None
    assert standing.run_key == refused[0]["run_key"]
    assert scored(home, 50, 51) == ["unchanged"]
    assert delta_tables.version(lake.refused_predictions(settings, "machines")) == 1


ODD_TENS = """,
               case when a.day >= date '2026-02-20' and a.machine like '%0' then 'infinity'::double
                    else 1.0 end as odd"""


@pytest.mark.parametrize(
    "refused",
    [
        pytest.param(ODD_TENS, id="some"),
        pytest.param(ODD_TENS.replace("%0", "%"), id="all", marks=pytest.mark.prove),
    ],
)
def test_a_late_rescore_carries_the_refused_rows_that_it_did_not_look_at(
    refused: str, machines_settings: Settings
) -> None:
    home = promoted_as(machines_settings, TREES, Variant(more_features=refused))
    use_case, settings = home
    machines.deliver(settings, first=50, until=52)
    machines.take_in(use_case, settings)
    scored(home, 50, 51)
    aside = lake.refused_predictions(settings, "machines")
    before = {row["machine"]: row for row in delta_tables.read(aside).to_pylist()}
    moment = at(50, 12) + timedelta(microseconds=1)
    again = LateWindow(scored_for=at(50, 4), as_of=moment, until=at(51, 4), reason="late")
    for _ in range(2):
        score(use_case, settings, since=at(50, 0), until=at(50, 0), run="late", late=[again])
    told = delta_tables.history(lake.predictions(settings, "machines"))[0]
    rows = delta_tables.read(aside).to_pylist()
    first = {row["run_key"] for row in before.values()}
    now = {row["machine"]: row for row in rows if row["run_key"] not in first}
    assert len(rows) == 2 * len(before)
    assert now.keys() == before.keys()
    stayed = {name for name, row in before.items() if row["event_time"] < moment}
    assert 0 < len(stayed) < len(before)
    for name, row in now.items():
        old = before[name]
        assert row["as_of"] == (old["as_of"] if name in stayed else moment)
        assert (row["reason"], row["run"]) == (old["reason"], "test" if name in stayed else "late")
    assert int(told["headframe.carried_refused"]) == len(stayed)
    assert {row["machine"] for row in rows_of(settings)}.isdisjoint(now)
    assert len(rows_of(settings)) + len(now) == machines.MACHINES


def test_predictions_are_read_by_sql_and_left_alone_by_compaction(promoted: Home) -> None:
    _, settings = promoted
    scored(promoted, 47, 50)
    tables = {"predictions.machines": lake.predictions(settings, "machines")}
    counted = lake_sql.query(
        tables,
        "select prediction_window, generation, count(*) as rows from predictions.machines "
        "group by all order by 1 limit 1",
    )
    assert counted.to_pylist() == [
        {"prediction_window": "champion/2026-02-17T04:00:00+00:00", "generation": 1, "rows": 40}
    ]
    compacted = table_upkeep.compact(lake.predictions(settings, "machines"), least_files=1)
    assert (compacted.before, compacted.after) == (3, 3)


def test_a_compacted_feature_table_is_scored_as_before(trees: Home, tmp_path: Path) -> None:
    _, settings = trees
    scored(trees, 45, 50)
    expected = rows_of(settings)
    local(lake.predictions(settings, "machines")).rename(tmp_path / "before")
    features = lake.features(
        settings, "machines", _champion(settings).model.tags["headframe.features"]
    )
    compacted = table_upkeep.compact(features, least_files=1)
    assert compacted.before > compacted.after == 1
    scored(trees, 45, 50)
    assert rows_of(settings) == expected


def test_a_lake_in_a_store_is_scored_in_parts_and_late(promoted: Home, store: StoreUrl) -> None:
    use_case, here = promoted
    scored(promoted)
    rescored(promoted, 12)
    expected = rows_of(here)
    source = local(here.lake)
    for path in source.rglob("*"):
        if path.is_file() and path.relative_to(source).parts[0] != "predictions":
            object_store.put(path, store / path.relative_to(source).as_posix())
    there = here.model_copy(update={"lake_folder": str(store)})
    home = use_case, there
    whole = in_parts(planned(home, 47, 50), 2)
    assert len(whole.parts) == 2
    publish(*home, whole, made(home, whole))
    assert scored(home, 47, 50) == ["unchanged"] * 3
    rescored(home, 12)
    found = [row for row in rows_of(there) if row["scored_for"] == START]
    assert found == expected
    assert len(rows_of(there, history=True)) == machines.MACHINES
