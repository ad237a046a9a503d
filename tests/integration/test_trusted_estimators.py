"""Trusted estimators: what scikit-learn brings can be kept in a model file, and says the same when read back."""

import inspect
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import skops.io
from sklearn.base import is_regressor
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import Birch
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import (
    BaggingClassifier,
    HistGradientBoostingRegressor,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.feature_selection import SelectKBest, f_regression, mutual_info_classif
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, DotProduct, Matern, WhiteKernel
from sklearn.linear_model import HuberRegressor, LogisticRegression, Ridge, TweedieRegressor
from sklearn.model_selection import GridSearchCV, TunedThresholdClassifierCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, SplineTransformer
from sklearn.utils import all_estimators

from pipelines.adapters.models.trusted_types import (
    TRUSTED_TYPES,
    refuse_untrusted,
    requirements,
)
from pipelines.errors import PromotionRefused

REFUSED = {"Birch", "BisectingKMeans", "OutputCodeClassifier"}
OTHER_LAST_BITS = {"KernelRidge", "LabelPropagation", "LabelSpreading"}
"""As docs/training.md names them."""

RNG = np.random.default_rng(0)
ROWS = np.abs(RNG.normal(size=(60, 3)))
LABEL = (ROWS[:, 0] + RNG.normal(size=60) > 0.8).astype(int)
NUMBER = ROWS[:, 0] + 1.0


def made(kind: str) -> Iterator[tuple[str, Any]]:
    """Return every estimator of a kind that can be fitted to the rows, by name."""
    inner = LogisticRegression() if kind == "classifier" else Ridge()
    grid = {"C": [0.1, 1.0]} if kind == "classifier" else {"alpha": [0.1, 1.0]}
    asked = {
        "estimator": inner,
        "estimators": [("a", inner), ("b", inner)],
        "param_grid": grid,
        "param_distributions": grid,
    }
    for name, build in all_estimators(type_filter=kind):
        named = inspect.signature(build).parameters
        given = {
            key: value
            for key, value in asked.items()
            if key in named and named[key].default is inspect.Parameter.empty
        }
        if name == "VotingClassifier":
            given["voting"] = "soft"
        try:
            model = build(**given)
            model.fit(ROWS, NUMBER if kind == "regressor" else LABEL)
            said(model)
        except (AttributeError, IndexError, TypeError, ValueError):
            continue
        yield name, model


def said(model: Any) -> "np.ndarray":  # noqa: ANN401 - any estimator
    """Return what an estimator says of the rows."""
    for name in ("predict_proba", "predict", "transform"):
        if hasattr(model, name):
            found = getattr(model, name)(ROWS)
            return np.asarray(found.todense() if hasattr(found, "todense") else found)
    return np.empty(0)


def kept(model: Any) -> Any:  # noqa: ANN401 - any estimator
    """Return a model as it comes back from a file."""
    refuse_untrusted(model, "shop")
    return skops.io.loads(skops.io.dumps(model), trusted=list(TRUSTED_TYPES))


@pytest.mark.filterwarnings("ignore")  # of fits to sixty rows
@pytest.mark.parametrize(
    ("kind", "least"), [("classifier", 38), ("regressor", 45), ("transformer", 55)]
)
def test_what_scikit_learn_brings_comes_back_from_a_file_but_what_the_docs_name(
    kind: str, least: int
) -> None:
    came_back, refused = [], set()
    for name, model in made(kind):
        try:
            again = kept(model)
        except PromotionRefused:
            refused.add(name)
            continue
        if name in OTHER_LAST_BITS:
            assert np.allclose(said(model), said(again)), name
        else:
            assert np.array_equal(said(model), said(again), equal_nan=True), name
        came_back.append(name)
    assert refused <= REFUSED
    assert len(came_back) >= least


@pytest.mark.parametrize(
    "model",
    [
        CalibratedClassifierCV(LogisticRegression(), method="isotonic"),
        CalibratedClassifierCV(LogisticRegression(), method="temperature"),
        VotingClassifier([("a", LogisticRegression()), ("b", MLPClassifier())], voting="soft"),
        StackingClassifier([("a", KNeighborsClassifier(algorithm="ball_tree", p=1))]),
        KNeighborsClassifier(metric="minkowski", p=3),
        KNeighborsClassifier(metric="chebyshev"),
        MLPClassifier(solver="sgd"),
        GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, scoring="neg_log_loss"),
        TunedThresholdClassifierCV(LogisticRegression()),
        make_pipeline(SelectKBest(mutual_info_classif, k=2), LogisticRegression()),
        make_pipeline(SplineTransformer(), LogisticRegression()),
        make_pipeline(FunctionTransformer(np.log1p), LogisticRegression()),
        make_pipeline(SelectKBest(f_regression, k=2), Ridge()),
        GaussianProcessRegressor(DotProduct() + WhiteKernel() + Matern() * RBF()),
        TweedieRegressor(power=1.5, link="log"),
        HuberRegressor(),
        HistGradientBoostingRegressor(loss="absolute_error", max_iter=3),
        HistGradientBoostingRegressor(loss="quantile", quantile=0.9, max_iter=3),
        HistGradientBoostingRegressor(loss="gamma", max_iter=3),
    ],
    ids=lambda model: type(model).__name__,
)
def test_their_other_options_come_back_too(model: Any) -> None:  # noqa: ANN401 - any estimator
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of fits to sixty rows
        model.fit(ROWS, NUMBER if is_regressor(model) else LABEL)
        assert np.array_equal(said(model), said(kept(model)))


def test_what_no_file_can_hold_is_refused_and_the_candidate_is_named() -> None:
    models = {
        "birch": Birch().fit(ROWS),
        "own": FunctionTransformer(said),
    }
    for name, found in (
        ("birch", "Birch"),
        ("own", "test_trusted_estimators.said"),
    ):
        with pytest.raises(PromotionRefused) as refused:
            refuse_untrusted(models[name], "shop", name)
        (problem,) = refused.value.problems
        assert problem.where == f"model of shop, candidate {name!r}"
        assert found in problem.found
        assert "docs/training.md" in problem.fix


def test_packages_of_estimators_inside_others_are_named() -> None:
    import lightgbm

    tree = lightgbm.LGBMRegressor()
    for model in (
        TransformedTargetRegressor(tree),
        make_pipeline(SplineTransformer(), BaggingClassifier(lightgbm.LGBMClassifier())),
        VotingClassifier([("a", LogisticRegression()), ("b", lightgbm.LGBMClassifier())]),
    ):
        assert f"lightgbm=={lightgbm.__version__}" in requirements(model)
    assert "lightgbm" not in " ".join(requirements(GridSearchCV(Ridge(), {"alpha": [0.1]})))
