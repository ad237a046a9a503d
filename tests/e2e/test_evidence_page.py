"""The evidence page in a browser: no error, the evidence's own figures, readable by day, by night and narrow."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.adapters.reports.evidence_page import interval, name, number, render
from pipelines.domain.evidence import Evidence
from pipelines.domain.evidence_report import Bounded, EvidenceReport
from tests.e2e.browser import chromium
from tests.e2e.test_profile_page import CONTRAST, console_lines, open_page, written
from tests.examined import level
from tests.registered import GATES, judged

CELLS = """
['.gates', '#roles', '#improvements', '.levels'].map(table =>
  [...document.querySelectorAll(table + ' tbody tr')].map(row =>
    [...row.cells].map(cell => cell.innerText.trim())))
"""

pytestmark = pytest.mark.needs_chromium


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    """Return evidence with what a page must not run and must not be widened by."""
    seen = judged().examination
    assert seen is not None
    levels = (level("<img src=x onerror=alert(1)>", 0.05), level("n" * 120, -0.02))
    return judged(examination=replace(seen, segments={"origin": levels}))


def test_the_page_opens_without_an_error(evidence: Evidence, tmp_path: Path) -> None:
    html = render(evidence)
    assert console_lines(written(tmp_path, html), tmp_path / "quiet") == []
    broken = html.replace("</main>", "<script>alert(1)</script></main>")  # the control
    assert console_lines(written(tmp_path, broken), tmp_path / "loud") != []


def test_the_figures_on_the_page_are_those_of_the_evidence(
    evidence: Evidence, tmp_path: Path
) -> None:
    report = EvidenceReport.of(evidence)
    with chromium(tmp_path / "browser", width=500) as page:
        open_page(page, written(tmp_path, render(evidence)))
        gates, roles, improvements, levels = page.evaluate(CELLS)
        verdict = page.evaluate("document.querySelector('#verdict').innerText")
        bars = page.evaluate("document.querySelectorAll('svg.wide rect').length")
        dots = page.evaluate("document.querySelectorAll('svg.square circle').length")
        drawn = page.evaluate("document.images.length + document.scripts.length")
        width = json.loads(page.evaluate("JSON.stringify([document.body.scrollWidth, innerWidth])"))
    assert verdict == report.verdict
    assert [row[0] for row in gates] == [one.gate for one in report.gates]
    assert {row[2] for row in gates} == {one.reason for one in GATES}
    assert [row[1:3] for row in roles if len(row) > 1] == [
        [number(role.figure.estimate), interval(role.figure)]
        for one in report.metrics
        for role in one.roles
    ]
    assert [row[2:4] for row in improvements] == [
        [number(one.figure.estimate, signed=True), interval(one.figure, signed=True)]
        for one in report.improvements
    ]
    assert evidence.examination is not None
    assert [(row[0], row[2]) for row in levels] == [
        (name(one.level), number(Bounded.of(one.worsening).estimate, signed=True))
        for one in evidence.examination.segments["origin"]
    ]
    assert (bars, dots) == (28, 10)
    assert drawn == 0
    assert width[0] <= width[1]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_is_readable_by_day_and_by_night(
    scheme: str, evidence: Evidence, tmp_path: Path
) -> None:
    html = render(evidence).replace(
        "prefers-color-scheme: dark", f"{'min' if scheme == 'dark' else 'max'}-width: 1px"
    )
    with chromium(tmp_path / "browser") as page:
        open_page(page, written(tmp_path, html))
        assert page.evaluate(CONTRAST) >= 4.5
