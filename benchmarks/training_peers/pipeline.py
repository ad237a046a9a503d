"""The same pipeline fitted by hand: from a ready data frame with texts as objects, as in a notebook."""

from pyarrow import feather

from benchmarks.training_home import columns_in, use_case_in
from benchmarks.training_peers.work import judged, matrix, work
from pipelines.adapters.threads import one_thread
from pipelines.domain.training import feature_frame
from pipelines.use_case import TrainedUseCase


def main() -> None:
    """Fit; the data frame lies in memory before it counts."""
    doing = work()
    training = TrainedUseCase.of(use_case_in(doing.home)).training
    columns, label = columns_in(doing.home), matrix(doing.home, "label")
    frame = feature_frame(feather.read_table(doing.home / "rows.feather"), columns)
    model = training.candidates[0].build(columns, training.seed)
    with one_thread():
        with doing.counted():
            model.fit(frame, label)
        doing.tell(judged(doing.home, model[-1]))


if __name__ == "__main__":
    main()
