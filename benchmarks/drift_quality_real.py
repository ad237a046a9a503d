"""Real: Evidently and NannyML themselves, and whether our reading of their defaults is theirs."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.drift_peers.task import DriftTask
from benchmarks.drift_quality_bands import Estimate, per_quarter
from benchmarks.drift_quality_data import LEAD, REPORTED, SHUFFLED, Order
from benchmarks.drift_quality_joint import Reconstruction
from benchmarks.drift_quality_peers import DEVIATIONS, Measured, peers, performance
from benchmarks.drift_quality_readings import Readings
from benchmarks.drift_quality_rows import Rows
from benchmarks.drift_quality_runs import REALISED_METRICS
from benchmarks.drift_quality_worlds import World, world_of
from benchmarks.paired import run
from benchmarks.peer_environments import python_of

ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
"""More of them wait for each other on matrices this small."""
INJECTED_BLOCKS = 3
"""Blocks of each injection that the real packages judge, beside the quiet ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """A real package beside our reading of its defaults, on the same blocks.

    ``compared`` verdicts of one column on one block, of which ``differing`` were not the same;
    ``farthest`` is the greatest difference of a score where scores are told. ``alarms`` are the
    package's own per quarter, as shipped, where it judged whole quarters.
    """

    package: str
    checks: int
    compared: int
    differing: int
    farthest: float | None
    cpu_s: float
    alarms: dict[str, Estimate]

    def __str__(self) -> str:
        scores = "" if self.farthest is None else f", scores by at most {self.farthest:.1e}"
        alarms = "".join(f"; {name}: {told} a quarter" for name, told in self.alarms.items())
        return (
            f"{self.package} itself on {self.checks} blocks, {self.cpu_s:.0f} CPU s: of"
            f" {self.compared} verdicts {self.differing} differ from our reading{scores}"
            f"{alarms}"
        )


def evidently_agreement(folder: Path, seeds: Sequence[int], *, blocks: int) -> Agreement:
    """Let Evidently judge so many quiet blocks of each order, and as many injected ones.

    Blocks with a column of nothing but missing values are passed over: it ends with an error there.
    Raises PeerError without its environment, ChildError when it fails.
    """
    checks = compared = differing = 0
    farthest = cpu_s = 0.0
    for seed in seeds:
        world, order = _world(seed)
        injections: list[str | None] = [None] * blocks
        injections += [name for name in world.injected if world.counts.injected[name]][:blocks]
        places = _with_values(world, order)[: len(injections)]
        measured = Measured(world.counts, order, onset=0)
        one, half = (peer for peer in peers(1) if peer.base == "evidently" and peer.window == 1)
        said = _asked(folder, "evidently", world, order, injections, places=places)
        cpu_s += said["cpu_s"]
        for at, injection, block in zip(places, injections, said["blocks"], strict=True):
            readings = measured.readings(one, injection)
            ours = dict(zip(readings.columns, readings.values[at], strict=True))
            for column, (score, limit) in block["scores"].items():
                compared += 1
                differing += (score >= limit) != (ours[column] >= one.limit)
                farthest = max(farthest, abs(score - ours[column]))
            compared += 1
            of_half = measured.readings(half, injection).values[at, 0] >= half.limit
            differing += (block["share"] >= 0.5) != bool(of_half)
            checks += 1
    return Agreement(
        package="Evidently",
        checks=checks,
        compared=compared,
        differing=differing,
        farthest=farthest,
        cpu_s=cpu_s,
        alarms={},
    )


def nannyml_agreement(folder: Path, seeds: Sequence[int]) -> Agreement:
    """Let NannyML judge the quarter of each order, and INJECTED_BLOCKS blocks of each injection.

    Raises PeerError without its environment, ChildError when it fails.
    """
    checks = compared = differing = 0
    cpu_s = 0.0
    counts: dict[str, list[int]] = {}
    for seed in seeds:
        world, order = _world(seed)
        quarter = len(order.monitored) - LEAD
        injections: list[str | None] = [None] * quarter
        injections += [name for name in world.injected for _ in range(INJECTED_BLOCKS)]
        said = _asked(folder, "nannyml", world, order, injections)
        cpu_s += said["cpu_s"]
        checks += len(injections)
        alerts = {
            "NannyML univariate": _alerts(said["univariate"]),
            "NannyML reconstruction": np.array([said["reconstruction"]["alerts"]]).T,
            "NannyML realised performance": _alerts(said["performance"]),
        }
        for at, injection in _firsts(injections):
            ours = _nannyml_readings(world, order, injection)
            rows = slice(at, at + (quarter if injection is None else INJECTED_BLOCKS))
            for name, theirs in alerts.items():
                where = _rows_of(injections, rows)
                mine = ours[name].values[where] > DEVIATIONS
                compared += mine.size
                differing += int(np.count_nonzero(mine != theirs[rows]))
        for name, theirs in alerts.items():
            counts.setdefault(name, []).append(int(theirs[:quarter].any(axis=1).sum()))
    return Agreement(
        package="NannyML",
        checks=checks,
        compared=compared,
        differing=differing,
        farthest=None,
        cpu_s=cpu_s,
        alarms={name: per_quarter(of_quarters) for name, of_quarters in counts.items()},
    )


