"""What every gate promises, asked of each class found in pipelines.domain.gates."""

import dataclasses
import json
import re
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import pytest

from pipelines import use_case
from pipelines.domain import gates
from pipelines.domain.digest import digest_of
from pipelines.domain.evidence import BlockLoss, Evidence
from pipelines.domain.examine import FOOTPRINT, LEAKAGE, REPRODUCTION, SEEDS
from pipelines.domain.metrics import LOSSES
from pipelines.domain.verdict import OUTCOMES, Verdict, promotable
from tests.examined import evidence_with
from tests.judging import judging_classes

ARGUMENTS: Mapping[str, Any] = {
    **{"metric": "log_loss", "margin": 0.01, "confidence": 0.95},
    **{"segment": "origin", "tolerance": 0.03, "limit": 0.05},
    **{"days": 30, "milliseconds_per_1000": 50.0},
}
"""An argument for each required field by its name; a gate with another field adds it here."""


class Judging(Protocol):
    def judge(self, evidence: Evidence) -> Verdict: ...


GATES = judging_classes(gates)
COMPARING = [
    gate for gate in GATES if "metric" in {field.name for field in dataclasses.fields(gate)}
]
"""Gates that compare the challenger's losses with another role's."""

OF_DATES = {"FreshData"}
"""Gates that look at nothing but dates."""


def made(gate: type[Any]) -> Judging:
    required = [
        field.name for field in dataclasses.fields(gate) if field.default is dataclasses.MISSING
    ]
    built: Judging = gate(**{name: ARGUMENTS[name] for name in required})
    return built


def evidence_of(gain: float, blocks: int = 28, spread: float = 0.01) -> Evidence:
    """Evidence in which the challenger's loss is below both rivals' by ``gain`` on average."""
    rng = np.random.default_rng(blocks)
    gains = gain + spread * rng.normal(size=blocks)
    rows = [int(count) for count in rng.integers(50, 200, blocks)]
    bundle = tuple(
        BlockLoss(
            block=f"2013-{5 + number // 28:02d}-{1 + number % 28:02d}",
            rows=rows[number],
            losses={
                "challenger": dict.fromkeys(LOSSES, 0.6 - float(gains[number])),
                "baseline": dict.fromkeys(LOSSES, 0.6),
                "champion": dict.fromkeys(LOSSES, 0.6),
            },
        )
        for number in range(blocks)
    )
    return Evidence(
        use_case="flight_delays",
        as_of="2013-07-01T05:00:00+00:00",
        challenger="7",
        champion="3",
        training_window=("2013-01-01", "2013-04-27"),
        held_out_window=("2013-05-01", "2013-06-28"),
        rows=sum(rows),
        positives=sum(rows) // 5,
        metrics={},
        blocks=bundle,
        data_versions={},
        declaration_digest="",
        code_digest="",
    )


def test_the_gates_were_found() -> None:
    names = {gate.__name__ for gate in GATES}
    assert {"BeatsBaseline", "BeatsChampion"} | OF_DATES <= names
    assert names <= set(use_case.__all__)
    assert COMPARING


@pytest.mark.parametrize("gate", GATES)
def test_its_docstring_names_a_source(gate: type[Any]) -> None:
    assert re.search(r"\([^()]*[A-Z][\w-]+[^()]*,?\s(19|20)\d\d\b", gate.__doc__ or "")


@pytest.mark.parametrize("gate", GATES)
def test_it_is_frozen(gate: type[Any]) -> None:
    built = made(gate)
    assert built == made(gate)
    assert hash(built) == hash(made(gate))
    for field in dataclasses.fields(gate):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(built, field.name, None)


@pytest.mark.parametrize("gate", GATES)
def test_it_finds_no_problem_in_sound_arguments(gate: type[Any]) -> None:
    assert not getattr(made(gate), "problems", tuple)()


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("gain", [-0.1, 0.0, 0.1])
def test_it_says_the_same_twice(gate: type[Any], gain: float) -> None:
    assert made(gate).judge(evidence_of(gain)) == made(gate).judge(evidence_of(gain))


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("gain", [-0.1, 0.0, 0.1])
def test_its_verdict_is_a_sentence_and_survives_json(gate: type[Any], gain: float) -> None:
    verdict = made(gate).judge(evidence_of(gain))
    assert Verdict.from_plain(json.loads(json.dumps(verdict.to_plain()))) == verdict
    assert verdict.gate == gate.__name__
    assert verdict.outcome in OUTCOMES
    assert re.fullmatch(r"[A-Z].*\.", verdict.reason)
    kept = dataclasses.replace(evidence_of(gain), verdicts=(verdict,))
    assert Evidence.from_json(kept.to_json()).verdicts == (verdict,)


@pytest.mark.parametrize("gate", [gate for gate in GATES if gate.__name__ not in OF_DATES])
@pytest.mark.parametrize("blocks", [0, 1, 5, 19])
def test_too_few_blocks_and_what_was_not_looked_at_never_pass(gate: type[Any], blocks: int) -> None:
    verdict = made(gate).judge(evidence_of(0.1, blocks))
    assert verdict.outcome == "too_few"
    assert not promotable([verdict])


@pytest.mark.parametrize("gate", GATES)
def test_it_says_the_same_of_stored_evidence(gate: type[Any]) -> None:
    evidence = evidence_with()
    assert made(gate).judge(Evidence.from_json(evidence.to_json())) == made(gate).judge(evidence)


@pytest.mark.parametrize("gate", GATES)
def test_its_arguments_have_a_canonical_form(gate: type[Any]) -> None:
    assert digest_of(made(gate)) == digest_of(made(gate))


@pytest.mark.parametrize("gate", GATES)
def test_what_it_needs_is_looked_at(gate: type[Any]) -> None:
    assert getattr(gate, "needs", frozenset()) <= {SEEDS, LEAKAGE, FOOTPRINT, REPRODUCTION}


@pytest.mark.parametrize("gate", COMPARING)
@pytest.mark.parametrize("blocks", [28, 42, 56])
def test_identical_models_never_pass(gate: type[Any], blocks: int) -> None:
    assert made(gate).judge(evidence_of(0.0, blocks, spread=0.0)).outcome == "failed"


@pytest.mark.parametrize("gate", COMPARING)
@pytest.mark.parametrize("blocks", [28, 42, 56])
def test_a_clearly_better_challenger_passes(gate: type[Any], blocks: int) -> None:
    verdict = made(gate).judge(evidence_of(0.1, blocks))
    assert verdict.outcome == "passed"
    assert promotable([verdict])


@pytest.mark.parametrize("gate", COMPARING)
@pytest.mark.parametrize("blocks", [28, 42, 56])
def test_a_clearly_worse_challenger_fails(gate: type[Any], blocks: int) -> None:
    verdict = made(gate).judge(evidence_of(-0.1, blocks))
    assert verdict.outcome == "failed"
    assert not promotable([verdict])
