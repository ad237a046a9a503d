"""Training: candidates, the baseline, and one fit from rows to a model."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pipelines.domain.contract_problems import near
from pipelines.domain.prediction_kinds import Answer, Kind
from pipelines.domain.retraining import CauseKind
from pipelines.domain.search_space import Parameters, Space
from pipelines.domain.weights import Weights
from pipelines.domain.windows import ForwardTime, Sliding, Window
from pipelines.errors import DeclarationError, Problem

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa


class Estimator(Protocol):
    """What a candidate builds: the scikit-learn protocol of a probabilistic classifier.

    Where the label is a number it is that of a regressor: ``predict`` in place of ``predict_proba``.
    """

    def fit(self, X: "pd.DataFrame", y: "np.ndarray") -> "Estimator":  # noqa: N803 - sklearn's name
        """Learn from rows and labels."""
        ...

    def predict_proba(self, X: "pd.DataFrame") -> "np.ndarray":  # noqa: N803 - sklearn's name
        """Return the probability of each class, one row per row."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureColumns:
    """Feature names by how an estimator must treat them, each in the order of the feature view."""

    numeric: tuple[str, ...]
    categorical: tuple[str, ...]

    @property
    def all(self) -> list[str]:
        """Every feature, numeric first: the column order of every matrix."""
        return [*self.numeric, *self.categorical]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model to try: its name, a function that builds an unfitted estimator, and what to vary.

    The function is given the feature columns, a seed and the parameters named in ``space``, and
    returns an estimator made of library classes only, so that the model loads wherever those
    libraries are installed. What it uses when a parameter is left out is the first trial.
    """

    name: str
    build: Callable[..., Any]
    space: Mapping[str, Space] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """How models are made: which candidates, on which window, held out how, with which seed.

    ``start`` (aware) is the earliest scoring time trained on; the window expands from there, or is
    ``Sliding``. ``weights`` say how much a row counts in a fit; a model is judged on rows that all
    count the same.

    Where a candidate has a space, or there are several, ``trials`` of them are fitted and judged by
    their mean ``loss`` on the days of ``split.validation_days``, by ``tuning_tasks`` tasks at a
    time, until ``cpu_seconds`` (of all trials together) are spent; the best is then fitted on the
    whole window. With 0 trials, or nothing to choose from, nothing is searched.

    ``baseline`` is what everything must beat: the training rows' share of positives, or, where the
    label is a number, their mean or median. In a ranking the share makes the list of largest values.
    """

    start: datetime
    candidates: Sequence[Candidate]
    split: ForwardTime
    window: Window = "expanding"
    baseline: Literal["prior_rate", "mean", "median"] = "prior_rate"
    weights: Weights | None = None
    loss: Literal["log_loss", "brier", "absolute_error", "squared_error"] = "log_loss"
    trials: int = 20
    cpu_seconds: float = 900.0
    tuning_tasks: int = 1
    seed: int = 7

    @property
    def searches(self) -> bool:
        """Whether there is anything to search for, and leave to."""
        choices = len(self.candidates) > 1 or any(one.space for one in self.candidates)
        return self.trials > 0 and choices

    def candidate(self, name: str) -> Candidate:
        """Return the candidate called ``name``. Raises KeyError."""
        return {one.name: one for one in self.candidates}[name]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is asked of one training, in place of what is declared (None), and what called for it."""

    candidates: tuple[str, ...] = ()
    window_days: int | None = None
    trials: int | None = None
    reason: str = ""
    dry_run: bool = False
    cause: CauseKind = "by hand"

    def of(self, declared: Training) -> Training:
        """Return the training that was asked for. Raises DeclarationError for unknown candidates."""
        names = tuple(one.name for one in declared.candidates)
        if unknown := sorted(set(self.candidates) - set(names)):
            raise DeclarationError(
                Problem(
                    where="the training that was asked for, candidates",
                    expected=f"some of {', '.join(names)}",
                    found=", ".join(f"{name}{near(name, names)}" for name in unknown),
                    fix="Name declared candidates, or none for all of them.",
                )
            )
        chosen = [one for one in declared.candidates if one.name in self.candidates]
        trials = declared.trials if self.trials is None else self.trials
        return replace(
            declared,
            candidates=chosen or declared.candidates,
            window=declared.window if self.window_days is None else Sliding(self.window_days),
            trials=trials,
            tuning_tasks=max(1, min(declared.tuning_tasks, trials)),
        )


AS_DECLARED = Asked()


@dataclass(frozen=True, slots=True)
class Baseline:
    """The baseline: every row gets the same answer, a probability or a number."""

    answer: float

    @classmethod
    def of(cls, name: str, label: "np.ndarray") -> "Baseline":
        """Return the baseline called ``name`` that training labels (0 and 1, or numbers) teach."""
        import numpy as np

        return cls(float(np.median(label) if name == "median" else label.mean()))

    def predict(self, rows: int) -> "np.ndarray":
        """Return the answer once per row."""
        import numpy as np

        return np.full(rows, self.answer)


def feature_columns(table: "pa.Table", names: Sequence[str]) -> FeatureColumns:
    """Sort feature names into categorical (text) and numeric (all others)."""
    import pyarrow as pa

    text = [n for n in names if pa.types.is_string(table.schema.field(n).type)]
    return FeatureColumns(numeric=tuple(n for n in names if n not in text), categorical=tuple(text))


