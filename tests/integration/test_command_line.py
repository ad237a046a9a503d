"""The command line: every stage by hand, every mistake with exit status 1 and no stack."""

import json
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from pipelines.adapters.models import decisions
from pipelines.adapters.settings import Settings
from pipelines.cli import app, terminal
from pipelines.use_case import UseCase
from tests import machines, shops
from tests.airflow_fake import airflow_of
from tests.goldens import assert_golden

Headframe = Callable[..., Result]

BROKEN = """
from pipelines.use_case import Column, Files, Table, UseCase
meters = Table(name="meters", source=Files(pattern="meters/*.csv"), key=("metre",),
               columns=[Column("meter", "strin")])
meters_use_case = UseCase(name="meters", owner="", tables=[meters])
"""


def headframe_in(settings: Settings) -> Headframe:
    """Return a function that runs the command line on these settings, and must not show a stack."""
    environment = {
        "HEADFRAME_HOME": str(settings.home),
        "HEADFRAME_DAGS": str(settings.dags),
        "HEADFRAME_EXPECTATIONS": str(settings.expectations),
        "NO_COLOR": "1",
        "TERM": "dumb",
    }

    def run(*arguments: str, status: int = 0) -> Result:
        result = CliRunner(env=environment).invoke(app, arguments)
        assert result.exit_code == status, result.output
        assert result.exception is None or isinstance(result.exception, SystemExit)
        assert "Traceback" not in result.output
        return result

    return run


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave lines whole: where they wrap is the terminal's affair."""
    for output in (terminal.console, terminal.errors):
        monkeypatch.setattr(output, "width", 1000)


@pytest.fixture
def headframe(machines_settings: Settings) -> Headframe:
    machines.declare(machines_settings)
    return headframe_in(machines_settings)


@pytest.fixture
def empty(tmp_path: Path) -> Settings:
    settings = machines.settings_in(tmp_path)
    settings.dags.mkdir()
    return settings


def test_list_shows_the_use_cases_as_text_and_as_json(headframe: Headframe) -> None:
    shown = headframe("list").stdout
    assert shown.splitlines()[1].split() == [
        *("machines", "plant", "scheduled", "daily", "at", "05:00", "Europe/Berlin", "none"),
        *("plan,", "outcome"),
    ]
    assert json.loads(headframe("list", "--json").stdout) == [
        {
            "name": "machines",
            "owner": "plant",
            "tier": "scheduled",
            "schedule": "daily at 05:00 Europe/Berlin",
            "champion": None,
            "tables": ["plan", "outcome"],
            "purpose": "",
        }
    ]


def test_list_tells_the_champion_that_the_ledger_has(promoted: tuple[UseCase, Settings]) -> None:
    headframe = headframe_in(promoted[1])
    assert json.loads(headframe("list", "--json").stdout)[0]["champion"] == "1"
    assert headframe("list").stdout.splitlines()[1].split()[7] == "1"


def test_list_of_features_is_as_the_golden_text_says(empty: Settings) -> None:
    shops.declare(empty.dags)
    headframe = headframe_in(empty)
    shown = "\n".join(line.rstrip() for line in headframe("list", "--features").stdout.splitlines())
    assert_golden("command_line/list_features", shown)
    views = json.loads(headframe("list", "--features", "--json").stdout)
    told = {view["name"]: (view["columns"], view["used_by"]) for view in views}
    assert told["interest"] == ({"visits": "int64", "seconds": "int64"}, ["books", "shoes"])


def test_list_of_features_shows_a_view_whose_query_is_wrong(empty: Settings) -> None:
    shops.declare(empty.dags, shops.SHARED.replace("v.seconds", "v.secnds"))
    shown = headframe_in(empty)("list", "--features").stdout
    assert "interest: its features are not known until its query is mended" in shown


def test_check_finds_a_shared_view_that_looks_ahead_before_there_is_any_data(
    empty: Settings,
) -> None:
    shops.declare(empty.dags, shops.SHARED.replace("join visits v", "join visits__versions v"))
    told = headframe_in(empty)("check", status=1).stderr
    for name in shops.NAMES:
        assert f"feature function {name}_features, or interest that it uses: expected" in told


def test_check_says_where_nothing_could_be_tested(empty: Settings) -> None:
    shops.declare(empty.dags, shops.SHARED.replace("count({name})", "max(a.item::bigint)"))
    told = headframe_in(empty)("check").stderr
    assert "warning: books: its query runs on no made-up rows" in told
    assert "(a conversion error of column item in DuckDB, on at least one row)" in told


def test_list_shows_the_sound_ones_beside_a_broken_one(
    headframe: Headframe, machines_settings: Settings
) -> None:
    (machines_settings.dags / "meters.py").write_text(BROKEN)
    result = headframe("list", status=1)
    assert "machines" in result.stdout
    assert "use case 'meters', owner" in result.stderr


