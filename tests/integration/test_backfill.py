"""Backfills by hand: what was made day by day is what one backfill makes, by key and value."""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.models import mlflow_registry
from pipelines.adapters.settings import Settings
from pipelines.adapters.stores.object_store import Folder
from pipelines.cli import terminal
from pipelines.cli.stage_backfill import planned
from pipelines.cli.stage_runs import period
from pipelines.errors import SettingsError
from pipelines.stages.ingest import ingest
from pipelines.stages.monitor import monitor
from pipelines.stages.promote import promote
from pipelines.stages.rollback import rollback
from pipelines.stages.score import score
from pipelines.use_case import UseCase, load
from tests import machines
from tests.integration.test_command_line import Headframe, headframe_in
from tests.machines import Variant, at

pytestmark = pytest.mark.usefixtures("wide_terminal")

BEGIN, END = 51, 53
"""Days that are lived one by one, or filled in at once."""

RUNS = {"run", "_run", "as_of", "recorded_as_of", "model_run", "ingested_at"}
"""Columns that say who wrote a row and when, and nothing of what it says."""

SCHEDULE = """
from dataclasses import replace
from pipelines.use_case import Retraining
machines = replace(machines, retraining=Retraining(schedule="0 12 * * *"))
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return machines.settings_in(tmp_path)


@pytest.fixture
def wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave lines whole: where they wrap is the terminal's affair."""
    for output in (terminal.console, terminal.errors):
        monkeypatch.setattr(output, "width", 1000)


def live(use_case: UseCase, settings: Settings) -> None:
    """Do what the DAGs do each day: ingest, score and monitor, and monitor again on new labels."""
    for day in range(BEGIN, END):
        machines.deliver(settings, first=day, until=day + 1)
        ingest(use_case, settings, as_of=at(day, 3), run=f"morning {day}")
        score(use_case, settings, since=at(day, 4), until=at(day, 5), run=f"score {day}")
        monitor(use_case, settings, as_of=at(day, 4), run=f"monitor {day}")
        if day < END - 1:
            ingest(use_case, settings, as_of=at(day, 7), run=f"labels {day}")
            monitor(use_case, settings, as_of=at(day, 7), run=f"again {day}")


def said(table: Folder, *, where: Callable[[dict[str, Any]], bool] = bool) -> list[str]:
    """Return what a table says, sorted, without who said it."""
    rows = [row for row in delta_tables.read(table).to_pylist() if where(row)]
    assert rows
    return sorted(
        repr({name: _exact(value) for name, value in row.items() if name not in RUNS})
        for row in rows
    )