def feature_frame(rows: "pa.Table", columns: FeatureColumns) -> "pd.DataFrame":
    """Return the matrix an estimator sees: float64 for numeric, object for categorical features.

    A missing number is NaN; a missing text is its own category, the empty string.
    """
    import pandas as pd
    import pyarrow as pa
    import pyarrow.compute as pc

    data: dict[str, Any] = {}
    for name in columns.numeric:
        data[name] = rows[name].cast(pa.float64()).to_numpy(zero_copy_only=False)
    for name in columns.categorical:
        texts = pc.fill_null(rows[name], "")
        # Of bare objects pandas makes a string column, which estimators take twice as long to read.
        data[name] = pd.Series(texts.to_numpy(zero_copy_only=False), dtype=object)
    return pd.DataFrame(data, columns=columns.all)


def fit(
    candidate: Candidate,
    rows: "pa.Table",
    label: "np.ndarray",
    columns: FeatureColumns,
    seed: int,
    *,
    parameters: Parameters | None = None,
    weights: Weights | None = None,
) -> Any:  # noqa: ANN401 - any library's estimator
    """Fit one candidate. Rows must be in canonical order: some estimators depend on it."""
    from pipelines.domain.fused_fit import fit_fused  # which asks this module for frames

    weight = weights.weigh(rows) if weights else None
    model = candidate.build(columns, seed, **(parameters or {}))
    if fit_fused(model, rows, label, columns, weight):
        return _on_one_worker(model)
    return fit_frame(
        candidate,
        feature_frame(rows, columns),
        label,
        columns,
        seed,
        parameters=parameters or {},
        weight=weight,
    )


def fit_frame(
    candidate: Candidate,
    frame: "pd.DataFrame",
    label: "np.ndarray",
    columns: FeatureColumns,
    seed: int,
    *,
    parameters: Parameters,
    weight: "np.ndarray | None",
) -> Any:  # noqa: ANN401 - as above
    """Fit one candidate on rows that are a ``feature_frame`` already.

    ``weight``, one a row, goes to the estimator, or to the last step of a pipeline, as
    ``sample_weight``; one that takes none raises TypeError or ValueError. However many workers fit,
    one predicts: several of a forest sum in the order in which they end (scikit-learn #10065).
    """
    model = candidate.build(columns, seed, **parameters)
    weights = {} if weight is None else {_weight_name(model): weight}
    return _on_one_worker(model.fit(frame, label, **weights))


def _on_one_worker(fitted: Any) -> Any:  # noqa: ANN401 - as above
    """Return a fitted model that predicts on one worker, as far as it can be told to."""
    workers = fitted.get_params() if hasattr(fitted, "get_params") else {}
    several = [name for name in workers if name.endswith("n_jobs") and workers[name] is not None]
    return fitted.set_params(**dict.fromkeys(several, 1)) if several else fitted


def positive_probability(
    model: Any,  # noqa: ANN401 - any library's estimator
    rows: "pa.Table",
    columns: FeatureColumns,
) -> "np.ndarray":
    """Return the probability of the positive class, one per row."""
    import numpy as np

    if not rows.num_rows:
        return np.empty(0)
    return frame_probability(model, feature_frame(rows, columns))


def frame_probability(model: Any, frame: "pd.DataFrame") -> "np.ndarray":  # noqa: ANN401 - as above
    """Return the probability of the positive class, one per row of ``feature_frame``."""
    import numpy as np

    return np.asarray(model.predict_proba(frame)[:, 1], dtype=np.float64)


def answers(
    model: Any,  # noqa: ANN401 - any library's estimator
    rows: "pa.Table",
    columns: FeatureColumns,
    answer: Answer,
) -> "np.ndarray":
    """Return what a model says of each row: the probability of the positive class, or the number."""
    import numpy as np

    if not rows.num_rows:
        return np.empty(0)
    return frame_answers(model, feature_frame(rows, columns), answer)


def frame_answers(model: Any, frame: "pd.DataFrame", answer: Answer) -> "np.ndarray":  # noqa: ANN401 - as above
    """Return what a model says of each row of ``feature_frame``, as float64."""
    import numpy as np

    if answer == "probability":
        return frame_probability(model, frame)
    return np.asarray(model.predict(frame), dtype=np.float64).reshape(-1)


def refuse_other_answers(training: Training, columns: FeatureColumns, kind: Kind) -> None:
    """Raise DeclarationError for candidates that build what gives other answers than ``kind``'s.

    Each is built once and not fitted: whether it tells probabilities is seen by ``predict_proba``.
    One that cannot be built is left to whoever fits it: a trial that fails is an answer.
    """
    found = []
    for candidate in training.candidates:
        try:
            model = candidate.build(columns, training.seed)
        except Exception:  # noqa: BLE001, S112 - told, with its stack, where it is fitted
            continue
        tells = hasattr(model, "predict_proba")
        if tells == (kind.answer == "probability") and (tells or hasattr(model, "predict")):
            continue
        is_number = kind.answer == "number"
        found.append(
            Problem(
                where=f"candidate {candidate.name!r}",
                expected="a regressor, since the label is a number"
                if is_number
                else "a classifier with predict_proba, since the label is a condition",
                found=f"{type(model).__name__} {'with' if tells else 'without'} predict_proba",
                fix="Build a regressor, or take the unit from the label."
                if is_number
                else "Build a classifier that tells probabilities, or give the label a unit.",
            )
        )
    if found:
        raise DeclarationError(*found)


def _weight_name(model: Any) -> str:  # noqa: ANN401 - as above
    """Return the argument of ``fit`` that takes weights: scikit-learn's name for a pipeline's step."""
    steps = getattr(model, "steps", None)
    return f"{steps[-1][0]}__sample_weight" if steps else "sample_weight"
