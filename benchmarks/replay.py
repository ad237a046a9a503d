"""Replay: a year of flights, scored and monitored weekly with monthly retraining, beside the bare fits."""

import argparse
import sys
import tempfile
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import Progress

from benchmarks.features_home import DECLARED, Spent, settings_in
from benchmarks.report import Goal, leave, load_at_start
from benchmarks.retraining_year_rows import Year, fitted, losses, year_in
from pipelines.domain.replay_steps import periods, steps

if TYPE_CHECKING:
    from pipelines.domain.replay_result import ReplayResult

NAME = "replay"
SINCE = datetime(2013, 4, 1, 4, tzinfo=UTC)
"""The first champion needs three months to learn from and to be judged on."""
UNTIL = datetime(2013, 12, 30, 5, tzinfo=UTC)

SECONDS, RATIO = 90.0, 1.5
"""Goals: wall seconds on two cores, and CPU seconds against those of the fits and predictions alone."""


@dataclass(slots=True, kw_only=True)
class Part(Spent):
    """A part of the work and what it cost, in all and by stage."""

    part: str
    stages: dict[str, float] = field(default_factory=dict)


def main() -> int:
    """Ingest and describe the year, replay it, and do its fits and predictions alone; 1 for no result."""
    argparse.ArgumentParser(prog=f"python -m benchmarks.{NAME}", description=__doc__).parse_args()
    console = Console(soft_wrap=True, width=160)
    with tempfile.TemporaryDirectory(prefix="headframe-bench-") as name:
        home = Path(name)
        console.print("Ingesting and describing a year of flights ...")
        year = year_in(home)
        console.print("Replaying it ...")
        whole = Part(part="replay")
        with whole.counted():
            found = _replayed(home)
        (policy,) = found.policies
        whole.stages = dict(policy.cpu_s)
        console.print("Fitting and predicting alone ...")
        bare = Part(part="fits and predictions alone")
        with bare.counted():
            _alone(year)
    goals = [
        Goal(name="wall seconds of the replay", target=SECONDS, measured=whole.wall_s),
        Goal(name="CPU seconds against bare", target=RATIO, measured=whole.cpu_s / bare.cpu_s),
    ]
    for one in (whole, bare):
        console.print(f"{one.part}: {one.cpu_s:.1f} CPU s, {one.wall_s:.1f} s", highlight=False)
    console.print(", ".join(f"{stage} {s:.1f}" for stage, s in whole.stages.items()))
    for goal in goals:
        console.print(str(goal), highlight=False)
    notes = [
        load_at_start(),
        f"{len(policy.periods)} weeks, {len(policy.trainings)} trainings after the first, "
        f"{policy.promoted} promoted; ledger {found.ledger[:12]}",
    ]
    leave(
        NAME, f"make bench NAME={NAME}", [asdict(one) for one in (whole, bare)], goals, notes=notes
    )
    return 0 if policy.final else 1


def _replayed(home: Path) -> "ReplayResult":
    from pipelines.adapters.replay_home import ReplayHome, asked_of
    from pipelines.cli.replay_run import replayed
    from pipelines.use_case import load

    use_case = load(DECLARED)
    settings = settings_in(home)
    asked = asked_of(
        settings,
        use_case.name,
        use_case.digest(),
        since=SINCE,
        until=UNTIL,
        every="week",
        fixed=True,
    )
    return replayed(use_case, ReplayHome(settings, asked), ["monthly"], Progress(disable=True))


def _alone(year: Year) -> None:
    """Fit every model that the replay trains, on the same rows, and predict what it scores."""
    spans = periods(SINCE, UNTIL, "week", year.parts.scoring.timezone)
    done = steps(spans, schedule="@monthly", settled_at=UNTIL, longest=UNTIL - SINCE)
    model: object = None
    for step in done:
        if step.kind in ("first", "train"):
            learned, held_out = year.split(
                step.at, year.parts.training.split, year.parts.training.window
            )
            model = fitted(year, learned)
            losses(year, model, held_out)
        elif step.kind == "score":
            losses(year, model, year.month(step.since, step.at))


if __name__ == "__main__":
    sys.exit(main())
