"""Headframe: the ingest stage itself, on a home of its own, with a contract and without a suite."""

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.ingest_peers.flights import COLUMNS, KEY, NULLABLE
from benchmarks.ingest_peers.task import answer, asked
from pipelines.adapters import lake
from pipelines.adapters.settings import Settings
from pipelines.stages.ingest import ingest, refusals
from pipelines.use_case import Column, Files, Table, UseCase

NAME = "bench"
TABLE = "flights"
ALL_THAT_LANDED = datetime(2100, 1, 1, tzinfo=UTC)
MAXIMUM_BYTES = 2**36
"""The largest file of this benchmark has 7 GiB, more than a source takes unless it says so."""


def main() -> None:
    """Take in the one file that lies in the landing folder of the home ``target``."""
    task = asked()
    files = Files(
        pattern=f"{TABLE}/*.{task.format}",
        format=task.format.removesuffix(".gz"),  # type: ignore[arg-type] # one of the formats
        maximum_bytes=MAXIMUM_BYTES,
    )
    table = Table(
        name=TABLE,
        source=files,
        columns=[Column(name, kind, name in NULLABLE) for name, kind in COLUMNS.items()],
        key=(KEY,),
        event_time="time_hour",
        maximum_quarantined=0.2,
    )
    use_case = UseCase(name=NAME, owner="bench", tables=[table])
    home = Path(task.target)
    settings = Settings(home=home, dags=home / "dags", expectations=home / "expectations")
    (taken,) = results = ingest(use_case, settings, as_of=ALL_THAT_LANDED, run="benchmark")
    if refused := refusals(results):
        raise refused
    answer(
        task,
        table=str(lake.silver(settings, NAME, TABLE)),
        quarantine=str(lake.quarantine(settings, NAME, TABLE)),
        law=asdict(taken.law),
    )


if __name__ == "__main__":
    main()
