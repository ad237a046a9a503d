"""Estimates: right where their assumption holds, and switched off where it fails."""

import itertools

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, brier_score_loss, log_loss, roc_auc_score

from pipelines.domain.drift.estimates import (
    MINIMUM_WINDOWS,
    Calibration,
    DirectLoss,
    calibrated,
    estimate_classes,
    with_interval,
    worse_than,
)
from pipelines.errors import HeadframeError, NotEnoughData

IDENTITY = Calibration(scores=np.asarray([0.0, 1.0]), shares=np.asarray([0.0, 1.0]))


def test_expectations_are_those_over_every_outcome_there_can_be() -> None:
    """All 2^6 labels of six rows, weighted by their probability; the AUC as a ratio of both."""
    score = np.asarray([0.1, 0.3, 0.3, 0.6, 0.6, 0.9])
    brier = loss = right = pairs = concordant = 0.0
    for outcome in itertools.product([0, 1], repeat=len(score)):
        label = np.asarray(outcome)
        weight = float(np.where(label, score, 1 - score).prod())
        brier += weight * brier_score_loss(label, score)
        loss += weight * log_loss(label, score, labels=[0, 1])
        right += weight * accuracy_score(label, score > 0.5)
    for i, j in itertools.product(range(6), repeat=2):
        weight = score[i] * (1 - score[j])
        pairs += weight
        concordant += weight * (0.5 if score[i] == score[j] else float(score[i] > score[j]))
    found = estimate_classes(score, IDENTITY)
    assert found.brier == pytest.approx(brier)
    assert found.log_loss == pytest.approx(loss)
    assert found.accuracy == pytest.approx(right)
    assert found.positives == pytest.approx(score.mean())
    assert found.auc == pytest.approx(concordant / pairs)


def test_estimates_follow_a_shift_of_the_inputs() -> None:
    rng = np.random.default_rng(61)
    score = rng.beta(1, 3, 40_000)
    label = rng.random(40_000) < score**1.5
    calibration = calibrated(label[:20_000], score[:20_000])
    kept = np.flatnonzero(rng.random(20_000) < np.where(score[20_000:] > 0.4, 1, 0.1)) + 20_000
    found = estimate_classes(score[kept], calibration)
    assert found.auc == pytest.approx(roc_auc_score(label[kept], score[kept]), abs=0.02)
    assert found.brier == pytest.approx(brier_score_loss(label[kept], score[kept]), abs=0.005)
    assert found.auc != pytest.approx(roc_auc_score(label, score), abs=0.02)


def test_a_constant_score_has_no_auc() -> None:
    assert estimate_classes([0.4, 0.4], IDENTITY).auc is None


@pytest.mark.parametrize("score", [[], [0.5, 1.2], [np.nan]])
def test_scores_that_are_no_probabilities_are_refused(score: list[float]) -> None:
    with pytest.raises(HeadframeError, match="at least one score"):
        estimate_classes(score, IDENTITY)


def test_one_class_calibrates_nothing() -> None:
    with pytest.raises(NotEnoughData, match="both classes"):
        calibrated([1, 1], [0.1, 0.2])


def test_direct_loss_follows_rows_that_are_harder() -> None:
    rng = np.random.default_rng(62)
    features = rng.random((3000, 1))
    label = features[:, 0] + rng.normal(size=3000) * np.where(features[:, 0] > 0.5, 1.0, 0.1)
    predicted = features[:, 0]
    model = DirectLoss.fit(features[:2000], predicted[:2000], label[:2000], seed=1)
    hard = np.flatnonzero(features[2000:, 0] > 0.5) + 2000
    real = np.abs(label[hard] - predicted[hard]).mean()
    found = model.estimate(features[hard], predicted[hard])
    assert found == pytest.approx(real, rel=0.15)
    assert found == DirectLoss.fit(
        features[:2000], predicted[:2000], label[:2000], seed=1
    ).estimate(features[hard], predicted[hard])


def test_intervals_cover_as_often_as_they_say() -> None:
    rng = np.random.default_rng(63)
    covered = valid = 0
    for _ in range(400):
        realised = rng.normal(0.5, 0.05, 30)
        estimated = np.full(30, 0.5)
        found = with_interval(0.5, estimated=estimated[:29], realised=realised[:29])
        covered += found.low <= realised[29] <= found.high
        valid += found.valid
    assert covered >= 345
    assert valid >= 370


def test_an_estimate_that_lost_its_way_is_switched_off() -> None:
    rng = np.random.default_rng(64)
    estimated = np.full(30, 0.3)
    realised = rng.normal(0.3, 0.01, 30)
    realised[20:] += 0.1
    found = with_interval(0.3, estimated=estimated, realised=realised)
    assert not found.valid
    assert "of the last 15 labelled windows" in found.reason
    assert worse_than(found, usual=0.0, floor=0.0) == "unknown"


def test_few_labelled_windows_are_no_reason_to_believe() -> None:
    few = [0.3] * (MINIMUM_WINDOWS - 1)
    assert not with_interval(0.3, estimated=few, realised=few).valid
    assert with_interval(0.3, estimated=[*few, 0.3], realised=[*few, 0.3]).valid
    assert with_interval(0.3, estimated=[], realised=[]).high == np.inf


def test_worse_needs_the_whole_interval_above_the_floor() -> None:
    windows = np.full(20, 0.3)
    noise = np.random.default_rng(65).normal(0, 0.01, 20)
    found = with_interval(0.4, estimated=windows, realised=windows + noise)
    assert worse_than(found, usual=0.3, floor=0.02) == "yes"
    assert worse_than(found, usual=0.3, floor=0.2) == "no"
