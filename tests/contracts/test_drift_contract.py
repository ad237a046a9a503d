"""What every drift test promises, asked of each class found in pipelines.domain.drift."""

import dataclasses
import json
import re
import tomllib
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pytest

from pipelines.domain import drift
from pipelines.domain.drift.block_profile import scan
from pipelines.domain.drift.block_statistics import statistics_of
from pipelines.domain.drift.column_edges import edges_of
from pipelines.domain.drift.drift_result import OUTCOMES, DriftEvidence, DriftResult
from pipelines.domain.drift.losses import losses_of
from pipelines.domain.drift.severity import severity_of
from tests.judging import judging_classes

NEEDS_NO_REFERENCE = {"HardRules"}
"""Tests that judge before there is a reference: they have no statistics to be wrong about."""

ROWS, WINDOW = 40, 7
PYPROJECT = Path(__file__).parent.parent.parent / "pyproject.toml"


class Judging(Protocol):
    def judge(self, evidence: DriftEvidence) -> DriftResult: ...


TESTS = judging_classes(drift)
every_test = pytest.mark.parametrize("test", TESTS)


def evidence_of(reference: int, *, broken: bool = False) -> DriftEvidence:
    """Evidence of ``reference`` quiet blocks and a window; ``broken`` in input, label and unit."""
    rng = np.random.default_rng(5)
    blocks = reference + WINDOW + 60
    profiles, label, score, of_row = [], [], [], []
    first = pa.table(
        {"miles": rng.normal(1000, 200, 500), "origin": rng.choice(["EWR", "JFK"], 500)}
    )
    edges = edges_of(first, columns=["miles", "origin"], segments=["origin"])
    for block in range(blocks):
        odd = broken and block >= reference
        miles = rng.normal(1000, 200, ROWS) * (1.609344 if odd else 1.0)
        origin = rng.choice(["EWR", "LGA"] if odd else ["EWR", "JFK"], ROWS)
        table = pa.table({"miles": miles, "origin": origin})
        profiles.append(scan(table.to_batches(), edges, block=str(block)))
        probability = rng.uniform(0.1, 0.4, ROWS)
        happened = rng.random(ROWS) < (0.9 if odd else probability)
        label += happened.tolist()
        score += probability.tolist()
        of_row += [block] * ROWS
    return DriftEvidence(
        reference=tuple(range(reference)),
        current=tuple(range(reference, blocks)),
        statistics=statistics_of(profiles, edges),
        profiles=tuple(profiles),
        edges=edges,
        losses=losses_of(
            "log_loss",
            label=label,
            probability=score,
            blocks=[str(block) for block in range(blocks)],
            of_row=of_row,
        ),
        importance={"miles": 1.0},
    )


def test_the_drift_tests_were_found() -> None:
    names = {test.__name__ for test in TESTS}
    assert names == {"BlockPermutation", "HardRules", "Harm", "SegmentContrast"}


@every_test
def test_its_docstring_names_a_source(test: type[Any]) -> None:
    assert re.search(r"\([^()]*[A-Z][\w-]+[^()]*,?\s(19|20)\d\d\b", test.__doc__ or "")


@every_test
def test_it_is_frozen_and_finds_no_problem_in_its_own_defaults(test: type[Any]) -> None:
    built = test()
    assert built == test()
    assert built.problems() == ()
    for field in dataclasses.fields(built):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(built, field.name, None)


@every_test
@pytest.mark.parametrize("blocks", [0, 1, 19])
def test_too_few_reference_blocks_are_learning_and_never_quiet(
    test: type[Any], blocks: int
) -> None:
    result = test().judge(evidence_of(blocks, broken=True))
    learned = "drifted" if test.__name__ in NEEDS_NO_REFERENCE else "learning"
    assert result.outcome == learned
    if learned == "learning":
        assert result.p_value is None
        assert severity_of(result, importance={}, prediction=None) is None


@every_test
def test_an_empty_window_is_not_tested_and_never_quiet(test: type[Any]) -> None:
    evidence = dataclasses.replace(evidence_of(30), current=())
    assert test().judge(evidence).outcome == "not_tested"


@every_test
def test_evidence_without_what_it_looks_at_is_not_tested(test: type[Any]) -> None:
    nothing = DriftEvidence(reference=tuple(range(30)), current=tuple(range(30, 40)))
    assert test().judge(nothing).outcome == "not_tested"


@every_test
@pytest.mark.parametrize(("broken", "outcome"), [(False, "quiet"), (True, "drifted")])
def test_it_tells_broken_blocks_from_quiet_ones(
    test: type[Any], *, broken: bool, outcome: str
) -> None:
    assert test().judge(evidence_of(150, broken=broken)).outcome == outcome


@every_test
@pytest.mark.parametrize("broken", [False, True])
def test_its_result_is_a_sentence_the_same_twice_and_survives_json(
    test: type[Any], *, broken: bool
) -> None:
    result = test().judge(evidence_of(40, broken=broken))
    assert result == test().judge(evidence_of(40, broken=broken))
    assert DriftResult.from_plain(json.loads(json.dumps(result.to_plain()))) == result
    assert result.test == test.__name__
    assert result.outcome in OUTCOMES
    assert re.fullmatch(r"[A-Z].*\.", result.reason)
    if result.p_value is not None:
        assert 0 < result.p_value <= 1


def test_every_drift_test_is_in_the_contract_of_independence() -> None:
    contracts = tomllib.loads(PYPROJECT.read_text())["tool"]["importlinter"]["contracts"]
    (independent,) = [c for c in contracts if c["name"] == "drift tests are independent"]
    assert {test.__module__ for test in TESTS} <= set(independent["modules"])