def _world(seed: int) -> tuple[World, Order]:
    return world_of(SHUFFLED, REPORTED, seed, days=LEAD + 91, inject=True)


def _alerts(said: dict[str, dict[str, Any]]) -> NDArray[np.bool_]:
    return np.column_stack([of_column["alerts"] for of_column in said.values()])


def _firsts(injections: Sequence[str | None]) -> list[tuple[int, str | None]]:
    """Return where each injection begins."""
    firsts = dict.fromkeys(injections)
    return [(injections.index(name), name) for name in firsts]


def _rows_of(injections: Sequence[str | None], rows: slice) -> slice:
    """Return the checks after the lead that the blocks were taken from."""
    return slice(0, rows.stop - rows.start) if injections[rows.start] else slice(0, rows.stop)


def _nannyml_readings(world: World, order: Order, injection: str | None) -> dict[str, Readings]:
    peer = next(each for each in peers(1) if each.base == "nannyml" and each.window == 1)
    metrics = {name: world.daily[None][name] for name in REALISED_METRICS}
    changed = {name: world.daily[injection][name] for name in REALISED_METRICS}
    injected = None if injection is None else world.injected[injection]
    return {
        "NannyML univariate": Measured(world.counts, order, onset=0).readings(peer, injection),
        "NannyML reconstruction": Reconstruction(world.quiet, order).readings(injected, onset=0),
        "NannyML realised performance": performance(
            metrics, order, changed if injection else None, onset=0
        ),
    }


def _with_values(world: World, order: Order) -> list[int]:
    """Return the checks after the lead on whose day every column has a value."""
    days = order.monitored[LEAD:]
    known = [counts[days, :-1].sum(axis=1) > 0 for counts in world.counts.quiet.values()]
    return [int(at) for at in np.flatnonzero(np.all(known, axis=0))]


def _asked(
    folder: Path,
    peer: str,
    world: World,
    order: Order,
    injections: Sequence[str | None],
    *,
    places: Sequence[int] | None = None,
) -> dict[str, Any]:
    """Return a peer's answer on blocks of the order's own days, quiet or injected.

    ``places`` are the checks after the lead that the blocks are of; without them each injection
    begins with the first.
    """
    _write(folder / "reference.parquet", [(world.quiet, day) for day in order.reference])
    blocks = []
    for at, injection in enumerate(injections):
        rows = world.quiet if injection is None else world.injected[injection]
        place = _nth(injections, at) if places is None else places[at]
        blocks.append((rows, order.monitored[LEAD + place]))
    _write(folder / "current.parquet", blocks)
    task = DriftTask(
        reference=str(folder / "reference.parquet"),
        current=str(folder / "current.parquet"),
        numbers=tuple(world.quiet.numbers),
        codes=tuple(world.quiet.codes),
        answer=str(folder / f"{peer}.json"),
    )
    module = f"benchmarks.drift_peers.with_{peer}"
    run(
        [str(python_of(peer)), "-m", module, task.as_argument()],
        log=folder / "log.txt",
        environment=ONE_THREAD,
    )
    told: dict[str, Any] = json.loads(Path(task.answer).read_text())
    return told


def _nth(injections: Sequence[str | None], at: int) -> int:
    """Return how many blocks of the same injection come before."""
    return sum(name == injections[at] for name in injections[:at])


def _write(path: Path, blocks: Sequence[tuple[Rows, Any]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    tables = []
    for number, (rows, day) in enumerate(blocks):
        table = rows.arrow([day], labels=True)
        of_block = pa.array(np.full(table.num_rows, number, np.int64))
        tables.append(table.append_column("block", of_block))
    pq.write_table(pa.concat_tables(tables), path)
