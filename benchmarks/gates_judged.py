"""Gates judged: what our gates say of evidence made of simulated blocks and rows."""

from collections.abc import Mapping, Sequence

import numpy as np

from benchmarks.gates_worlds import Floats, World
from pipelines.domain.block_estimate import mean_estimate
from pipelines.domain.evidence import BlockLoss, Evidence
from pipelines.domain.examination import Examination, Leakage, SeedLoss
from pipelines.domain.gates.beats_champion import BeatsChampion
from pipelines.domain.gates.calibrated import Calibrated
from pipelines.domain.gates.no_leakage import NoLeakage
from pipelines.domain.gates.no_worse_on_segment import NoWorseOnSegment
from pipelines.domain.gates.stable_across_seeds import StableAcrossSeeds
from pipelines.domain.reliability import reliability
from pipelines.domain.segment_differences import segment_differences
from pipelines.domain.verdict import Verdict

USUAL_LOSS = 10.0
"""Loss of the champion, in standard deviations of a day: any finite number would do."""

ROWS_A_DAY = 60
"""Rows of a day where rows are simulated."""


def evidence_of(
    rows: Sequence[int],
    losses: Mapping[str, Sequence[float]] | None = None,
    examination: Examination | None = None,
) -> Evidence:
    """Return evidence of days with these rows, mean log losses by role, and examination."""
    found = losses or {"challenger": [0.5] * len(rows), "champion": [0.5] * len(rows)}
    return Evidence(
        use_case="simulated",
        as_of="2026-01-01T00:00:00+00:00",
        challenger="2",
        champion="1",
        training_window=("2025-01-01", "2025-06-30"),
        held_out_window=("2025-07-01", "2025-12-31"),
        rows=int(sum(rows)),
        positives=0,
        metrics={},
        blocks=tuple(
            BlockLoss(
                block=f"{day:04}",
                rows=int(count),
                losses={role: {"log_loss": float(means[day])} for role, means in found.items()},
            )
            for day, count in enumerate(rows)
        ),
        data_versions={},
        declaration_digest="",
        code_digest="",
        examination=examination,
    )


def beats(world: World, *, blocks: int, gain: float, runs: int, seed: int) -> list[Verdict]:
    """Return what ``BeatsChampion`` says of challengers better by ``gain`` standard deviations."""
    days, rows = world.sample(np.random.default_rng(seed), runs, blocks)
    gate = BeatsChampion("log_loss", confidence=0.95)
    return [
        gate.judge(
            evidence_of(
                row.tolist(),
                {
                    "challenger": (USUAL_LOSS - gain - day).tolist(),
                    "champion": [USUAL_LOSS] * blocks,
                },
            )
        )
        for day, row in zip(days, rows, strict=True)
    ]


def segments(*, blocks: int, worse: float, runs: int, seed: int, levels: int = 6) -> list[Verdict]:
    """Return what ``NoWorseOnSegment`` says when one of its levels is worse by ``worse`` nats.

    A row's difference has standard deviation 0.1, a day's 0.02, a level's day another 0.01; the last
    level has a row in one of twenty days.
    """
    rng = np.random.default_rng(seed)
    names = [f"level {number}" for number in range(levels)]
    gate = NoWorseOnSegment("segment", 0.03)
    verdicts = []
    for _ in range(runs):
        day = np.repeat(np.arange(blocks), ROWS_A_DAY)
        level = rng.integers(0, levels - 1, len(day))
        level[rng.random(len(day)) < 0.05 / ROWS_A_DAY] = levels - 1
        own_days = 0.01 * rng.standard_normal((blocks, levels))
        difference = 0.02 * rng.standard_normal(blocks)[day] + own_days[day, level]
        difference += 0.1 * rng.standard_normal(len(day)) + worse * (level == 0)
        found = segment_differences(
            [names[place] for place in level], difference, [f"{number:04}" for number in day]
        )
        seen = Examination(rival="champion", segments={"segment": found})
        verdicts.append(gate.judge(evidence_of([ROWS_A_DAY] * blocks, examination=seen)))
    return verdicts


def calibrations(
    *, blocks: int, shift: float, stretch: float, runs: int, seed: int, limit: float = 0.05
) -> list[Verdict]:
    """Return what ``Calibrated`` says when odds are ``stretch`` times too bold and ``shift`` off.

    Days share a shock of 0.2 in log odds, of which 0.3 is yesterday's.
    """
    rng = np.random.default_rng(seed)
    gate, verdicts = Calibrated(limit), []
    for _ in range(runs):
        day = np.repeat(np.arange(blocks), 4 * ROWS_A_DAY)
        true = -1.3 + 0.8 * rng.standard_normal(len(day))
        shocks = np.zeros(blocks)
        for place in range(blocks):
            before = shocks[place - 1] if place else rng.standard_normal() * 0.2
            shocks[place] = 0.3 * before + 0.2 * np.sqrt(0.91) * rng.standard_normal()
        happened = rng.random(len(day)) < _share(true + shocks[day])
        said = _share(stretch * true + shift)
        found = reliability(happened.astype(int), said, [f"{number:04}" for number in day])
        seen = Examination(rival="champion", reliability=found)
        verdicts.append(gate.judge(evidence_of([4 * ROWS_A_DAY] * blocks, examination=seen)))
    return verdicts


def seeds(*, spread: float, runs: int, seed: int, models: int = 4) -> list[Verdict]:
    """Return what ``StableAcrossSeeds(0.01)`` says when losses vary by ``spread`` nats."""
    rng = np.random.default_rng(seed)
    gate = StableAcrossSeeds(0.01)
    return [
        gate.judge(
            evidence_of(
                [1],
                examination=Examination(
                    rival="champion",
                    seeds=tuple(
                        SeedLoss(seed=number, loss=float(loss))
                        for number, loss in enumerate(0.5 + spread * rng.standard_normal(models))
                    ),
                ),
            )
        )
        for _ in range(runs)
    ]


def shuffled(world: World, *, blocks: int, skill: float, runs: int, seed: int) -> list[Verdict]:
    """Return what ``NoLeakage`` says of a model taught shuffled labels that has ``skill`` anyway.

    Each of four shuffles resembles the truth, or its opposite, by half a day's spread.
    """
    rng = np.random.default_rng(seed)
    days, rows = world.sample(rng, runs, blocks)
    lucks = skill + 0.5 * rng.standard_normal((runs, 4))
    gate, verdicts = NoLeakage(), []
    for day, row, luck in zip(days, rows, lucks, strict=True):
        found = mean_estimate(day + luck.mean(), row)
        assert found is not None  # noqa: S101 - there are two blocks
        each = tuple(float(value) for value in np.average(day, weights=row) + luck)
        leakage = Leakage(
            shuffled=found, shuffles=each, alone={"load": 0.5}, described=1, differing=0
        )
        seen = Examination(rival="champion", leakage=leakage)
        verdicts.append(gate.judge(evidence_of(row.tolist(), examination=seen)))
    return verdicts


def _share(odds: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-odds)))
