"""The examination of a real candidate: every gate on the machines, and what each is there to find."""

from dataclasses import replace
from pathlib import Path

import pytest
from mlflow import MlflowClient

from pipelines.adapters.models import footprint, mlflow_registry
from pipelines.adapters.settings import Settings
from pipelines.domain.verdict import Verdict
from pipelines.errors import DeclarationError
from pipelines.stages.evaluate import evaluate
from pipelines.stages.train import train
from pipelines.use_case import NoWorseOnSegment, UseCase, load
from tests import machines
from tests.machines import Variant, at

GATES = """gates=[
        BeatsBaseline("log_loss", margin=0.01), BeatsChampion("log_loss", confidence=0.95),
        NoWorseOnSegment("family", 0.05), Calibrated(0.2), StableAcrossSeeds(0.01), FreshData(7),
        NoLeakage(), WithinBudget(milliseconds_per_1000=5000, megabytes=1), CompatibleSignature(),
        Reproducible(),
    ],"""
IMPORTS = (
    "Calibrated, CompatibleSignature, FreshData, NoLeakage, NoWorseOnSegment, Reproducible,"
    " StableAcrossSeeds, WithinBudget,"
)
DECLARED = (
    'gates=[BeatsBaseline("log_loss", margin=0.01), BeatsChampion("log_loss", confidence=0.95)],'
)


def declared(settings: Settings, *changes: tuple[str, str], more_features: str = "") -> UseCase:
    """Declare the machines with every gate, and these texts of their file changed."""
    machines.declare(settings, Variant(more_features=more_features))
    path = settings.dags / f"{machines.NAME}.py"
    text = path.read_text()
    for old, new in [
        (DECLARED, GATES),
        ("BeatsBaseline, ", f"{IMPORTS} BeatsBaseline, "),
        *changes,
    ]:
        assert old in text
        text = text.replace(old, new, 1)
    path.write_text(text)
    return load(path)


def candidate(use_case: UseCase, settings: Settings) -> str:
    return train(use_case, settings, as_of=at(50), run="test", requester="sam").version


def by_gate(verdicts: tuple[Verdict, ...]) -> dict[str, str]:
    return {verdict.gate: verdict.outcome for verdict in verdicts}


def test_a_sound_challenger_is_examined_from_every_side(promoted: tuple[UseCase, Settings]) -> None:
    _, settings = promoted
    use_case = declared(settings, more_features=", a.load * a.load as squared")
    version = candidate(use_case, settings)
    misspelt = replace(use_case, gates=[NoWorseOnSegment("famly", 0.05)])
    with pytest.raises(DeclarationError, match="segment 'famly': expected a text among key and"):
        evaluate(misspelt, settings, version=version)
    evidence = evaluate(use_case, settings, version=version).evidence
    assert by_gate(evidence.verdicts) == {
        "BeatsBaseline": "passed",
        "BeatsChampion": "passed",
        "NoWorseOnSegment": "passed",
        "Calibrated": "passed",
        "StableAcrossSeeds": "passed",
        "FreshData": "passed",
        "NoLeakage": "passed",
        "WithinBudget": "passed",
        "CompatibleSignature": "failed",
        "Reproducible": "passed",
    }
    seen = evidence.examination
    assert seen is not None
    assert [(level.level, level.rows) for level in seen.segments["family"]] == [
        ("B", 390),
        ("A", 386),
    ]
    assert seen.importance["load"] + seen.importance["squared"] > 0.9
    assert [point.blocks for point in seen.learning_curve] == [6, 13, 26]
    assert len({seed.loss for seed in seen.seeds}) == 1  # its solver draws nothing
    assert seen.leakage is not None
    assert (seen.leakage.described, seen.leakage.differing) == (80, 0)
    assert seen.leakage.alone["load"] > 0.9 > seen.leakage.alone["past_rate"]
    assert seen.reproduction is not None
    assert seen.reproduction.rows > 1_700
    assert seen.difference is not None
    assert (seen.difference.features_added, seen.difference.moved > 0.1) == (("squared",), True)
    model = mlflow_registry.candidate(settings, "machines", version)
    loaded = mlflow_registry.load(settings, "machines", model)
    # Measured once: a second time would hardly cost the same to the last bit.
    assert footprint.measured(settings, "machines", model, loaded) == seen.footprint
    assert seen.footprint is not None
    assert seen.footprint.megabytes == pytest.approx(_model_bytes(settings, version) / 1e6, rel=0.1)


def test_a_look_ahead_and_a_fit_that_nobody_can_repeat_are_found(
    machines_settings: Settings,
) -> None:
    # The feature reads what the platform keeps from it: the versions table with all later rows.
    ahead = ", (select count(*) from outcome__versions o where o.day >= a.day) / 10000.0 as to_come"
    by_luck = (
        "LogisticRegression(C=1.0",
        "LogisticRegression(C=__import__('random').uniform(1, 9)",
    )
    use_case = declared(machines_settings, by_luck, more_features=ahead)
    evidence = evaluate(
        use_case, machines_settings, version=candidate(use_case, machines_settings)
    ).evidence
    reasons = {verdict.gate: verdict for verdict in evidence.verdicts}
    assert reasons["NoLeakage"].outcome == "failed"
    assert "80 of 80 rows come out otherwise" in reasons["NoLeakage"].reason
    assert reasons["Reproducible"].outcome == "failed"


def _model_bytes(settings: Settings, version: str) -> int:
    """Return the size of the model's own files, as they lie in the artifact store."""
    found = MlflowClient(settings.mlflow_uri).get_model_version("machines-candidates", version)
    (folder,) = (
        settings.mlflow_artifacts.glob(f"**/{Path(str(found.source)).name}/artifacts")
        if ("models:/" in str(found.source))
        else (Path(str(found.source)),)
    )
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
