"""The arithmetic of the drift benchmark: orders, injections, distances, limits, bands and controls."""

import json
from collections import Counter
from collections.abc import Iterator
from math import inf, log
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import jensenshannon
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits

from benchmarks.drift_quality import FULL, answers, command_of, tasks
from benchmarks.drift_quality_bands import (
    beaten,
    binomial_band,
    median_delay,
    per_quarter,
    share,
)
from benchmarks.drift_quality_counts import count
from benchmarks.drift_quality_data import (
    BLOCKS,
    LEAD,
    QUARTER,
    REFERENCE,
    REPORTED,
    SHUFFLED,
    TUNING,
    Kind,
    Order,
    order,
)
from benchmarks.drift_quality_distances import evidently, nannyml, nannyml_bins, psi, surprise
from benchmarks.drift_quality_figures import (
    ALARMS,
    FOUND,
    OURS,
    Collected,
    Figures,
    episodes,
    figures_of,
    first,
    goals_of,
    power_line,
)
from benchmarks.drift_quality_injections import (
    OF_FLIGHTS,
    celsius,
    concept,
    joint_break,
    kilometres,
    mean,
    missing,
    mix,
    new_category,
    segment_flip,
    variance,
)
from benchmarks.drift_quality_joint import Reconstruction, area, log_loss
from benchmarks.drift_quality_kept import Kept
from benchmarks.drift_quality_ours import Judged, Ours, reference_of
from benchmarks.drift_quality_peers import Measured, chunks, deviations, peers, trailing
from benchmarks.drift_quality_readings import Readings, Shipped, recalibrated, windows_with_alarm
from benchmarks.drift_quality_rows import SCORE, Numbers, Rows
from benchmarks.drift_quality_runs import AFTER, Part, Task, Told
from benchmarks.drift_quality_simulated import (
    CARRY_OVER,
    LEVELS,
    REFERENCE_DAYS,
    SHOCK,
    TRAINING_DAYS,
    WEEKLY,
    YEARLY,
    day_effects,
    simulate,
)
from benchmarks.drift_quality_worlds import World
from benchmarks.report import RESULTS

DAYS, A_DAY = 30, 200


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """More threads only wait for each other on matrices this small."""
    with threadpool_limits(1):
        yield


def small(days: int = DAYS) -> Rows:
    """Days of two hundred rows; y is x and a little noise."""
    chosen = np.random.default_rng(1)
    size = days * A_DAY
    x = chosen.normal(10, 2, size).round(2)
    x[chosen.random(size) < 0.1] = np.nan
    return Rows(
        numbers={
            "x": x,
            "y": (np.nan_to_num(x, nan=10.0) + chosen.normal(0, 0.5, size)).round(2),
            SCORE: chosen.random(size).round(3),
        },
        codes={"c": chosen.integers(0, 3, size).astype(np.int32)},
        levels={"c": ("a", "b", "z")},
        late=(chosen.random(size) < 0.25).astype(np.int8),
        starts=np.arange(days + 1) * A_DAY,
    )


def same_score(rows: Rows) -> Numbers:
    return rows.numbers[SCORE]


def test_what_was_tuned_on_is_never_reported() -> None:
    assert not set(TUNING.days) & set(REPORTED.days)
    assert len(TUNING.days) + len(REPORTED.days) == 365
    seeds = [*TUNING.seeds, *TUNING.calibration, *REPORTED.seeds, *REPORTED.calibration]
    assert len(set(seeds)) == len(seeds)


@pytest.mark.parametrize("kind", [SHUFFLED, BLOCKS])
def test_an_order_is_a_reference_and_a_quarter_of_different_reported_days(kind: Kind) -> None:
    found = order(kind, REPORTED, 7)
    days = [*found.reference, *found.monitored]
    assert (len(found.reference), len(found.monitored)) == (REFERENCE, LEAD + QUARTER)
    assert len(set(days)) == len(days)
    assert set(days) <= set(REPORTED.days)
    assert set(found.training) == set(TUNING.days)
    again = order(kind, REPORTED, 7)
    assert found.monitored.tolist() == again.monitored.tolist()
    assert found.monitored.tolist() != order(kind, REPORTED, 8).monitored.tolist()


