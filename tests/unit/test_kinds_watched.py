"""Numbers and rankings in monitoring: performance, expected errors, harm, and what they are held against."""

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipelines.domain.drift.column_edges import edges_of
from pipelines.domain.drift.harm import Harm
from pipelines.domain.drift.losses import BlockLosses
from pipelines.domain.expected_value import RankedList
from pipelines.domain.model_reference import ModelReference
from pipelines.domain.monitoring import Monitoring
from pipelines.domain.performance import MEASURE, BlockPerformance, measure
from pipelines.domain.prediction_kinds import BINARY, RANKING, REGRESSION, Kind
from pipelines.domain.row_errors import RowErrors
from pipelines.domain.training import (
    FeatureColumns,
)
from pipelines.domain.watch_losses import judge_losses


def states(labels: list[object]) -> pa.Table:
    return pa.table(
        {
            "offer": [f"o{n}" for n in range(len(labels))],
            "state": ["pending" if known is None else "final" for known in labels],
            "value": labels,
        }
    )


def test_performance_of_numbers_is_their_error_on_final_labels() -> None:
    said = pa.table(
        {
            "offer": ["o0", "o1", "o2", "o3"],
            "prediction": [10.0, 20.0, 30.0, 40.0],
            "model_version": ["1"] * 4,
        }
    )
    first, second = measure(
        said,
        states([12.0, 17.0, None, 40.0]),
        key=("offer",),
        blocks=["a", "a", "a", "b"],
        minimum_labels=2,
        kind=REGRESSION,
    )
    assert (first.absolute_error, first.squared_error, first.loss) == (2.5, 6.5, 2.5)
    assert (first.final, first.pending, first.positives) == (2, 1, 0)
    assert (first.log_loss, first.auc, first.missed_value) == (None, None, None)
    assert (second.outcome, second.loss) == ("too_few", None)
    assert "missed_value" not in first.as_row(REGRESSION)
    assert {*first.as_row()} & {"absolute_error", "squared_error", "missed_value"} == set()


def test_performance_of_a_ranking_is_what_its_published_list_missed() -> None:
    said = pa.table(
        {
            "offer": ["o0", "o1", "o2"],
            "prediction": [0.9, 0.2, 0.5],
            "value": [10.0, 100.0, 30.0],
            "model_version": ["1"] * 3,
        }
    )
    asked: dict[str, Any] = {
        "key": ("offer",), "blocks": ["a"] * 3, "minimum_labels": 2, "kind": RANKING,
    }  # fmt: skip
    (found,) = measure(said, states([True, False, True]), listed=RankedList(count=1), **asked)
    assert found.missed_value == 1.0
    assert found.loss == found.log_loss
    (pending,) = measure(said, states([True, None, True]), listed=RankedList(count=1), **asked)
    assert pending.missed_value == 0.0  # of the rows whose label is final, the list holds the best
    (without,) = measure(
        said, states([True, True, True]), listed=RankedList(count=1, per=("region",)), **asked
    )
    assert without.missed_value is None


MEASURED = {
    1: {
        "binary": [8, 6, 1, 1, 3, 0.493266, 0.777778, None, None, None],
        "ranking": [8, 6, 1, 1, 3, 0.493266, 0.777778, None, None, 0.2],
        "regression": [8, 6, 1, 1, 0, None, None, 2.0, 6.0, None],
    }
}
"""What each number of MEASURE says of the same eight rows."""


@pytest.mark.parametrize("kind", [BINARY, RANKING, REGRESSION], ids=lambda kind: kind.name)
def test_what_is_measured_of_the_same_rows_is_of_one_number(kind: Kind) -> None:
    """Blocks measured for good are measured again only when MEASURE is raised: raise it, and add what it says."""
    number = kind.answer == "number"
    said = pa.table(
        {
            "offer": [f"o{n}" for n in range(8)],
            "prediction": [10.0 * n for n in range(8)]
            if number
            else [0.9, 0.6, 0.8, 0.5, 0.4, 0.1, 0.3, 0.7],
            "value": [5.0, 10.0, 20.0, 10.0, 5.0, 5.0, 10.0, 30.0],
            "model_version": ["1", "2"] * 4,
        }
    )
    labels: list[object] = [True, False, True, False, True, False]
    known = states([10.0 * n + (n % 3 - 1) * 3 for n in range(6)] if number else labels)
    unlabelled = pa.table({"offer": ["o6"], "state": ["unlabelled"], "value": known["value"][:1]})
    (found,) = measure(
        said,
        pa.concat_tables([known, unlabelled]),
        key=("offer",),
        blocks=["a"] * 8,
        minimum_labels=2,
        kind=kind,
        listed=RankedList(count=2),
    )
    assert (found.outcome, found.model_versions) == ("measured", "1,2")
    told = [
        *(found.predictions, found.final, found.unlabelled, found.pending, found.positives),
        *(found.log_loss, found.auc, found.absolute_error, found.squared_error, found.missed_value),
    ]
    rounded = [round(value, 6) if isinstance(value, float) else value for value in told]
    assert rounded == MEASURED[MEASURE][kind.name]
    row = found.as_row(kind)
    assert BlockPerformance(**row) == found


