"""The profile page in a browser: no error, the profile's numbers, readable by day and by night."""

import json
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipelines.adapters.suites import profile_page, profiles
from pipelines.domain.profile import Frequent, Profile
from tests import shop
from tests.e2e.browser import Page, chromium

pytestmark = pytest.mark.needs_chromium

CONTRAST = """
(() => {
  const light = text => {
    const parts = text.match(/[\\d.]+/g).slice(0, 3).map(part => part / 255)
      .map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
  };
  const paper = element => {
    for (let at = element; at; at = at.parentElement) {
      const found = getComputedStyle(at).backgroundColor;
      if (!/rgba\\(.*, 0\\)/.test(found)) return found;
    }
  };
  const ratios = [...document.querySelectorAll("h1, h2, h3, p, dt, dd, th, td, td span, .axis span")]
    .filter(element => element.textContent.trim())
    .map(element => [light(getComputedStyle(element).color), light(paper(element))])
    .map(([ink, ground]) => (Math.max(ink, ground) + 0.05) / (Math.min(ink, ground) + 0.05));
  return Math.min(...ratios);
})()
"""
"""The lowest contrast of any text to its ground (WCAG 2.2, 1.4.3)."""

ROWS = "[...document.querySelectorAll('tbody')].map(b => [...b.rows].map(r => r.innerText.split('\\t')))"
SECTIONS = "[...document.querySelectorAll('section')].map(s => s.innerText)"
BARS = "[...document.querySelectorAll('rect title')].map(t => t.textContent)"


@pytest.fixture
def profile(tmp_path: Path) -> Profile:
    """Return the profile of 90 orders, one of which says what a page must not run."""
    settings = shop.settings_in(tmp_path)
    lines = [shop.order(n, amount=str(n), note="" if n % 3 else "gift") for n in range(90)]
    lines.append(shop.order(90, amount="12345", note="<img src=x onerror=alert(1)>"))
    shop.land_orders(settings, "a.csv", lines, shop.at(1))
    shop.take_in(settings)
    return profiles.of_silver(settings, shop.NAME, shop.ORDERS)


def written(folder: Path, html: str) -> str:
    path = folder / "page.html"
    path.write_text(html, "utf-8")
    return path.as_uri()


def open_page(page: Page, address: str) -> None:
    page.open(address)
    page.wait_for("document.readyState === 'complete' && document.querySelector('footer')")


def console_lines(address: str, profile_folder: Path) -> list[str]:
    """Return what a browser that opens the page has to say on its console."""
    command = [
        "chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr",
        "--no-first-run", "--disable-background-networking", f"--user-data-dir={profile_folder}",
        "--virtual-time-budget=2000", "--dump-dom", address,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert "</html>" in done.stdout
    return [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def test_the_page_opens_without_an_error(profile: Profile, tmp_path: Path) -> None:
    html = profile_page.render(profile)
    assert console_lines(written(tmp_path, html), tmp_path / "quiet") == []
    broken = html.replace("</main>", "<script>alert(1)</script></main>")  # the control
    assert console_lines(written(tmp_path, broken), tmp_path / "loud") != []


def test_the_numbers_on_the_page_are_the_profiles(profile: Profile, tmp_path: Path) -> None:
    amount = profile.columns[1]
    assert (amount.rows, amount.missing, amount.distinct, amount.maximum) == (91, 0, 91, 12345.0)
    with chromium(tmp_path / "browser") as page:
        open_page(page, written(tmp_path, profile_page.render(profile)))
        overview, *_ = page.evaluate(ROWS)
        sections = page.evaluate(SECTIONS)
        bars = page.evaluate(BARS)
        images = page.evaluate("document.images.length + document.scripts.length")
    assert [row[:6] for row in overview] == [
        ["order_id", "int64", "0 %", "91", "0", "90"],
        ["amount", "double", "0 %", "91", "0", "12,345"],
        ["sold_at", "timestamp[UTC]", "0 %", "1", "2026-03-01 10:00", "2026-03-01 10:00"],
        ["day", "date", "0 %", "1", "2026-03-01", "2026-03-01"],
        ["paid", "bool", "0 %", "1", "True", "True"],
        ["note", "string", "65.9 %", "2", "<img src=x onerror=alert(1)>", "gift"],
    ]
    assert images == 0
    assert len(sections) == len(profile.columns)
    for column, section in zip(profile.columns, sections, strict=True):
        for name, text in profile_page.measures(column):
            assert f"{name}\n{text}" in section
    drawn = sum(int(text.rsplit(": ", 1)[1].split()[0].replace(",", "")) for text in bars)
    assert drawn == sum(found.rows for column in profile.columns for found in column.bins) == 4 * 91
    assert "gift\t30" in sections[5]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_is_readable_by_day_and_by_night(
    scheme: str, profile: Profile, tmp_path: Path
) -> None:
    html = profile_page.render(profile).replace(
        "prefers-color-scheme: dark", f"{'min' if scheme == 'dark' else 'max'}-width: 1px"
    )
    with chromium(tmp_path / "browser") as page:
        open_page(page, written(tmp_path, html))
        assert page.evaluate(CONTRAST) >= 4.5
        faint = html.replace("--quiet: #57606a", "--quiet: #bbb").replace(
            "--quiet: #9aa5b1", "--quiet: #555"
        )
        open_page(page, written(tmp_path, faint))  # the control
        assert page.evaluate(CONTRAST) < 4.5


def test_a_long_name_or_text_does_not_widen_the_page(profile: Profile, tmp_path: Path) -> None:
    long = replace(
        profile.columns[5],
        name="n" * 120,
        minimum="w" * 60 + "…",
        frequent=(Frequent(value="w" * 60 + "…", rows=3),),
        examples=("w" * 60 + "…",) * 5,
    )
    wide = replace(
        profile, columns=(*profile.columns, long), as_of=datetime(2026, 3, 2, tzinfo=UTC)
    )
    with chromium(tmp_path / "browser", width=600) as page:
        open_page(page, written(tmp_path, profile_page.render(wide)))
        width = json.loads(page.evaluate("JSON.stringify([document.body.scrollWidth, innerWidth])"))
    assert width[0] <= width[1]
