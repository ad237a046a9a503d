"""Harm in the sales example: a rival is told of, and the same world without one tells nothing."""

import json
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from benchmarks.report import RESULTS
from benchmarks.sales_harm import (
    BANDS,
    HORIZON,
    NAME,
    RIVALS,
    SERVED_BEFORE,
    SETTLED,
    TOLERANCES,
    Cell,
    lines,
    told_after,
)
from benchmarks.sales_harm_losses import HELD_OUT_WEEKS, LABEL_WEEKS, Losses, losses_of
from examples.sales_world import PRODUCT_WEIGHTS, RIVAL_WEIGHT, SEED
from pipelines.use_case import load

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def rival() -> Losses:
    return losses_of(SEED, rival=RIVAL_WEIGHT)


@pytest.fixture(scope="module")
def no_rival() -> Losses:
    return losses_of(SEED, rival=PRODUCT_WEIGHTS[0])


def test_worlds_are_one_but_for_the_rival_and_what_it_does_to_the_loss(
    rival: Losses, no_rival: Losses
) -> None:
    assert len(rival.held_out) == HELD_OUT_WEEKS
    assert np.array_equal(rival.held_out, no_rival.held_out)
    usual = rival.held_out.mean()
    assert rival.served[SETTLED].mean() - usual > 0.08
    assert abs(no_rival.served[SETTLED].mean() - usual) < 0.03


def test_the_rival_is_told_as_harm_months_later_and_the_later_the_more_is_tolerated(
    rival: Losses, no_rival: Losses
) -> None:
    told = [told_after(rival, tolerance) or HORIZON + 1 for tolerance in TOLERANCES]
    strict, declared, lax = told
    assert SERVED_BEFORE + 13 < strict <= declared < lax
    assert declared < HORIZON
    assert [told_after(no_rival, tolerance) for tolerance in TOLERANCES] == [None, None, None]


def test_the_labels_windows_and_tolerance_are_those_that_are_declared() -> None:
    declared = load(ROOT / "dags" / "sales_opportunities.py")
    assert declared.label is not None
    assert declared.training is not None
    assert declared.monitoring is not None
    assert declared.label.final_after == timedelta(weeks=LABEL_WEEKS)
    assert declared.training.split.test_days == HELD_OUT_WEEKS
    assert (declared.monitoring.tolerance, declared.monitoring.block) == (0.02, "week")


def test_the_documents_tell_what_was_measured() -> None:
    rows = json.loads((RESULTS / f"{NAME}.json").read_text("utf-8"))["rows"]
    cells = [
        Cell(**{**row, "rise": tuple(row["rise"]), "weeks": tuple(row["weeks"])}) for row in rows
    ]
    told = (ROOT / "docs" / "benchmarks.md").read_text("utf-8")
    found = lines(cells)
    assert len(found) == len(RIVALS) + len(BANDS) + 1
    for line in found:
        assert f"| {' | '.join(line)} |" in told
