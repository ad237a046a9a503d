"""A tuner: one process that makes trials of a search, side by side with as many as are asked for."""

import json
import resource
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from benchmarks.scoring_home import settings_in
from benchmarks.training_home import AS_OF, forget_models, use_case_in
from benchmarks.training_peers.work import Work, work

if TYPE_CHECKING:
    from pipelines.use_case import UseCase

TRIALS = 10
"""As many as are drawn at random: then all searches make the same ones, in whatever order."""

TREES = 30
"""Of each trial's model."""


def main() -> None:
    """Lay out the search ("plan"), or wait for a line and then be tuner number so and so of it."""
    doing, (tuners, number) = work(), sys.argv[3:5]
    use_case = searching(doing, int(tuners))
    if number == "plan":
        _plan(doing, use_case)
    else:
        _tune(doing, use_case, sys.argv[5], int(number))


def searching(doing: Work, tuners: int) -> "UseCase":
    """Return the home's use case with parameters to search for, by one fold, so that none is pruned."""
    from pipelines.domain.search_space import LogUniform
    from pipelines.domain.training import Candidate
    from pipelines.domain.windows import ForwardTime
    from pipelines.use_case import TrainedUseCase

    use_case = use_case_in(doing.home)
    training = TrainedUseCase.of(use_case).training
    build = training.candidates[0].build

    def varied(columns: Any, seed: int, learning_rate: float = 0.1) -> Any:  # noqa: ANN401 - scikit-learn's
        model = build(columns, seed)
        model[-1].set_params(max_iter=TREES, learning_rate=learning_rate)
        return model

    candidate = Candidate("trees", varied, {"learning_rate": LogUniform(0.05, 0.2)})
    searched = replace(
        training,
        candidates=[candidate],
        split=ForwardTime(test_days=training.split.test_days, validation_days=14, folds=1),
        trials=TRIALS,
        tuning_tasks=tuners,
    )
    return replace(use_case, training=searched)


def _plan(doing: Work, use_case: "UseCase") -> None:
    from pipelines.domain.training import AS_DECLARED
    from pipelines.stages.train import plan

    forget_models(doing.home)
    planned = plan(use_case, settings_in(doing.home), as_of=AS_OF, asked=AS_DECLARED)
    doing.answer.write_text(planned.study or "")


def _tune(doing: Work, use_case: "UseCase", study: str, number: int) -> None:
    import optuna  # noqa: F401 - importing is not what is measured
    import sklearn.ensemble  # noqa: F401

    from pipelines.domain.training import AS_DECLARED
    from pipelines.stages.train import tune

    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    settings = settings_in(doing.home)
    with doing.counted():
        said = tune(use_case, settings, as_of=AS_OF, asked=AS_DECLARED, study=study, tuner=number)
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write(json.dumps({"cpu_s": doing.cpu_s, "peak_mib": peak_mib, "said": said}))


if __name__ == "__main__":
    main()
