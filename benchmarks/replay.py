"""Replay: a year of flights, scored and monitored weekly with monthly retraining, beside the bare fits.

The whole loop, from landed files on and with a search at each training, has no goal and is told after it.
"""

import argparse
import sys
import tempfile
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import Progress

from benchmarks.features_home import DECLARED, Spent, settings_in
from benchmarks.report import Goal, leave, load_at_start
from benchmarks.retraining_year_rows import Year, delivered_in, fitted, ingested, losses, year_in
from pipelines.domain.replay_steps import periods, steps

if TYPE_CHECKING:
    from pipelines.domain.replay_result import ReplayResult
    from pipelines.use_case import UseCase

NAME = "replay"
SINCE = datetime(2013, 4, 1, 4, tzinfo=UTC)
"""The first champion needs three months to learn from and to be judged on."""
UNTIL = datetime(2013, 12, 30, 5, tzinfo=UTC)

SECONDS, RATIO = 90.0, 1.5
"""Goals: wall seconds on two cores, and CPU seconds against those of the fits and predictions alone."""

TRIALS = 20
"""Of each search, as a use case has them that declares no number."""


@dataclass(slots=True, kw_only=True)
class Part(Spent):
    """A part of the work and what it cost, in all and by stage."""

    part: str
    stages: dict[str, float] = field(default_factory=dict)


def main() -> int:
    """Replay the ingested year, do its fits and predictions alone, and the whole loop; 1 for no result."""
    asked = argparse.ArgumentParser(prog=f"python -m benchmarks.{NAME}", description=__doc__)
    asked.add_argument("--fixed", action="store_true", help="leave out the loop from landed files")
    fixed = asked.parse_args().fixed
    console = Console(soft_wrap=True, width=160)
    notes = [load_at_start()]
    with tempfile.TemporaryDirectory(prefix="headframe-bench-") as name:
        home = Path(name) / "ingested"
        console.print("Ingesting and describing a year of flights ...")
        year = year_in(home)
        console.print("Replaying it ...")
        whole = Part(part="replay")
        with whole.counted():
            found = _replayed(home, _declared(), fixed=True)
        (policy,) = found.policies
        whole.stages = dict(policy.cpu_s)
        console.print("Fitting and predicting alone ...")
        bare = Part(part="fits and predictions alone")
        with bare.counted():
            _alone(year)
        searched = None
        if not fixed:
            console.print("Ingesting the year and replaying it, each training with a search ...")
            from_files, searched = _from_files(Path(name) / "landed")
    goals = [
        Goal(name="wall seconds of the replay", target=SECONDS, measured=whole.wall_s),
        Goal(name="CPU seconds against bare", target=RATIO, measured=whole.cpu_s / bare.cpu_s),
    ]
    parts = (whole, bare) if searched is None else (whole, bare, from_files)
    for one in parts:
        console.print(f"{one.part}: {one.cpu_s:.1f} CPU s, {one.wall_s:.1f} s", highlight=False)
        if one.stages:
            console.print("  " + ", ".join(f"{stage} {s:.1f}" for stage, s in one.stages.items()))
    for goal in goals:
        console.print(str(goal), highlight=False)
    notes.append(_told("replay", found))
    if searched is not None:
        notes.append(_told(from_files.part, searched))
    command = f"python -m benchmarks.{NAME} --fixed" if fixed else f"make bench NAME={NAME}"
    leave(NAME, command, [asdict(one) for one in parts], goals, notes=notes)
    told = [found] if searched is None else [found, searched]
    return 0 if all(one.policies[0].final for one in told) else 1


def _told(part: str, found: "ReplayResult") -> str:
    (policy,) = found.policies
    return (
        f"{part}: {len(policy.periods)} weeks, {len(policy.trainings)} trainings after the first, "
        f"{policy.promoted} promoted; ledger {found.ledger[:12]}"
    )


def _declared() -> "UseCase":
    from pipelines.use_case import load

    return load(DECLARED)


def _searching() -> "UseCase":
    """Return the use case with parameters to search for, judged on two folds of two weeks."""
    from pipelines.domain.search_space import IntUniform, LogUniform
    from pipelines.domain.training import Candidate
    from pipelines.domain.windows import ForwardTime
    from pipelines.use_case import TrainedUseCase

    use_case = _declared()
    training = TrainedUseCase.of(use_case).training
    build = training.candidates[0].build

    def varied(
        columns: Any,  # noqa: ANN401 - as a candidate's function has it
        seed: int,
        learning_rate: float = 0.04,
        max_leaf_nodes: int = 7,
    ) -> Any:  # noqa: ANN401
        model = build(columns, seed)
        model[-1].set_params(learning_rate=learning_rate, max_leaf_nodes=max_leaf_nodes)
        return model

    searched = replace(
        training,
        candidates=[
            Candidate(
                "hist_gradient_boosting",
                varied,
                {"learning_rate": LogUniform(0.02, 0.1), "max_leaf_nodes": IntUniform(4, 15)},
            )
        ],
        split=ForwardTime(test_days=training.split.test_days, validation_days=14, folds=2),
        trials=TRIALS,
    )
    return replace(use_case, training=searched)


def _from_files(home: Path) -> "tuple[Part, ReplayResult]":
    """Ingest landed files and replay them, with a search at each training; delivering does not count."""
    use_case, part = _searching(), Part(part=f"from landed files, {TRIALS} trials a training")
    taken_in = Spent()
    delivered_in(home)
    with part.counted():
        with taken_in.counted():
            ingested(home, use_case)
        found = _replayed(home, use_case, fixed=False)
    part.stages = {"ingest": taken_in.cpu_s, **found.policies[0].cpu_s}
    return part, found


def _replayed(home: Path, use_case: "UseCase", *, fixed: bool) -> "ReplayResult":
    from pipelines.adapters.replay_home import ReplayHome, asked_of
    from pipelines.cli.replay_run import replayed

    settings = settings_in(home)
    asked = asked_of(
        settings,
        use_case.name,
        use_case.digest(),
        since=SINCE,
        until=UNTIL,
        every="week",
        fixed=fixed,
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
