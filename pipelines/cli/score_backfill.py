"""Backfills of score: every time in a range as a live run would have scored it, or refused to."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from pipelines.cli import stage_work
from pipelines.cli.measured_runs import Done
from pipelines.cli.stage_work import Run
from pipelines.errors import WINDOW_REFUSALS, HeadframeError, NotEnoughData, Problem
from pipelines.stages.reigns import Stretch, stretches


@dataclass(slots=True, kw_only=True)
class _Filled:
    """What has been done so far: what it says, the predictions that stand, and what was refused."""

    lines: list[str] = field(default_factory=list)
    rows: int = 0
    refused: list[tuple[datetime, HeadframeError]] = field(default_factory=list)

    def add(self, done: Done, stretch: Stretch) -> None:
        self.lines.append(f"{done.text}{stretch.describe()}")
        self.rows += done.rows or 0


def fill_in(run: Run, since: datetime, until: datetime, *, told: Callable[[str], object]) -> Done:
    """Score each time in [since, until) with the champion of that time.

    A window that is refused, because its data is stale or its predictions break a promise, keeps
    none of the others from being scored; then what was done is ``told``, and NotEnoughData is
    raised. The refusal of a range of one time is raised as it is.
    """
    filled, found = _Filled(), stretches(run.use_case, run.settings, since=since, until=until)
    for stretch in found:
        _score(replace(run, version=stretch.version), stretch, filled)
    times = sum(len(stretch.times) for stretch in found)
    if not filled.refused:
        return Done(text="\n".join(filled.lines), rows=filled.rows)
    first, error = filled.refused[0]
    if times == 1:
        raise error
    for line in (*filled.lines, *(str(refusal) for _, refusal in filled.refused)):
        told(line)
    raise NotEnoughData(
        Problem(
            where=f"headframe run score {run.use_case.name}",
            expected="a range whose every window may be scored",
            found=f"{len(filled.refused)} of {times} refused, the first {first.isoformat()}",
            fix="The others are done. What each lacks is said above: mend it, and run the range again.",
        )
    ) from error


def _score(run: Run, stretch: Stretch, filled: _Filled) -> None:
    """Score a stretch at once; where a window of it is refused, one after another."""
    try:
        filled.add(stage_work.score(run, stretch.since, stretch.until), stretch)
    except WINDOW_REFUSALS as error:
        if len(stretch.times) == 1:
            filled.refused.append((stretch.since, error))
            return
        for time in stretch.times:
            alone = replace(stretch, times=(time,), until=time + timedelta(minutes=1))
            _score(run, alone, filled)