def _exact(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    return value.hex() if isinstance(value, float) else value


TABLES: dict[str, Callable[[Settings], Folder]] = {
    "silver.plan": lambda settings: lake.silver(settings, machines.NAME, "plan"),
    "silver.outcome": lambda settings: lake.silver(settings, machines.NAME, "outcome"),
    "predictions": lambda settings: lake.predictions(settings, machines.NAME),
    "labels": lambda settings: lake.labels(settings, machines.NAME),
    "performance": lambda settings: lake.performance(settings, machines.NAME),
    "monitoring": lambda settings: lake.monitoring(settings, machines.NAME),
}


def test_one_backfill_makes_what_was_made_day_by_day(
    promoted_template: Path, tmp_path: Path, stable_code: None
) -> None:
    lived = machines.copy_template(promoted_template, tmp_path / "lived")
    machines.deliver(lived, first=machines.DAYS, until=BEGIN)
    live(load(lived.dags / "machines.py"), lived)
    filled = machines.copy_template(promoted_template, tmp_path / "filled")
    machines.deliver(filled, first=machines.DAYS, until=END)
    headframe = headframe_in(filled)
    headframe("run", "ingest", "machines", "--as-of", at(END - 1, 3).isoformat())
    range_ = ("--from", at(BEGIN, 0).isoformat(), "--until", at(END, 0).isoformat())
    headframe("run", "score", "machines", *range_)
    # Cut off after a day, and gone on with.
    headframe("run", "monitor", "machines", *range_[:3], at(BEGIN + 1, 0).isoformat())
    told = headframe("run", "monitor", "machines", *range_).stdout
    assert (
        "1 times, 2026-02-22 04:00 to 2026-02-22 04:00 UTC; 1 not after the last, as of "
        "2026-02-21 04:00 UTC, are left out"
    ) in told
    for name, table in TABLES.items():
        assert said(table(filled)) == said(table(lived)), name
    versions = {name: delta_tables.version(table(filled)) for name, table in TABLES.items()}
    again = headframe("run", "monitor", "machines", *range_).stdout
    assert "nothing to do; 2 not after the last, as of 2026-02-22 04:00 UTC, are left out" in again
    headframe("run", "score", "machines", *range_)
    after = {name: delta_tables.version(table(filled)) for name, table in TABLES.items()}
    assert after == versions


def test_each_time_is_scored_by_the_champion_of_that_time(
    promoted_template: Path, tmp_path: Path, stable_code: None
) -> None:
    lived = machines.copy_template(promoted_template, tmp_path / "lived")
    machines.deliver(lived, first=machines.DAYS, until=END)
    use_case = load(lived.dags / "machines.py")
    ingest(use_case, lived, as_of=at(END - 1, 3), run="all")
    filled = machines.copy_template(tmp_path / "lived", tmp_path / "filled")
    score(use_case, lived, since=at(BEGIN, 4), until=at(BEGIN, 5), run="by 1")
    for settings in (lived, filled):
        promote(use_case, settings, version="2", as_of=at(END - 1, 0))
    score(use_case, lived, since=at(END - 1, 4), until=at(END - 1, 5), run="by 2")
    headframe = headframe_in(filled)
    range_ = ("--from", at(BEGIN, 0).isoformat(), "--until", at(END, 0).isoformat())
    told = headframe("run", "score", "machines", *range_).stdout
    assert "score model 1: 40 predictions for 1 scoring times (1 written)\nmodel 2: 40 pred" in told
    table = TABLES["predictions"]
    assert said(table(filled)) == said(table(lived))
    # What one asks for by name is scored by that, and the range leaves it to no other.
    told = headframe("run", "score", "machines", *range_, "--version", "2").stdout
    assert "model 2: 80 predictions for 2 scoring times (1 replaced, 1 unchanged)" in told
    early = headframe("run", "score", "machines", "--from", f"{at(48):%Y-%m-%d}").stdout
    assert "model 2: 40 predictions for 1 scoring times (1 written); no version that may" in early
    filled.users_file.write_text('[users]\nolga = ["operator"]\n', "utf-8")
    rollback(use_case, filled, actor="olga", reason="worse", as_of=at(END, 0))
    told = headframe("run", "score", "machines", *range_).stdout
    assert "model 1: 40 predictions for 1 scoring times (1 replaced)\n" in told
    assert "(1 replaced); no version that may be used was champion then" in told


def lived_through(template: Path, folder: Path, *, watched: bool) -> Settings:
    """Score two days, each with another champion, and monitor each where it is ``watched``."""
    home = machines.copy_template(template, folder)
    use_case = load(home.dags / "machines.py")
    machines.deliver(home, first=machines.DAYS, until=END)
    ingest(use_case, home, as_of=at(END - 1, 3), run="all")
    for day in (BEGIN, BEGIN + 1):
        if day > BEGIN:
            promote(use_case, home, version="2", as_of=at(day, 0))
        score(use_case, home, since=at(day, 0), until=at(day + 1, 0), run=f"score {day}")
        if watched:
            monitor(use_case, home, as_of=at(day, 4), run=f"monitor {day}")
    return home


def test_each_time_is_monitored_by_the_champion_of_that_time(
    promoted_template: Path, tmp_path: Path, stable_code: None
) -> None:
    lived = lived_through(promoted_template, tmp_path / "lived", watched=True)
    filled = lived_through(promoted_template, tmp_path / "filled", watched=False)
    table = TABLES["monitoring"]
    assert {row["model_version"] for row in delta_tables.read(table(lived)).to_pylist()} == {
        "1",
        "2",
    }
    range_ = ("--from", at(BEGIN, 0).isoformat(), "--until", at(END, 0).isoformat())
    headframe_in(filled)("run", "monitor", "machines", *range_)
    for name in ("labels", "performance", "monitoring"):
        assert said(TABLES[name](filled)) == said(TABLES[name](lived)), name


def test_only_a_time_that_is_filled_in_looks_at_a_champion_of_before(
    promoted_template: Path, tmp_path: Path, stable_code: None
) -> None:
    home = lived_through(promoted_template, tmp_path, watched=False)
    use_case = load(home.dags / "machines.py")
    early = at(BEGIN, 4)
    assert monitor(use_case, home, as_of=early, run="live").watched.why_not.startswith(
        "no champion"
    )
    told = monitor(use_case, home, as_of=early, run="filled", filled_in=True).watched
    assert (told.why_not, told.model_version) == ("", "1")


@pytest.mark.parametrize("gone", ["files", "rolled back"])
def test_a_champion_of_before_that_cannot_be_looked_at_is_said_and_stops_nothing(
    promoted_template: Path, tmp_path: Path, stable_code: None, gone: str
) -> None:
    home = lived_through(promoted_template, tmp_path, watched=False)
    use_case = load(home.dags / "machines.py")
    early, expected = at(BEGIN, 4), "models:/machines-candidates/1"
    if gone == "files":
        for folder in (home.root / "mlflow" / "artifacts").rglob("model.skops"):
            folder.unlink()
    else:
        home.users_file.write_text('[users]\nolga = ["operator"]\n', "utf-8")
        rollback(use_case, home, actor="olga", reason="worse", as_of=at(BEGIN + 1, 6))
        early, expected = at(BEGIN + 1, 4), "no champion"
    found = monitor(use_case, home, as_of=early, run="filled", filled_in=True)
    assert found.watched.why_not.startswith(expected)
    if gone == "rolled back":  # the one before it reigned twice, and is looked at in both reigns
        first = monitor(use_case, home, as_of=at(BEGIN, 4), run="first", filled_in=True).watched
        assert (first.why_not, first.model_version) == ("", "1")
    assert found.blocks[0].predictions == machines.MACHINES


def test_a_window_that_is_refused_keeps_no_other_of_its_range_from_being_scored(
    promoted_template: Path, tmp_path: Path, stable_code: None
) -> None:
    lived = machines.copy_template(promoted_template, tmp_path / "lived")
    use_case = machines.declare(lived, Variant(on_stale="fail_closed"))
    for first, until in ((machines.DAYS, 52), (53, 54)):  # of the day amid nothing ever came
        machines.deliver(lived, first=first, until=until)
    ingest(use_case, lived, as_of=at(54), run="all")
    filled = machines.copy_template(tmp_path / "lived", tmp_path / "filled")
    for day in (51, 53):
        score(use_case, lived, since=at(day, 4), until=at(day, 5), run=f"score {day}")
    range_ = ("--from", at(51, 0).isoformat(), "--until", at(54, 0).isoformat())
    ended = headframe_in(filled)("run", "score", "machines", *range_, status=1)
    assert "found 1 of 3 refused, the first 2026-02-22T04:00:00+00:00" in ended.stderr
    assert "found stale: plan" in ended.stdout
    assert said(lake.predictions(filled, machines.NAME)) == said(
        lake.predictions(lived, machines.NAME)
    )


@pytest.fixture
def scheduled(machines_settings: Settings) -> Headframe:
    machines.declare(machines_settings)
    path = machines_settings.dags / "machines.py"
    path.write_text(path.read_text("utf-8") + SCHEDULE, "utf-8")
    return headframe_in(machines_settings)


def test_trainings_are_made_at_each_scheduled_time_and_found_again(
    scheduled: Headframe, machines_settings: Settings
) -> None:
    range_ = ("--from", at(49, 0).isoformat(), "--until", at(51, 0).isoformat())
    scheduled("run", "train", "machines", "--as-of", at(50).isoformat())
    told = scheduled("run", "train", "machines", *range_).stdout
    # The one that was made live is number 1, and is not made again.
    assert "1/2, as of 2026-02-19 12:00 UTC: candidate 2: " in told
    assert "2/2, as of 2026-02-20 12:00 UTC: candidate 1: " in told
    told = scheduled("run", "train", "machines", *range_).stdout
    assert "as of 2026-02-19 12:00 UTC: candidate 2: " in told
    found = mlflow_registry.candidate(machines_settings, "machines", "2")
    assert found.tags["headframe.as_of"] == at(49).isoformat()


def test_a_time_with_too_little_data_is_told_and_keeps_none_after_it_from_being_trained(
    scheduled: Headframe,
) -> None:
    range_ = ("--from", at(43, 0).isoformat(), "--until", at(45, 0).isoformat())
    failed = scheduled("run", "train", "machines", *range_, status=1)
    assert "1/2, as of 2026-02-13 12:00 UTC: training of machines: expected" in failed.stdout
    assert "2/2, as of 2026-02-14 12:00 UTC: candidate 1: " in failed.stdout
    assert "found too little at 1 of 2: 2026-02-13 12:00 UTC" in failed.stderr
    assert "  The other times are done. Begin the range later" in failed.stderr


def test_where_all_times_have_too_little_data_no_other_is_said_to_be_done(
    scheduled: Headframe,
) -> None:
    range_ = ("--from", at(3, 0).isoformat(), "--until", at(5, 0).isoformat())
    failed = scheduled("run", "train", "machines", *range_, status=1)
    assert "1/2, as of 2026-01-04 12:00 UTC: " in failed.stdout
    assert "found too little at 2 of 2: 2026-01-04 12:00 UTC" in failed.stderr
    assert "\n  Begin the range later, or take in older data.\n" in failed.stderr


def test_a_backfill_without_a_schedule_or_a_time_says_so(machines_settings: Settings) -> None:
    machines.declare(machines_settings)
    headframe = headframe_in(machines_settings)
    range_ = ("--from", at(49, 0).isoformat(), "--until", at(51, 0).isoformat())
    assert (
        "expected a retraining schedule; found none"
        in headframe("run", "train", "machines", *range_, status=1).stderr
    )
    empty = ("--from", at(49, 6).isoformat(), "--until", at(49, 7).isoformat())
    assert (
        "expected a time at which monitor runs"
        in headframe("run", "monitor", "machines", *empty, status=1).stderr
    )
    for stage in ("score", "deliver"):
        said = headframe("run", stage, "machines", *empty, status=1).stderr
        assert "of machines: expected a time at which is scored; found none from 2026-02-" in said


@pytest.mark.parametrize("stage", ["train", "score", "deliver", "monitor"])
@pytest.mark.parametrize("until", ["2026-02-18", "2026-02-19"])
def test_a_range_that_does_not_end_after_it_begins_is_no_narrow_one(
    settings: Settings, stage: str, until: str
) -> None:
    machines.declare(settings)
    range_ = ("--from", "2026-02-19", "--until", until)
    said = headframe_in(settings)("run", stage, "machines", *range_, status=1).stderr
    assert (
        "headframe run, --from and --until of machines: expected a beginning before the end; found "
        f"2026-02-18 23:00 UTC until 2026-02-{int(until[-2:]) - 1} 23:00 UTC.\n"
        "  Correct the options: --until is exclusive.\n"
    ) in said


@pytest.mark.parametrize(
    ("text", "hours"),
    [
        ("2026-03-29", 23), ("2026-10-25", 25), ("20260328", 24), ("2026-03-28T00:00", 1 / 60),
        ("2026-03-28T00:00:00Z", 1 / 60),
    ],
)  # fmt: skip
def test_a_date_is_its_local_day_however_long_and_a_time_a_minute(
    settings: Settings, text: str, hours: float
) -> None:
    since, until = period(text, machines.declare(settings))
    assert (until - since) / timedelta(hours=1) == pytest.approx(hours)


def test_a_time_that_has_not_come_is_left_out_and_said(settings: Settings) -> None:
    machines.declare(settings)
    path = settings.dags / "machines.py"
    path.write_text(path.read_text("utf-8") + SCHEDULE, "utf-8")
    use_case = load(path)
    for stage, now in (("monitor", at(50, 4)), ("train", at(50))):
        ask = partial(planned, stage, use_case, settings, now=now)  # type: ignore[arg-type]
        found = ask(since=at(49, 0), until=at(60, 0))
        assert found.times == (now - timedelta(days=1), now)
        assert found.describe().endswith(" UTC; 9 have not come yet")
        with pytest.raises(SettingsError, match=f"a time at which {stage} runs, that has come"):
            ask(since=at(51, 0), until=at(60, 0))


@pytest.mark.parametrize(
    ("stage", "options", "said"),
    [
        ("monitor", ("--until", "2026-02-20"), "run, --until: expected --from beside it; found none"),
        ("train", ("--as-of", "2026-02-01", "--until", "2026-02-20"), "expected --from beside it"),
        ("monitor", ("--as-of", "2926-02-01"), "--as-of: expected a moment that has come; now is"),
        ("train", ("--as-of", "2926-02-01"), "found 2926-01-31 23:00 UTC"),
        ("score", ("--until", "2026-02-20"), "expected --from beside it"),
        (
            "ingest", ("--from", "2026-02-20", "--until", "2026-02-21"),
            "run, --from and --until: expected stage score, deliver, train or monitor; found stage "
            "ingest",
        ),
        ("probation", ("--from", "2026-02-20"), "found stage probation"),
        ("score", ("--late", "--from", "2026-02-20"), "expected a range, or --late; found both"),
        ("score", ("--from", "0001-01-01"), "expected an ISO date or time such as"),
        ("monitor", ("--as-of", "9999-12-31T23:59-05:00"), "expected an ISO date or time such as"),
    ],
)  # fmt: skip
def test_a_range_taken_no_notice_of_and_a_moment_that_cannot_be_are_refused(
    settings: Settings, stage: str, options: tuple[str, ...], said: str
) -> None:
    machines.declare(settings)
    # As of now in its place, monitor would have judged every block, and filled none in afterwards.
    assert said in headframe_in(settings)("run", stage, "machines", *options, status=1).stderr
    assert not list(settings.home.rglob("*.parquet"))
