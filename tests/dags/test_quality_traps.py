"""Suites that must not pass unnoticed: each makes the ingest task red, and its log says why."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.adapters.platform import notifications
from pipelines.adapters.settings import Settings
from tests import shop
from tests.dags.airflow_runs import Ended, run
from tests.shop import at, land_orders, order

BETWEEN = "expect_column_values_to_be_between"

DAG_FILE = """\
from pipelines.dag_factory import build_dags
from tests.shop import SHOP

build_dags(SHOP)
"""

UNTIL = {"as_of": "2026-03-09T00:00:00+00:00"}


@pytest.fixture(autouse=True)
def dag_file(dags_folder: Path) -> Iterator[None]:
    file = dags_folder / "shop.py"
    file.write_text(DAG_FILE, "utf-8")
    yield
    file.unlink()


@pytest.fixture
def home(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Return the settings of a home with one good and one bad order landed."""
    monkeypatch.setenv("HEADFRAME_EXPECTATIONS", str(tmp_path / "expectations"))
    found = Settings()
    land_orders(found, "a.csv", [order(1), order(2, "-1")], at(1))
    return found


def expect(home: Settings, **changes: Any) -> None:  # noqa: ANN401 - any JSON
    """Write a suite of one rule that both orders keep, except for what is changed."""
    rule = {
        "type": BETWEEN,
        "kwargs": {"column": "amount", "min_value": -5, "max_value": 100},
        "severity": "critical",
    }
    path = home.expectations / shop.NAME / "orders.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"name": "shop.orders", "expectations": [{**rule, **changes}]}))


def ingest(capfd: pytest.CaptureFixture[str]) -> tuple[Ended, str]:
    """Run the DAG; return how it ended and what its log says."""
    capfd.readouterr()
    ended = run("shop__ingest", conf=UNTIL)
    log = "".join(capfd.readouterr())
    print(log)  # noqa: T201 - pytest shows it where a test fails
    return ended, log


TRAPS: dict[str, tuple[dict[str, Any], str, str]] = {
    "a misspelt expectation": (
        {"type": "expect_column_values_to_be_betwen"},
        "expected an expectation GX knows; found type 'expect_column_values_to_be_betwen'",
        f"Did you mean '{BETWEEN}'?",
    ),
    "a wrong severity": (
        {"severity": "high"},
        "expected a known severity; found severity 'high'",
        "Known: critical, warning.",
    ),
    "a missing column": (
        {"kwargs": {"column": "amonut", "min_value": -5}},
        "expected a known column; found column 'amonut'",
        "Did you mean 'amount'?",
    ),
    "a failing critical rule": (
        {"kwargs": {"column": "amount", "min_value": 0}},
        f"shop orders, rule {BETWEEN}:amount: expected the critical expectation to hold; found 1 of 2"
        " rows against it",
        "Nothing was published.",
    ),
}


@pytest.mark.parametrize("name", TRAPS)
def test_a_trap_makes_the_run_red_at_the_first_try_and_says_why(
    name: str, home: Settings, capfd: pytest.CaptureFixture[str]
) -> None:
    changes, found, fix = TRAPS[name]
    expect(home, **changes)
    ended, log = ingest(capfd)
    assert (ended.state, ended.tasks) == ("failed", {"ingest": "failed", "docs": "success"})
    assert ended.tries["ingest"] == 1
    for text in (found, fix):
        assert text in ended.reasons["ingest"]
        assert text in log
    assert shop.silver(home).num_rows == 0
    (message,) = notifications.recent(home, 10)
    assert "failed task ingest" in message.body


def test_without_a_trap_the_run_is_green_and_documented(
    home: Settings, capfd: pytest.CaptureFixture[str]
) -> None:
    expect(home)
    ended, _ = ingest(capfd)
    assert (ended.state, ended.tasks) == ("success", {"ingest": "success", "docs": "success"})
    assert ended.returned["docs"]["written"] == 1
    assert shop.silver(home).num_rows == 2


def test_a_refused_check_has_its_page(home: Settings, capfd: pytest.CaptureFixture[str]) -> None:
    expect(home, kwargs={"column": "amount", "min_value": 0})
    ended, _ = ingest(capfd)
    assert ended.returned["docs"]["written"] == 1
    (page,) = (home.root / "data_docs" / "shop" / "orders").glob("*/*.html")
    assert "1 unexpected values found. 50% of 2 total rows." in page.read_text("utf-8")


def test_pages_that_cannot_be_written_leave_a_green_run_green(
    home: Settings, capfd: pytest.CaptureFixture[str]
) -> None:
    expect(home)
    (home.root / "data_docs").write_text("a file in the way", "utf-8")
    ended, _ = ingest(capfd)
    assert (ended.state, ended.tasks) == ("success", {"ingest": "success", "docs": "failed"})
    assert notifications.recent(home, 10) == ()
    (home.root / "data_docs").unlink()
    ended, _ = ingest(capfd)
    assert ended.returned["docs"]["written"] == 1


def test_pages_that_cannot_be_written_hide_no_failure(
    home: Settings, capfd: pytest.CaptureFixture[str]
) -> None:
    expect(home, severity="high")
    (home.root / "data_docs").write_text("a file in the way", "utf-8")
    ended, _ = ingest(capfd)
    assert (ended.state, ended.tasks) == ("failed", {"ingest": "failed", "docs": "skipped"})
    (message,) = notifications.recent(home, 10)
    assert "failed task ingest" in message.body
