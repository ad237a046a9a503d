"""Reproducing: machines with candidates of every sort, and a library whose copy nobody edits."""

import io
import shutil
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from pipelines.adapters.models import code_archive
from pipelines.adapters.settings import Settings
from pipelines.stages.evaluate import evaluate
from pipelines.stages.train import train
from pipelines.use_case import UseCase, load
from tests import machines
from tests.machines import at

ROOT = Path(__file__).parents[1]

CANDIDATES = """
from pipelines.errors import Problem, ServiceUnavailable


def encoded(columns, estimator):
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OrdinalEncoder

    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    return make_pipeline(
        ColumnTransformer([
            ("numbers", "passthrough", list(columns.numeric)),
            ("categories", encoder, list(columns.categorical)),
        ]),
        estimator,
    )


def trees(columns, seed):
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(max_iter=20, early_stopping=True, random_state=seed)
    return encoded(columns, model)


def forest(columns, seed):
    import os
    import signal

    from sklearn.ensemble import RandomForestClassifier

    if os.environ.get("FIT_ENDS") == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if os.environ.get("FIT_ENDS") == "without its store":
        problem = Problem(where="store", expected="an answer", found="none", fix="Wait.")
        raise ServiceUnavailable(problem)
    model = RandomForestClassifier(20, min_samples_leaf=20, n_jobs=2, random_state=seed)
    return encoded(columns, model)


def boosted(columns, seed):
    from lightgbm import LGBMClassifier

    model = LGBMClassifier(n_estimators=20, subsample=0.8, subsample_freq=1, random_state=seed,
                           verbosity=-1)
    return encoded(columns, model)


def unseeded(columns, seed):
    from sklearn.ensemble import RandomForestClassifier

    return encoded(columns, RandomForestClassifier(5))


"""

NAMES = ("logistic", "trees", "forest", "boosted", "unseeded")


def use_library(folder: Path, patch: pytest.MonkeyPatch) -> Path:
    """Let code digest and archive be those of a copy of the library, with the lock beside it."""
    package = folder / "pipelines"
    shutil.copytree(
        ROOT / "pipelines", package, ignore=shutil.ignore_patterns("__pycache__", "*.j2")
    )
    for name in (code_archive.LOCK, code_archive.PROJECT):
        shutil.copy(ROOT / name, folder / name)
    patch.setattr(code_archive, "PACKAGE", package)
    return package


def declare(
    settings: Settings, candidate: str = "logistic", *, more_code: str = "", seed: int = 7
) -> UseCase:
    """Write the DAG file of machines with one of NAMES as its candidate, and load it."""
    machines.declare(settings, machines.Variant(seed=seed))
    path = settings.dags / f"{machines.NAME}.py"
    text = path.read_text("utf-8")
    for old, new in (
        ("\n\nmachines = UseCase(", f"\n{CANDIDATES}{more_code}\nmachines = UseCase("),
        ('Candidate("logistic", logistic)', f'Candidate("{candidate}", {candidate})'),
    ):
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    path.write_text(text, "utf-8")
    return load(path)


def trained(
    settings: Settings, candidate: str = "logistic", *, more_code: str = "", seed: int = 7
) -> str:
    """Declare a candidate, train it, and return its version."""
    use_case = declare(settings, candidate, more_code=more_code, seed=seed)
    return train(use_case, settings, as_of=at(50), run="test", requester="sam").version


def judged(settings: Settings, version: str) -> str:
    """Judge a version, so that the decisions ledger vouches for it, and return it."""
    evaluate(load(settings.dags / f"{machines.NAME}.py"), settings, version=version)
    return version


def pack(held: Mapping[str, bytes], target: Path) -> None:
    """Write an archive of these files, as somebody would who changes one by hand."""
    with tarfile.open(target, "w:gz") as tar:
        for name, content in held.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
