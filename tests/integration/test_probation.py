"""Probation through the stages: the shadow scores the same rows unseen, and final labels decide."""

import shutil
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from typer.testing import CliRunner, Result

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.models import (
    code_archive,
    decisions,
    paired_predictions,
    prediction_store,
    probations,
)
from pipelines.adapters.settings import Settings
from pipelines.adapters.stores.object_store import local
from pipelines.cli import app, terminal
from pipelines.domain.scoring import LateWindow, Scored
from pipelines.domain.slots import SHADOW
from pipelines.errors import ChampionUnresolved, PromotionRefused
from pipelines.stages.ingest import ingest
from pipelines.stages.late import late_windows
from pipelines.stages.probation import Judged, final_blocks, last_ended, probation
from pipelines.stages.promote import promote
from pipelines.stages.score import champion_version, score
from pipelines.stages.shadow import asked, shadow
from pipelines.use_case import Probation, UseCase, load
from tests import machines
from tests.faults import probation_runs
from tests.faults.model_runs import run_work
from tests.machines import at

Home = tuple[UseCase, Settings]
Rows = list[dict[str, Any]]

FIRST, LAST = 51, 66
"""Days that are scored after version 2 was promoted at noon of day 50; the probation is to day 64."""

RULE = Probation(blocks=14, look_every=7)


def declared(settings: Settings) -> UseCase:
    return replace(load(settings.dags / "machines.py"), probation=RULE)


def both(
    use_case: UseCase, settings: Settings, first: int, until: int
) -> tuple[Scored, Scored | None]:
    """Score days as a run does: the champion, then the shadow."""
    scored = score(use_case, settings, since=at(first, 0), until=at(until, 0), run="test")
    windows = asked(use_case, settings, scored)
    return scored, shadow(use_case, settings, windows=windows, run="test")


