"""A missing feed in Airflow: the task stays green and says it, and one message goes out."""

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from pipelines.adapters.platform import notifications
from pipelines.adapters.settings import Settings
from pipelines.adapters.stores.object_store import local
from tests.dags import airflow_runs

DAG = """
from datetime import time

from pipelines.dag_factory import build_dags
from pipelines.use_case import Column, Files, Table, UseCase

meters = Table(
    name="meters", source=Files(pattern="meters/*.csv"), key=("meter",), arrives_by=time(20),
    columns=[Column("meter", "string"), Column("kwh", "double")],
)
build_dags(UseCase(name="NAME", owner="energy", tables=[meters]))
"""
METERED = "meter,kwh\nm1,1.5\n"


@pytest.fixture
def declare(dags_folder: Path) -> Iterator[Callable[[str], None]]:
    """Return what writes a DAG file; each test has a name of its own.

    Airflow knows a table by name, and a table of another home by the same name is another one.
    """
    written: list[Path] = []

    def write(name: str) -> None:
        written.append(dags_folder / f"{name}.py")
        written[-1].write_text(DAG.replace("NAME", name), "utf-8")

    yield write
    for file in written:
        file.unlink()


def land(settings: Settings, use_case: str, name: str, content: str) -> None:
    """Deliver a file on the evening of 1 March."""
    path = local(settings.landing) / use_case / "meters" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, "utf-8")
    told = json.dumps({"delivered_at": "2026-03-01T20:00:00Z"})
    path.with_name(f"{path.name}.delivered.json").write_text(told, "utf-8")


def test_polls_tell_a_missing_feed_once_and_stay_green(
    settings: Settings, declare: Callable[[str], None]
) -> None:
    declare("readings")
    land(settings, "readings", "1.csv", METERED)
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


def test_a_failing_file_does_not_keep_a_missing_feed_from_being_told(
    settings: Settings, declare: Callable[[str], None]
) -> None:
    declare("metering")
    land(settings, "metering", "1.csv", METERED)
    land(settings, "metering", "broken.csv", "one,two\n1,2\n")
    ended = airflow_runs.run("metering__ingest", conf={"as_of": "2026-03-03T03:00:00+00:00"})
    assert ended.tasks == {"ingest": "failed", "docs": "success"}
    titles = [message.title for message in notifications.recent(settings, 10)]
    missing = "incident 1: meters: MISSING 2026-03-02"
    assert [title.partition(", ")[0] for title in titles if missing in title] == [
        "WARN",
        "PAGE now",
    ]
