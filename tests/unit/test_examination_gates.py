"""Gates that judge the examination: a table of what each sees, and what it says."""

from dataclasses import replace
from typing import Any

import pytest

from pipelines.domain.examination import Reproduction, SeedLoss, SegmentDifference
from pipelines.domain.gates.calibrated import Calibrated
from pipelines.domain.gates.compatible_signature import CompatibleSignature
from pipelines.domain.gates.fresh_data import FreshData
from pipelines.domain.gates.no_leakage import NoLeakage
from pipelines.domain.gates.no_worse_on_segment import NoWorseOnSegment
from pipelines.domain.gates.reproducible import Reproducible
from pipelines.domain.gates.stable_across_seeds import StableAcrossSeeds
from pipelines.domain.gates.within_budget import WithinBudget
from tests.examined import SOUND, estimated, evidence_with, level

ALL = (
    NoWorseOnSegment("origin", 0.03),
    Calibrated(0.05),
    StableAcrossSeeds(0.01),
    NoLeakage(),
    WithinBudget(milliseconds_per_1000=5, megabytes=2),
    CompatibleSignature(),
    Reproducible(),
)


@pytest.mark.parametrize("gate", ALL, ids=lambda gate: type(gate).__name__)
def test_what_is_sound_passes(gate: Any) -> None:  # noqa: ANN401 - any gate
    assert gate.judge(evidence_with()).outcome == "passed"


@pytest.mark.parametrize("gate", ALL, ids=lambda gate: type(gate).__name__)
def test_evidence_of_an_older_release_was_not_tested(gate: Any) -> None:  # noqa: ANN401 - as above
    verdict = gate.judge(replace(evidence_with(), examination=None))
    assert verdict.outcome == "too_few"


SEGMENTS = {
    # A level's error is 0.01 and its one-sided t quantile at 27 degrees 1.703: bounds 0.017 away.
    "all fine": ([("EWR", 0.0), ("JFK", 0.012)], "passed"),
    "one not shown to be fine": ([("EWR", 0.0), ("JFK", 0.014)], "too_few"),
    "one worse, but not beyond doubt": ([("EWR", 0.0), ("JFK", 0.045)], "too_few"),
    # Alone its p-value is 0.0379: of two levels Holm asks for 0.025, of one for 0.05.
    "one of two beyond doubt only by itself": ([("EWR", 0.0), ("JFK", 0.0485)], "too_few"),
    "one alone beyond doubt": ([("JFK", 0.0485)], "failed"),
    "one of two beyond doubt": ([("EWR", 0.0), ("JFK", 0.052)], "failed"),
    "none": ([], "too_few"),
}


@pytest.mark.parametrize("name", SEGMENTS)
def test_levels_are_judged_together(name: str) -> None:
    levels, outcome = SEGMENTS[name]
    share = 2_100 // max(len(levels), 1)
    found = tuple(level(text, worse, rows=share) for text, worse in levels)
    verdict = NoWorseOnSegment("origin", 0.03).judge(evidence_with(segments={"origin": found}))
    assert verdict.outcome == outcome


def test_a_worse_level_is_named_with_its_figure() -> None:
    found = (level("EWR", 0.0, rows=1_000), level("JFK", 0.09, rows=1_100))
    verdict = NoWorseOnSegment("origin", 0.03).judge(evidence_with(segments={"origin": found}))
    assert verdict.reason == (
        "Worse than the champion by more than 0.03 nats where origin is JFK (0.09), at 0.95"
        " confidence over 2 levels."
    )


@pytest.mark.parametrize(("rows", "outcome"), [(1_680, "passed"), (1_679, "too_few")])
def test_small_levels_are_named_and_may_hold_a_fifth_of_the_rows(rows: int, outcome: str) -> None:
    small = level("SWF", 5.0, rows=2_100 - rows, blocks=19)
    found = {"origin": (level("EWR", 0.0, rows=rows), small)}
    verdict = NoWorseOnSegment("origin", 0.03).judge(evidence_with(segments=found))
    assert verdict.outcome == outcome
    assert verdict.reason.endswith("Too few blocks to tell: SWF.")


