"""A missing feed in Airflow: the task stays green and says it, and one message goes out."""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from pipelines.adapters.platform import notifications
from pipelines.adapters.settings import Settings
from pipelines.adapters.stores.object_store import local
from tests.dags import airflow_runs
from tests.dags.conftest import use_home

DAG = """
from datetime import time

from pipelines.dag_factory import build_dags
from pipelines.use_case import Column, Files, Table, UseCase

meters = Table(
    name="meters", source=Files(pattern="meters/*.csv"), key=("meter",), arrives_by=time(20),
    columns=[Column("meter", "string"), Column("kwh", "double")],
)
readings = UseCase(name="readings", owner="energy", tables=[meters])
build_dags(readings)
"""
METERED = "meter,kwh\nm1,1.5\n"


@pytest.fixture
def settings(
    dags_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Settings]:
    file = dags_folder / "readings.py"
    file.write_text(DAG, "utf-8")
    yield use_home(tmp_path / "home", monkeypatch)
    file.unlink()


def land(settings: Settings, name: str, content: str) -> None:
    """Deliver a file on the evening of 1 March."""
    path = local(settings.landing) / "readings" / "meters" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, "utf-8")
    told = json.dumps({"delivered_at": "2026-03-01T20:00:00Z"})
    path.with_name(f"{path.name}.delivered.json").write_text(told, "utf-8")


def test_polls_tell_a_missing_feed_once_and_stay_green(settings: Settings) -> None:
    land(settings, "1.csv", METERED)
    first = datetime.fromisoformat("2026-03-03T01:00:00+00:00")
    for poll in range(6):
        as_of = (first + timedelta(minutes=30 * poll)).isoformat()
        ended = airflow_runs.run("readings__ingest", conf={"as_of": as_of})
        assert (ended.state, ended.tasks) == ("success", {"ingest": "success", "docs": "success"})
        missing = "MISSING 2026-03-02: expected by 20:00 UTC" in ended.returned["ingest"]["says"]
        assert missing == (poll > 2)  # grace ends at two
    (message,) = notifications.recent(settings, 10)
    assert message.title.startswith("WARN, incident 1: meters: MISSING 2026-03-02: expected by")
    assert "in landing/readings/meters/*.csv" in message.body
    assert "owner energy" in message.body


def test_a_failing_file_does_not_keep_a_missing_feed_from_being_told(settings: Settings) -> None:
    land(settings, "1.csv", METERED)
    land(settings, "broken.csv", "one,two\n1,2\n")
    ended = airflow_runs.run("readings__ingest", conf={"as_of": "2026-03-03T03:00:00+00:00"})
    assert ended.tasks == {"ingest": "failed", "docs": "success"}
    titles = [message.title for message in notifications.recent(settings, 10)]
    missing = "incident 1: meters: MISSING 2026-03-02"
    assert [title.partition(", ")[0] for title in titles if missing in title] == [
        "WARN",
        "PAGE now",
    ]