def suite(settings: Settings, name: str, *expectations: dict[str, object]) -> None:
    path = settings.expectations / "machines" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"name": name, "expectations": expectations}))


LOAD_IS_A_SHARE: dict[str, object] = {
    "type": "expect_column_values_to_be_between",
    "kwargs": {"column": "load", "min_value": 0, "max_value": 1},
    "severity": "critical",
    "meta": {"on_fail": "quarantine"},
}


def test_check_is_content_with_sound_declarations_and_suites(
    headframe: Headframe, machines_settings: Settings
) -> None:
    suite(machines_settings, "plan", LOAD_IS_A_SHARE)
    assert headframe("check").stdout.startswith("machines: declaration ")
    assert json.loads(headframe("check", "--json").stdout) == {
        "use_cases": ["machines"],
        "problems": [],
        "changes": {"machines": []},
        "warnings": [],
    }


def test_check_reports_everything_that_is_wrong_at_once(
    headframe: Headframe, machines_settings: Settings
) -> None:
    (machines_settings.dags / "meters.py").write_text(BROKEN)
    misspelt: dict[str, object] = {"column": "laod", "min_value": 0}
    suite(machines_settings, "plan", {**LOAD_IS_A_SHARE, "kwargs": misspelt})
    suite(machines_settings, "outcomes", LOAD_IS_A_SHARE)
    result = headframe("check", status=1)
    said = result.stderr.replace(str(machines_settings.expectations), "expectations")
    assert_golden("command_line/check", said)
    assert "machines: declaration" in result.stdout
    found = json.loads(headframe("check", "--json", status=1).stdout)
    assert len(found["problems"]) == result.stderr.count("expected ")
    assert set(found["problems"][0]) == {"where", "expected", "found", "fix"}


def test_check_tries_the_feature_query_and_the_rule(
    headframe: Headframe, machines_settings: Settings
) -> None:
    path = machines_settings.dags / "machines.py"
    sound = path.read_text()
    path.write_text(sound.replace("a.load,", "a.laod,"))
    assert_golden("command_line/check_features", headframe("check", status=1).stderr)
    path.write_text(sound.replace("stop_minutes > 10", "stop_minute > 10"))
    assert_golden("command_line/check_rule", headframe("check", status=1).stderr)


def test_check_of_one_use_case_leaves_the_others_alone(
    headframe: Headframe, machines_settings: Settings
) -> None:
    (machines_settings.dags / "meters.py").write_text(BROKEN)
    headframe("check", "machines")
    headframe("check", "meters", status=1)
    assert "did you mean 'machines'?" in headframe("check", "machine", status=1).stderr


def test_sql_reads_tables_by_three_names_or_two(headframe: Headframe) -> None:
    three = headframe("sql", "select count(*) as n from silver.machines.plan", "--json").stdout
    two = headframe("sql", "select max(use_case) as u from ledger.landed_files", "--json").stdout
    assert json.loads(three) == [{"n": machines.DAYS * machines.MACHINES}]
    assert json.loads(two) == [{"u": "machines"}]


def test_sql_prints_a_hundred_rows_and_counts_the_rest(headframe: Headframe) -> None:
    lines = headframe("sql", "select * from silver.machines.plan").stdout.splitlines()
    assert lines[0].split()[:3] == ["day", "machine", "load"]
    assert len(lines) == 1 + 100 + 1
    assert lines[-1] == "... 1,900 more rows; --json prints all"


def test_sql_prints_cells_as_they_are(headframe: Headframe) -> None:
    shown = headframe("sql", "select '[/b] [red]x' as \"[a]\", null as b, 2 as b").stdout
    assert [line.split() for line in shown.splitlines()] == [
        ["[a]", "b", "b"],
        ["[/b]", "[red]x", "2"],
    ]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("select nothing from silver.machines.plan", 'Referenced column "nothing" not found'),
        ("select * from silver.machines.plans", "plans does not exist"),
        ("selec 1", "syntax error"),
    ],
)
def test_a_wrong_query_is_answered_in_duckdbs_words(
    query: str, found: str, headframe: Headframe
) -> None:
    said = headframe("sql", query, status=1).stderr
    assert said.startswith("LakeError")
    assert found in said
    assert "silver.machines.plan" in said


def test_the_example_wants_a_name_and_days_that_exist(headframe: Headframe) -> None:
    days = ("--from", "2013-01-01", "--until", "2013-01-02")
    said = headframe("example", "flights", *days, status=1).stderr
    assert "expected one of flight_delays, sales_opportunities; found 'flights'" in said
    said = headframe("example", "flight_delays", "--from", "May", *days[2:], status=1).stderr
    assert "expected an ISO date such as 2013-01-01; found 'May'" in said
    headframe("example", "flight_delays", "--from", "2014-01-01", "--until", "2014-01-02", status=1)


