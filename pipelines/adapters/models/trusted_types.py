"""Trusted types: what a model file may be made of, and the packages that it needs to load."""

import inspect
import sys
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
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    # Of forests; like the line above it holds node numbers that scikit-learn follows unchecked, so
    # a file is loaded only once its digest was compared.
    "sklearn.tree._tree.Tree",
    "sklearn.utils.validation.check_array",
)
"""Types beyond skops' own list that a model file may construct: of libraries only, none a user's."""

ALWAYS = ("scikit-learn", "skops", "pandas", "numpy")
"""Packages that every model needs."""


def refuse_untrusted(model: Any, use_case: str) -> None:  # noqa: ANN401 - any library's estimator
    """Raise PromotionRefused when a model holds types that neither skops nor we trust."""
    import skops.io

    found = set(skops.io.get_untrusted_types(data=skops.io.dumps(model))) - set(TRUSTED_TYPES)
    if found:
        raise PromotionRefused(
            Problem(
                where=f"model of {use_case}",
                expected="an estimator built of library classes only",
                found=f"{', '.join(sorted(found)[:3])}",
                fix="A class or function defined in a DAG file cannot be loaded elsewhere: use "
                "scikit-learn's own transformers.",
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
    """Return the modules of a model's classes: its own, its bases' and those of its steps."""
    steps = [step for _, step in getattr(model, "steps", ())]
    own = {kind.__module__ for kind in inspect.getmro(type(model))} - {"builtins"}
    return own.union(*(_modules(step) for step in steps))
