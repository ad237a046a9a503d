"""Requirements: the packages that a model file names are those of the lock, to the version."""

import tomllib
from pathlib import Path

from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pipelines.adapters.models.trusted_types import ALWAYS, refuse_untrusted, requirements

LOCK = Path(__file__).parents[2] / "uv.lock"


def test_a_model_names_its_packages_as_the_lock_pins_them() -> None:
    import lightgbm

    locked = {
        f"{package['name']}=={package['version']}"
        for package in tomllib.loads(LOCK.read_text())["package"]
        if "version" in package
    }
    plain = requirements(make_pipeline(StandardScaler(), LogisticRegression()))
    assert [name.split("==")[0] for name in plain] == list(ALWAYS)
    boosted = requirements(make_pipeline(StandardScaler(), lightgbm.LGBMClassifier()))
    assert boosted[: len(ALWAYS)] == plain
    assert boosted[len(ALWAYS) :] == [f"lightgbm=={lightgbm.__version__}"]
    assert set(boosted) <= locked


def test_a_pipeline_of_library_steps_alone_is_trusted() -> None:
    model = make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression())
    refuse_untrusted(model.fit([[1.0], [2.0], [float("nan")]], [0, 1, 1]), "made_up")
