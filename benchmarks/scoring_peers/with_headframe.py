"""Headframe: the score stage itself, on a real home, from the plan to the commit."""

import sys
from datetime import timedelta
from pathlib import Path

from benchmarks.ingest_peers.task import answer
from benchmarks.scoring_home import NAME, settings_in, version_of
from benchmarks.scoring_peers.task import asked
from pipelines.adapters import lake
from pipelines.stages.score import score
from pipelines.use_case import load


def main() -> None:
    """Score the one scoring time that has so many rows, with the model of so many trees."""
    task = asked()
    settings, moment = settings_in(Path(task.source)), task.scored.scored_for
    use_case = load(settings.dags / f"{NAME}.py")
    scored = score(
        use_case,
        settings,
        since=moment,
        until=moment + timedelta(seconds=1),
        run="benchmark",
        model_version=version_of(task.trees),
    )
    # A DAG file is loaded by its path: as a module nobody else could import it.
    sys.modules.pop(use_case.features.function.__module__)
    answer(task, table=str(lake.predictions(settings, NAME)), said=scored.to_plain())


if __name__ == "__main__":
    main()