def test_blocks_keep_their_days_in_order_and_shuffled_days_do_not() -> None:
    def neighbours(kind: Kind) -> float:
        return float(np.mean(np.diff(order(kind, REPORTED, 3).monitored) == 1))

    assert neighbours(BLOCKS) > 0.9
    assert neighbours(SHUFFLED) < 0.1


def test_too_many_monitored_days_are_refused() -> None:
    with pytest.raises(ValueError, match="160 and 200 days of only 267"):
        order(SHUFFLED, REPORTED, 1, monitored=200)


def test_half_a_run_is_half_of_every_kind_and_part() -> None:
    whole = tasks(FULL)
    assert len(set(whole)) == len(whole)
    of_all = Counter((task.kind, task.part) for task in whole)
    half = Counter((task.kind, task.part) for task in whole[: len(whole) // 2])
    assert {
        key: abs(2 * half[key] - number) <= 2 for key, number in of_all.items()
    } == dict.fromkeys(of_all, True)


def test_kept_figures_say_the_command_that_makes_them_again() -> None:
    kept = json.loads((RESULTS / "drift_quality.json").read_text("utf-8"))
    shares = [note.partition("%")[0] for note in kept["notes"] if "% of the orders" in note]
    assert [command_of(int(share) / 100) for share in shares or ["100"]] == [kept["command"]]
    assert (command_of(1.0), command_of(0.3)) == (
        "make bench NAME=drift_quality",
        "python -m benchmarks.drift_quality --share 0.3",
    )


def test_what_was_kept_is_told_again_and_not_run_again(tmp_path: Path) -> None:
    # There are too few tuning days to run an order of them, and nothing blames miles.
    task = Task(kind=SHUFFLED, split=TUNING, seed=1, part="quiet")
    told = Told(task=task, readings={}, ours={None: (Judged("WARN", "miles", ("Harm",)),)})
    kept = Kept(folder=tmp_path)
    kept.put(told)
    assert list(answers([task], Kept(folder=tmp_path), workers=1)) == [told]


def test_what_other_code_said_is_not_found(tmp_path: Path) -> None:
    task = Task(kind=SHUFFLED, split=TUNING, seed=1, part="quiet")
    kept = Kept(folder=tmp_path)
    kept.put(Told(task=task, readings={}, ours={}))
    (file,) = tmp_path.iterdir()
    file.rename(tmp_path / file.name.replace(kept.digest, "0" * len(kept.digest)))
    assert kept.get(task) is None


@pytest.mark.parametrize(
    ("injection", "statistic", "expected"),
    [
        (mean("x", 0.5), lambda r: np.nanmean(r.numbers["x"]), "x + 0.5 sd"),
        (kilometres("x"), lambda r: np.nanmean(r.numbers["x"]), "x km"),
        (celsius("x"), lambda r: np.nanmean(r.numbers["x"]), "x C"),
        (missing("x", 0.2), lambda r: np.isnan(r.numbers["x"]).mean(), "0.1 + 0.9 * 0.2"),
        (mix("c", 0.3, "z"), lambda r: np.mean(r.codes["c"] == 2), "1/3 + 2/3 * 0.3"),
        (new_category("c", 0.3), lambda r: np.mean(r.codes["c"] == 3), "0.3"),
        (concept(0.2), lambda r: r.late.mean(), "0.25 + 0.75 * 0.2"),
    ],
)
def test_an_injection_moves_what_it_says_by_as_much(
    injection: object, statistic: object, expected: str
) -> None:
    rows = small()
    x = rows.numbers["x"]
    wanted = {
        "x + 0.5 sd": np.nanmean(x) + 0.5 * np.nanstd(x),
        "x km": np.nanmean(x) * 1.609344,
        "x C": (np.nanmean(x) - 32) / 1.8,
        "0.1 + 0.9 * 0.2": 0.28,
        "1/3 + 2/3 * 0.3": 0.5333,
        "0.3": 0.3,
        "0.25 + 0.75 * 0.2": 0.4,
    }[expected]
    changed = injection.into(rows, same_score, seed=2)  # type: ignore[attr-defined]
    assert statistic(changed) == pytest.approx(wanted, abs=0.02)  # type: ignore[operator]


def test_a_stretch_keeps_mean_and_range_and_a_joint_break_keeps_each_column_of_each_day() -> None:
    rows = small()
    wide = variance("x", 1.5).into(rows, same_score, seed=2).numbers["x"]
    before = rows.numbers["x"]
    assert np.nanmean(wide) == pytest.approx(np.nanmean(before), abs=0.05)
    assert np.nanstd(wide) == pytest.approx(1.5 * np.nanstd(before), rel=0.05)
    assert np.nanmax(wide) <= np.nanmax(before)
    broken = joint_break("y").into(rows, same_score, seed=2).numbers
    for day in (0, DAYS - 1):
        there = rows.of_day(day)
        assert sorted(broken["y"][there]) == sorted(rows.numbers["y"][there])
    seen = ~np.isnan(before)
    assert np.corrcoef(before[seen], rows.numbers["y"][seen])[0, 1] > 0.9
    assert abs(np.corrcoef(before[seen], broken["y"][seen])[0, 1]) < 0.1


def test_a_segment_flip_turns_labels_of_its_segment_only_and_features_stay() -> None:
    rows = small()
    changed = segment_flip("c", "a", 0.5).into(rows, same_score, seed=2)
    turned = changed.late != rows.late
    inside = rows.codes["c"] == 0
    assert not turned[~inside].any()
    assert turned[inside].mean() == pytest.approx(0.5, abs=0.04)
    assert all(changed.numbers[name] is rows.numbers[name] for name in rows.numbers)


def test_features_that_change_are_scored_anew() -> None:
    scored = mean("x", 1.0).into(small(), lambda rows: rows.numbers["x"] * 0 + 0.125, seed=2)
    assert np.nanmax(scored.numbers[SCORE]) == 0.125


def test_every_kind_of_injection_asked_for_is_there() -> None:
    kinds = [injection.kind for injection in OF_FLIGHTS]
    assert set(kinds) == {
        *("mean", "variance", "category mix", "new category", "missing", "units"),
        *("joint break", "concept", "segment flip"),
    }
    assert kinds.count("units") == 2
    assert kinds.count("joint break") >= 2


def test_distances_are_those_of_scipy_on_the_rows_themselves() -> None:
    rows = small()
    counts = count(rows, {"moved": mean("x", 0.3).into(rows, same_score, seed=2)})
    reference = counts.quiet["x"][:20].sum(axis=0)
    window = counts.of("moved", "x")[20:21]
    x = rows.numbers["x"]
    ours = x[: 20 * A_DAY]
    theirs = (x + 0.3 * np.nanstd(x))[20 * A_DAY : 21 * A_DAY]
    ours, theirs = ours[~np.isnan(ours)], theirs[~np.isnan(theirs)]
    cells = counts.cells["x"]
    wasserstein = stats.wasserstein_distance(ours, theirs) / ours.std()
    assert evidently(reference, window, cells)[0] == pytest.approx(wasserstein)
    p_value = stats.ks_2samp(ours, theirs, method="asymp").pvalue
    assert surprise(reference, window, cells)[0] == pytest.approx(-log(p_value), rel=0.05)
    bins = np.histogram_bin_edges(ours, bins="doane")
    shares = [np.histogram(each, bins)[0] / len(each) for each in (ours, theirs)]
    outside = [np.r_[shares[0], 0.0], np.r_[shares[1], 1 - shares[1].sum()]]
    assert nannyml(reference, window, nannyml_bins(reference, cells))[0] == pytest.approx(
        jensenshannon(*outside, base=2)
    )


def test_distances_of_a_category_are_those_of_scipy_and_of_the_textbook() -> None:
    reference, windows = np.array([50.0, 30.0, 20.0, 0.0]), np.array([[10.0, 30.0, 60.0, 0.0]])
    table = np.array([[50, 30, 20], [10, 30, 60]])
    p_value = stats.chi2_contingency(table, correction=False).pvalue
    assert surprise(reference, windows, None)[0] == pytest.approx(-log(p_value))
    by_hand = 0.4 * log(5) + 0.4 * log(3)  # (.1 - .5) ln(.1 / .5) + 0 + (.6 - .2) ln(.6 / .2)
    assert psi(reference, windows, None)[0] == pytest.approx(by_hand)
    distance = jensenshannon([0.5, 0.3, 0.2], [0.1, 0.3, 0.6])
    assert evidently(reference, windows, None)[0] == pytest.approx(distance)
    # Far beyond the least float: p of about 1e-4000 is still told apart from less.
    large = surprise(reference * 1000, windows * 1000, None)[0]
    assert large == pytest.approx(stats.chi2_contingency(table * 1000).statistic / 2, rel=0.01)


def test_the_stability_index_counts_missing_values_as_a_bin_of_a_number() -> None:
    cells = np.arange(10.0)
    reference, window = np.r_[np.full(10, 9.0), 10.0], np.r_[np.full(10, 8.0), 20.0][None]
    by_hand = 10 * (0.08 - 0.09) * log(8 / 9) + (0.2 - 0.1) * log(2)
    assert psi(reference, window, cells)[0] == pytest.approx(by_hand)


def test_a_day_remembers_half_of_yesterday_beside_the_waves_of_week_and_year() -> None:
    days = 20_000
    effects = day_effects(days, 0, np.random.default_rng(5))
    turn = 2 * np.pi * np.arange(days)[:, None] / np.array([7, 365])
    waves = np.hstack([np.sin(turn), np.cos(turn)])
    heights, *_ = np.linalg.lstsq(waves, effects, rcond=None)
    assert np.hypot(heights[:2], heights[2:]) == pytest.approx([WEEKLY, YEARLY], abs=0.01)
    shocks = effects - waves @ heights
    assert shocks.std() == pytest.approx(SHOCK, rel=0.05)
    assert (shocks[1:] @ shocks[:-1]) / (shocks @ shocks) == pytest.approx(CARRY_OVER, abs=0.03)


def test_windows_trail_and_chunks_do_not_overlap() -> None:
    counts = np.array([[1.0], [2.0], [4.0], [8.0]])
    assert trailing(counts, 2).ravel().tolist() == [1, 3, 6, 12]
    assert chunks(counts, 2).ravel().tolist() == [3, 12]
    assert deviations(np.array([1.0, 3.0]), np.array([2.0, 5.0, np.nan])).tolist() == [0, 3, 0]
    assert deviations(np.array([1.0, 1.0]), np.array([9.0])).tolist() == [0]


def test_a_peer_reads_injected_days_from_the_onset_on_and_quiet_ones_before() -> None:
    rows = small()
    counts = count(rows, {"km": kilometres("x").into(rows, same_score, seed=2)})
    days = np.arange(DAYS)
    chosen = Order(training=days[:0], reference=days[:12], monitored=days[12:])
    onset = 10
    measured = Measured(counts, chosen, onset=onset)
    peer = next(each for each in peers(4) if each.base == "evidently" and each.window == 1)
    quiet, injected = (measured.readings(peer, name).values[:, 0] for name in (None, "km"))
    assert injected[: onset - LEAD].tolist() == quiet[: onset - LEAD].tolist()
    assert (injected[onset - LEAD :] > quiet[onset - LEAD :] + 1).all()


def test_half_the_columns_alarm_when_the_middle_one_is_above_the_limit() -> None:
    rows = small()
    counts = count(rows, {})
    days = np.arange(DAYS)
    chosen = Order(training=days[:0], reference=days[:12], monitored=days[12:])
    by_name = {each.name: each for each in peers(4)}
    measured = Measured(counts, chosen)
    of_columns = measured.readings(by_name["Evidently, any column, day"]).values
    of_half = measured.readings(by_name["Evidently, half the columns, day"]).values
    assert of_half.shape == (DAYS - 12 - LEAD, 1)
    assert of_half[:, 0].tolist() == np.sort(of_columns, axis=1)[:, -2].tolist()


def test_reconstruction_sees_a_broken_relation_that_no_single_column_shows() -> None:
    rows = small()
    days = np.arange(DAYS)
    chosen = Order(training=days[:0], reference=days[:18], monitored=days[18:])
    found = Reconstruction(rows, chosen)
    quiet = found.readings(None).values
    broken = found.readings(joint_break("y").into(rows, same_score, seed=2), onset=LEAD).values
    assert broken.mean() > 3 * quiet.mean()
    changed = joint_break("y").into(rows, same_score, seed=2)
    assert found.readings(changed, onset=0).values.tolist() == broken.tolist()


def test_area_and_loss_are_those_of_scikit_learn() -> None:
    rows = small()
    assert area(rows.late, rows.numbers[SCORE]) == pytest.approx(
        roc_auc_score(rows.late, rows.numbers[SCORE])
    )
    assert log_loss(np.array([1, 0], np.int8), np.array([0.5, 0.25])) == pytest.approx(
        (log(2) + log(4 / 3)) / 2
    )


def test_ours_meets_injected_blocks_from_the_onset_on_and_stops_at_the_first_alarm() -> None:
    rows, onset = small(100), LEAD + 3
    injections = (kilometres("x"), concept(0.9))
    world = World(
        quiet=rows,
        injected={each.name: each.into(rows, same_score, seed=2) for each in injections},
        importance={"x": 0.6, "y": 0.3, "c": 0.1},
        segments=("c",),
    )
    days = np.arange(100)
    chosen = Order(training=days[:20], reference=days[20:80], monitored=days[80:])
    ours = Ours(world, chosen, onset=onset)
    quiet = ours.judged(None)
    assert len(quiet) == 20 - LEAD
    units, labels = (ours.judged(each) for each in injections)
    assert units[: onset - LEAD] == quiet[: onset - LEAD]
    assert len(units) == onset - LEAD + 1
    assert (units[-1].severity, units[-1].blamed) == ("PAGE", "x")
    assert labels[: onset - LEAD] == quiet[: onset - LEAD]
    assert labels[-1].severity in {"WARN", "PAGE"}
    assert set(labels[-1].tests) <= {"SegmentContrast", "Harm"}


def test_a_season_matched_world_compares_with_the_same_weeks_of_the_year_before() -> None:
    simulation = simulate(4)
    world = World(
        quiet=simulation.rows, injected={}, importance={}, segments=("c1",), season_matched=True
    )
    first = TRAINING_DAYS + REFERENCE_DAYS  # the first monitored day
    told = reference_of(world, simulation.order, REFERENCE_DAYS + LEAD)
    days = [TRAINING_DAYS + place for place in told]
    middle = first + LEAD - 3 - 365  # of the window of the first check, a year earlier
    assert days == list(range(middle - 30, middle + 31))


def readings(values: list[list[float]], limit: float = 10.0) -> Readings:
    return Readings(columns=("a", "b"), values=np.array(values), limit=limit)


def test_recalibrated_limits_give_the_wanted_share_of_quiet_checks_and_not_one_more() -> None:
    chosen = np.random.default_rng(4)
    quiet = [
        Readings(columns=("a", "b"), values=chosen.normal([0, 50], [1, 9], (91, 2)), limit=0.0)
        for _ in range(20)
    ]
    for rule in recalibrated(quiet, 0.05):
        alarms = [rule.alarms(each).tolist() for each in quiet]
        windows = 20 * (91 - 6)
        # At most a twentieth; one value less would add up to seven windows.
        assert 0.05 - 7 / windows < windows_with_alarm(alarms) <= 0.05
    for rule in recalibrated(quiet, 0.0):
        assert not any(rule.alarms(each).any() for each in quiet)


def test_a_window_alarms_once_however_many_of_its_checks_do() -> None:
    one, many = [False] * 20, [False] * 20
    one[10] = many[10] = many[11] = many[12] = True
    # 14 windows: check 10 is in those that begin at 4 to 10, checks 10 to 12 in 4 to 12.
    assert windows_with_alarm([one]) == 7 / 14
    assert windows_with_alarm([many]) == 9 / 14
    assert windows_with_alarm([one, [False] * 20]) == 7 / 28


def test_a_limit_per_column_sees_what_one_limit_hides_behind_a_louder_column() -> None:
    quiet = [readings([[0.0, 40.0], [1.0, 60.0], [0.5, 50.0], [0.2, 45.0]] * 2)]
    one, per_column = recalibrated(quiet, 0.0)
    shifted = readings([[8.0, 50.0]])
    assert not one.alarms(shifted).any()
    assert per_column.alarms(shifted).all()
    assert per_column.blamed(shifted) == ["a"]
    assert Shipped().blamed(shifted) == ["b"]


def test_nothing_to_calibrate_on_is_refused() -> None:
    with pytest.raises(ValueError, match="no 7 quiet checks"):
        recalibrated([readings([[1.0, 2.0]][:0] or np.empty((0, 2)).tolist())], 0.1)


def test_bands_are_those_of_tables() -> None:
    # Binomial(91, 1 / 91) is nearly Poisson(1): quantiles 0 and 3.
    band = binomial_band(1, 1.0, 91)
    assert (band.value, band.low, band.high) == (1.0, 0.0, 3.0)
    assert binomial_band(100, 1.0, 91).high == pytest.approx(1.2, abs=0.01)
    # Wilson for 0 of 10 and 5 of 10, 95 %.
    assert (share(0, 10).low, share(0, 10).high) == pytest.approx((0, 0.2775), abs=1e-4)
    assert (share(5, 10).low, share(5, 10).high) == pytest.approx((0.2366, 0.7634), abs=1e-4)
    # t(3) = 3.182: mean 1, sd 1.1547 over 4 quarters.
    found = per_quarter([0, 0, 2, 2])
    assert (found.value, found.high) == pytest.approx((1.0, 1 + 3.1824 * 1.1547 / 2), abs=1e-3)
    assert found.low == 0
    assert per_quarter([0] * 10).high == pytest.approx(0.3689, abs=1e-4)


def test_half_of_nothing_found_is_an_infinite_delay_only_when_it_is_more_than_half() -> None:
    assert median_delay([1, 2, 3, inf, inf]).value == 3
    assert median_delay([1, 2, inf, inf, inf]).value == inf
    found = median_delay([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0])
    assert (found.value, found.low, found.high) == (5, 2, 9)  # the table of the sign test, n = 10


def test_a_peer_beats_us_only_by_more_than_luck() -> None:
    assert not beaten([True] * 10, [True] * 10)
    assert not beaten([False] * 5 + [True] * 5, [True] * 10)  # 5 to 0: p = 0.0625
    assert beaten([False] * 6 + [True] * 4, [True] * 10)  # 6 to 0: p = 0.03125
    assert not beaten([True] * 10, [False] * 10)


def test_alarms_that_stand_are_not_counted_again() -> None:
    fired = [False] * 40
    for at in (3, 4, 10, 30):
        fired[at] = True
    assert episodes(fired) == 2  # 4 is within seven of 3, and 10 of 4
    assert episodes([True] * 40) == 1
    assert episodes([]) == 0


def test_a_delay_counts_from_the_onset_and_goes_with_its_blame() -> None:
    assert first([False, False, True, True], ["", "", "x", "y"].__getitem__) == (3, "x")
    assert first([False] * 3, ["", "", ""].__getitem__) == (inf, "")
    line = power_line(
        SHUFFLED, OURS, ALARMS, mean("x", 0.1), [(1, "x"), (7, "y"), (8, "x"), (inf, "")]
    )
    assert line.found is not None
    assert line.found.value == 0.5
    assert line.delay is not None
    assert line.delay.value == 7
    assert line.blamed is not None
    assert line.blamed.value == pytest.approx(2 / 3)


def controls(severity: str, *, oracle: bool = False) -> Figures:
    """Figures of ours as a control beside a peer that tells every injection, at any rate."""
    collected = Collected()
    parts: list[tuple[Part, int]] = [("calibration", QUARTER), ("quiet", QUARTER), ("power", AFTER)]
    for seed in range(12):
        chosen = np.random.default_rng(seed)
        for part, checks in parts:
            names = [None, *(each.name for each in OF_FLIGHTS)] if part == "power" else [None]
            by_injection = {
                name: {
                    "peer": Readings(
                        columns=("a",),
                        values=chosen.random((checks, 1)) + (name is not None),
                        limit=0.5,
                    )
                }
                for name in names
            }
            said = {
                name: (Judged(severity if name or not oracle else "", "seats"),) * checks
                for name in names
            }
            task = Task(kind=SHUFFLED, split=REPORTED, seed=seed, part=part)
            collected.add(
                Told(
                    task=task,
                    readings=by_injection,
                    ours={} if part == "calibration" else said,
                )
            )
    return figures_of(collected)


def test_a_control_that_always_alarms_breaks_the_budget_and_finds_everything() -> None:
    figures = controls("WARN")
    budget = [goal for goal in goals_of(figures) if "the budget" in goal.name]
    # One alarm that never ends keeps to the number of alarms; its checks do not.
    assert [(goal.measured, goal.met) for goal in budget] == [(1.0, True), (91.0, False)]
    ours = [line for line in figures.lines if (line.system, line.setting) == (OURS, ALARMS)]
    assert all(line.found.value == 1 for line in ours if line.found)
    assert figures.losses == []


def test_a_control_that_never_alarms_keeps_the_budget_and_loses_every_injection() -> None:
    figures = controls("")
    goals = goals_of(figures)
    budget = [goal for goal in goals if "the budget" in goal.name]
    assert [(goal.measured, goal.met) for goal in budget] == [(0.0, True)] * 2
    lost = {goal.name: (goal.measured, goal.met) for goal in goals if "finds more" in goal.name}
    everything = (float(len(OF_FLIGHTS)), False)
    assert list(lost.values()) == [everything, everything]
    assert not any(loss.by_luck for loss in figures.losses)
    assert all(not goal.met for goal in goals if "is found" in goal.name)


def test_an_oracle_keeps_the_budget_finds_everything_at_once_and_loses_nothing() -> None:
    figures = controls("PAGE", oracle=True)
    assert all(goal.met for goal in goals_of(figures))
    injected = [
        line
        for line in figures.lines
        if (line.system, line.setting) == (OURS, ALARMS) and line.injection not in {None, "none"}
    ]
    assert {line.delay.value for line in injected if line.delay} == {1.0}
    assert figures.losses == []


def test_a_fact_is_no_alarm() -> None:
    figures = controls("INFO")
    alarms = {
        line.setting: line.alarms.value
        for line in figures.lines
        if line.system == OURS and line.alarms
    }
    assert alarms == {ALARMS: 0.0, FOUND: 91.0}


def test_simulated_quiet_days_remember_yesterday_and_have_one_law_in_both_parts() -> None:
    simulation = simulate(3)
    rows, chosen = simulation.rows, simulation.order
    assert len(chosen.reference) == REFERENCE_DAYS
    assert len(chosen.monitored) == LEAD + QUARTER
    assert rows.numbers["x8"].tolist() == simulate(3).rows.numbers["x8"].tolist()
    daily = np.array(
        [
            [rows.numbers[f"x{n}"][rows.of_day(day)].mean() for n in range(1, 13)]
            for day in chosen.reference
        ]
    )
    # A row's spread is 1; a day's mean of 500 such rows would vary by 0.045 if days were alike.
    assert 0.1 < daily.std(axis=0).mean() < 0.25
    for name, levels in LEVELS.items():
        assert set(np.unique(rows.codes[name])) <= set(range(levels))
    assert np.isnan(rows.numbers["gappy"]).mean() == pytest.approx(0.1, abs=0.03)
