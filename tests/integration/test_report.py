"""The report of a use case: the page says what monitor recorded, and changes nothing in the lake."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipelines.cli import app
from pipelines.stages import report as stage
from pipelines.stages.report import page_name, report, report_folder, values
from tests.integration.test_monitoring import (  # noqa: F401 - fixtures
    MORNING,
    Home,
    home,
    template,
    versions,
    watch,
)
from tests.parcels import TODAY, TRAINED, at


def test_the_page_says_what_monitor_found_and_changes_nothing(home: Home) -> None:  # noqa: F811
    use_case, settings = home
    monitored, before = watch(home), versions(settings)
    made = report(use_case, settings, as_of=MORNING)
    found = values(use_case, settings, as_of=MORNING)
    assert versions(settings) == before
    assert found.watched == monitored.watched
    assert found.watched.estimates
    assert (made.verdict, made.level) == (monitored.watched.verdict, monitored.watched.level)
    html = made.page.read_text("utf-8")
    assert all(part in html for part in found.watched.sentences)
    assert made.latest.read_text("utf-8") == html
    assert made.page == settings.root / "reports" / "parcels" / page_name(MORNING)
    assert [one.measured for one in found.timeline] == list(monitored.blocks)
    assert {one.column for one in found.features} == {"miles", "minutes", "depot", "p_late"}
    assert found.provenance is not None
    assert found.provenance.tables["gold.monitoring.parcels"] == before["gold.monitoring.parcels"]
    assert found.provenance.run_id in html
    # Of the newest block and its week, not of another: 7 blocks of PARCELS rows.
    assert found.compared_with.startswith("7 blocks (2026-02-26 to 2026-03-04)")


def test_a_page_of_the_past_is_not_the_latest_and_knows_no_later_block(home: Home) -> None:  # noqa: F811
    use_case, settings = home
    watch(home)
    newest = report(use_case, settings, as_of=MORNING)
    before = newest.latest.read_text("utf-8")
    past = report(use_case, settings, as_of=at(TODAY - 3, 8))
    assert past.page != newest.page
    assert newest.latest.read_text("utf-8") == before
    found = values(use_case, settings, as_of=at(TODAY - 3, 8))
    assert found.watched.newest_block == found.timeline[-1].block == "2026-03-01"
    assert "2026-03-04" not in past.page.read_text("utf-8").replace(page_name(MORNING), "")


def test_without_a_champion_or_before_monitor_it_is_not_tested(home: Home) -> None:  # noqa: F811
    use_case, settings = home
    early = report(use_case, settings, as_of=at(TRAINED - 1))
    assert (early.level, early.verdict.partition(":")[0]) == ("not_tested", "Not watched")
    assert "no champion was promoted" in early.verdict
    unseen = report(use_case, settings, as_of=MORNING)
    assert unseen.verdict == "Not watched: monitor has not looked at champion 1 yet. Run it."


def test_only_the_last_pages_are_kept(
    home: Home,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use_case, settings = home
    monkeypatch.setattr(stage, "KEPT", 2)
    for day in (TODAY, TODAY + 1, TODAY + 2):
        report(use_case, settings, as_of=at(day, 8))
    names = sorted(path.name for path in report_folder(settings, "parcels").iterdir())
    assert names == [page_name(at(TODAY + 1, 8)), page_name(at(TODAY + 2, 8)), "latest.html"]


def test_the_command_prints_the_verdict_and_the_path(
    home: Home,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    _, settings = home
    monitored = watch(home)
    monkeypatch.setenv("HEADFRAME_HOME", str(settings.home))
    monkeypatch.setenv("HEADFRAME_DAGS", str(settings.dags))
    app(["report", "parcels", "--as-of", MORNING.isoformat()], standalone_mode=False)
    told = capsys.readouterr().out.splitlines()
    assert told[0] == monitored.watched.verdict
    page = Path(told[1].removeprefix("page: "))
    assert page.is_file()
    assert page.stat().st_mode & 0o777 == 0o644


def test_names_of_pages_sort_as_their_moments_do() -> None:
    moments = [datetime(2013, 6, 1, 9, tzinfo=UTC), datetime(2013, 6, 1, 9, 0, 1, tzinfo=UTC)]
    moments.append(moments[0].replace(year=2014))
    assert sorted(map(page_name, moments)) == [page_name(moment) for moment in sorted(moments)]
