"""Card: a registered version's model card, kept with its run."""

from datetime import timedelta

from pipelines.adapters.models import mlflow_registry, registered_versions
from pipelines.adapters.settings import Settings
from pipelines.domain.model_card import DeclaredFacts, model_card
from pipelines.use_case import TrainedUseCase, UseCase

CARD_FILE = "card/model_card.md"


def card(use_case: UseCase, settings: Settings, *, version: str, attach: bool = False) -> str:
    """Return a version's card in Markdown, as of the decisions so far; attach it where asked.

    The next card of the version replaces what is attached. Raises ChampionUnresolved when MLflow
    does not have the version.
    """
    parts = TrainedUseCase.of(use_case)
    found = registered_versions.read(settings, use_case.name, version, times=parts.scoring.times)
    same = found.digests["declaration"] == use_case.digest()
    declared = DeclaredFacts(
        owner=use_case.owner,
        purpose=use_case.purpose,
        tier=use_case.tier,
        label=parts.label.name,
        rule=parts.label.rule if same else None,
        label_table=parts.label.table.name,
        final_after=_hours(parts.label.final_after),
    )
    text = model_card(found, declared)
    if attach:
        mlflow_registry.keep(settings, found.run_id, CARD_FILE, text)
    return text


def _hours(period: timedelta) -> str:
    """Return a period as hours.

    >>> _hours(timedelta(days=3))
    '72 hours'
    """
    return f"{period / timedelta(hours=1):g} hours"
