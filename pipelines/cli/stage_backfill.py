"""Backfills by hand: a stage run as of each of its times in a range, in order, what is done left out."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pipelines.adapters.settings import Settings
from pipelines.errors import NotEnoughData, Problem, SettingsError
from pipelines.use_case import TrainedUseCase, UseCase

BackfilledStage = Literal["train", "monitor"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Backfill:
    """The times (UTC) that a stage is run as of, in order; ``skipped`` earlier ones were done."""

    stage: BackfilledStage
    times: tuple[datetime, ...]
    skipped: int = 0

    def describe(self) -> str:
        """Return one line for the terminal."""
        if not self.times:
            return f"nothing to do: {self.skipped} times were done, and none is left"
        done = f"; {self.skipped} before them were done" if self.skipped else ""
        first, last = self.times[0], self.times[-1]
        return f"{len(self.times)} times, {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC{done}"


def planned(
    stage: BackfilledStage,
    use_case: UseCase,
    settings: Settings,
    *,
    since: datetime,
    until: datetime,
) -> Backfill:
    """Return the times in [since, until) at which a live platform would have run the stage.

    Those of train are the declared schedule's; a training that was made is found again by its own
    key, so none is left out. Those of monitor are the scoring times, each of which closes the block
    before it. Monitor is never run as of a time before its last: that one has judged every block
    with more than was known then, and running it would take that back. Raises SettingsError
    without a schedule, or for a range that holds no time.
    """
    if stage == "train":
        from pipelines.domain.schedule_times import schedule_times

        schedule = use_case.retraining.schedule
        if schedule is None:
            raise _wrong(
                use_case, "a retraining schedule", "none", "Train with --as-of, a time each."
            )
        times = schedule_times(schedule, since, until)
    else:
        times = TrainedUseCase.of(use_case).scoring.times.between(since, until)
    if not times:
        found = f"none from {since.isoformat()} until {until.isoformat()}"
        raise _wrong(use_case, f"a time at which {stage} runs", found, "Widen the range.")
    if stage == "train":
        return Backfill(stage=stage, times=tuple(times))
    from pipelines.stages.monitor import monitored_until

    last = monitored_until(use_case, settings)
    left = tuple(time for time in times if last is None or time > last)
    return Backfill(stage=stage, times=left, skipped=len(times) - len(left))


def each(
    backfill: Backfill, run: Callable[[datetime], str], *, told: Callable[[str], object]
) -> tuple[str, ...]:
    """Run the stage as of each time and tell what it said; return those for which data was too few.

    Any other error stops it: run again, it goes on there.
    """
    refused = []
    for place, time in enumerate(backfill.times, start=1):
        when = f"{place}/{len(backfill.times)}, as of {time:%Y-%m-%d %H:%M} UTC"
        try:
            told(f"{when}: {run(time)}")
        except NotEnoughData as error:
            refused.append(f"{time:%Y-%m-%d %H:%M} UTC")
            told(f"{when}: {error}")
    return tuple(refused)


def _wrong(use_case: UseCase, expected: str, found: str, fix: str) -> SettingsError:
    where = f"headframe run, --from and --until of {use_case.name}"
    return SettingsError(Problem(where=where, expected=expected, found=found, fix=fix))
