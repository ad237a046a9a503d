"""Searches: the machines, with a candidate whose parameters are searched."""

from pipelines.adapters.settings import Settings
from pipelines.use_case import UseCase, load
from tests import machines

SPACE = '{"strength": LogUniform(0.001, 10.0), "fit_intercept": Choice([True, False])}'
"""What is varied of the logistic regression; the declared strength of 0.002 is a poor one."""


def declare(
    settings: Settings,
    *,
    trials: int = 6,
    cpu_seconds: float = 60.0,
    tuning_tasks: int = 1,
    more_training: str = "",
    more_candidates: str = "",
    more_code: str = "",
    space: str = SPACE,
    tier: str = "scheduled",
) -> UseCase:
    """Write the DAG file of machines that search, and load it."""
    machines.declare(settings, machines.Variant(strength=0.002, tier=tier))
    path = settings.dags / f"{machines.NAME}.py"
    text = path.read_text("utf-8")
    for old, new in (
        (
            "def logistic(columns, seed):",
            "def logistic(columns, seed, strength=0.002, fit_intercept=True):",
        ),
        (
            "C=0.002, random_state=seed",
            "C=strength, fit_intercept=fit_intercept, random_state=seed",
        ),
        ("BeatsBaseline, ", "BeatsBaseline, Choice, IntUniform, LogUniform, Recent, Sliding, "),
        (
            'Candidate("logistic", logistic)',
            f'Candidate("logistic", logistic, {space}), {more_candidates}',
        ),
        ("\n\nmachines = UseCase(", f"\n\n{more_code}\n\nmachines = UseCase("),
        (
            "ForwardTime(test_days=20),",
            f"ForwardTime(test_days=20, validation_days=7), trials={trials}, {more_training}\n"
            f"        cpu_seconds={cpu_seconds}, tuning_tasks={tuning_tasks},",
        ),
    ):
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    path.write_text(text, "utf-8")
    return load(path)
