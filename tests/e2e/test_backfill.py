"""Airflow's own backfill, on PostgreSQL: its runs of ingest and score make what live runs do."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.platform import airflow_api, airflow_home, ports, processes
from pipelines.adapters.settings import Settings
from pipelines.adapters.stores.object_store import Folder
from pipelines.stages.evaluate import evaluate
from pipelines.stages.ingest import ingest
from pipelines.stages.promote import promote
from pipelines.stages.score import score
from pipelines.stages.train import train
from pipelines.use_case import load
from tests import machines, postgres
from tests.machines import Variant, at

pytestmark = [pytest.mark.prove, pytest.mark.platform, pytest.mark.needs_postgres]

DAYS = (51, 52, 53)
"""Days that are lived in one home and filled in by Airflow in the other."""

CHAMPIONS = {51: "1", 52: "2", 53: "2"}
"""Version that is champion at each of them."""

BIN = Path(sys.executable).parent
RUN_SECONDS = 300.0

DAILY = """
from dataclasses import replace
machines = replace(machines, ingest_schedule="0 3 * * *")
build_dags(machines)
"""
"""Ingest once a day, before scoring at 04:00 UTC: the usual poll would make 96 runs a day."""


@dataclass(frozen=True)
class Site:
    """A running home whose last days are missing, and one that lived through them."""

    filled: Settings
    lived: Settings
    environment: dict[str, str]

    def backfill(self, dag_id: str) -> subprocess.CompletedProcess[str]:
        days = (
            "--from-date",
            at(DAYS[0], 0).isoformat(),
            "--to-date",
            at(DAYS[-1], 23).isoformat(),
        )
        return subprocess.run(
            [BIN / "airflow", "backfill", "create", "--dag-id", dag_id, *days],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    filled = _prepared(machines.build_template(tmp_path_factory.mktemp("filled")))
    lived = machines.copy_template(filled.home.parent, tmp_path_factory.mktemp("lived") / "home")
    machines.deliver(filled, first=machines.DAYS, until=DAYS[-1] + 1)
    _live(lived)
    with postgres.serving() as database:
        variables = {
            "HEADFRAME_HOME": str(filled.home),
            "HEADFRAME_DAGS": str(filled.dags),
            "HEADFRAME_EXPECTATIONS": str(filled.expectations),
            "HEADFRAME_DATABASE": database.url,
        }
        kept = {name: text for name, text in os.environ.items() if "HEADFRAME" not in name}
        try:
            up = subprocess.run(
                [BIN / "headframe", "up"],
                env=kept | variables,
                capture_output=True,
                text=True,
                check=False,
            )
            assert up.returncode == 0, up.stderr
            settings = filled.model_copy(update={"database": database.url})
            known = ports.read(settings.root)
            assert known is not None
            environment = airflow_home.environment(settings, known)
            yield Site(filled, lived, environment | {"HEADFRAME_DATABASE": database.url})
        finally:
            processes.stop(filled.root)


def _prepared(folder: Path) -> Settings:
    """Return a home whose champion was promoted before the days that are missing, and the next amid."""
    settings = machines.settings_in(folder)
    path = settings.dags / "machines.py"
    for version, variant, promoted in (("1", machines.WEAK, at(50)), ("2", Variant(), at(52, 0))):
        machines.declare(settings, variant)
        text = path.read_text("utf-8")
        path.write_text(text.replace("build_dags(machines)\n", DAILY), "utf-8")
        use_case = load(path)
        train(use_case, settings, as_of=at(50), run="test", requester="sam")
        evaluate(use_case, settings, version=version)
        promote(use_case, settings, version=version, as_of=promoted)
    return settings


def _live(settings: Settings) -> None:
    """Do what the DAGs do each day at the times they are scheduled for."""
    use_case = load(settings.dags / "machines.py")
    machines.deliver(settings, first=machines.DAYS, until=DAYS[0])
    for day in DAYS:
        machines.deliver(settings, first=day, until=day + 1)
        ingest(use_case, settings, as_of=at(day, 3), run=f"ingest {day}")
        since, until, version = at(day, 4), at(day, 5), CHAMPIONS[day]
        run = f"score {day}"
        score(use_case, settings, since=since, until=until, run=run, model_version=version)
    # Whoever unpauses a DAG has its last scheduled run made, too: it takes in what came after.
    ingest(use_case, settings, as_of=at(400), run="today")


def _said(table: Folder) -> list[str]:
    """Return what a table says, sorted, without who wrote it; floats as their bits."""
    rows: list[dict[str, Any]] = delta_tables.read(table).to_pylist()
    assert rows
    return sorted(
        repr({n: v.hex() if isinstance(v, float) else v for n, v in row.items() if n != "run"})
        for row in rows
    )


def _runs(api: airflow_api.AirflowApi, dag_id: str) -> list[dict[str, Any]]:
    return [
        run
        for run in api._pages(f"/api/v2/dags/{dag_id}/dagRuns", "dag_runs")
        if run["run_type"] == "backfill"
    ]


def _filled_in(site: Site, dag_id: str) -> list[dict[str, Any]]:
    """Let Airflow fill a DAG's days in; return the runs once all have ended."""
    with airflow_api.connect(site.filled) as api:
        deadline = time.monotonic() + RUN_SECONDS
        while dag_id not in {dag.dag_id for dag in api.dags()}:
            assert time.monotonic() < deadline
            time.sleep(0.5)
        created = site.backfill(dag_id)
        assert created.returncode == 0, created.stdout + created.stderr
        api.unpause(dag_id)
        while True:
            runs = _runs(api, dag_id)
            if runs and all(run["state"] in {"success", "failed"} for run in runs):
                return runs
            assert time.monotonic() < deadline, runs
            time.sleep(0.5)


def test_ingest_and_score_filled_in_by_airflow_leave_what_live_runs_leave(site: Site) -> None:
    for purpose, hour in (("ingest", 3), ("score", 4)):
        runs = _filled_in(site, f"machines__{purpose}")
        assert [run["state"] for run in runs] == ["success"] * len(DAYS)
        dates = sorted(run["logical_date"] for run in runs)
        wanted = [at(day, hour).strftime("%Y-%m-%dT%H:%M:%S") for day in DAYS]
        assert [date[:19] for date in dates] == wanted
    for table in ("plan", "outcome"):
        name = machines.NAME
        assert _said(lake.silver(site.filled, name, table)) == _said(
            lake.silver(site.lived, name, table)
        )
    found, wanted = (
        _said(lake.predictions(settings, machines.NAME)) for settings in (site.filled, site.lived)
    )
    assert len(found) == len(DAYS) * machines.MACHINES
    assert found == wanted
    rows = delta_tables.read(lake.predictions(site.filled, machines.NAME)).to_pylist()
    told = {(row["scored_for"], row["model_version"]) for row in rows}
    assert told == {(at(day, 4), version) for day, version in CHAMPIONS.items()}


def test_what_starts_on_news_alone_cannot_be_filled_in_by_airflow(site: Site) -> None:
    for purpose in ("monitor", "train"):
        refused = site.backfill(f"machines__{purpose}")
        assert refused.returncode != 0
        assert "non-periodic schedule" in refused.stdout + refused.stderr
