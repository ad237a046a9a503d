"""Ours: Headframe's monitor on one quiet order, block by block, from profiles as it keeps them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from benchmarks.drift_quality_data import LEAD, QUARTER, WINDOW, Order
from benchmarks.drift_quality_injections import Injection
from benchmarks.drift_quality_rows import SCORE, Rows
from benchmarks.drift_quality_worlds import World
from pipelines.domain.drift.block_permutation import BlockPermutation
from pipelines.domain.drift.block_profile import BlockProfile, scan
from pipelines.domain.drift.block_statistics import statistics_of
from pipelines.domain.drift.column_edges import edges_of
from pipelines.domain.drift.drift_result import DriftEvidence
from pipelines.domain.drift.hard_rules import HardRules
from pipelines.domain.drift.harm import Harm
from pipelines.domain.drift.losses import BlockLosses, losses_of
from pipelines.domain.drift.references import season_matched
from pipelines.domain.drift.segment_contrast import SegmentContrast
from pipelines.domain.drift.severity import AlarmBudget, severity_of
from pipelines.domain.model_reference import RANKED, with_margin
from pipelines.domain.watch import without_prediction

ALARMS_PER_QUARTER = 1.0
"""Declared, WARN and PAGE together."""
BUDGET = AlarmBudget(alarms_per_quarter=ALARMS_PER_QUARTER, blocks_per_quarter=QUARTER)
LEVELS = ("INFO", "WARN", "PAGE")
FIRST_DAY = date(2020, 1, 1)
"""Day 0 of simulated data: any will do."""
WEEK = 7
"""Days come back as weekdays: one is compared with its own kind."""

LEVELS_TOLD = 4
"""Levels of a segment column that losses are told for: the most frequent."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What the monitor said of a block: "", INFO, WARN or PAGE, the column blamed most, the tests."""

    severity: str
    blamed: str = ""
    tests: tuple[str, ...] = ()


