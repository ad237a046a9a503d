"""Backfills by hand: a stage run as of each of its times in a range, in order, what is done left out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pipelines.adapters.settings import Settings
from pipelines.errors import NotEnoughData, Problem, SettingsError
from pipelines.use_case import TrainedUseCase, UseCase

BackfilledStage = Literal["train", "monitor"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Backfill:
    """The times (UTC) that a stage is run as of, in order.

    ``skipped`` earlier ones are not after ``last``, the last time that it was run as of; ``ahead`` later
    ones have not come yet.
    """

    stage: BackfilledStage
    times: tuple[datetime, ...]
    skipped: int = 0
    last: datetime | None = None
    ahead: int = 0

    def describe(self) -> str:
        """Return one line for the terminal."""
        told = [_range(self.times) if self.times else "nothing to do"]
        if self.skipped and self.last is not None:
            told.append(
                f"{self.skipped} not after the last, as of {_told(self.last)}, are left out"
            )
        if self.ahead:
            told.append(f"{self.ahead} have not come yet")
        return "; ".join(told)


def planned(
    stage: BackfilledStage,
    use_case: UseCase,
    settings: Settings,
    *,
    since: datetime,
    until: datetime,
    now: datetime,
) -> Backfill:
    """Return the times in [since, until) at which a live platform would have run the stage by ``now``.

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
        asked = schedule_times(schedule, since, until)
    else:
        asked = TrainedUseCase.of(use_case).scoring.times.between(since, until)
    times = tuple(time for time in asked if time <= now)
    if not times:
        expected = f"a time at which {stage} runs{', that has come' if asked else ''}"
        raise no_time(use_case, expected, since, until)
    ahead = len(asked) - len(times)
    if stage == "train":
        return Backfill(stage=stage, times=times, ahead=ahead)
    from pipelines.stages.monitor import monitored_until

    last = monitored_until(use_case, settings)
    left = tuple(time for time in times if last is None or time > last)
    skipped = len(times) - len(left)
    return Backfill(stage=stage, times=left, skipped=skipped, last=last, ahead=ahead)


def each(
    backfill: Backfill, run: Callable[[datetime], str], *, told: Callable[[str], object]
) -> tuple[str, ...]:
    """Run the stage as of each time and tell what it said; return those for which data was too few.

    Any other error stops it: run again, it goes on there.
    """
    refused = []
    for place, time in enumerate(backfill.times, start=1):
        when = f"{place}/{len(backfill.times)}, as of {_told(time)}"
        try:
            told(f"{when}: {run(time)}")
        except NotEnoughData as error:
            refused.append(_told(time))
            told(f"{when}: {error}")
    return tuple(refused)


def no_time(use_case: UseCase, expected: str, since: datetime, until: datetime) -> SettingsError:
    """Return the error of a range that holds no time at which anything is to be done."""
    found = f"none from {since.isoformat()} until {until.isoformat()}"
    return _wrong(use_case, expected, found, "Widen the range.")


def where(use_case: UseCase) -> str:
    """Name the options that give a range, as an error's place."""
    return f"headframe run, --from and --until of {use_case.name}"


def _range(times: Sequence[datetime]) -> str:
    return f"{len(times)} times, {times[0]:%Y-%m-%d %H:%M} to {_told(times[-1])}"


def _told(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M} UTC"


def _wrong(use_case: UseCase, expected: str, found: str, fix: str) -> SettingsError:
    return SettingsError(Problem(where=where(use_case), expected=expected, found=found, fix=fix))
