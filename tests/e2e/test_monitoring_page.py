"""The monitoring page in a browser: no error, its values, readable by day, by night and narrow."""

import json
from pathlib import Path

import pytest

from pipelines.adapters.reports import monitoring_page
from pipelines.domain.monitoring_report import MonitoringReport
from tests import watched
from tests.e2e.browser import chromium
from tests.e2e.test_profile_page import CONTRAST, ROWS, console_lines, open_page, written

pytestmark = pytest.mark.needs_chromium

LONG = "n" * 120

EDGES = "JSON.stringify(document.querySelector('svg.losses').getBoundingClientRect())"


@pytest.fixture(scope="module")
def report() -> MonitoringReport:
    """Return a report with an alarm, and with what a page must not run and must not be widened by."""
    return watched.report(
        wind_up=3.0,
        names={"wind": "<img src=x onerror=alert(1)>", "hour": LONG},
        late_origins={"LGA": "SWF"},
        origins={"EWR": "w" * 120},
    )


def test_the_page_opens_without_an_error(report: MonitoringReport, tmp_path: Path) -> None:
    html = monitoring_page.render(report)
    assert console_lines(written(tmp_path, html), tmp_path / "quiet") == []
    broken = html.replace("</main>", "<script>alert(1)</script></main>")  # the control
    assert console_lines(written(tmp_path, broken), tmp_path / "loud") != []


def test_the_table_of_features_shows_the_values(report: MonitoringReport, tmp_path: Path) -> None:
    with chromium(tmp_path / "browser", width=500) as page:
        open_page(page, written(tmp_path, monitoring_page.render(report)))
        features, *_ = page.evaluate(ROWS)
        verdict = page.evaluate("document.querySelector('#verdict').innerText")
        drawn = page.evaluate("document.images.length + document.scripts.length")
        width = json.loads(page.evaluate("JSON.stringify([document.body.scrollWidth, innerWidth])"))
        chart = json.loads(page.evaluate(EDGES))
    assert verdict.split("\n") == list(report.watched.sentences)
    assert [(row[0], row[3], row[4]) for row in features] == [
        (
            monitoring_page.cut(one.column),
            f"{one.distance:.3f}",
            monitoring_page.percent(one.missing[1]),
        )
        for one in report.features
    ]
    assert drawn == 0
    assert width[0] <= width[1] <= 500
    # Narrower than the chart of losses, whose newest blocks are what is seen first.
    assert chart["left"] < 0 < chart["right"] <= width[1]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_is_readable_by_day_and_by_night(
    scheme: str, report: MonitoringReport, tmp_path: Path
) -> None:
    html = monitoring_page.render(report).replace(
        "prefers-color-scheme: dark", f"{'min' if scheme == 'dark' else 'max'}-width: 1px"
    )
    with chromium(tmp_path / "browser") as page:
        open_page(page, written(tmp_path, html))
        assert page.evaluate(CONTRAST) >= 4.5
        faint = html.replace("--warm: #9a5b00", "--quiet: #bbb").replace(
            "--warm: #f0b35a", "--quiet: #555"
        )
        open_page(page, written(tmp_path, faint))  # the control
        assert page.evaluate(CONTRAST) < 4.5