@pytest.fixture(scope="module")
def template(promoted_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a home in which 2 was promoted after 1, and both scored, before any outcome came."""
    folder = tmp_path_factory.mktemp("probation")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(code_archive, "PACKAGE", folder / "no_library")
        settings = machines.copy_template(promoted_template, folder)
        machines.deliver(settings, first=50, until=LAST + 1)
        for day in range(50, LAST + 1):
            (local(settings.landing) / f"machines/outcome/{at(day):%Y-%m-%d}.csv").unlink()
        use_case = declared(settings)
        ingest(use_case, settings, as_of=at(400), run="plans")
        promote(use_case, settings, version="2", as_of=at(50))
        both(use_case, settings, FIRST, LAST)
    return folder


@pytest.fixture
def home(template: Path, tmp_path: Path, stable_code: None) -> Home:
    settings = machines.copy_template(template, tmp_path / "home")
    return declared(settings), settings


@pytest.fixture(scope="module")
def turned_template(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a home in whose world the better version of the past has become the worse one."""
    settings = machines.copy_template(template, tmp_path_factory.mktemp("turned"))
    machines.deliver(settings, first=50, until=LAST + 1, turned=True)
    ingest(declared(settings), settings, as_of=at(400), run="outcomes")
    return settings.home.parent


@pytest.fixture
def turned(turned_template: Path, tmp_path: Path, stable_code: None) -> Home:
    settings = machines.copy_template(turned_template, tmp_path / "turned")
    return declared(settings), settings


def score_of(use_case: UseCase, settings: Settings, day: int) -> Scored:
    return score(use_case, settings, since=at(day, 0), until=at(day + 1, 0), run="test")


def rows(settings: Settings, slot: str) -> Rows:
    found: Rows = delta_tables.read(lake.predictions(settings, machines.NAME, slot)).to_pylist()
    return found


def versions(settings: Settings) -> dict[str, int]:
    return {
        name: delta_tables.version(table)
        for name, table in lake.table_paths(settings).items()
        if name.startswith(("predictions", "ledger", "gold"))
    }


def steps(settings: Settings) -> list[tuple[str, str, str]]:
    """Return what was decided since the promotion of version 2: kind, version, actor."""
    found = [entry.decision for entry in decisions.read_all(settings)]
    since = [decision.kind for decision in found].index("probation_declared")
    return [(d.kind, d.version, d.actor) for d in found[since:]]


PROMOTED = [
    ("probation_declared", "2", "gates"), ("promoting", "2", "gates"), ("promoted", "2", "gates"),
]  # fmt: skip
ROLLED_BACK = [("rolling_back", "1", "probation"), ("rolled_back", "1", "probation")]


def test_the_shadow_scores_the_first_blocks_of_the_probation_from_the_same_rows(
    home: Home,
) -> None:
    _, settings = home
    ours, theirs = rows(settings, "champion"), rows(settings, SHADOW)
    assert {(row["slot"], row["model_version"]) for row in ours} == {("champion", "2")}
    assert {(row["slot"], row["model_version"]) for row in theirs} == {("shadow", "1")}
    days = sorted({row["scored_for"] for row in theirs})
    assert days == [at(day, 4) for day in range(51, 65)]
    same = ("day", "machine", "scored_for", "as_of", "feature_digest")
    identity = [{tuple(row[name] for name in same) for row in each} for each in (ours, theirs)]
    assert identity[1] == {row for row in identity[0] if row[2] in days}
    assert len(theirs) == len(identity[1]) == 14 * machines.MACHINES


def test_nobody_who_reads_predictions_meets_the_shadow(home: Home) -> None:
    _, settings = home
    names = [name for name in lake.table_paths(settings) if name.startswith("predictions")]
    assert names == ["predictions.machines", "predictions.machines__shadow"]
    assert {
        window.window.partition("/")[0]
        for window in prediction_store.standing(settings, "machines")
    } == {"champion"}


def test_scoring_again_changes_nothing_in_either_slot(home: Home) -> None:
    use_case, settings = home
    before = versions(settings)
    scored, shadowed = both(use_case, settings, FIRST, LAST)
    assert {window.outcome for window in scored.windows} == {"unchanged"}
    assert shadowed is not None
    assert [window.outcome for window in shadowed.windows] == ["unchanged"] * 14
    assert versions(settings) == before


def test_a_model_that_was_good_and_is_bad_is_rolled_back_at_the_first_look(turned: Home) -> None:
    use_case, settings = turned
    # The seventh block's labels are final two days after it ends, at 04:00 of day 60.
    early = probation(use_case, settings, as_of=at(60, 3))
    assert (early.outcome, champion_version(use_case, settings)) == ("waiting", "2")
    found = probation(use_case, settings, as_of=at(60, 4))
    assert found.outcome == "rolled_back"
    assert "the champion's mean log_loss is above that of version 1 by" in found.reason
    assert champion_version(use_case, settings) == "1"
    assert steps(settings) == [*PROMOTED, *ROLLED_BACK]
    last = decisions.read_all(settings)[-1].decision
    assert (last.reason, last.as_of) == (found.reason, at(60, 4))
    scored, shadowed = both(use_case, settings, 65, 67)
    assert (scored.model_version, shadowed) == ("1", None)


def test_deciding_again_decides_nothing_and_says_the_same_to_the_same_run(turned: Home) -> None:
    use_case, settings = turned
    found = probation(use_case, settings, as_of=at(60, 4))
    before = versions(settings)
    assert probation(use_case, settings, as_of=at(60, 4)) == found
    later = probation(use_case, settings, as_of=at(61))
    assert later == Judged(outcome="none", reason="No champion is on probation.")
    assert versions(settings) == before


@pytest.mark.parametrize(
    "where",
    [
        pytest.param("rollback.between_ledger_and_alias", marks=pytest.mark.prove),
        "rollback.between_alias_and_ledger",
    ],
)
def test_a_roll_back_that_was_killed_is_finished_by_the_next_run(turned: Home, where: str) -> None:
    use_case, settings = turned
    ended = run_work(settings.home.parent, probation_runs.decide, where)
    assert (ended.killed, ended.reached) == (True, (where,))
    with pytest.raises(ChampionUnresolved, match="cut off"):
        champion_version(use_case, settings)
    # A later run, to which other labels are final, and no block has enough of them: what was decided
    # is done all the same, and done once.
    strict = replace(use_case, monitoring=replace(use_case.monitoring, minimum_labels=41))
    found = probation(strict, settings, as_of=at(67, 4))
    assert found.outcome == "rolled_back"
    assert champion_version(use_case, settings) == "1"
    assert steps(settings) == [*PROMOTED, *ROLLED_BACK]
    told = [entry.decision.as_of for entry in decisions.read_all(settings)[-2:]]
    assert told == [at(60, 4), at(67, 4)], "begun by one run, and done by the next"


def test_a_shadow_that_was_killed_is_whole_after_the_next_run(home: Home) -> None:
    use_case, settings = home
    before = rows(settings, SHADOW)
    shutil.rmtree(str(lake.predictions(settings, machines.NAME, SHADOW)))
    ended = run_work(
        settings.home.parent, probation_runs.let_the_shadow_score, "score.after_predictions"
    )
    assert ended.killed
    assert len({row["scored_for"] for row in rows(settings, SHADOW)}) == 1
    both(use_case, settings, FIRST, LAST)
    assert in_order(rows(settings, SHADOW)) == in_order(before)


def in_order(found: Rows) -> Rows:
    """Return rows by time and key, without the digest of a declaration: the child has the file's."""
    plain = [{**row, "declaration_digest": ""} for row in found]
    return sorted(plain, key=lambda row: (str(row["scored_for"]), str(row["machine"])))


def test_a_probation_that_another_decision_ended_is_not_ended_again(turned: Home) -> None:
    use_case, settings = turned
    under = probations.standing(settings, machines.NAME)
    assert under is not None
    probation(use_case, settings, as_of=at(60, 4))
    before = versions(settings)
    late = probations.end(
        settings, under, "probation_passed", as_of=at(60, 4), reason="", evidence_digest=""
    )
    assert (late, versions(settings)) == (None, before)


def test_a_version_that_was_rolled_back_is_not_promoted_again_on_its_old_evidence(
    turned: Home,
) -> None:
    use_case, settings = turned
    probation(use_case, settings, as_of=at(60, 4))
    with pytest.raises(PromotionRefused, match="rolled back"):
        promote(use_case, settings, version="2", as_of=at(61))


def test_the_rule_is_the_one_from_before_the_promotion_whatever_is_declared_since(
    turned: Home,
) -> None:
    use_case, settings = turned
    lenient = replace(
        use_case,
        probation=Probation(blocks=28, look_every=28, tolerance=9.0),
        monitoring=replace(use_case.monitoring, minimum_labels=41),
    )
    assert probation(lenient, settings, as_of=at(60, 4)).outcome == "rolled_back"


def test_a_champion_that_is_no_worse_passes_once_and_the_shadow_rests(
    home: Home,
) -> None:
    use_case, settings = home
    machines.deliver(settings, first=50, until=LAST + 1)
    ingest(use_case, settings, as_of=at(400), run="outcomes")
    assert probation(use_case, settings, as_of=at(67, 3)).outcome == "waiting"
    passed = probation(use_case, settings, as_of=at(67, 4))
    assert passed.outcome == "passed"
    assert "below that of version 1" in passed.reason
    looked = ("probation_looked", "2", "probation")
    assert steps(settings) == [*PROMOTED, looked, ("probation_passed", "2", "probation")]
    before = versions(settings)
    assert probation(use_case, settings, as_of=at(67, 4)) == passed
    assert probation(use_case, settings, as_of=at(68)).outcome == "none"
    assert versions(settings) == before
    assert both(use_case, settings, 66, 67)[1] is None


def headframe(settings: Settings, *arguments: str) -> Result:
    """Run a stage of a home from the command line."""
    folder = settings.home.parent
    environment = {
        "HEADFRAME_HOME": str(settings.home),
        "HEADFRAME_DAGS": str(folder / "dags"),
        "HEADFRAME_EXPECTATIONS": str(folder / "expectations"),
        "NO_COLOR": "1",
        "TERM": "dumb",
    }
    return CliRunner(env=environment).invoke(app, ["run", *arguments])


def test_the_command_line_scores_both_and_judges(
    turned: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, settings = turned
    monkeypatch.setattr(terminal.console, "width", 1000)

    def said(*arguments: str) -> str:
        return headframe(settings, *arguments).stdout

    told = said("score", "machines", "--from", f"{at(60):%Y-%m-%d}")
    # Outcomes have come since the first scoring: the features of the day are others in both slots.
    assert "model 2: 40 predictions for 1 scoring times (1 replaced)" in told
    assert "shadow, model 1: 40 predictions for 1 scoring times (1 replaced)" in told
    judged = said("probation", "machines", "--as-of", at(60, 4).isoformat())
    assert "probation ROLLED BACK from version 2 to version 1: On final labels" in judged


def test_blocks_with_too_few_labels_end_a_probation_untested_and_the_champion_stays(
    home: Home,
) -> None:
    use_case, settings = home  # to which no outcome came
    found = probation(use_case, settings, as_of=at(67, 4))
    assert found.outcome == "untested"
    assert found.reason.startswith("Not tested: of 14 blocks 0 were scored")
    assert steps(settings) == [*PROMOTED, ("probation_untested", "2", "probation")]
    assert champion_version(use_case, settings) == "2"


def test_a_block_that_is_scored_after_a_look_comes_after_those_that_were_looked_at(
    home: Home,
) -> None:
    use_case, settings = home
    machines.deliver(settings, first=50, until=LAST + 1)
    ingest(use_case, settings, as_of=at(400), run="outcomes")
    shutil.rmtree(str(lake.predictions(settings, machines.NAME, SHADOW)))
    # Day 59 is the last whose labels are final at the look.
    scored = score(use_case, settings, since=at(FIRST, 0), until=at(60, 0), run="test")
    missed, *others = asked(use_case, settings, scored)
    shadow(use_case, settings, windows=others, run="test")
    assert probation(use_case, settings, as_of=at(62)).outcome == "waiting"
    under = probations.standing(settings, machines.NAME)
    assert under is not None
    seven = tuple(f"{at(day):%Y-%m-%d}" for day in range(52, 59))
    assert under.looked == seven
    shadow(use_case, settings, windows=[missed], run="cleared")
    found = final_blocks(use_case, settings, under, at(62))
    assert [block.block for block in found] == [*seven, f"{at(51):%Y-%m-%d}", f"{at(59):%Y-%m-%d}"]
    before = versions(settings)
    assert probation(use_case, settings, as_of=at(62)).outcome == "waiting"
    assert versions(settings) == before, "the same look is recorded once"


def test_a_window_that_both_made_of_other_rows_is_no_block_and_another_takes_its_place(
    home: Home,
) -> None:
    use_case, settings = home
    plan = [f"{at(55):%Y-%m-%d},A00,0.9999,{at(55, 7):%Y-%m-%dT%H:%M:%SZ}"]
    machines.land(settings, "plan/late.csv", "day,machine,load,shift_at", plan, at(54, 21))
    ingest(use_case, settings, as_of=at(400), run="late")
    score_of(use_case, settings, 55)  # and its shadow fails
    under = probations.standing(settings, machines.NAME)
    assert under is not None
    assert at(55, 4) not in paired_predictions.both_scored(settings, under)
    windows = asked(use_case, settings, score_of(use_case, settings, 65))
    assert [window.scored_for for window in windows] == [at(65, 4)]


def test_late_data_rescores_both_slots_from_the_same_rows(home: Home) -> None:
    use_case, settings = home
    plan = [f"{at(55):%Y-%m-%d},A00,0.9999,{at(55, 7):%Y-%m-%dT%H:%M:%SZ}"]
    machines.land(settings, "plan/late.csv", "day,machine,load,shift_at", plan, at(54, 21))
    ingest(use_case, settings, as_of=at(400), run="late")
    found = late_windows(use_case, settings, as_of=at(56))
    none = at(56)
    scored = score(use_case, settings, since=none, until=none, run="late", late=found)
    assert "replaced" in {window.outcome for window in scored.windows}
    # Between the two, the block was made of different rows: it does not count.
    assert at(55, 4) not in compared(settings)
    windows = asked(use_case, settings, scored)
    shadowed = shadow(use_case, settings, windows=windows, run="late")
    assert shadowed is not None
    assert [(w.scored_for, w.outcome) for w in shadowed.windows] == [
        (w.scored_for, w.outcome) for w in scored.windows
    ]
    assert at(55, 4) in compared(settings)
    replaced = delta_tables.read(lake.prediction_history(settings, "machines", SHADOW)).to_pylist()
    assert {row["replaced_because"] for row in replaced} == {found[0].reason}
    assert late_windows(use_case, settings, as_of=at(56)) == ()


def test_entities_scored_again_during_the_day_are_compared_as_of_then(home: Home) -> None:
    use_case, settings = home
    noon = LateWindow(
        scored_for=at(55, 4), as_of=at(55, 12), until=at(56, 4), reason="late: by hand"
    )
    none = at(56)
    scored = score(use_case, settings, since=none, until=none, run="noon", late=[noon])
    shadow(use_case, settings, windows=asked(use_case, settings, scored), run="noon")
    for slot in ("champion", SHADOW):
        mine = [row for row in rows(settings, slot) if row["scored_for"] == at(55, 4)]
        assert len(mine) == machines.MACHINES
        assert {row["as_of"] for row in mine} == {at(55, 4), at(55, 12)}
    assert at(55, 4) in compared(settings)


def compared(settings: Settings) -> set[datetime]:
    """Return the scoring times of which every row is paired."""
    under = probations.standing(settings, "machines")
    assert under is not None
    times = paired_predictions.both_scored(settings, under)
    found = paired_predictions.paired(
        settings, under, key=["day", "machine"], blocks={time: time.isoformat() for time in times}
    )
    assert found is not None
    counts = found.group_by("block").aggregate([("machine", "count")]).to_pylist()
    return {
        datetime.fromisoformat(row["block"])
        for row in counts
        if row["machine_count"] == machines.MACHINES
    }


def test_a_promotion_during_a_probation_is_compared_with_the_version_that_stood_its_time(
    home: Home,
) -> None:
    _, settings = home
    under = probations.standing(settings, "machines")
    assert under is not None
    third = replace(under.promoted, kind="promoting", version="3", as_of=at(58))
    for _ in range(2):  # once, however often its promotion is begun
        probations.declare(settings, third, RULE, minimum_labels=30)
    told = [entry.decision for entry in decisions.read_all(settings)]
    assert [(d.kind, d.version, d.reason.partition(" ")[0]) for d in told[-2:]] == [
        ("promoted", "2", ""),
        ("probation_declared", "3", "against=1"),
    ]


def test_a_version_before_that_reads_another_view_cannot_be_compared(home: Home) -> None:
    use_case, settings = home
    MlflowClient(settings.mlflow_uri).set_model_version_tag(
        "machines-candidates", "1", "headframe.features", "another"
    )
    assert asked(use_case, settings, score_of(use_case, settings, 60)) == ()
    found = probation(use_case, settings, as_of=at(60))
    assert found.outcome == "untested"
    assert found.reason == (
        "Not tested: version 1 reads another feature view, so that no feature row is for both."
    )
    assert champion_version(use_case, settings) == "2"


def test_a_version_before_that_is_gone_ends_the_probation_untested_and_stops_no_scoring(
    home: Home,
) -> None:
    use_case, settings = home
    MlflowClient(settings.mlflow_uri).delete_model_version("machines-candidates", "1")
    scored = score_of(use_case, settings, 60)
    assert (scored.model_version, asked(use_case, settings, scored)) == ("2", ())
    found = probation(use_case, settings, as_of=at(60))
    assert found.outcome == "untested"
    assert found.reason == "Not tested: the registry has version 1 no more."
    assert champion_version(use_case, settings) == "2"
    assert last_ended(use_case, settings) == found


def test_what_is_late_reaches_consumers_although_the_shadow_fails(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_case, settings = home
    path = settings.dags / f"{machines.NAME}.py"
    given = 'Scoring(outputs=[CsvFile(name="all", consumer="desk")], '
    text = path.read_text("utf-8").replace("Scoring(", given, 1)
    path.write_text(text.replace("    Scoring,", "    CsvFile, Scoring,"), "utf-8")
    MlflowClient(settings.mlflow_uri).set_model_version_tag(
        "machines-candidates", "1", "headframe.artifact_sha256", "another"
    )
    plan = [f"{at(55):%Y-%m-%d},A00,0.9999,{at(55, 7):%Y-%m-%dT%H:%M:%SZ}"]
    machines.land(settings, "plan/late.csv", "day,machine,load,shift_at", plan, at(54, 21))
    ingest(use_case, settings, as_of=at(400), run="late")
    monkeypatch.setattr(terminal.console, "width", 1000)
    told = headframe(settings, "score", "machines", "--late", "--as-of", at(56).isoformat())
    assert told.exit_code == 1
    assert "on version 1 in MLflow" in told.output
    files = sorted((settings.root / "outputs" / "machines" / "all").glob("*.csv"))
    assert f"{at(55, 4):%Y-%m-%dT%H%M%S}Z.csv" in [file.name for file in files]


def test_the_first_champion_and_one_without_a_rule_have_no_probation(
    promoted_template: Path, tmp_path: Path, stable_code: None
) -> None:
    settings = machines.copy_template(promoted_template, tmp_path / "plain")
    use_case = load(settings.dags / "machines.py")
    assert probation(declared(settings), settings, as_of=at(60)).outcome == "none"
    promote(use_case, settings, version="2", as_of=at(50))
    assert asked(declared(settings), settings, score_of(use_case, settings, 48)) == ()
    assert not delta_tables.exists(lake.predictions(settings, "machines", SHADOW))
