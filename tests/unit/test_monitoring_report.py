"""The monitoring page: its values follow from what was watched, and it says them and nothing else."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import pyarrow as pa
import pytest

from pipelines.adapters.reports import monitoring_page
from pipelines.domain.drift.block_profile import scan
from pipelines.domain.drift.column_edges import edges_of
from pipelines.domain.drift.drift_result import DriftResult
from pipelines.domain.feature_report import FeatureReport
from pipelines.domain.incidents import Incident
from pipelines.domain.monitored import Judged, Profiled
from pipelines.domain.monitoring_report import MonitoringReport, block_estimates
from pipelines.domain.watched import Watched, no_champion
from tests import watched
from tests.goldens import assert_golden

LARGEST_PAGE = 300_000
HOSTILE = "<img src=x onerror=alert(1)>\"'&{{ 7 * 7 }}"


@pytest.fixture(scope="module")
def windy() -> MonitoringReport:
    """Return the report of ten days with more wind."""
    return watched.report(wind_up=3.0)


@pytest.fixture(scope="module")
def quiet() -> MonitoringReport:
    return watched.report()


def column(report: MonitoringReport, name: str) -> FeatureReport:
    return next(one for one in report.features if one.column == name)


def text_of(html: str) -> str:
    """Return what a reader sees, words apart by one space."""
    body = re.sub(r"<style>.*?</style>", "", html, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", body).split())


def shares_only(level: str) -> MonitoringReport:
    """Return the report of a level that needs no blocks of its own."""
    found = watched.report()
    if level == "not_tested":
        nothing = Watched.without(no_champion(watched.AS_OF), alarms_per_quarter=1)
        return replace(found, watched=nothing, features=())
    if level == "too few labels":
        kept = tuple(one for one in found.watched.judged if one.subject == "inputs")
        return replace(found, watched=replace(found.watched, judged=kept))
    fact = next(one for one in watched.report(wind_up=3.0).watched.judged if one.fires)
    assert fact.alarm is not None
    fact = replace(fact, alarm=replace(fact.alarm, level="INFO"))
    others = [one for one in found.watched.judged if one.name != fact.name]
    return replace(found, watched=replace(found.watched, judged=(*others, fact)))


def learning() -> MonitoringReport:
    found = watched.report()
    judged = tuple(
        one if one.name != "BlockPermutation 7" else _learning(one) for one in found.watched.judged
    )
    return replace(found, watched=replace(found.watched, judged=judged))


def _learning(one: Judged) -> Judged:
    result = DriftResult(
        test="BlockPermutation",
        outcome="learning",
        reason="Not tested: 12 of 20 reference blocks are there.",
        window_blocks=7,
        reference_blocks=12,
    )
    return replace(one, result=result, alarm=None)


def test_the_verdict_of_every_level_reads_as_agreed() -> None:
    cases = {
        "OK": watched.report(),
        "OK, too few labels": shares_only("too few labels"),
        "INFO": shares_only("INFO"),
        "WARN, inputs": watched.report(wind_up=3.0),
        "WARN, loss": watched.report(harm=0.1),
        "PAGE, hard rule": watched.report(broken=True),
        "PAGE, harm": watched.report(harm=0.2, harmed=60),
        "learning": learning(),
        "not_tested": shares_only("not_tested"),
    }
    lines = []
    for name, found in cases.items():
        assert name.partition(",")[0] == found.watched.level
        page = monitoring_page.render(found)
        said = re.search(r'<p id="verdict">(.*?)</p>', page)
        assert said is not None
        assert text_of(said[1]) == found.watched.verdict
        # The verdict is the first thing after the title.
        assert page.index("<main>") < said.start() < page.index("<h2")
        lines += [name, *(f"    {part}" for part in found.watched.sentences)]
    assert_golden("monitoring_verdicts", "\n".join(lines))


def test_thirty_features_fit_in_300_kb() -> None:
    found = watched.report(features=30, wind_up=3.0, served=120)
    assert len(found.features) == 31
    assert len(found.timeline) == 120
    size = len(monitoring_page.render(found).encode())
    assert 50_000 < size < LARGEST_PAGE


def test_nothing_comes_from_elsewhere_and_nothing_runs(windy: MonitoringReport) -> None:
    html = monitoring_page.render(windy)
    found: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.append(tag)
            for name, value in attrs:
                assert not name.startswith("on")
                if name in {"src", "href", "action", "data", "xlink:href"}:
                    assert (value or "").startswith(("#", "data:,"))

    Reader().feed(html)
    assert {"script", "img", "iframe", "object", "form", "base"}.isdisjoint(found)
    assert "default-src 'none'" in html
    assert not re.search(r"https?:|url\(|@import", html)


def test_names_and_values_of_the_tables_are_text(windy: MonitoringReport) -> None:
    incident = Incident(
        number=4,
        use_case="flights",
        owner="aviation",
        severity="PAGE",
        state="open",
        title=f"title {HOSTILE}",
        began_at=datetime(2013, 5, 1, tzinfo=UTC),
        detected_at=datetime(2013, 5, 1, tzinfo=UTC),
    )
    found = watched.report(
        wind_up=3.0,
        names={"wind": HOSTILE, "origin": f"o{HOSTILE}"},
        origins={"EWR": f"E{HOSTILE}"},
        incidents=[incident],
    )
    html = monitoring_page.render(found)
    assert HOSTILE not in html
    assert html.count("&lt;img src=x onerror=alert(1)&gt;") >= 10
    assert "49" not in re.findall(r"alert\(1\)&gt;&#34;&#39;&amp;(..)", html)
    tags = re.findall(r"<(\w+)", html)
    assert "img" not in tags
    assert set(tags) == set(re.findall(r"<(\w+)", monitoring_page.render(windy)))


def test_the_numbers_on_the_page_are_the_values(windy: MonitoringReport) -> None:
    html = monitoring_page.render(windy)
    rows = re.findall(r'<tr><th scope="row"><a href="#column-\d+">(.*?)</a>(.*?)</tr>', html)
    assert [name for name, _ in rows] == [one.column for one in windy.features]
    for one, (_, row) in zip(windy.features, rows, strict=True):
        numbers = re.findall(r'<td class="number">(.*?)</td>', row)
        weight = "prediction" if one.importance is None else f"{100 * one.importance:.3g} %"
        assert numbers[:2] == [weight, f"{one.distance:.3f}"]
        assert (f'<b class="{one.level}">{one.level}</b>' in row) == (one.level != "none")
    measured = [one for one in windy.timeline if one.loss is not None]
    dots = re.findall(r"<circle[^>]*><title>(\S+): ([\d.]+), 294 of 300", html)
    assert dots == [(one.block, f"{one.loss:.4f}") for one in measured]
    waiting = [one.estimate for one in windy.timeline if one.estimate is not None]
    told = re.findall(r"([\d-]+): estimated ([\d.]+), ([\d.]+) to ([\d.]+) with 90 %", html)
    assert told == [
        (e.block, *(f"{v:.4f}" for v in (e.estimated.estimate, e.estimated.low, e.estimated.high)))
        for e in waiting
    ]
    assert len(waiting) == watched.WAITING
    text = text_of(html)
    assert (
        "19,710 of 21,000 predictions have a final label, 402 never will, 888 are pending" in text
    )
    for segment in windy.segments:
        assert f"{segment.segment} {monitoring_page.contrast(segment)}" in text
    assert f"{len(windy.watched.spent.episodes)} of 1 budgeted alarms" in text
    realised = windy.watched.realised
    assert realised is not None
    assert f"Performance {realised.result.reason} " in text
    for judged in windy.watched.judged:
        assert judged.result.reason in text.replace("&#39;", "'").replace("&lt;", "<")


def test_what_moved_is_seen_and_what_did_not_is_not(
    windy: MonitoringReport, quiet: MonitoringReport
) -> None:
    assert column(windy, "wind").distance > 0.2
    assert column(windy, "hour").distance < 0.05
    assert column(quiet, "wind").distance < 0.06
    assert {one.column: one.level for one in windy.features if one.level != "none"} == {
        "wind": "WARN",
        "gust": "WARN",
        "p_late": "WARN",
    }
    assert {one.level for one in quiet.features} == {"none"}
    late = [one.distance for one in column(windy, "wind").timeline[-10:]]
    before = [one.distance for one in column(windy, "wind").timeline[:-10]]
    assert min(late) > max(before)


def test_shares_of_a_side_are_all_of_its_rows(windy: MonitoringReport) -> None:
    for one in windy.features:
        for place, side in enumerate(("reference", "current")):
            drawn = sum(getattr(found, side) for found in one.bins)
            assert drawn + one.missing[place] == pytest.approx(1)
    assert column(windy, "gust").missing[0] == pytest.approx(0.1, abs=0.01)
    assert column(windy, "gust").missing[1] == pytest.approx(0.1, abs=0.02)
    for one in windy.features:  # blocks have as many rows each
        week = [block.missing for block in one.timeline[-7:]]
        assert sum(week) / 7 == pytest.approx(one.missing[1])


def test_the_prediction_is_first_then_importance_times_distance(windy: MonitoringReport) -> None:
    first, *others = windy.features
    assert (first.column, first.importance) == ("p_late", None)
    weights = [(one.importance or 0) * one.distance for one in others]
    assert weights == sorted(weights, reverse=True)
    assert others[0].column == "wind"


def test_another_unit_is_named() -> None:
    found = watched.report(broken=True)
    assert {one.column: one.unit for one in found.features if one.unit} == {
        "distance": "miles to kilometres"
    }
    assert "looks converted: miles to kilometres" in text_of(monitoring_page.render(found))
    (alarm,) = (one.last for one in found.watched.standing if one.last.breaks)
    assert alarm.alarm is not None
    # It is the hard rule that knows; the page says what it said, also once it was kept.
    kept = DriftResult.from_plain(json.loads(json.dumps(alarm.result.to_plain())))
    assert [shift.unit for shift in kept.per_column] == ["miles to kilometres"]
    assert kept == alarm.result


def test_what_was_kept_before_units_were_told_reads_back() -> None:
    shift = {"column": "a", "family": "bins", "effect": 0.3, "p_value": None, "direction": "up"}
    plain = {
        **{"test": "HardRules", "outcome": "drifted", "reason": "", "figures": {}},
        **{"window_blocks": 1, "reference_blocks": 2, "p_value": None, "alpha": None},
        "per_column": [shift],
    }
    assert DriftResult.from_plain(plain).to_plain() == plain


def test_a_level_that_left_and_one_that_came_are_told() -> None:
    found = watched.report(late_origins={"LGA": "SWF"})
    origin = column(found, "origin")
    ((gone, had),) = origin.vanished
    assert gone == "LGA"
    assert had == pytest.approx(0.25, abs=0.02)
    assert origin.new == ()
    assert origin.unseen[0] < 0.01  # three of the 91 blocks before have it, too
    assert origin.unseen[1] == pytest.approx(0.25, abs=0.03)
    text = text_of(monitoring_page.render(found))
    assert f"Vanished LGA (had {monitoring_page.percent(had)})" in text


def test_a_page_of_weekly_blocks_asks_about_weeks_and_counts_thirteen_a_quarter(
    windy: MonitoringReport,
) -> None:
    weekly = replace(windy, watched=replace(windy.watched, block="week"))
    days, weeks = (text_of(monitoring_page.render(found)) for found in (windy, weekly))
    assert "Is the last week like the blocks it is compared with?" in days
    assert "budgeted alarms began in the last 90 blocks" in days
    assert "Are the last seven weeks like the blocks they are compared with?" in weeks
    assert "Did the last seven labelled weeks cost more" in weeks
    assert "budgeted alarms began in the last 13 blocks" in weeks


def test_a_page_without_a_champion_says_so_and_draws_nothing() -> None:
    found = replace(
        shares_only("not_tested"), timeline=(), usual=None, segments=(), provenance=None
    )
    text = text_of(monitoring_page.render(found))
    assert "Not watched: no champion was promoted" in text
    assert "No block has a loss yet" in text
    assert "Features, by importance" not in text


def test_an_estimate_that_is_not_believed_is_drawn_as_such(windy: MonitoringReport) -> None:
    estimates = [one.estimate for one in windy.timeline if one.estimate]
    doubted = {
        one.block: replace(one, estimated=replace(one.estimated, valid=False)) for one in estimates
    }
    timeline = tuple(
        replace(one, estimate=doubted.get(one.block, one.estimate)) for one in windy.timeline
    )
    other = replace(
        windy,
        timeline=timeline,
        watched=replace(windy.watched, estimates=tuple(doubted.values())),
    )
    html = monitoring_page.render(other)
    assert html.count('class="interval invalid"') == watched.WAITING
    assert "Estimates are not valid" in html
    assert 'class="interval invalid"' not in monitoring_page.render(windy)


def test_an_estimate_has_the_interval_of_the_last_ninety_labelled_blocks() -> None:
    edges = edges_of(pa.table({"p": [0.1, 0.9]}), columns=["p"])
    days = [watched.FIRST + timedelta(days=number) for number in range(111)]
    profiled = [
        Profiled(
            block=day.isoformat(),
            scored_for=watched.AS_OF,
            source="",
            published=True,
            stale_tables="",
            estimated_loss=0.5,
            profile=scan([], edges, block=day.isoformat()),
        )
        for day in days
    ]
    # The first twenty were far from what was expected of them; the last waits for its labels.
    losses = [1.5] * 20 + [0.51] * 90 + [float("nan")]
    found = block_estimates(
        profiled, {one.block: loss for one, loss in zip(profiled, losses, strict=True)}
    )
    assert [one.block for one in found] == ["2013-04-21"]
    estimated = found[0].estimated
    assert (estimated.low, estimated.high) == pytest.approx((0.49, 0.51))


def test_blocks_that_broke_before_the_service_are_told_where_they_are_left_out(
    quiet: MonitoringReport,
) -> None:
    told = [f"block 2013-02-0{day}: in it 100 % of wind are missing" for day in range(7, 0, -1)]
    assert "nobody's reference" not in text_of(monitoring_page.render(quiet)).replace("&#39;", "'")
    for number, more in ((2, ""), (7, "; and 2 more")):
        page = monitoring_page.render(replace(quiet, left_out=tuple(told[:number])))
        said = f"since hard rules tell of them: {'; '.join(told[: min(number, 5)])}{more}."
        assert said in text_of(page)
    hostile = monitoring_page.render(replace(quiet, left_out=(HOSTILE,)))
    assert HOSTILE not in hostile
