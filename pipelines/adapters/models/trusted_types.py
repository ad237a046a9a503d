"""Trusted types: what a model file may be made of, and the packages that it needs to load."""

import inspect
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import packages_distributions, version
from typing import Any

from pipelines.errors import Problem, PromotionRefused

TRUSTED_TYPES = (
    "collections.OrderedDict",
    "functools.partial",
    "lightgbm.basic.Booster",
    "lightgbm.sklearn.LGBMClassifier",
    "lightgbm.sklearn.LGBMRegressor",
    "numpy.dtype",  # of what an imputer or a binning was fitted on; read from an empty array
    "numpy.mean",
    "scipy._lib.array_api_compat.numpy._aliases.asarray",
    "scipy.interpolate._bsplines.BSpline",
    *(
        f"sklearn._loss.loss.{name}"
        for name in ("HalfTweedieLoss", "HalfTweedieLossIdentity", "HuberLoss", "PinballLoss")
    ),
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.calibration._TemperatureScaling",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    *(
        f"sklearn.feature_selection._{module}.{name}"
        for module, names in {
            "mutual_info": ("mutual_info_classif", "mutual_info_regression"),
            "univariate_selection": ("chi2", "f_classif", "f_regression", "r_regression"),
        }.items()
        for name in names
    ),
    "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
    *(
        f"sklearn.gaussian_process.kernels.{name}"
        for name in (
            *("CompoundKernel", "ConstantKernel", "DotProduct", "ExpSineSquared", "Exponentiation"),
            *("Matern", "Product", "RBF", "RationalQuadratic", "Sum", "WhiteKernel"),
        )
    ),
    *(
        f"sklearn.metrics._dist_metrics.{name}Distance64"
        for name in ("Chebyshev", "Euclidean", "Manhattan", "Minkowski")
    ),
    *(
        f"sklearn.metrics.{name}"  # what a search inside a model was scored by
        for name in (
            *("_classification.accuracy_score", "_classification.balanced_accuracy_score"),
            *("_classification.brier_score_loss", "_classification.f1_score"),
            *("_classification.log_loss", "_ranking.average_precision_score"),
            *("_ranking.roc_auc_score", "_regression.mean_absolute_error"),
            *("_regression.mean_squared_error", "_regression.r2_score"),
            *("_scorer._CurveScorer", "_scorer._Scorer"),
        )
    ),
    "sklearn.model_selection._split.KFold",
    "sklearn.model_selection._split.StratifiedKFold",
    # Trees of neighbours, and of forests: like TreePredictor they hold node numbers that scikit-learn
    # follows unchecked, so a file is loaded only once its digest was compared.
    "sklearn.neighbors._ball_tree.BallTree",
    "sklearn.neighbors._kd_tree.KDTree",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.tree._tree.Tree",
    "sklearn.utils._bunch.Bunch",
    "sklearn.utils._metadata_requests.MetadataRequest",
    "sklearn.utils._metadata_requests.MethodMetadataRequest",
    "sklearn.utils.validation.check_array",
)
"""Types beyond skops' own list that a model file may construct: of libraries only, none a user's.

They hold numbers, or are functions of numbers: none reads a file, opens a connection or runs a text.
"""

ALWAYS = ("scikit-learn", "skops", "pandas", "numpy")
"""Packages that every model needs."""


def refuse_untrusted(model: Any, use_case: str, candidate: str = "") -> None:  # noqa: ANN401 - any library's estimator
    """Raise PromotionRefused when a model holds types that neither skops nor we trust, or cannot be written."""
    import skops.io
    from skops.io.exceptions import UnsupportedTypeException

    where = f"model of {use_case}" + (f", candidate {candidate!r}" if candidate else "")
    try:
        found = set(skops.io.get_untrusted_types(data=skops.io.dumps(model))) - set(TRUSTED_TYPES)
    except UnsupportedTypeException as error:
        raise PromotionRefused(
            Problem(
                where=where,
                expected="an estimator that skops, the format of model files, can write",
                found=str(error).partition("\n")[0],
                fix="Use another estimator; docs/training.md tells which will not do.",
            )
        ) from error
    if found:
        raise PromotionRefused(
            Problem(
                where=where,
                expected="an estimator made of library types that are trusted in a model file",
                found=", ".join(sorted(found)[:3]),
                fix="Use another estimator or option: docs/training.md tells which of scikit-learn's will "
                "not do. A class or function defined in a DAG file cannot be loaded elsewhere.",
            )
        )


def requirements(model: Any) -> list[str]:  # noqa: ANN401 - any library's estimator
    """Return the packages that a model needs, each as it is installed here, from the lock.

    Named, so that MLflow need not start a process to find them out, which takes twenty times as
    long as all the rest of logging a model.
    """
    more = {module.split(".")[0] for module in _modules(model)} - sys.stdlib_module_names
    others = sorted(more - {"sklearn", "numpy", "pandas"})
    found = packages_distributions() if others else {}  # takes a seventh of a second
    # A module of no package is a DAG file, whose classes no model may be made of.
    named = [found[module][0] for module in others if module in found]
    return [f"{name}=={version(name)}" for name in dict.fromkeys((*ALWAYS, *named))]


def _modules(model: Any) -> set[str]:  # noqa: ANN401 - any library's estimator
    """Return the modules of a model's classes: its own, its bases' and those of what it is made of."""
    parts = model.get_params(deep=False).values() if hasattr(model, "get_params") else ()
    own = {kind.__module__ for kind in inspect.getmro(type(model))} - {"builtins"}
    return own.union(*(_modules(part) for part in _estimators(parts)))


def _estimators(values: Iterable[Any]) -> Iterator[Any]:
    """Return the estimators among parameters: themselves, or in lists of named ones."""
    for value in values:
        if isinstance(value, list | tuple):
            yield from _estimators(value)
        elif hasattr(value, "get_params") and not isinstance(value, type):
            yield value
