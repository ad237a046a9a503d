"""Home: a lake with half a year of real flights, and what every system is asked for."""

import json
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipelines.adapters.settings import Settings
    from pipelines.use_case import TrainedUseCase

FIRST, UNTIL = date(2013, 1, 1), date(2013, 7, 2)
SCORING_TIMES = 180
FILES = "silver.json"
DECLARED = Path(__file__).parent.parent / "dags" / "flight_delays.py"


@dataclass(slots=True, kw_only=True)
class Spent:
    """CPU and wall seconds of what was counted."""

    cpu_s: float = 0.0
    wall_s: float = 0.0

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count what happens inside; importing, opening and checking happen outside."""
        cpu_s, wall_s = time.process_time(), time.perf_counter()
        yield
        self.cpu_s += time.process_time() - cpu_s
        self.wall_s += time.perf_counter() - wall_s


@dataclass(slots=True, kw_only=True)
class Work(Spent):
    """What a process is asked to do, and what its part that counts cost."""

    home: Path
    answer: Path
    said: dict[str, object] = field(default_factory=dict)

    def tell(self, **said: object) -> None:
        """Write the answer."""
        told = {**said, "cpu_s": self.cpu_s, "wall_s": self.wall_s}
        self.answer.write_text(json.dumps(told))


def work() -> Work:
    """Return what this process was started for."""
    return Work(home=Path(sys.argv[1]), answer=Path(sys.argv[2]))


def settings_in(home: Path) -> "Settings":
    """Return the settings of a home."""
    from pipelines.adapters.settings import Settings

    return Settings(home=home / "home", expectations=home / "none")


def declared() -> "TrainedUseCase":
    """Return the parts of the flight use case."""
    from pipelines.use_case import TrainedUseCase, load

    return TrainedUseCase.of(load(DECLARED))


def blocks(parts: "TrainedUseCase") -> list[tuple[datetime, datetime]]:
    """Return the scoring times, each with its end."""
    found = parts.scoring.times.blocks(
        datetime(2013, 1, 1, tzinfo=UTC), datetime(2013, 7, 1, tzinfo=UTC)
    )
    return found[:SCORING_TIMES]


def silver_files(home: Path, table: str) -> list[str]:
    """Return the Parquet files of a silver table, which nothing has replaced."""
    found: list[str] = json.loads((home / FILES).read_text())[table]
    return found


def main() -> None:
    """Deliver and ingest half a year into the home named by the first argument."""
    from deltalake import DeltaTable

    from examples import flight_delays
    from pipelines.adapters import lake
    from pipelines.adapters.stores.object_store import local
    from pipelines.stages.ingest import ingest
    from pipelines.use_case import load

    home = Path(sys.argv[1])
    settings = settings_in(home)
    shutil.rmtree(settings.home, ignore_errors=True)
    flight_delays.deliver(local(settings.landing), first_day=FIRST, until=UNTIL)
    use_case = load(DECLARED)
    ingest(use_case, settings, as_of=datetime(2013, 7, 3, tzinfo=UTC), run="bench")
    files = {
        table.name: sorted(
            DeltaTable(str(lake.silver(settings, use_case.name, table.name))).file_uris()
        )
        for table in use_case.tables
    }
    (home / FILES).write_text(json.dumps(files))


if __name__ == "__main__":
    main()
