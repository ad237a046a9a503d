"""`headframe new`: from two files to a use case that is checked, tested, trained and scored."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest
from typer.testing import CliRunner, Result

from examples import appointments
from headframe import testing
from pipelines.adapters.samples import new_files
from pipelines.adapters.settings import Settings
from pipelines.cli import app, terminal
from pipelines.errors import SettingsError
from pipelines.stages.evaluate import evaluate
from pipelines.stages.ingest import ingest
from pipelines.stages.monitor import monitor
from pipelines.stages.promote import promote
from pipelines.stages.score import score
from pipelines.stages.train import train
from pipelines.use_case import load
from tests.empty_databases import place_mlflow
from tests.goldens import assert_golden
from tests.lakes import tree

NAME = "missed_appointments"

DAYS, A_DAY = 60, 25
"""Half of the tutorial's days and of each day's rows."""
VISITS = 1_476

Headframe = Callable[..., Result]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty project with the tutorial's files, which is the current folder."""
    project = tmp_path / "project"
    appointments.write(project / "samples", days=DAYS, a_day=A_DAY)
    monkeypatch.chdir(project)
    for name in ("HOME", "DAGS", "EXPECTATIONS", "LAKE", "LANDING", "MLFLOW"):
        monkeypatch.delenv(f"HEADFRAME_{name}", raising=False)
    for output in (terminal.console, terminal.errors):
        monkeypatch.setattr(output, "width", 1000)
    return project


@pytest.fixture
def headframe(project: Path) -> Headframe:
    """Return a function that runs the command line there, and must not show a stack."""

    def run(*arguments: str, status: int = 0) -> Result:
        result = CliRunner(env={"NO_COLOR": "1", "TERM": "dumb"}).invoke(app, list(arguments))
        assert result.exit_code == status, result.output
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result

    return run


def asked(*more: str, label: str = "missed") -> tuple[str, ...]:
    return (
        *("new", NAME, "--entities", "samples/appointments.csv"),
        *("--outcomes", "samples/visits.csv", "--label", label, "--owner", "front desk"),
        *more,
    )


def written(project: Path) -> dict[str, int]:
    """Return files and sizes, and folders; what the home remembers of suites is its own affair."""
    found = tree(project) | {
        f"{path.relative_to(project)}/": 0 for path in project.rglob("*") if path.is_dir()
    }
    return {name: found[name] for name in found if not name.startswith(".headframe/")}


def test_a_use_case_comes_of_two_files_with_suites_and_tests_that_hold(
    project: Path, headframe: Headframe
) -> None:
    told = headframe(*asked("--timezone", "Europe/London")).output
    assert_golden("new/told", told)
    assert headframe("check").output.startswith(f"{NAME}: declaration ")
    files = {name for name in written(project) if not name.endswith("/")}
    assert files - {"samples/appointments.csv", "samples/visits.csv"} == {
        f"dags/{NAME}.py",
        f"expectations/{NAME}/appointments.json",
        f"expectations/{NAME}/visits.json",
        f"tests/use_cases/test_{NAME}.py",
        f"tests/use_cases/{NAME}/appointments.csv",
        f"tests/use_cases/{NAME}/visits.csv",
    }
    own = written_tests(project)
    for table in testing.use_case(NAME).tables:
        own.test_the_contract_accepts_the_sample(table)
        own.test_the_suite_refuses_nothing_of_the_sample(table)
    own.test_each_row_that_is_asked_for_is_described_once()
    own.test_no_feature_looks_ahead()


def written_tests(project: Path) -> ModuleType:
    path = project / "tests" / "use_cases" / f"test_{NAME}.py"
    spec = spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_feature_that_looks_ahead_fails_the_tests_that_were_written(
    project: Path, headframe: Headframe
) -> None:
    headframe(*asked())
    sample = project / "tests" / "use_cases" / NAME
    assert testing.blocks_that_look_ahead(testing.use_case(NAME), sample) == []
    dag = project / "dags" / f"{NAME}.py"
    sound = 'a."reminders_wanted" as "reminders_wanted",'
    planted = f"""{sound}
               (select count(*) from "visits__versions" v where v.missed) as "ever_missed","""
    text = dag.read_text("utf-8")
    assert sound in text
    dag.write_text(text.replace(sound, planted), "utf-8")
    assert testing.blocks_that_look_ahead(testing.use_case(NAME), sample)


def test_rows_and_rules_that_do_not_hold_are_told(project: Path, headframe: Headframe) -> None:
    headframe(*asked())
    use_case = testing.use_case(NAME)
    visits = use_case.table("visits")
    sample = project / "tests" / "use_cases" / NAME / "visits.csv"
    lines = sample.read_text("utf-8").splitlines()
    number, at, *_ = lines[5].split(",")
    lines[5] = f"{number},{at},soon,true"
    bad = project / "bad.csv"
    bad.write_text("\n".join([*lines, ""]), "utf-8")
    found = testing.rows_set_aside(visits, bad)
    assert found == ["row 5: contract:type:minutes_late:int64"]
    suite = project / "expectations" / NAME / "visits.json"
    assert testing.rules_that_refuse(use_case, visits, sample) == []
    text = suite.read_text("utf-8").replace('"warning"', '"critical"')
    suite.write_text(text.replace('"min_value": -', '"min_value": '), "utf-8")
    assert testing.rules_that_refuse(use_case, visits, sample) == [
        "expect_column_values_to_be_between:minutes_late"
    ]


