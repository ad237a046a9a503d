"""Compare: two registered versions of a use case side by side."""

from pipelines.adapters.models import registered_versions
from pipelines.adapters.settings import Settings
from pipelines.domain.comparison import Comparison
from pipelines.domain.comparison import compare as compared
from pipelines.use_case import TrainedUseCase, UseCase


def compare(use_case: UseCase, settings: Settings, *, first: str, second: str) -> Comparison:
    """Return how two versions differ. Raises ChampionUnresolved when MLflow does not have one."""
    times = TrainedUseCase.of(use_case).scoring.times
    return compared(
        registered_versions.read(settings, use_case.name, first, times=times),
        registered_versions.read(settings, use_case.name, second, times=times),
    )
