"""Evidence is canonical, readable again, and refuses to contradict itself."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.domain.block_estimate import BlockEstimate
from pipelines.domain.evidence import BlockLoss, Evidence
from pipelines.domain.evidence_figures import build_blocks, build_metrics
from pipelines.domain.examination import (
    ChampionDifference,
    CurvePoint,
    Examination,
    Footprint,
    Leakage,
    Reliability,
    ReliabilityBin,
    Reproduction,
    SeedLoss,
    SegmentDifference,
)
from pipelines.domain.expected_value import RankedList
from pipelines.domain.metrics import Interval, TooFewBlocks
from pipelines.domain.verdict import OUTCOMES, Outcome, Verdict, promotable
from pipelines.errors import HeadframeError

PASSED = Verdict(gate="BeatsBaseline", outcome="passed", reason="Better.", figures={"low": 0.02})

EVIDENCE = Evidence(
    use_case="flight_delays",
    as_of="2013-06-01T05:00:00+00:00",
    challenger="7",
    champion="3",
    training_window=("2013-01-01", "2013-04-30"),
    held_out_window=("2013-05-02", "2013-05-29"),
    rows=3,
    positives=1,
    metrics={
        "challenger": {
            "log_loss": Interval(estimate=0.1, low=0.05, high=1 / 3, confidence=0.95, blocks=28),
            "auc": TooFewBlocks(estimate=None, blocks=0),
        }
    },
    blocks=(
        BlockLoss(block="2013-05-02", rows=2, losses={"challenger": {"log_loss": 0.1}}),
        BlockLoss(block="2013-05-03", rows=1, losses={"challenger": {"log_loss": 0.2}}),
    ),
    data_versions={"silver/flight_delays/arrivals": 12},
    declaration_digest="d" * 64,
    code_digest="c" * 64,
    verdicts=(PASSED,),
)


ESTIMATE = BlockEstimate(
    estimate=0.1,
    standard_error=1 / 3,
    effective=21.5,
    degrees=20.5,
    autocorrelation=0.0,
    skewness=-0.1,
    blocks=28,
)
EXAMINED = replace(
    EVIDENCE,
    examination=Examination(
        rival="champion",
        segments={
            "origin": (
                SegmentDifference(level="EWR", rows=2, worsening=ESTIMATE),
                SegmentDifference(level="(missing)", rows=1, worsening=None),
            )
        },
        reliability=Reliability(
            in_the_large=ESTIMATE,
            slope=ESTIMATE,
            error=ESTIMATE,
            bins=(ReliabilityBin(rows=3, predicted=0.2, observed=1 / 3),),
        ),
        importance={"load": 1.0},
        learning_curve=(CurvePoint(blocks=7, rows=90, loss=0.5),),
        seeds=(SeedLoss(seed=8, loss=0.4),),
        leakage=Leakage(
            shuffled=ESTIMATE, shuffles=(0.1,), alone={"load": 0.7}, described=3, differing=0
        ),
        footprint=Footprint(rows=3, milliseconds_per_1000=4.5, megabytes=1.25),
        inputs={"challenger": {"load": "number"}, "champion": {"load": "number"}},
        reproduction=Reproduction(rows=3, differing=0, largest=0.0),
        difference=ChampionDifference(
            improvements={"log_loss": ESTIMATE, "brier": None},
            moved=0.01,
            features_added=(),
            features_removed=("age",),
        ),
    ),
)


def verdict(outcome: Outcome) -> Verdict:
    return Verdict(gate="Any", outcome=outcome, reason="So it was.", figures={})


def test_evidence_reads_back_equal_with_the_same_digest() -> None:
    again = Evidence.from_json(EVIDENCE.to_json())
    assert again == EVIDENCE
    assert again.to_json() == EVIDENCE.to_json()
    assert again.digest == EVIDENCE.digest


def test_an_examination_reads_back_equal_with_the_same_digest() -> None:
    again = Evidence.from_json(EXAMINED.to_json())
    assert again == EXAMINED
    assert again.digest == EXAMINED.digest != EVIDENCE.digest


def test_evidence_that_an_older_release_froze_keeps_its_digest() -> None:
    # The digest that the release before the examination gave to this very evidence.
    assert EVIDENCE.digest == "a241be0e77aef3dd4c818c6af7222f36c46eccd6b4493175bce4fbea9a89c02f"
    assert json.loads(EVIDENCE.to_json())["format"] == 1
    # And the one that the release before other kinds of prediction gave to an examined one.
    assert EXAMINED.digest == "b58e0624456489da3722bf5ee27159fa8885f597d82f9157466218283f41d6f7"
    assert json.loads(EXAMINED.to_json())["format"] == 2


def test_what_a_challenger_was_registered_with_is_frozen_and_reads_back_equal() -> None:
    made = replace(EVIDENCE, recipe_digest="r" * 64, probe_digest="p" * 64)
    assert Evidence.from_json(made.to_json()) == made
    assert len({EVIDENCE.digest, made.digest, replace(made, probe_digest="").digest}) == 3
    forged = made.to_json().replace("r" * 64, "f" * 64)
    assert Evidence.from_json(forged).digest != made.digest


def test_evidence_of_another_kind_says_which_and_reads_back_equal() -> None:
    listed = RankedList(count=10, per=("region",))
    ranking = replace(EXAMINED, kind="ranking", unit="USD", listed=listed)
    number = replace(EXAMINED, kind="regression", unit="minutes", positives=0)
    for evidence in (ranking, number, replace(EVIDENCE, kind="ranking", unit="USD")):
        plain = json.loads(evidence.to_json())
        assert plain["format"] == 3
        assert Evidence.from_json(evidence.to_json()) == evidence
    assert json.loads(number.to_json())["examination"]["seeds"] == [{"seed": 8, "loss": 0.4}]
    assert len({one.digest for one in (EXAMINED, ranking, number)}) == 3
    assert number.metric("squared_error").unit == "squared minutes"
    assert (number.loss.name, ranking.loss.name) == ("absolute_error", "log_loss")
    with pytest.raises(HeadframeError, match="kind"):
        replace(EVIDENCE, kind="nonsense")  # type: ignore[arg-type]
    with pytest.raises(HeadframeError, match="format"):
        Evidence.from_json(number.to_json().replace('"kind":"regression"', '"kind":"binary"'))


def test_the_json_is_canonical() -> None:
    text = EVIDENCE.to_json()
    plain = json.loads(text)
    assert text == json.dumps(plain, sort_keys=True, separators=(",", ":"))
    assert plain["metrics"]["challenger"]["auc"] == {"blocks": 0, "estimate": None}
    assert plain["metrics"]["challenger"]["log_loss"]["high"] == 1 / 3


def test_the_digest_ignores_the_order_of_mappings_and_the_kind_of_number() -> None:
    turned = replace(
        EVIDENCE,
        metrics={"challenger": dict(sorted(EVIDENCE.metrics["challenger"].items()))},
        verdicts=(replace(PASSED, figures={"low": np.float64(0.02)}),),
        rows=int(np.int64(3)),
    )
    assert turned.digest == EVIDENCE.digest


@pytest.mark.parametrize(
    "change",
    [
        {"as_of": "2013-06-01T05:00:01+00:00"},
        {"challenger": "8"},
        {"positives": 2},
        {"data_versions": {"silver/flight_delays/arrivals": 13}},
        {"verdicts": ()},
        {"code_digest": "e" * 64},
    ],
)
def test_every_change_changes_the_digest(change: dict[str, object]) -> None:
    changed = Evidence.from_json(
        json.dumps({**json.loads(EVIDENCE.to_json()), **change}, default=list)
    )
    assert changed.digest != EVIDENCE.digest


@settings(max_examples=100, deadline=None)
@given(loss=st.floats(0, 1e300), figure=st.floats(allow_nan=False, allow_infinity=False))
def test_any_finite_float_survives_the_round_trip(loss: float, figure: float) -> None:
    evidence = replace(
        EVIDENCE,
        blocks=(BlockLoss(block="a", rows=3, losses={"baseline": {"brier": loss}}),),
        verdicts=(replace(PASSED, figures={"figure": figure}),),
    )
    assert Evidence.from_json(evidence.to_json()) == evidence


def test_a_figure_that_is_not_finite_is_not_written() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        replace(EVIDENCE, verdicts=(replace(PASSED, figures={"low": float("nan")}),)).to_json()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"as_of": "2013-06-01T05:00:00-04:00"}, "as_of: expected a time in UTC"),
        ({"as_of": "2013-06-01T05:00:00"}, "as_of: expected a time in UTC"),
        ({"held_out_window": ("2013-05-29", "2013-05-02")}, "held_out_window: expected first and"),
        ({"training_window": ("January", "2013-05-02")}, "training_window: expected first and"),
        ({"rows": 4}, "rows: expected the sum of the blocks' rows"),
        ({"positives": 4}, "positives: expected a count from 0 to 3"),
        ({"blocks": EVIDENCE.blocks[:1] * 2, "rows": 4}, "every block once; found 1 repeated"),
    ],
)
def test_evidence_that_contradicts_itself_is_refused(
    change: dict[str, object], expected: str
) -> None:
    plain = {**json.loads(EVIDENCE.to_json()), **change}
    with pytest.raises(HeadframeError, match=expected):
        Evidence.from_json(json.dumps(plain, default=_plain_block))


def _plain_block(block: BlockLoss) -> dict[str, object]:
    return {"block": block.block, "rows": block.rows, "losses": block.losses}


def test_a_champion_in_the_blocks_cannot_go_unnamed() -> None:
    block = BlockLoss(block="a", rows=3, losses={"champion": {"brier": 0.1}})
    with pytest.raises(HeadframeError, match="champion: expected the version of the champion"):
        replace(EVIDENCE, champion=None, blocks=(block,))


def test_a_loss_that_is_not_finite_is_refused() -> None:
    block = BlockLoss(block="a", rows=3, losses={"challenger": {"brier": float("nan")}})
    with pytest.raises(HeadframeError, match="expected finite losses; found 1 that are not"):
        replace(EVIDENCE, blocks=(block,))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"format":1}',
        EVIDENCE.to_json().replace('"format":1', '"format":2'),
        EVIDENCE.to_json().replace('"format":1', '"format":3'),
        EXAMINED.to_json().replace('"format":2', '"format":1'),
        EXAMINED.to_json().replace('"rival":"champion"', '"rival":"nobody"'),
        EXAMINED.to_json().replace('"largest":0.0', '"largest":"none"'),
        EXAMINED.to_json().replace('"largest":0.0', '"largest":0.0,"later":1'),
        EVIDENCE.to_json().replace('"rows":3', '"rows":3,"later":1', 1),
    ],
)
def test_what_is_no_evidence_is_refused_by_name(text: str) -> None:
    with pytest.raises(HeadframeError, match="expected evidence in format 1, 2 or 3"):
        Evidence.from_json(text)


def test_an_unknown_outcome_is_refused() -> None:
    with pytest.raises(HeadframeError, match="found 'Passed'"):
        Evidence.from_json(EVIDENCE.to_json().replace('"passed"', '"Passed"'))


@pytest.mark.parametrize(
    ("outcomes", "answer"),
    [
        ([], False),
        (["not_applicable", "not_applicable"], False),
        (["passed"], True),
        (["passed", "not_applicable"], True),
        (["passed", "failed"], False),
        (["passed", "too_few"], False),
        (["not_applicable", "failed", "passed"], False),
    ],
)
def test_promotable_means_nothing_failed_and_nothing_went_untested(
    outcomes: list[Outcome], *, answer: bool
) -> None:
    assert promotable(verdict(outcome) for outcome in outcomes) is answer


def test_the_four_outcomes() -> None:
    assert OUTCOMES == ("passed", "failed", "not_applicable", "too_few")


def test_blocks_hold_rows_and_mean_losses_of_every_role() -> None:
    blocks = build_blocks(
        label=[1, 0, 1],
        predictions={"challenger": [0.5, 0.5, 1.0], "baseline": [0.5, 0.5, 0.5]},
        blocks=["2013-05-03", "2013-05-02", "2013-05-03"],
    )
    assert [(block.block, block.rows) for block in blocks] == [("2013-05-02", 1), ("2013-05-03", 2)]
    assert blocks[1].losses["challenger"]["brier"] == 0.125
    assert blocks[1].losses["baseline"]["log_loss"] == pytest.approx(0.6931471805599453)


def test_blocks_of_dates_are_named_in_iso() -> None:
    dates = np.array(["2013-05-02"], dtype="datetime64[D]")
    assert build_blocks([1], {"challenger": [0.5]}, dates)[0].block == "2013-05-02"


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_rows_in_another_order_give_the_same_blocks_to_the_last_bit(seed: int) -> None:
    rng = np.random.default_rng(seed)
    label, challenger, baseline = rng.integers(0, 2, 501), rng.random(501), rng.random(501)
    block, mixed = rng.integers(0, 25, 501), rng.permutation(501)
    assert build_blocks(
        label[mixed],
        {"challenger": challenger[mixed], "baseline": baseline[mixed]},
        block[mixed],
    ) == build_blocks(label, {"challenger": challenger, "baseline": baseline}, block)


def test_every_metric_of_every_role_gets_an_interval() -> None:
    rng = np.random.default_rng(0)
    label, probability, block = rng.integers(0, 2, 600), rng.random(600), np.arange(600) % 30
    metrics = build_metrics(label, {"challenger": probability}, block, confidence=0.9)
    assert set(metrics["challenger"]) == {"log_loss", "brier", "auc"}
    assert all(isinstance(interval, Interval) for interval in metrics["challenger"].values())


def test_improvements_are_paired_where_both_have_a_loss() -> None:
    blocks = (
        BlockLoss(
            block="a", rows=2, losses={"challenger": {"brier": 0.1}, "baseline": {"brier": 0.3}}
        ),
        BlockLoss(block="b", rows=1, losses={"challenger": {"brier": 0.1}}),
    )
    paired = replace(EVIDENCE, blocks=blocks).paired("brier", over="baseline")
    assert paired.improvements == pytest.approx([0.2])
    assert (paired.rows, paired.blocks, paired.unpaired) == ((2,), ("a",), 1)
