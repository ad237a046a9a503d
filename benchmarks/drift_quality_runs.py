"""Runs: every monitor on one quiet order of days, and on the same days with each injection."""

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Literal

from threadpoolctl import threadpool_limits

from benchmarks.drift_quality_data import FLIGHT_KINDS, LEAD, QUARTER, Kind, Order, Split
from benchmarks.drift_quality_injections import Injection
from benchmarks.drift_quality_joint import Reconstruction
from benchmarks.drift_quality_ours import Judged, Ours
from benchmarks.drift_quality_peers import Measured, peers, performance
from benchmarks.drift_quality_readings import Readings
from benchmarks.drift_quality_worlds import World, injections_of, world_of

Part = Literal["calibration", "quiet", "power"]
QUIET_BEFORE = 8
"""Quiet checks before an injection begins."""
AFTER = 21
"""Checks on injected days; a delay beyond them is infinite."""
ONSET = LEAD + QUIET_BEFORE
RECONSTRUCTION = "NannyML reconstruction, day"
REALISED = "NannyML realised performance, day"
LOG_LOSS = "log loss, 3 sd, day"
REALISED_METRICS = ("roc_auc", "accuracy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One order of days to run: quiet for calibration or for figures, or with injections."""

    kind: Kind
    split: Split
    seed: int
    part: Part


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the monitors said on one order, by injection (None: quiet) and monitor.

    Of a quiet part there are QUARTER checks; of an injected one the AFTER checks from its onset,
    and None is then the same days without an injection. Ours is not run for calibration.
    """

    task: Task
    readings: Mapping[str | None, Mapping[str, Readings]]
    ours: Mapping[str | None, tuple[Judged, ...]]


def run(task: Task) -> Told:
    """Run the monitors on one order, on one thread: matrices this small only wait for others."""
    with threadpool_limits(1):
        return _run(task)


def _run(task: Task) -> Told:
    power = task.part == "power"
    days = ONSET + AFTER if power else LEAD + QUARTER
    world, order = world_of(task.kind, task.split, task.seed, days=days, inject=power)
    onset = ONSET if power else None
    injections: list[Injection | None] = [None, *(injections_of(task.kind) if power else ())]
    read = _Reader(world, order, onset)
    ours = None if task.part == "calibration" else Ours(world, order, onset=onset)
    return Told(
        task=task,
        readings={
            each.name if each else None: {
                name: _after(found) if power else found for name, found in read(each).items()
            }
            for each in injections
        },
        ours={
            each.name if each else None: ours.judged(each)[QUIET_BEFORE if power else 0 :]
            for each in injections
        }
        if ours
        else {},
    )


def run_all(tasks: Iterable[Task], *, workers: int) -> Iterator[Told]:
    """Run tasks on so many processes and yield what they say, in the order of the tasks."""
    tasks = list(tasks)
    for kind in {task.kind for task in tasks} & set(FLIGHT_KINDS):
        # What all orders share is made once, before the processes are forked.
        for inject in {task.part == "power" for task in tasks if task.kind == kind}:
            first = next(task for task in tasks if task.kind == kind)
            with threadpool_limits(1):
                world, _ = world_of(kind, first.split, first.seed, days=QUARTER, inject=inject)
                _ = world.counts, world.daily
    if workers == 1:
        yield from map(run, tasks)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("fork")) as pool:
        yield from pool.map(run, tasks)


class _Reader:
    """Reads all peers on one order."""

    def __init__(self, world: World, order: Order, onset: int | None) -> None:
        self._world, self._order, self._onset = world, order, onset
        self._measured = Measured(world.counts, order, onset=onset)
        self._reconstruction = Reconstruction(world.quiet, order)
        self._peers = peers(len(world.quiet.columns))

    def __call__(self, injection: Injection | None) -> dict[str, Readings]:
        name = injection.name if injection else None
        injected = self._world.injected[injection.name] if injection else None
        of_features = None if injection and injection.of_labels else name
        found = {peer.name: self._measured.readings(peer, of_features) for peer in self._peers}
        found[RECONSTRUCTION] = self._reconstruction.readings(
            None if injection and injection.of_labels else injected, onset=self._onset
        )
        for label, metrics in ((REALISED, REALISED_METRICS), (LOG_LOSS, ("log loss",))):
            quiet, changed = self._world.daily[None], self._world.daily[name]
            found[label] = performance(
                {metric: quiet[metric] for metric in metrics},
                self._order,
                {metric: changed[metric] for metric in metrics} if injection else None,
                onset=self._onset,
            )
        return found


def _after(readings: Readings) -> Readings:
    """Return the readings from the onset on."""
    return Readings(
        columns=readings.columns,
        values=readings.values[QUIET_BEFORE:],
        limit=readings.limit,
    )
