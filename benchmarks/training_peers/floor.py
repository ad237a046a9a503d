"""Floor: the estimator's own fit of a ready matrix, float64 in C order, and nothing else."""

from benchmarks.training_home import columns_in, use_case_in
from benchmarks.training_peers.work import judged, matrix, work
from pipelines.adapters.threads import one_thread
from pipelines.use_case import TrainedUseCase


def main() -> None:
    """Fit; matrix and labels lie in memory before it counts."""
    doing = work()
    training = TrainedUseCase.of(use_case_in(doing.home)).training
    estimator = training.candidates[0].build(columns_in(doing.home), training.seed)[-1]
    ready, label = matrix(doing.home, "matrix"), matrix(doing.home, "label")
    with one_thread():
        with doing.counted():
            estimator.fit(ready, label)
        doing.tell(judged(doing.home, estimator))


if __name__ == "__main__":
    main()