def test_a_frequent_level_whose_days_depend_on_each_other_is_not_left_out() -> None:
    weeks = replace(estimated(0.0), effective=8.0, degrees=7.0)
    dependent = SegmentDifference(level="JFK", rows=300, worsening=weeks)
    found = {"origin": (level("EWR", 0.0, rows=1_800), dependent)}
    verdict = NoWorseOnSegment("origin", 0.03).judge(evidence_with(segments=found))
    assert verdict.outcome == "too_few"
    assert verdict.reason == (
        "Not tested enough: it is neither shown nor excluded that the challenger is worse by 0.03"
        " nats where origin is JFK."
    )


def test_a_segment_nobody_looked_at_was_not_tested() -> None:
    assert NoWorseOnSegment("carrier", 0.03).judge(evidence_with()).outcome == "too_few"


@pytest.mark.parametrize(
    ("error", "blocks", "outcome"),
    [(0.03, 28, "passed"), (0.04, 28, "failed"), (0.2, 28, "failed"), (0.01, 19, "too_few")],
)
def test_calibration_is_judged_by_its_upper_bound(error: float, blocks: int, outcome: str) -> None:
    assert SOUND.reliability is not None
    found = replace(SOUND.reliability, error=estimated(error, blocks=blocks))
    verdict = Calibrated(0.05).judge(evidence_with(reliability=found))
    assert verdict.outcome == outcome
    if outcome == "passed":
        assert verdict.reason == (
            "Predictions are off by 0.03 in probability on average (+0.004 overall, slope 0.97), at"
            " 0.95 confidence by at most 0.047, which is below 0.05."
        )


@pytest.mark.parametrize(
    ("losses", "outcome"),
    [
        ([0.50, 0.50, 0.50, 0.50], "passed"),
        ([0.500, 0.501, 0.502, 0.503], "passed"),
        # s = 0.00387, times sqrt(3 / 0.3518) of the chi-square table is 0.0113.
        ([0.500, 0.503, 0.506, 0.509], "failed"),
        ([0.50, 0.55], "too_few"),
    ],
)
def test_seeds_may_change_little(losses: list[float], outcome: str) -> None:
    seeds = tuple(SeedLoss(seed=at, loss=loss) for at, loss in enumerate(losses))
    verdict = StableAcrossSeeds(0.01).judge(evidence_with(seeds=seeds))
    assert verdict.outcome == outcome
    if losses[-1] == 0.509:
        assert verdict.figures["at_most"] == pytest.approx(0.0113, abs=5e-5)


@pytest.mark.parametrize(("days", "outcome"), [(4, "passed"), (3, "failed")])
def test_the_newest_day_may_be_so_old(days: int, outcome: str) -> None:
    verdict = FreshData(days).judge(evidence_with())
    assert verdict.outcome == outcome
    assert verdict.reason.startswith("The newest day it was judged on, 2013-05-28, is 4 days old")


LEAKS: dict[str, tuple[dict[str, Any], str]] = {
    "a feature is the label": (
        {"alone": {"load": 0.7, "paid_back": 0.96}},
        "by itself paid_back (0.96) ranks at least as well as 0.95",
    ),
    "a feature looks ahead": (
        {"differing": 1},
        "1 of 90 rows come out otherwise without the tables' later rows",
    ),
    "skill without being taught": (
        {"shuffled": estimated(0.03), "shuffles": (0.03, 0.031, 0.029, 0.03)},
        "taught shuffled labels it still beats the baseline by at least 0.00527 nats",
    ),
}


@pytest.mark.parametrize("name", LEAKS)
def test_each_sign_of_leakage_fails_by_itself(name: str) -> None:
    changed, told = LEAKS[name]
    assert SOUND.leakage is not None
    verdict = NoLeakage().judge(evidence_with(leakage=replace(SOUND.leakage, **changed)))
    assert (verdict.outcome, verdict.reason) == (
        "failed",
        f"It knows what it cannot know: {told}.",
    )


def test_a_shuffle_that_resembles_the_truth_by_luck_is_no_leakage() -> None:
    assert SOUND.leakage is not None
    # Over days the average is far above 0; over shuffles it is the luck of two of them.
    lucky = replace(SOUND.leakage, shuffled=estimated(0.05), shuffles=(0.11, -0.02, 0.12, -0.01))
    assert NoLeakage().judge(evidence_with(leakage=lucky)).outcome == "passed"


