"""Headframe: the train stage itself, from the lake to a registered model."""

import sys
import time
from pathlib import Path

from benchmarks.scoring_home import NAME, settings_in
from benchmarks.training_home import AS_OF, forget_models, use_case_in
from benchmarks.training_peers.work import Work, judged, work


def main() -> None:
    """Train; with a third argument only after a small training elsewhere, as in a warm process.

    That is another home, so nothing of this one is known to the process when it counts.
    """
    doing = work()
    for name in sys.argv[3:]:
        _train(Work(home=Path(name), answer=doing.answer))
    version = _train(doing)
    process_cpu_s = time.process_time()

    from pipelines.adapters.models import mlflow_registry
    from pipelines.adapters.threads import one_thread

    settings = settings_in(doing.home)
    wanted = mlflow_registry.candidate(settings, NAME, version)
    model = mlflow_registry.load(settings, NAME, wanted)
    with one_thread():
        doing.tell(judged(doing.home, model[-1]), process_cpu_s=process_cpu_s)


def _train(doing: Work) -> str:
    """Train and register once more: what an earlier run registered is forgotten first."""
    from pipelines.stages.train import train

    forget_models(doing.home)
    use_case, settings = use_case_in(doing.home), settings_in(doing.home)
    with doing.counted():
        trained = train(use_case, settings, as_of=AS_OF, run="benchmark", requester="benchmark")
    return trained.version


if __name__ == "__main__":
    main()
