"""Data Docs in a browser: from the disk, without a server, a script or a complaint."""

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from pipelines.adapters.settings import Settings
from pipelines.adapters.suites.quality_records import read_record
from pipelines.errors import QualityRefused
from pipelines.stages.ingest import ingest
from pipelines.stages.quality_docs import quality_docs
from tests import shop
from tests.e2e.browser import Page, chromium
from tests.shop import SHOP, at, land, land_orders, order

pytestmark = pytest.mark.needs_chromium

RULES = (
    ("expect_column_values_to_be_between", {"column": "amount", "min_value": 0, "max_value": 2000}),
    ("expect_column_values_to_be_unique", {"column": "order_id"}),
    ("expect_column_mean_to_be_between", {"column": "amount", "max_value": 400}),
    ("expect_table_row_count_to_be_between", {"min_value": 1}),
)


@pytest.fixture(scope="module")
def docs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the docs of two ingests: one published and flagged, one refused."""
    home = shop.settings_in(tmp_path_factory.mktemp("docs"))
    _expect(home, on_fail="quarantine")
    lines = [*(order(n, str(n)) for n in range(1, 1201)), order(1201, "-1"), order(1202, "x")]
    land_orders(home, "a.csv", lines, at(1))
    land(home, "prices/a.csv", b"product,price\ntea,1\n", at(1))
    ingest(SHOP, home, as_of=at(1), run="scheduled__2026-03-01T12:00:00+00:00")
    _expect(home)
    land_orders(home, "b.csv", [order(2001, "-1"), order(2002)], at(2))
    with pytest.raises(QualityRefused):
        ingest(SHOP, home, as_of=at(2), run="scheduled__2026-03-02T12:00:00+00:00")
    return quality_docs(home).index.parent


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with chromium(tmp_path_factory.mktemp("browser") / "profile", height=1500) as page:
        page.listen("Log", "Runtime", "Network")
        yield page


def _expect(home: Settings, **meta: str) -> None:
    rules = [
        {"type": kind, "kwargs": kwargs, "severity": "warning" if number else "critical"}
        for number, (kind, kwargs) in enumerate(RULES)
    ]
    rules[0] |= {"meta": meta}
    path = home.expectations / "shop" / "orders.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"name": "shop.orders", "expectations": rules}), "utf-8")


def _open(page: Page, path: Path) -> None:
    page.events.clear()
    page.open(f"file://{quote(str(path))}")
    page.wait_for("document.readyState == 'complete'")


def _cells(page: Page, rows: str) -> list[list[str]]:
    """Return the text of each cell of the rows that are shown."""
    found: list[list[str]] = page.evaluate(
        f"[...document.querySelectorAll({json.dumps(rows)})].filter(r => r.offsetParent)"
        ".map(r => [...r.cells].map(c => c.innerText.trim()))"
    )
    return found


def _quiet(page: Page, path: Path) -> None:
    """Require that the page asked for itself alone and that the console is empty."""
    page.evaluate("0")  # what came before its answer has come
    asked = [e["params"]["request"]["url"] for e in page.events if e["method"] == REQUEST]
    assert [url for url in asked if not url.startswith("data:")] == [f"file://{quote(str(path))}"]
    assert [event for event in page.events if event["method"] in COMPLAINTS] == []


REQUEST = "Network.requestWillBeSent"
COMPLAINTS = ("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown")


def test_the_lists_lead_to_each_page_and_nothing_complains(docs: Path, browser: Page) -> None:
    first = docs / "index.html"
    _open(browser, first)
    assert [row[:2] + row[3:] for row in _cells(browser, "tbody tr")] == [
        ["shop", "orders", "refused", "2", "4", "1"],
        ["shop", "prices", "published", "1", "no suite", ""],
    ]
    _quiet(browser, first)
    browser.click("tbody tr a")
    browser.wait_for_text("shop: checks")
    browser.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert _cells(browser, "tbody tr") == [
        ["scheduled__2026-03-02T12:00:00+00:00", "refused", "2", "0", "0", "4", "1", "none"],
        [
            "scheduled__2026-03-01T12:00:00+00:00",
            "published, flagged",
            "1,201",
            "1",
            "1",
            "4",
            "2",
            "1",
        ],
        ["scheduled__2026-03-01T12:00:00+00:00", "published", "1", "0", "0", "no suite", "", "1"],
    ]
    browser.click("tbody tr a")
    browser.wait_for_text("shop.orders: refused")


def test_the_numbers_on_a_page_are_those_of_the_result(docs: Path, browser: Page) -> None:
    (path,) = (docs / "shop" / "orders" / "2026-03-01").glob("*.html")
    record = read_record(
        docs.parent / "quality" / "shop" / "orders" / path.parent.name / f"{path.stem}.json"
    )
    between, unique, mean, count = record.results
    assert (between.unexpected_count, unique.unexpected_count, record.rows) == (1, 0, 1201)
    assert mean.observed == "observed 599.9991674"
    assert count.success
    _open(browser, path)
    _quiet(browser, path)
    assert _cells(browser, "#contract tbody tr") == [["contract:type:amount:double", "1"]]
    assert [row[3:] for row in _cells(browser, "#failed tbody tr")] == [
        ["1 of 1,201 rows failed", "1", "1,201"],
        ["observed 599.9991674", "", "1,201"],
    ]
    by_gx = [row[2] for row in _cells(browser, ".ge-section table:not(.table-sm) tbody tr")]
    assert by_gx == ["1201", "≈0.083264% unexpected", "599.9991674", "0% unexpected"]
    text = browser.text()
    assert "1 unexpected values found. ≈0.08326% of 1201 total rows." in text
    for fact in ("published, flagged", "1,202", "1,201", record.suite_digest[:12]):
        assert fact in text
    statistics = dict(_cells(browser, ".ge-section table.table-sm tbody tr")[:4])
    assert list(statistics.values()) == ["4", "2", "2", "50%"]


def test_only_what_failed_is_shown_on_demand(docs: Path, browser: Page) -> None:
    (path,) = (docs / "shop" / "orders" / "2026-03-01").glob("*.html")
    _open(browser, path)
    rows = ".ge-section table:not(.table-sm) tbody tr"
    assert len(_cells(browser, rows)) == 4
    browser.click("#failed-only")
    assert [row[2] for row in _cells(browser, rows)] == ["≈0.083264% unexpected", "599.9991674"]


def test_the_browser_tells_what_a_page_loads_and_complains_of(
    tmp_path: Path, browser: Page
) -> None:
    """The control: a page with a script from elsewhere is not quiet."""
    loud = tmp_path / "loud.html"
    loud.write_text('<script src="http://127.0.0.1:9/x.js"></script>', "utf-8")
    _open(browser, loud)
    browser.wait_for("true")
    with pytest.raises(AssertionError):
        _quiet(browser, loud)
    loud.write_text("<script>console.log(1)</script>", "utf-8")
    _open(browser, loud)
    with pytest.raises(AssertionError):
        _quiet(browser, loud)
