"""The demo, as CI runs it: one week of April, its summary's numbers, and the pages it leaves."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest

from examples import flight_delays as example
from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.platform import airflow_home, ports
from pipelines.adapters.settings import Settings
from tests.e2e.browser import chromium, log_in

pytestmark = pytest.mark.platform

ROOT = Path(__file__).parents[2]
HEADFRAME = Path(sys.executable).parent / "headframe"
UNTIL = date(2013, 4, 12)
"""The demo of one week delivers four days more, until the week's labels are final."""


@dataclass(frozen=True)
class Ran:
    settings: Settings
    summary: dict[str, Any]
    flights: duckdb.DuckDBPyConnection


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    home = tmp_path_factory.mktemp("demo") / "home"
    try:
        summary = _demo(home)
        connection = duckdb.connect(":memory:")
        connection.register("truth", example.truth())
        settings = Settings(home=home, dags=ROOT / "dags", expectations=ROOT / "expectations")
        yield Ran(settings, summary, connection)
    finally:
        _headframe(home, "down")


def test_rows_in_silver_and_quarantine_are_the_flights_of_the_package_by_key(ran: Ran) -> None:
    expected = _count(ran, f"flight_date < date '{UNTIL}'")
    assert ran.summary["tables"]["schedule"]["accepted"] == expected
    for table in ("schedule", "arrivals"):
        rows = delta_tables.read(lake.silver(ran.settings, "flight_delays", table))
        ran.flights.register("found", rows.select(list(example_key())))
        unmatched = ran.flights.sql(
            f"select count(*) from found anti join truth using ({', '.join(example_key())})"
        ).fetchall()
        assert unmatched == [(0,)]


def test_every_row_that_landed_is_accounted_for(ran: Ran) -> None:
    for counts in ran.summary["tables"].values():
        parts = ("accepted", "repeated", "quarantined", "unparsed")
        assert counts["landed"] == sum(counts[part] for part in parts)


def test_the_impossible_wind_is_set_aside_with_its_reason(ran: Ran) -> None:
    rule = "weather: expect_column_values_to_be_between:wind_speed"
    assert ran.summary["quarantine"] == {rule: 1}


def test_every_flight_of_the_week_has_exactly_one_prediction(ran: Ran) -> None:
    expected = _count(ran, "flight_date between date '2013-04-01' and date '2013-04-07'")
    assert ran.summary["predictions"] == expected


def test_labels_and_unlabelled_are_those_of_the_package(ran: Ran) -> None:
    week = "flight_date between date '2013-04-01' and date '2013-04-07'"
    totals = {
        name: sum(found[name] for found in ran.summary["weeks"])
        for name in ("final", "unlabelled", "pending", "positives")
    }
    assert totals == {
        "final": _count(ran, f"{week} and arr_delay is not null"),
        "unlabelled": _count(ran, f"{week} and arr_delay is null"),
        "pending": 0,
        "positives": _count(ran, f"{week} and arr_delay > 15"),
    }


def test_the_first_model_beat_the_baseline_and_was_approved_by_the_approver(ran: Ran) -> None:
    first = ran.summary["models"][0]
    assert first["answer"] == "approved by approver"
    assert first["promoted"]
    not_applicable = {v["gate"] for v in first["verdicts"] if v["outcome"] == "not_applicable"}
    assert not_applicable == {"BeatsChampion", "CompatibleSignature"}
    assert {v["outcome"] for v in first["verdicts"]} == {"passed", "not_applicable"}
    loss = {role: metrics["log_loss"][0] for role, metrics in first["metrics"].items()}
    assert loss["challenger"] < loss["baseline"]


def test_the_retrained_challenger_was_judged_against_the_champion(ran: Ran) -> None:
    first, second = ran.summary["models"]
    assert second["champion_then"] == first["version"]
    assert [v["gate"] for v in second["verdicts"]] == [v["gate"] for v in first["verdicts"]]
    assert "not_applicable" not in {v["outcome"] for v in second["verdicts"]}
    refused = any(v["outcome"] in ("failed", "too_few") for v in second["verdicts"])
    assert second["promoted"] is not refused


def test_no_process_had_to_be_restarted(ran: Ran) -> None:
    assert ran.summary["restarts"] == 0


@pytest.mark.prove
def test_a_second_demo_changes_nothing(ran: Ran) -> None:
    before = _versions(ran.settings)
    again = _demo(ran.settings.root)
    after = _versions(ran.settings)
    # Blocks that the later training described are profiled and judged by the first run that then sees them.
    for table in ("gold.profiles.flight_delays", "gold.monitoring.flight_delays"):
        assert after.pop(table) - before.pop(table) in (0, 1)
    assert after == before
    unchanged = ("tables", "quarantine", "models", "champion", "predictions", "weeks")
    assert {name: again[name] for name in unchanged} == {
        name: ran.summary[name] for name in unchanged
    }


@pytest.mark.needs_chromium
def test_the_pages_show_the_dags_and_the_approval(ran: Ran, tmp_path: Path) -> None:
    folder = Path(os.environ.get("HEADFRAME_SCREENSHOTS", tmp_path))
    known = ports.read(ran.settings.root)
    assert known is not None
    password = airflow_home.passwords(ran.settings)["approver"]
    with chromium(tmp_path / "profile") as page:
        log_in(page, known.airflow_address, "approver", password)
        page.open(f"{known.airflow_address}/dags?tags=flight_delays")
        page.wait_for_text("flight_delays__train")
        page.screenshot(folder / "dags.png")
        page.open(f"{known.airflow_address}/required_actions?response_received=true")
        page.wait_for_text("flight_delays__train")
        page.screenshot(folder / "actions.png")


def example_key() -> tuple[str, ...]:
    return ("flight_date", *example.KEY)


def _count(ran: Ran, condition: str) -> int:
    found = ran.flights.sql(f"select count(*) from truth where {condition}").fetchall()
    return int(found[0][0])


def _versions(settings: Settings) -> dict[str, int]:
    return {name: delta_tables.version(path) for name, path in lake.table_paths(settings).items()}


def _demo(home: Path) -> dict[str, Any]:
    ended = _headframe(home, "demo", "--weeks", "1", "--json")
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]
    summary: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return summary


def _headframe(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(HEADFRAME), *arguments],
        cwd=ROOT,
        env={**os.environ, "HEADFRAME_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