def test_nothing_is_written_over_and_nothing_is_left_of_what_failed(
    project: Path, headframe: Headframe
) -> None:
    before = written(project)
    told = [
        headframe(*asked(label=label), status=1).output
        for label in ("missed: mised", "appointment_id: missed", "late: minutes_late")
    ]
    assert written(project) == before
    (project / "tests").write_text("no folder")
    before = written(project)
    told.append(headframe(*asked(), status=1).output)
    assert written(project) == before
    (project / "tests").unlink()
    (project / "dags").mkdir()
    (project / "dags" / f"{NAME}.py").write_text("mine")
    (project / "tests" / "use_cases").mkdir(parents=True)
    (project / "tests" / "use_cases" / f"test_{NAME}.py").write_text("mine")
    before = written(project)
    told.append(headframe(*asked(), status=1).output)
    assert written(project) == before
    assert_golden("new/refusals", "\n".join(told))


def test_a_file_that_came_meanwhile_is_kept(tmp_path: Path) -> None:
    """What another process wrote between the look and the write is not written over."""
    new, theirs = tmp_path / "a" / "new.txt", tmp_path / "b" / "theirs.txt"

    class Meanwhile(dict[Path, str]):
        def items(self):  # type: ignore[no-untyped-def]  # noqa: ANN202 - as dict's
            theirs.parent.mkdir()
            theirs.write_text("theirs")
            return super().items()

    with pytest.raises(SettingsError, match=r"b/theirs\.txt: expected no such file yet"):
        new_files.write_all(Meanwhile({new: "new", theirs: "ours"}), tmp_path)
    assert theirs.read_text() == "theirs"
    assert not new.parent.exists()


def test_options_that_cannot_be_meant_are_refused(headframe: Headframe) -> None:
    told = [
        headframe("new", NAME, status=1).output,
        headframe(*asked("--at", "6"), status=1).output,
        headframe(*asked("--timezone", "Europe/Londn"), status=1).output,
        headframe(*asked("--label-after", "3 days"), status=1).output,
        headframe(*asked("--known-at", "visits"), status=1).output,
    ]
    assert_golden("new/options", "\n".join(told))


def test_what_lies_in_landing_is_taken_in_by_the_first_ingest_by_hand(
    project: Path, headframe: Headframe
) -> None:
    headframe(*asked())
    landing = project / ".headframe" / "landing" / NAME / "visits"
    landing.mkdir(parents=True)
    (landing / "visits.csv").write_bytes((project / "samples" / "visits.csv").read_bytes())
    assert f"visits: 1 new files, {VISITS:,} rows landed" in headframe("run", "ingest", NAME).output


@pytest.mark.usefixtures("stable_code")
def test_the_new_use_case_goes_through_every_stage(project: Path, headframe: Headframe) -> None:
    """On its default declaration alone: a model beats the baseline, is promoted, scores, is watched."""
    headframe(*asked("--timezone", "Europe/London"))
    settings = Settings()
    for table in ("appointments", "visits"):
        landing = project / ".headframe" / "landing" / NAME / table
        landing.mkdir(parents=True)
        (project / "samples" / f"{table}.csv").rename(landing / f"{table}.csv")
    place_mlflow(settings.root / "mlflow" / "mlflow.db")
    use_case = load(settings.dags.absolute() / f"{NAME}.py")
    now, today = datetime(2030, 1, 1, tzinfo=UTC), datetime(2026, 3, 4, tzinfo=UTC)
    taken = ingest(use_case, settings, as_of=now, run="test")
    assert {one.table: one.law.accepted for one in taken} == {
        "appointments": DAYS * A_DAY,
        "visits": VISITS,
    }
    trained = train(use_case, settings, as_of=today, run="test", requester="sam")
    judged = evaluate(use_case, settings, version=trained.version)
    assert {verdict.gate: verdict.outcome for verdict in judged.evidence.verdicts} == {
        "BeatsBaseline": "passed",
        "BeatsChampion": "not_applicable",
        "Calibrated": "passed",
        "NoLeakage": "passed",
        "CompatibleSignature": "not_applicable",
        "Reproducible": "passed",
    }
    promote(use_case, settings, version=trained.version, as_of=today)
    until = today + timedelta(days=1)
    assert score(use_case, settings, since=today, until=until, run="test").rows > A_DAY / 2
    watched = monitor(use_case, settings, as_of=until, run="test").watched
    assert (watched.model_version, watched.newest_block) == ("1", "2026-03-04")
    assert not watched.standing