class Ours:
    """Edges from the training days, a profile of every other block, then one judgement a block."""

    def __init__(self, world: World, order: Order, *, onset: int | None) -> None:
        """``onset`` is the place among monitored days from which injected rows are met."""
        self._world, self._order, self._onset = world, order, onset
        rows = world.quiet
        important = sorted(
            (name for name in rows.columns if name != SCORE),
            key=lambda name: -world.importance.get(name, 0.0),
        )
        self._edges = with_margin(
            edges_of(
                rows.arrow(order.training),
                # The prediction last, as a model reference has it.
                columns=[*(name for name in rows.columns if name != SCORE), SCORE],
                ranked=[*important[:RANKED], SCORE],
                ordered_by=SCORE,
            )
        )
        self._levels = _levels(rows, order.training, world.segments)
        self._days = np.r_[order.reference, order.monitored]
        self._profiles = self._profiled(rows, self._days)
        self._losses = self._lost(rows)
        self._quiet: tuple[Judged, ...] = ()

    def judged(self, injection: Injection | None) -> tuple[Judged, ...]:
        """Return what is said of each monitored block after the lead, labels being final at once.

        With an injection it ends at the first WARN or PAGE from the onset on: nothing after it
        changes when anything was found. What came before the onset is judged once.
        """
        first = len(self._order.reference) + LEAD
        if injection is None or self._onset is None:
            if not self._quiet:
                self._quiet = self._judged(self._profiles, self._losses, first, stop=False)
            return self._quiet
        rows = self._world.injected[injection.name]
        place = len(self._order.reference) + self._onset
        profiles = self._profiles
        if not injection.of_labels:
            profiles = [*profiles[:place], *self._profiled(rows, self._days[place:])]
        losses = self._lost(rows, quiet_until=place)
        before = self.judged(None)[: place - first]
        return (*before, *self._judged(profiles, losses, place, stop=True))

    def _profiled(self, rows: Rows, days: NDArray[np.int64]) -> list[BlockProfile]:
        return [
            scan(rows.arrow([day]).to_batches(), self._edges, block=f"{place:04}")
            for place, day in enumerate(days, start=len(self._days) - len(days))
        ]

    def _lost(self, rows: Rows, *, quiet_until: int = 0) -> BlockLosses:
        """Return the losses of every block, those before ``quiet_until`` of quiet rows."""
        parts = [
            (self._world.quiet, self._days[:quiet_until]),
            (rows, self._days[quiet_until:]),
        ]
        chosen = [each.of_days(days) for each, days in parts if len(days)]
        sizes = np.concatenate([np.diff(each.starts) for each in chosen])
        segments: dict[str, list[str | None]] = {
            name: [
                text
                for each in chosen
                for text in np.array([*each.levels[name], None], object)[each.codes[name]]
            ]
            for name in self._world.segments
        }
        return losses_of(
            "log_loss",
            label=np.concatenate([each.late for each in chosen]),
            probability=np.concatenate([each.numbers[SCORE] for each in chosen]),
            blocks=[f"{place:04}" for place in range(len(self._days))],
            of_row=np.repeat(np.arange(len(self._days)), sizes),
            segments=segments,
            levels=self._levels,
        )

    def _judged(
        self, profiles: Sequence[BlockProfile], losses: BlockLosses, first: int, *, stop: bool
    ) -> tuple[Judged, ...]:
        """Judge the blocks from place ``first`` on, to the end or to the first alarm."""
        statistics = statistics_of(profiles, self._edges)
        known = len(self._order.reference)
        said: list[Judged] = []
        for place in range(first, len(profiles)):
            evidence = DriftEvidence(
                reference=reference_of(self._world, self._order, place),
                current=tuple(range(known, place + 1)),
                statistics=statistics,
                profiles=tuple(profiles),
                edges=self._edges,
                losses=losses,
                importance=self._world.importance,
                prediction=SCORE,
                seasons=tuple(int(day) % WEEK for day in self._days),
            )
            said.append(self._of_block(evidence))
            if stop and said[-1].severity in {"WARN", "PAGE"}:
                break
        return tuple(said)

    def _of_block(self, evidence: DriftEvidence) -> Judged:
        """Return the gravest of what every test says of the newest block."""
        alphas = BUDGET.alphas(reference_blocks=len(evidence.reference))
        hard = HardRules().judge(without_prediction(evidence))
        broken = int(hard.figures.get("reference_records", 0))
        day = alphas.day_beside(broken, reference_blocks=len(evidence.reference))
        results = [
            Harm("log_loss", delta=alphas.delta, horizon=QUARTER).judge(evidence),
            hard,
            SegmentContrast(window=WINDOW, alpha=alphas.performance).judge(evidence),
            BlockPermutation(window=WINDOW, alpha=alphas.week).judge(evidence),
        ]
        if day > 0:
            results.append(BlockPermutation(window=1, alpha=day).judge(evidence))
        alarms = [
            alarm
            for result in results
            if (alarm := severity_of(result, importance=evidence.importance, prediction=SCORE))
        ]
        if not alarms:
            return Judged("")
        worst = max(alarms, key=lambda alarm: LEVELS.index(alarm.level))
        return Judged(worst.level, worst.shifts[0].column, tuple(a.test for a in alarms))


def reference_of(world: World, order: Order, place: int) -> tuple[int, ...]:
    """Return the blocks that those up to a place are compared with; places count reference first."""
    if not world.season_matched:
        return tuple(range(len(order.reference)))
    days = np.r_[order.reference, order.monitored][: place + 1]
    dates = [FIRST_DAY + timedelta(days=int(day)) for day in days]
    return season_matched(dates, window=WINDOW).reference


def _levels(rows: Rows, days: NDArray[np.int64], segments: Sequence[str]) -> list[tuple[str, str]]:
    """Return (column, level) of the levels that losses are told for, most frequent first."""
    told = []
    of_training = rows.of_days(days)
    for column in segments:
        codes = of_training.codes[column]
        frequent = np.argsort(-np.bincount(codes[codes >= 0]), kind="stable")[:LEVELS_TOLD]
        told += [(column, rows.levels[column][level]) for level in frequent]
    return told