def test_the_error_of_numbers_is_learned_from_where_they_were_off() -> None:
    drawn = np.random.default_rng(5)
    size = 3_000
    region = np.where(drawn.random(size) < 0.5, "calm", "wild")
    label = drawn.normal(size=size) * np.where(region == "wild", 20.0, 2.0)
    rows = pa.table({"amount": drawn.random(size), "region": region, "label": label})
    columns = FeatureColumns(numeric=("amount",), categorical=("region",))
    learned = RowErrors.of(rows, columns, np.zeros(size), seed=7)

    def expected(name: str) -> float:
        asked = pa.table({"amount": drawn.random(200), "region": [name] * 200})
        return learned.expected(asked, np.zeros(200))

    # A normal distribution's mean distance from its centre is 0.798 standard deviations.
    assert expected("wild") == pytest.approx(16.0, rel=0.15)
    assert expected("calm") == pytest.approx(1.6, rel=0.4)
    assert np.isfinite(expected("never seen"))


def blocks_of(loss: list[float]) -> BlockLosses:
    count = len(loss)
    return BlockLosses(
        blocks=tuple(f"2026-{1 + n // 28:02}-{1 + n % 28:02}" for n in range(count)),
        rows=np.full(count, 50),
        loss=np.asarray(loss),
        residual=np.zeros(count),
        segments=(),
        contrast=np.zeros((count, 0)),
    )


def reference(loss: list[float]) -> ModelReference:
    rows = pa.table({"amount": [1.0, 2.0, 3.0], "predicted_handling": [10.0, 20.0, 30.0]})
    columns = ["amount", "predicted_handling"]
    edges = edges_of(
        rows, columns=columns, ranked=columns, segments=[], ordered_by="predicted_handling"
    )
    return ModelReference(
        model_version="1",
        prediction="predicted_handling",
        edges=edges,
        importance={"amount": 1.0},
        training_window=("2025-12-01", "2025-12-31"),
        losses=blocks_of(loss),
        calibration=None,
        loss="absolute_error",
        unit="minutes",
    )


def test_a_reference_of_numbers_reads_back_with_its_loss_and_unit() -> None:
    made = reference([20.0, 30.0, float("nan")])
    again = ModelReference.from_json(made.to_json())
    assert (again.loss, again.unit, again.digest) == ("absolute_error", "minutes", made.digest)
    assert again.loss_words == "absolute error in minutes"
    # A fiftieth of the 25 minutes of the held-out blocks; a block counts up to four times them.
    assert (again.loss_floor, again.most_loss) == (0.5, 100.0)
    nats = dataclasses.replace(made, loss="log_loss", unit="nats")
    assert (nats.loss_floor, nats.most_loss, nats.loss_words) == (0.01, None, "log loss")
    assert '"unit"' not in nats.to_json()


@pytest.mark.parametrize(("now", "outcome"), [(21.0, "quiet"), (60.0, "drifted")])
def test_harm_of_numbers_is_a_rise_beyond_the_tolerance_in_their_unit(
    now: float, outcome: str
) -> None:
    drawn = np.random.default_rng(4)
    before = reference((20.0 + drawn.normal(size=30)).tolist())
    current = blocks_of((now + drawn.normal(size=30)).tolist())
    times = [datetime(2026, 3, 1, tzinfo=UTC) + timedelta(days=day) for day in range(30)]
    judged = judge_losses(current, times, before, Monitoring(tolerance=5.0))
    harm = next(one for one in judged if one.name == "Harm")
    assert harm.result.outcome == outcome
    assert "the mean absolute_error is" in harm.result.reason
    assert Harm("absolute_error").problems() != ()
    assert Harm("absolute_error", most=80.0).problems() == ()
