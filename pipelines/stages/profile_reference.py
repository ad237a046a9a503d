"""Profile reference: make what a champion's blocks are held against, once, when it is promoted."""

from dataclasses import dataclass
from datetime import datetime

from pipelines.adapters.models import champion as champions
from pipelines.adapters.models import champion_profiles, known
from pipelines.adapters.settings import Settings
from pipelines.adapters.threads import one_thread
from pipelines.domain.model_reference import ModelReference
from pipelines.use_case import TrainedUseCase, UseCase

SHOWN = 5
"""Most important features that the log names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Referenced:
    """What the champion is held against from now on, and how many earlier blocks are profiled."""

    reference: ModelReference
    blocks: int

    def describe(self) -> str:
        """Return two lines for the log and the terminal."""
        found = self.reference
        first, last = found.training_window
        shares = sorted(found.importance.items(), key=lambda item: -item[1])[:SHOWN]
        return (
            f"version {found.model_version}: edges of {len(found.edges.columns)} columns from "
            f"{first} to {last}; {self.blocks} earlier blocks profiled\n"
            f"  most important: {', '.join(f'{name} {share:.0%}' for name, share in shares)}"
        )


@one_thread()
def profile_reference(
    use_case: UseCase, settings: Settings, *, as_of: datetime, run: str
) -> Referenced | None:
    """Make the champion's reference and the profiles of all blocks described so far.

    None without a champion. Running it again changes nothing. Raises ChampionUnresolved, and
    DeclarationError for segments that are no text features.
    """
    parts = TrainedUseCase.of(use_case)
    champion = champions.resolve(settings, use_case.name)
    if champion is None:
        return None
    tables = known.load(settings, use_case.name, parts.features, parts.label)
    watching = champion_profiles.watch(settings, champion, parts, use_case.monitoring)
    reference = champion_profiles.reference_of(watching, tables, run=run)
    profiled = champion_profiles.up_to_date(watching, tables, reference, as_of=as_of, run=run)
    return Referenced(reference=reference, blocks=len(profiled))