def test_an_example_without_days_is_delivered_from_its_first_to_its_end(
    headframe: Headframe,
) -> None:
    last = ("--from", "2013-12-30"), ("--until", "2013-01-03")
    ends, begins = (headframe("example", "flight_delays", *days).stdout for days in last)
    assert "schedule 1,7" in ends  # two days of flights, and none after
    assert "schedule 1,7" in begins


def test_the_example_is_delivered_once(headframe: Headframe) -> None:
    days = ("--from", "2013-01-01", "--until", "2013-01-02")
    assert "(0 were already there)" in headframe("example", "flight_delays", *days).stdout
    assert "delivered 0 files" in headframe("example", "flight_delays", *days).stdout


def test_every_stage_runs_by_hand(empty: Settings, stable_code: None) -> None:
    machines.deliver(empty)
    machines.declare(empty, machines.Variant(tier="governed"))
    headframe = headframe_in(empty)
    now = ("--as-of", "2026-02-20T12:00:00Z")
    assert (
        "plan: 50 new files, 2,000 rows landed = 2,000 accepted"
        in headframe("run", "ingest", "machines", *now).stdout
    )
    assert "plan: 0 new files" in headframe("run", "ingest", "machines", *now).stdout
    assert (
        "train candidate 1: 1,010 labelled rows"
        in headframe("run", "train", "machines", *now).stdout
    )
    assert (
        "candidate 1: may be promoted"
        in headframe("run", "evaluate", "machines", "--version", "1").stdout
    )
    promote = ("run", "promote", "machines", "--version", "1", *now)
    empty.users_file.write_text('[users]\nann = ["approver"]\nsam = ["data_scientist"]\n')
    assert "found no ports" in headframe(*promote, status=1).stderr, "Airflow keeps the answers"
    judged = decisions.evaluation(empty, "machines", "1")
    assert judged is not None
    with airflow_of(empty) as airflow:
        assert "no answer yet in Airflow" in headframe(*promote, status=1).stderr
        airflow.answered(judged.evidence_digest, at=datetime.now(UTC))
        assert "champion is version 1" in headframe(*promote).stdout
        assert "champion is version 1 (already)" in headframe(*promote).stdout
    assert "found eve" in headframe("accept", "machines", "--user", "eve", status=1).stderr
    accept = ("accept", "machines", "--user", "sam", "--reason", "read it")
    assert "sam stands for the declaration" in headframe(*accept).stdout
    assert "(already)" in headframe(*accept).stdout
    score = ("run", "score", "machines")
    assert (
        "40 predictions for 1 scoring times (1 written)"
        in headframe(*score, "--from", "2026-02-17").stdout
    )
    for moment in ("2026-02-17T05:00", "2026-02-18T04:59"):
        assert "(1 unchanged)" in headframe(*score, "--as-of", moment).stdout
    assert (
        "80 predictions for 2 scoring times (1 unchanged, 1 written)"
        in headframe(*score, "--from", "2026-02-17", "--until", "2026-02-19").stdout
    )
    assert "of 80 predictions" in headframe("run", "monitor", "machines", *now).stdout


def test_wrong_options_are_named(headframe: Headframe) -> None:
    said = headframe("run", "train", "machines", "--as-of", "yesterday", status=1).stderr
    assert "expected an ISO date or time such as" in said
    said = headframe("run", "evaluate", "machines", status=1).stderr
    assert "expected --version, the candidate to look at; found none" in said
    said = headframe("run", "promote", "machines", "--version", "9", status=1).stderr
    assert "machines-candidates version 9" in said
    said = headframe("run", "score", "machines", status=1).stderr
    assert "no candidate was promoted yet" in said
    headframe("run", "no_such_stage", "machines", status=2)


def test_a_use_case_that_is_not_there_is_answered_with_the_nearest(headframe: Headframe) -> None:
    said = headframe("run", "ingest", "machine", status=1).stderr
    assert "found no such file (did you mean 'machines'?)" in said


def test_a_refused_file_ends_ingest_with_an_error_after_the_others_were_taken(
    empty: Settings,
) -> None:
    machines.deliver(empty, until=2)
    machines.declare(empty)
    wrong = ["2026-01-03,A00,0.5"]
    machines.land(empty, "plan/2026-01-03.csv", "day,machine,lod", wrong, machines.at(2))
    result = headframe_in(empty)("run", "ingest", "machines", status=1)
    assert "plan: 2 new files, 80 rows landed = 80 accepted" in result.stdout
    assert result.stderr.startswith("FileRefused")
    assert "2026-01-03.csv" in result.stderr


def test_the_installed_command_ends_with_the_same_status(empty: Settings) -> None:
    (empty.dags / "meters.py").write_text(BROKEN)
    environment = {
        "PATH": "/usr/bin:/bin",
        "HEADFRAME_HOME": str(empty.home),
        "HEADFRAME_DAGS": str(empty.dags),
    }
    command = Path(".venv/bin/headframe").absolute()
    done = subprocess.run(
        [command, "list"], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1
    assert "use case 'meters', owner: expected" in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.stderr