@pytest.mark.parametrize(
    "changed",
    [
        {"shuffled": estimated(0.0, blocks=19)},
        {"described": 0},
        {"shuffles": (0.0, 0.0)},
        {"alone": {}},
        {"gone": True},
    ],
)
def test_leakage_that_could_not_be_looked_for_was_not_tested(changed: dict[str, Any]) -> None:
    assert SOUND.leakage is not None
    found = None if "gone" in changed else replace(SOUND.leakage, **changed)
    assert NoLeakage().judge(evidence_with(leakage=found)).outcome == "too_few"


@pytest.mark.parametrize(
    ("gate", "outcome"),
    [
        (WithinBudget(milliseconds_per_1000=4.5, megabytes=1.25), "passed"),
        (WithinBudget(milliseconds_per_1000=4.4, megabytes=1.25), "failed"),
        (WithinBudget(milliseconds_per_1000=4.5, megabytes=1.2), "failed"),
        (WithinBudget(milliseconds_per_1000=4.5), "passed"),
    ],
)
def test_time_and_size_have_a_budget_each(gate: WithinBudget, outcome: str) -> None:
    assert gate.judge(evidence_with()).outcome == outcome


@pytest.mark.parametrize(
    ("added", "consented", "outcome"),
    [
        ({}, (), "passed"),
        ({"wind": "number"}, (), "failed"),
        ({"wind": "number"}, ("wind",), "passed"),
        ({"family": "number"}, (), "failed"),
        ({"family": "number", "wind": "text"}, ("wind",), "failed"),
    ],
)
def test_whoever_feeds_the_champion_can_feed_the_challenger(
    added: dict[str, str], consented: tuple[str, ...], outcome: str
) -> None:
    inputs = {**SOUND.inputs, "challenger": {**SOUND.inputs["challenger"], **added}}
    verdict = CompatibleSignature(consented=consented).judge(evidence_with(inputs=inputs))
    assert verdict.outcome == outcome


def test_a_broken_signature_names_what_is_missing() -> None:
    inputs = {**SOUND.inputs, "challenger": {"wind": "number", "family": "number"}}
    verdict = CompatibleSignature().judge(evidence_with(inputs=inputs))
    assert "lacks wind (number), family (number):" in verdict.reason


def test_without_a_champion_nobody_relies_on_inputs() -> None:
    evidence = replace(evidence_with(), champion=None)
    assert CompatibleSignature().judge(evidence).outcome == "not_applicable"


@pytest.mark.parametrize(
    ("found", "outcome"),
    [
        (Reproduction(rows=1_900, differing=1, largest=1e-17), "failed"),
        (Reproduction(rows=0, differing=0, largest=0.0), "too_few"),
        (None, "too_few"),
    ],
)
def test_one_other_bit_is_no_reproduction(found: Reproduction | None, outcome: str) -> None:
    assert Reproducible().judge(evidence_with(reproduction=found)).outcome == outcome


def test_arguments_that_cannot_be_judged_by_are_told() -> None:
    assert NoWorseOnSegment("origin", 0.0, confidence=95).problems() == (
        "tolerance 0.0 is not a finite number above 0",
        "confidence 95 is not strictly between 0.5 and 1; write 95 % as 0.95",
    )
    assert Calibrated(5).problems() == ("limit 5 is no probability strictly between 0 and 1",)
    assert StableAcrossSeeds(float("nan")).problems() == (
        "limit nan is not a finite number above 0",
    )
    assert FreshData(0).problems() == ("days 0 is not at least 1",)
    assert NoLeakage(alone=95).problems() == ("alone 95 is no AUC above 0.5 and at most 1",)
    assert WithinBudget(milliseconds_per_1000=-1, megabytes=0).problems() == (
        "milliseconds_per_1000 -1 is not above 0",
        "megabytes 0 is not above 0",
    )
    assert CompatibleSignature(consented="wind").problems() == (  # type: ignore[arg-type] # a slip
        "consented 'wind' is no tuple of names of inputs",
    )
    assert Reproducible().problems() == ()
