"""The benchmark of gates: its worlds and rules, and a small run of what it promises."""

import math

import numpy as np
import pytest
from scipy import stats

from benchmarks.gates import NOMINAL, WORTHLESS, goals_of, ours
from benchmarks.gates_bands import Cell
from benchmarks.gates_judged import beats, seeds, segments
from benchmarks.gates_rules import RULES, block_length, independent_days
from benchmarks.gates_worlds import HARD, WORLDS, World

SEED = 42


def world(name: str) -> World:
    return {each.name: each for each in WORLDS}[name]


@pytest.mark.parametrize("each", WORLDS, ids=lambda each: each.name)
def test_days_of_every_world_have_mean_0_and_spread_1(each: World) -> None:
    days, rows = each.sample(np.random.default_rng(SEED), 4_000, 40)
    assert days.shape == rows.shape == (4_000, 40)
    error = days.mean(axis=1).std() / math.sqrt(4_000)
    assert abs(days.mean()) < 4 * error
    if "heavy" not in each.name:  # its fourth moment is infinite
        assert days.std() == pytest.approx(1.0, abs=0.05)


def test_days_remember_as_much_as_declared() -> None:
    days, _ = world("autocorrelation 0.5").sample(np.random.default_rng(SEED), 2_000, 60)
    assert np.mean(days[:, 1:] * days[:, :-1]) == pytest.approx(0.5, abs=0.02)


def test_the_rule_of_independent_days_is_students_for_equal_ones() -> None:
    days, _ = world("independent days").sample(np.random.default_rng(SEED), 50, 28)
    passed = independent_days(days + 0.3, np.full(days.shape, 500))
    by_scipy = stats.ttest_1samp(days + 0.3, 0.0, axis=1, alternative="greater").pvalue < 0.05
    assert passed.tolist() == by_scipy.tolist()


def test_blocks_get_longer_with_memory() -> None:
    rng = np.random.default_rng(SEED)
    lengths = [
        float(np.mean([block_length(day) for day in world(name).sample(rng, 50, 120)[0]]))
        for name in ("independent days", "autocorrelation 0.5", "autocorrelation 0.7")
    ]
    assert lengths == sorted(lengths)
    assert lengths[0] < 5 < lengths[2]
    assert block_length(np.ones(30)) == 1


@pytest.mark.parametrize("name", RULES)
def test_every_rule_finds_a_great_gain_and_no_great_loss(name: str) -> None:
    days, rows = world("independent days").sample(np.random.default_rng(SEED), 10, 42)
    assert RULES[name](days + 3, rows).all()
    assert not RULES[name](days - 3, rows).any()


CELL = Cell(
    question=WORTHLESS,
    world="independent days",
    rule="Headframe, BeatsChampion",
    blocks=28,
    runs=500,
    counted=25,
    too_few=0,
    declared=0.05,
    at_most=True,
)


def test_a_cell_may_leave_its_declared_rate_by_luck_and_no_further() -> None:
    # By a table of the binomial: of 500 at 0.05 more than 41 come once in a thousand.
    assert CELL.edge == 41 / 500
    assert [
        Cell(**{**as_plain(CELL), "counted": many}).kept  # type: ignore[arg-type] # the same fields
        for many in (0, 41, 42)
    ] == [True, True, False]
    least = Cell(**{**as_plain(CELL), "at_most": False, "declared": 0.95, "counted": 459})  # type: ignore[arg-type]
    assert (least.edge, least.kept) == (459 / 500, True)


def as_plain(cell: Cell) -> dict[str, object]:
    return {name: getattr(cell, name) for name in Cell.__slots__}


def test_goals_tell_a_gate_out_of_its_band_and_a_control_that_does_not_fail() -> None:
    naive = Cell(**{**as_plain(CELL), "rule": "two numbers"})  # type: ignore[arg-type] # as above
    outside = Cell(**{**as_plain(CELL), "counted": 250})  # type: ignore[arg-type] # as above
    assert [goal.measured for goal in goals_of([CELL, naive])] == [0.0, 1.0]
    assert [goal.measured for goal in goals_of([outside, naive])] == [1.0, 1.0]


@pytest.mark.parametrize(
    ("name", "blocks"),
    [("independent days", 28), ("autocorrelation 0.5", 60), ("bad days", 42)],
)
def test_a_challenger_that_is_no_better_passes_at_most_as_declared(name: str, blocks: int) -> None:
    runs = 400
    verdicts = beats(world(name), blocks=blocks, gain=0.0, runs=runs, seed=SEED)
    passed = sum(verdict.outcome == "passed" for verdict in verdicts)
    assert passed <= stats.binom.ppf(0.999, runs, NOMINAL)
    # The control: of the same days, independent or not, comparing two numbers passes half.
    days, rows = world(name).sample(np.random.default_rng(SEED), runs, blocks)
    assert RULES["two numbers"](days, rows).mean() > 0.4
    if name == "autocorrelation 0.5":
        assert independent_days(days, rows).mean() > 0.1


def test_a_harmful_challenger_is_stopped() -> None:
    runs = 100
    worse = beats(world("independent days"), blocks=42, gain=-0.3, runs=runs, seed=SEED)
    assert sum(verdict.outcome == "passed" for verdict in worse) <= 3
    on_one_level = segments(blocks=42, worse=0.06, runs=40, seed=SEED)
    assert all(verdict.outcome != "passed" for verdict in on_one_level)
    sound = segments(blocks=42, worse=0.0, runs=40, seed=SEED)
    assert sum(verdict.outcome == "failed" for verdict in sound) <= 6
    by_luck = seeds(spread=0.01, runs=400, seed=SEED)
    passed = sum(verdict.outcome == "passed" for verdict in by_luck)
    assert passed <= stats.binom.ppf(0.999, 400, 0.05)


@pytest.mark.prove
def test_no_gate_leaves_its_band_in_500_runs_of_every_cell() -> None:
    cells = list(ours(500, SEED))
    assert len(cells) > 70
    # In every sixth sample of 20 days no terrible one is among them: nobody could know of it.
    outside = {(cell.world, cell.blocks) for cell in cells if not cell.kept}
    hard = [cell for cell in cells if cell.world in HARD]
    assert outside <= {("rare bad days", 20), *((cell.world, cell.blocks) for cell in hard)}
    # There 5 % are not kept: what the docs tell is that it is not much more than 10.
    assert max(cell.counted for cell in hard) <= stats.binom.ppf(0.999, 500, 0.1)
