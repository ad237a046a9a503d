"""Threads: as many as allowed while the work lasts, and as many as before afterwards."""

import pyarrow as pa
from threadpoolctl import threadpool_info

from pipelines.adapters.threads import at_most, one_thread
from pipelines.domain.training import Candidate, FeatureColumns, fit_frame


def allowed() -> set[int]:
    """Return how many threads each library that computes may use now."""
    found = {int(pool["num_threads"]) for pool in threadpool_info()}
    return {*found, pa.cpu_count()}


def test_every_library_gets_so_many_threads_and_as_many_as_before_again() -> None:
    import sklearn.ensemble  # noqa: F401 - it brings OpenMP

    with at_most(3):
        before = allowed()
        assert before == {3}
        with one_thread():
            assert allowed() == {1}
        assert allowed() == before


def test_however_many_workers_fit_one_predicts() -> None:
    import numpy as np
    import pandas as pd
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    def forest(columns: FeatureColumns, seed: int) -> object:
        passed = ColumnTransformer([("all", "passthrough", list(columns.numeric))])
        return make_pipeline(passed, RandomForestClassifier(2, n_jobs=2, random_state=seed))

    def linear(columns: FeatureColumns, seed: int) -> object:
        return LogisticRegression(random_state=seed)

    rows = pd.DataFrame({"x": np.arange(8.0)})
    columns = FeatureColumns(numeric=("x",), categorical=())
    fitted = [
        fit_frame(
            Candidate(build.__name__, build), rows, np.arange(8) % 2, columns, 7,
            parameters={}, weight=None,
        )
        for build in (forest, linear)
    ]  # fmt: skip
    workers = {
        name: value
        for model in fitted
        for name, value in model.get_params().items()
        if name.endswith("n_jobs")
    }
    assert workers == {
        "columntransformer__n_jobs": None, "randomforestclassifier__n_jobs": 1, "n_jobs": None,
    }  # fmt: skip
