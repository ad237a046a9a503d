"""Stage work: what `headframe run` does for each stage, and what it then says."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pipelines.adapters.databases.connections import resolver
from pipelines.adapters.settings import Settings
from pipelines.cli.hand_training import train_by_hand
from pipelines.cli.measured_runs import Done
from pipelines.cli.terminal import console
from pipelines.domain.training import Asked
from pipelines.errors import Problem, SettingsError
from pipelines.use_case import TrainedUseCase, UseCase

if TYPE_CHECKING:
    from pipelines.domain.scoring import Scored


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What the options ask for; ``filled_in`` is one of the times of a range."""

    use_case: UseCase
    settings: Settings
    as_of: datetime
    version: str
    asked: Asked
    filled_in: bool = False

    @property
    def id(self) -> str:
        """Name of the run in what the stage writes: the same time again is the same run."""
        return f"cli__{self.as_of.isoformat()}"

    def candidate(self) -> str:
        """Return the version asked for. Raises SettingsError without one."""
        if not self.version:
            raise SettingsError(
                Problem(
                    where="headframe run",
                    expected="--version, the candidate to look at",
                    found="none",
                    fix="`headframe run train` prints the version it made.",
                )
            )
        return self.version


def _ingest(run: Run) -> Done:
    from pipelines.stages.ingest import describe, ingest, refusals

    results = ingest(run.use_case, run.settings, as_of=run.as_of, run=run.id)
    if (refused := refusals(results)) is not None:
        console.print(describe(results), markup=False, highlight=False)
        raise refused
    return Done(text=describe(results), rows=sum(result.law.landed for result in results))


def _train(run: Run) -> Done:
    if run.asked.dry_run:
        from pipelines.stages.train import plan

        planned = plan(run.use_case, run.settings, as_of=run.as_of, asked=run.asked)
        return Done(text=f"would learn from {planned.says}")
    trained = train_by_hand(
        run.use_case,
        run.settings,
        as_of=run.as_of,
        run=run.id,
        asked=run.asked,
        told=lambda line: console.print(line, markup=False, highlight=False),
        warned=lambda line: console.print(line, style="yellow", markup=False, highlight=False),
    )
    return Done(text=trained.describe(), rows=trained.rows)


def _evaluate(run: Run) -> Done:
    from pipelines.stages.card import card
    from pipelines.stages.evaluate import evaluate
    from pipelines.stages.evidence import evidence

    judged = evaluate(run.use_case, run.settings, version=run.candidate())
    paged = evidence(run.use_case, run.settings, version=judged.version, attach=True)
    card(run.use_case, run.settings, version=judged.version, attach=True)
    return Done(text=f"{judged.describe()}\npage: {paged.page}", is_no=not judged.promotable)


def _promote(run: Run) -> Done:
    from pipelines.stages.card import card
    from pipelines.stages.promote import promote

    version = run.candidate()
    promoted = promote(
        run.use_case, run.settings, version=version, as_of=run.as_of, now=datetime.now(UTC)
    )
    card(run.use_case, run.settings, version=version, attach=True)
    return Done(text=promoted.describe())


def score(run: Run, since: datetime, until: datetime) -> Done:
    """Score with the version that the options name, else with the champion of today."""
    from pipelines.stages.score import score as stage

    run_id = f"cli__{since.isoformat()}"
    version = run.version or None
    scored = stage(
        run.use_case, run.settings, since=since, until=until, run=run_id, model_version=version
    )
    return Done(text=f"{scored.describe()}{_shadowed(run, scored, run_id)}", rows=scored.rows)


def _shadowed(run: Run, scored: "Scored", run_id: str) -> str:
    """Let the shadow score what the champion on probation did; return a line, if there was any."""
    from pipelines.stages.shadow import asked, shadow

    windows = asked(run.use_case, run.settings, scored)
    found = shadow(run.use_case, run.settings, windows=windows, run=run_id)
    return f"\nshadow, {found.describe()}" if found else ""


def late(run: Run, stage: str) -> Done:
    """Score what is late at the run's as_of, and nothing else; give it to its consumers."""
    from pipelines.stages.late import describe, late_windows
    from pipelines.stages.score import score

    if stage != "score":
        raise SettingsError(
            Problem(
                where="headframe run, --late",
                expected="stage score",
                found=f"stage {stage}",
                fix=f"Run `headframe run score {run.use_case.name} --late`.",
            )
        )
    found = late_windows(run.use_case, run.settings, as_of=run.as_of)
    if not found:
        return Done(text="nothing is late")
    console.print(describe(found), markup=False, highlight=False)
    at, run_id = run.as_of, f"cli__late__{run.as_of.isoformat()}"
    scored = score(run.use_case, run.settings, since=at, until=at, run=run_id, late=found)
    if not TrainedUseCase.of(run.use_case).scoring.outputs:
        text = f"{scored.describe()}{_shadowed(run, scored, run_id)}"
        return Done(text=text, rows=scored.rows)
    # Told before, since an output that cannot be delivered takes nothing of it back.
    console.print(scored.describe(), markup=False, highlight=False)
    times = [window.scored_for for window in scored.windows]
    # Consumers first: whatever is wrong with the shadow keeps nothing from them.
    delivered = _delivered(run, times, run_id)
    text = f"delivered {delivered.text}{_shadowed(run, scored, run_id)}"
    return Done(text=text, rows=scored.rows)


def _deliver(run: Run, since: datetime, until: datetime) -> Done:
    times = TrainedUseCase.of(run.use_case).scoring.times.between(since, until)
    return _delivered(run, times, f"cli__{since.isoformat()}")


def _delivered(run: Run, times: Sequence[datetime], run_id: str) -> Done:
    from pipelines.stages.deliver import deliver

    given = deliver(
        run.use_case, run.settings, scored_for=times, run=run_id, connections=resolver()
    )
    return Done(text=given.describe(), rows=sum(output.rows for output in given.outputs))


def _monitor(run: Run) -> Done:
    from pipelines.stages.monitor import monitor

    found = monitor(
        run.use_case, run.settings, as_of=run.as_of, run=run.id, filled_in=run.filled_in
    )
    return Done(text=found.describe(), rows=sum(block.predictions for block in found.blocks))


def _probation(run: Run) -> Done:
    from pipelines.stages.probation import probation

    return Done(text=probation(run.use_case, run.settings, as_of=run.as_of).describe())


RUNS: dict[str, Callable[[Run], Done]] = {
    "ingest": _ingest,
    "train": _train,
    "evaluate": _evaluate,
    "promote": _promote,
    "monitor": _monitor,
    "probation": _probation,
}
"""Every stage that runs at one moment."""

WINDOWED: dict[str, Callable[[Run, datetime, datetime], Done]] = {
    "score": score,
    "deliver": _deliver,
}
"""Every stage that runs over scoring times [since, until)."""
