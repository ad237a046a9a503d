"""Reigns: which version scores each of the times that are filled in, as it would have been live."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby, pairwise

from pipelines.adapters.models import champion as champions
from pipelines.adapters.models import decisions, mlflow_registry
from pipelines.adapters.settings import Settings
from pipelines.domain.features import feature_digest
from pipelines.domain.succession import champion_at, succession
from pipelines.use_case import TrainedUseCase, UseCase


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Scoring ``times`` (UTC), all of them before ``until``, that one version scores.

    ``reigned`` tells whether it was champion at them; otherwise it is the champion of today.
    """

    times: tuple[datetime, ...]
    until: datetime
    version: str
    reigned: bool

    @property
    def since(self) -> datetime:
        """The first of them."""
        return self.times[0]

    def describe(self) -> str:
        """Return what is to be said beside its result; empty where it is what live runs made."""
        if self.reigned:
            return ""
        return "; no version that may be used was champion then: scored by the champion of today"


def stretches(
    use_case: UseCase, settings: Settings, *, since: datetime, until: datetime
) -> tuple[Stretch, ...]:
    """Return the scoring times in [since, until) by who scores them, in order.

    That is who was champion at the time. Where nobody was, or a version that was rolled back from since
    or reads another feature view than the declared one, it is the champion of today. Raises
    ChampionUnresolved without one that can be trusted.
    """
    times = TrainedUseCase.of(use_case).scoring.times.between(since, until)
    chosen = _chosen(use_case, settings, times)
    found = [
        (which, [time for time, _ in group])
        for which, group in groupby(zip(times, chosen, strict=True), key=lambda one: one[1])
    ]
    ends = [*(after[0] for (_, _), (_, after) in pairwise(found)), until]
    return tuple(
        Stretch(times=tuple(group), until=end, version=version, reigned=reigned)
        for ((version, reigned), group), end in zip(found, ends, strict=True)
    )


def _chosen(
    use_case: UseCase, settings: Settings, times: Sequence[datetime]
) -> list[tuple[str, bool]]:
    """Return the version that scores each time, and whether it was champion then."""
    parts = TrainedUseCase.of(use_case)
    view = feature_digest(parts.features, parts.label)
    today = champions.to_score_with(settings, use_case.name, features=view).model.version
    entries = decisions.read_all(settings, use_case.name)
    then = [champion_at(entries, time) for time in times]
    withdrawn = succession(entries).withdrawn
    usable = {today} | {
        version
        for version in {*then} - {"", *withdrawn}
        if mlflow_registry.candidate(settings, use_case.name, version).tags["headframe.features"]
        == view
    }
    return [(version, True) if version in usable else (today, False) for version in then]
